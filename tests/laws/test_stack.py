"""R networks as one batched program are R networks."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from cfq_core.base.seeds import repeatable, torch_stream
from cfq_core.nets.forward import interval_product
from cfq_core.nets.stack import Scorer, Stack, score
from cfq_core.quant.quantized import QuantStack, Shifted

SHAPES = [(1, (4,), 2), (3, (8, 8), 3), (24, (64, 64, 32), 5), (13, (7, 5), 4)]  # inputs, hidden, runs
each_shape = pytest.mark.parametrize(("inputs", "hidden", "runs"), SHAPES)
each_dtype = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])


def _drawn(*shape: int, purpose: str = "x") -> Tensor:
    return torch.randn(*shape, generator=torch_stream(0, f"tests/stack/{purpose}"))


def _stack(inputs: int, hidden: tuple[int, ...], runs: int) -> Stack:
    """Untrained networks with biases that are not zero."""
    made = Stack.initial(inputs, hidden, range(runs))
    return Stack(made.weights, tuple(_drawn(*b.shape, purpose=f"bias{i}") for i, b in enumerate(made.biases)))


def _sequential(stack: Stack, run: int) -> nn.Sequential:
    """The same network as torch writes it."""
    layers: list[nn.Module] = []
    for weight, bias in zip(stack.weights, stack.biases, strict=True):
        linear = nn.Linear(weight.shape[2], weight.shape[1], dtype=weight.dtype)
        linear.weight.data, linear.bias.data = weight[run].clone(), bias[run].clone()
        layers += [linear, nn.ReLU()]
    return nn.Sequential(*layers[:-1])


@each_shape
@each_dtype
def test_a_stack_is_torchs_sequential_run_by_run(inputs: int, hidden: tuple, runs: int, dtype: torch.dtype) -> None:
    stack, x = _stack(inputs, hidden, runs).to(dtype), _drawn(runs, 50, inputs).to(dtype)
    logits = score(stack, x)
    exact = 1e-5 if dtype == torch.float32 else 1e-13
    for r in range(runs):
        torch.testing.assert_close(logits[r], _sequential(stack, r)(x[r])[:, 0], rtol=exact, atol=exact)


@each_shape
def test_layer_inputs_are_what_torchs_layers_are_given(inputs: int, hidden: tuple, runs: int) -> None:
    stack, x = _stack(inputs, hidden, runs).to(torch.float64), _drawn(runs, 20, inputs).double()
    for r in range(runs):
        given, expected = x[r], []
        for layer in _sequential(stack, r):
            expected += [given] if isinstance(layer, nn.Linear) else []
            given = layer(given)
        for ours, theirs in zip(stack.layer_inputs(x), expected, strict=True):
            torch.testing.assert_close(ours[r], theirs, rtol=1e-13, atol=1e-13)


@each_shape
def test_a_runs_logits_do_not_follow_its_neighbours(inputs: int, hidden: tuple, runs: int) -> None:
    """Nothing of the neighbours' weights and inputs is mixed in (of their number: contracts/test_neighbours.py)."""
    stack, x = _stack(inputs, hidden, runs), _drawn(runs, 40, inputs)
    other = Stack(tuple(w.clone() for w in stack.weights), tuple(b.clone() for b in stack.biases))
    for p in other.parameters:
        p[1:] += 1.0
    changed = x.clone()
    changed[1:] -= 3.0
    with repeatable():
        assert torch.equal(score(stack, x)[0], score(other, changed)[0])


@each_shape
def test_taking_runs_keeps_their_order_and_repeats(inputs: int, hidden: tuple, runs: int) -> None:
    stack, x = _stack(inputs, hidden, runs), _drawn(runs, 30, inputs)
    chosen = [runs - 1, 0, 0]
    taken = stack.take(chosen)
    assert taken.runs == 3
    for p, q in zip(taken.parameters, stack.parameters, strict=True):
        assert torch.equal(p, q[chosen])
    with repeatable():
        torch.testing.assert_close(score(taken, x[chosen]), score(stack, x)[chosen])


@each_shape
def test_joining_runs_apart_gives_the_stack_back(inputs: int, hidden: tuple, runs: int) -> None:
    stack = _stack(inputs, hidden, runs)
    back = Stack.join([stack.take([r]) for r in range(runs)])
    assert all(torch.equal(a, b) for a, b in zip(back.parameters, stack.parameters, strict=True))


def test_a_seeds_start_is_its_own_and_within_hes_bound() -> None:
    together, alone = Stack.initial(5, (8, 4), [3, 4]), Stack.initial(5, (8, 4), [4])
    for both, one in zip(together.parameters, alone.parameters, strict=True):
        assert torch.equal(both[1], one[0])
    assert not torch.equal(together.weights[0][0], together.weights[0][1])
    for weight in together.weights:
        bound = math.sqrt(6 / weight.shape[2])
        assert weight.abs().max() <= bound
        assert weight.abs().max() > bound / 3
    assert together.sizes == (40, 32, 4)


def test_a_trainable_copy_learns_and_the_original_does_not_change() -> None:
    stack = _stack(3, (4,), 2)
    before = [p.clone() for p in stack.parameters]
    copy = stack.trainable()
    with torch.no_grad():
        for p in copy.parameters:
            p += 1
    assert all(torch.equal(a, b) for a, b in zip(stack.parameters, before, strict=True))
    assert not any(p.requires_grad for p in stack.parameters)
    assert not any(p.requires_grad for p in copy.frozen().parameters)


# ---------------------------------------------------------------------- intervals
def _quantized(stack: Stack) -> QuantStack:
    bits = torch.full((stack.runs, len(stack.weights)), 4)
    steps = [w.abs().amax(2) / 7 for w in stack.weights]
    return QuantStack.of(stack, bits, steps, [torch.full((stack.runs,), 0.05) for _ in stack.weights])


def _models(stack: Stack) -> dict[str, Scorer]:
    quantized = _quantized(stack)
    shift = torch.linspace(-1, 1, stack.runs, dtype=torch.float64)
    return {"stack": stack.to(torch.float64), "quantized": quantized, "shifted": Shifted(quantized, shift)}


@each_shape
@pytest.mark.parametrize("kind", ["stack", "quantized", "shifted"])
def test_no_point_of_a_box_scores_above_its_highest(kind: str, inputs: int, hidden: tuple, runs: int) -> None:
    model = _models(_stack(inputs, hidden, runs))[kind]
    unit = 1.0 if kind == "stack" else 400.0  # accumulators are whole numbers
    centre, width = _drawn(runs, 12, hidden[0]).double() * unit, _drawn(runs, 12, hidden[0], purpose="w").abs() * unit
    low, high = (centre - width).round(decimals=3), (centre + width).round(decimals=3)
    bound = model.highest(low, high)
    share = torch.rand(200, *low.shape, generator=torch_stream(0, "tests/stack/share"), dtype=torch.float64)
    share[:100] = share[:100].round()  # corners
    worst = torch.full_like(bound, -math.inf)
    for s in share:
        worst = torch.maximum(worst, model.forward_from_first(low + s * (high - low)))
    assert (worst <= bound + 1e-9 * (1 + bound.abs())).all()
    torch.testing.assert_close(
        model.highest(centre, centre), model.forward_from_first(centre), msg="a point is its own bound"
    )


@pytest.mark.parametrize("runs", [1, 3])
def test_an_interval_product_is_as_tight_as_its_corners(runs: int) -> None:
    weight, bias = _drawn(runs, 2, 3, purpose="w").double(), _drawn(runs, 2, purpose="b").double()
    low = _drawn(runs, 5, 3).double()
    high = low + _drawn(runs, 5, 3, purpose="h").double().abs()
    got_low, got_high = interval_product(low, high, weight, bias)
    corners = []
    for corner in np.ndindex(2, 2, 2):
        x = torch.where(torch.tensor(corner, dtype=torch.bool), high, low)
        corners.append(x @ weight.mT + bias[:, None])
    torch.testing.assert_close(got_low, torch.stack(corners).amin(0))
    torch.testing.assert_close(got_high, torch.stack(corners).amax(0))


@pytest.mark.parametrize("kind", ["stack", "quantized", "shifted"])
def test_every_model_is_a_scorer_and_takes_runs_alike(kind: str) -> None:
    stack, x = _stack(6, (8, 8), 3), _drawn(3, 40, 6).double()
    model = _models(stack)[kind]
    assert isinstance(model, Scorer)
    assert model.take([2, 0]).runs == 2
    torch.testing.assert_close(score(model.take([2, 0]), x[[2, 0]]), score(model, x)[[2, 0]])


@pytest.mark.parametrize("kind", ["stack", "quantized", "shifted"])
def test_seeing_listed_instances_is_seeing_them_in_their_runs(kind: str) -> None:
    model, x = _models(_stack(6, (8, 8), 3))[kind], _drawn(3, 4, 6).double()
    listed = model.quantize_input(x.flatten(0, 1), torch.arange(3).repeat_interleave(4))
    assert torch.equal(listed.view(3, 4, 6), model.quantize_input(x))
