"""Allocations against slower sure answers: brute force, Hutchinson's estimator, the deployed model plan by plan."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cfq_core.allocators.hessian_trace import hessian_traces
from cfq_core.allocators.knapsack import cheapest_plan
from cfq_core.allocators.landscape import Points, landscape
from cfq_core.allocators.learned import Learned
from cfq_core.base.errors import BadPlan
from cfq_core.matching import match
from cfq_core.nets.stack import Stack, score
from cfq_core.quant.bits import average_bits
from cfq_core.quant.calibrate import Calibration
from cfq_core.quant.training_data import RecoursePairs, TrainingData
from cfq_core.training.finetune import Schedule

BITS = (2, 3, 4, 8)


@given(
    sizes=st.lists(st.integers(1, 5000), min_size=1, max_size=5),
    budget=st.floats(2.0, 8.0),
    numbers=st.lists(st.floats(0, 10), min_size=20, max_size=20),
)
def test_the_knapsack_equals_brute_force(sizes: list[int], budget: float, numbers: list[float]) -> None:
    table = np.array(numbers).reshape(5, 4)[: len(sizes)]
    plans = [p for p in itertools.product(BITS, repeat=len(sizes)) if average_bits(p, sizes) <= budget + 1e-9]
    least = min(sum(table[i, BITS.index(b)] for i, b in enumerate(p)) for p in plans)
    plan = cheapest_plan(table.tolist(), BITS, sizes, budget)
    assert average_bits(plan, sizes) <= budget + 1e-9
    assert sum(table[i, BITS.index(b)] for i, b in enumerate(plan)) == pytest.approx(least, abs=1e-9)


def test_a_budget_below_the_fewest_bits_is_refused() -> None:
    with pytest.raises(BadPlan, match="at least 2"):
        cheapest_plan([[1.0] * 4], BITS, [10], 1.5)


def test_the_closed_form_hessian_trace_equals_hutchinson() -> None:
    torch.manual_seed(0)
    stack = Stack.initial(6, (8, 5), [3]).to(torch.float64)
    inputs = torch.randn(1, 40, 6, dtype=torch.float64)
    closed = hessian_traces(stack, inputs)[0]
    for layer in range(3):
        weight = stack.weights[layer].clone().requires_grad_()
        weights = [*stack.weights[:layer], weight, *stack.weights[layer + 1 :]]
        logits = score(Stack(tuple(weights), stack.biases), inputs)
        share = torch.sigmoid(logits.detach())
        # labels drawn from the model leave E[Hessian] of the cross-entropy: use the soft label p, its expectation
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, share, reduction="mean")
        (slope,) = torch.autograd.grad(loss, weight, create_graph=True)
        probes = []
        for _ in range(600):
            v = torch.randint(0, 2, weight.shape).double() * 2 - 1
            (product,) = torch.autograd.grad(slope, weight, v, retain_graph=True)
            probes.append(float((v * product).sum()))
        error = np.std(probes) / np.sqrt(len(probes))
        assert abs(np.mean(probes) - float(closed[layer])) < 4 * error + 1e-9


def test_the_landscape_is_that_of_the_deployed_models() -> None:
    stack = Stack.initial(7, (6, 5, 4), [1])
    points, rows, watched = torch.randn(50, 7), torch.randn(80, 7), torch.randn(60, 7)
    found = landscape(stack, Points(points, rows), Calibration(), watched)
    assert len(found.plans) == 4**4
    teacher_rate = (score(stack, rows[None]) > 0).float().mean()
    for i in range(0, 256, 17):
        model = Calibration().quantize(stack, torch.tensor(found.plans[i][None]), watched[None]).to(torch.float64)
        at, on_rows = score(model, points[None].double())[0], score(model, rows[None].double())[0]
        assert found.vd[i] == pytest.approx(float((at <= 0).double().mean()), abs=1e-6)
        assert found.approval_shift[i] == pytest.approx(float((on_rows > 0).double().mean() - teacher_rate), abs=1e-6)
        threshold = match(
            on_rows.numpy()[None].astype(np.float32), int((score(stack, rows[None]) > 0).sum())
        ).threshold[0]
        assert found.vd_matched[i] == pytest.approx(float((at <= threshold).double().mean()), abs=0.021)
        left = float((on_rows > threshold).double().mean() - teacher_rate)
        assert found.approval_shift_matched[i] == pytest.approx(left, abs=0.0126), "one row may lie on a rounding"
        error = (at - score(stack.to(torch.float64), points[None].double())[0]).square().mean()
        assert found.recourse_error[i] == pytest.approx(float(error), rel=1e-4)


def test_no_plan_on_the_front_is_beaten() -> None:
    stack = Stack.initial(7, (6, 5), [2])
    found = landscape(stack, Points(torch.randn(60, 7), torch.randn(80, 7)), Calibration(), torch.randn(60, 7))
    for i in np.flatnonzero(found.front("recourse_error")):
        cheaper = found.average_bits <= found.average_bits[i]
        assert not (found.recourse_error[cheaper] < found.recourse_error[i]).any()


def test_learned_gates_end_within_the_budget_and_listen_to_it() -> None:
    stack = Stack.initial(5, (16, 8), [0, 1])
    inputs = torch.randn(2, 200, 5)
    pairs = RecoursePairs(inputs[:, :40], inputs[:, :40] + 0.3, torch.tensor([40, 40]))
    data = TrainingData(stack, inputs, (score(stack, inputs) > 0).float(), (0, 1), pairs)
    budgets = [2.0, 3.0, 5.0]
    plans = Learned(schedule=Schedule(least_steps=90)).plans(data, Calibration(), budgets)
    spent = [average_bits(p, stack.sizes) for p in plans]
    assert all(s <= b + 1e-9 for s, b in zip(spent, budgets * 2, strict=True))
    assert spent[2] > spent[0]
