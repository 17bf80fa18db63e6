"""Allocations against slower sure answers: brute force, Hutchinson's estimator, the deployed model plan by plan."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from cfq_core.allocators.hessian_trace import hessian_traces
from cfq_core.allocators.knapsack import cheapest_plan
from cfq_core.allocators.landscape import Points, landscape
from cfq_core.allocators.learned import Learned
from cfq_core.allocators.measured import Measured
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


def _to_measure(hidden: tuple[int, ...], seed: int = 4) -> TrainingData:
    """A teacher with wide logits, half of whose rows it denies, and recourse points on its side of the boundary."""
    torch.manual_seed(seed)
    stack = Stack.initial(7, hidden, [seed])
    inputs, valid = torch.randn(1, 300, 7), torch.randn(1, 201, 7)
    logits = score(stack, inputs)
    scaled = Stack((*stack.weights[:-1], 3 / logits.std() * stack.weights[-1]), stack.biases)
    scaled = Stack(scaled.weights, (*stack.biases[:-1], stack.biases[-1] - score(scaled, inputs).median()))
    near = score(scaled, inputs)[0].argsort()[155:275]
    pairs = RecoursePairs(inputs[:, near], inputs[:, near], torch.tensor([110]))
    no = torch.zeros
    return TrainingData(scaled, inputs, no(1, 300), (seed,), pairs, 8, valid, no(1, 201))


def test_measured_bits_are_those_of_trying_every_plan_one_by_one() -> None:
    data, by = _to_measure((6, 5, 4)), Measured()
    teacher, at, valid = data.teachers, data.pairs.end[0, :110], data.validation[0]
    rows = torch.cat([valid, data.inputs[0]])

    def logits(model: object, x: torch.Tensor) -> np.ndarray:
        return score(model.to(torch.float64), x[None].double())[0].numpy()  # type: ignore[attr-defined]

    plans, value = list(itertools.product(BITS, repeat=4)), []
    truth = (logits(teacher, valid) > 0).sum(), (logits(teacher, rows) > 0).mean()
    for plan in plans:
        student = Calibration().quantize(teacher, torch.tensor([plan]), data.inputs)
        threshold = match(logits(student, valid).astype(np.float32)[None], int(truth[0])).threshold[0]
        broken = norm.cdf((threshold - logits(student, at)) / by.noise).mean()
        value.append(broken + by.shift * abs((logits(student, rows) > 0).mean() - truth[1]))
    found = by.judged(data, Calibration())
    assert [tuple(p) for p in found[0]] == plans
    np.testing.assert_allclose(found[1], value, atol=1e-4)
    assert len({round(v, 3) for v in value}) > 50, "plans that differ in nothing prove nothing"
    for budget, chosen in zip((2.0, 2.5, 3.0, 4.0), by.plans(data, Calibration(), (2.0, 2.5, 3.0, 4.0)), strict=True):
        within = [v for p, v in zip(plans, value, strict=True) if average_bits(p, teacher.sizes) <= budget]
        assert average_bits(chosen, teacher.sizes) <= budget
        assert value[plans.index(chosen)] <= min(within) + 2e-4


def test_a_beam_of_full_width_finds_what_trying_every_plan_finds() -> None:
    data = _to_measure((6, 5, 4))
    every = Measured().judged(data, Calibration())
    plans, value = Measured(most_layers=2, kept=256).judged(data, Calibration())
    np.testing.assert_array_equal(plans, every[0])
    np.testing.assert_array_equal(value, every[1])


def test_a_narrow_beam_keeps_to_the_budget_and_is_near_the_best() -> None:
    data, budgets = _to_measure((6, 5, 4)), (2.0, 2.4, 3.0, 4.0, 6.0)
    plans, value = Measured().judged(data, Calibration())
    of = {tuple(p): v for p, v in zip(plans.tolist(), value, strict=True)}
    best = Measured().plans(data, Calibration(), budgets)
    found = Measured(most_layers=2).plans(data, Calibration(), budgets)
    for budget, plan, least in zip(budgets, found, best, strict=True):
        assert average_bits(plan, data.teachers.sizes) <= budget
        assert of[plan] <= of[least] + 0.02


def test_measured_bits_do_not_depend_on_other_teachers_or_budgets() -> None:
    one, other = _to_measure((6, 5)), _to_measure((6, 5), seed=9)
    both = TrainingData(
        Stack.join([one.teachers, other.teachers]), torch.cat([one.inputs, other.inputs]),
        torch.cat([one.outcome, other.outcome]), (4, 9),
        RecoursePairs(*(torch.cat([getattr(d.pairs, n) for d in (one, other)]) for n in ("start", "end", "count"))),
        8, torch.cat([one.validation, other.validation]), torch.zeros(2, 201),
    )  # fmt: skip
    together = Measured().plans(both, Calibration(), (2.5, 3.5))
    alone = [Measured().plans(d, Calibration(), (b,))[0] for d in (one, other) for b in (2.5, 3.5)]
    assert list(together) == alone
