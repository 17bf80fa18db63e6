"""Grids, calibration and the integer forward, held to torch's own kernels and to plain integer arithmetic."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from cfq_core.base.seeds import repeatable, torch_stream
from cfq_core.nets.layers import code_range
from cfq_core.nets.stack import Stack, score
from cfq_core.quant.bits import CONTAINER, average_bits, bit_cost, size_bytes
from cfq_core.quant.calibrate import Calibration, activation_step, weight_step
from cfq_core.quant.grid import (
    BIAS_LIMIT,
    WEIGHT_BITS,
    codes,
    signed_range,
)
from cfq_core.quant.quantized import QuantStack, Shifted

RUNS, INPUTS, HIDDEN = 3, 6, (8, 5)
each_bits = pytest.mark.parametrize("bits", WEIGHT_BITS)
each_rule = pytest.mark.parametrize("rule", ["mse", "min-max", "percentile"])


def _drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch_stream(seed, "tests/quant"))


def _stack(seed: int = 0, hidden: tuple[int, ...] = HIDDEN, runs: int = RUNS) -> Stack:
    made = Stack.initial(INPUTS, hidden, range(runs))
    return Stack(made.weights, tuple(0.3 * _drawn(*b.shape, seed=seed + i) for i, b in enumerate(made.biases)))


def _rounded(bits: int = 4, rule: str = "mse", hidden: tuple[int, ...] = HIDDEN) -> QuantStack:
    stack = _stack(hidden=hidden)
    plan = torch.full((RUNS, len(stack.weights)), bits)
    return Calibration(rule, rule).quantize(stack, plan, _drawn(RUNS, 400, INPUTS, seed=9))  # type: ignore[arg-type]


def _same_but_for_ties(ours: Tensor, theirs: Tensor, exact: Tensor) -> None:
    """torch multiplies by 1 / step where we divide (as ONNX does): equal, except where rounding is a coin toss."""
    tie = ((exact - exact.floor()) - 0.5).abs() < 1e-4
    assert tie.double().mean() < 0.01
    torch.testing.assert_close(ours[~tie], theirs[~tie], rtol=2.4e-7, atol=0)  # a unit in the last place of float32


# ---------------------------------------------------------------------- the grids are torch's
@each_bits
@each_rule
def test_weights_lie_on_torchs_per_channel_grid(bits: int, rule: str) -> None:
    weight = _drawn(1, 40, 30)
    step = weight_step(weight, torch.tensor([bits]), rule)[0].float()  # type: ignore[arg-type]
    low, high = (int(b) for b in signed_range(torch.tensor(bits)))
    assert (low, high) == (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    ours = codes(weight[0], step[:, None], torch.tensor(float(low)), torch.tensor(float(high))) * step[:, None]
    zero = torch.zeros(40, dtype=torch.int32)
    theirs = torch.fake_quantize_per_channel_affine(weight[0], step, zero, 0, low, high)
    _same_but_for_ties(ours, theirs, weight[0] / step[:, None])


@pytest.mark.parametrize("signed", [True, False], ids=["input", "after-relu"])
@each_rule
def test_activations_lie_on_torchs_per_tensor_grid(signed: bool, rule: str) -> None:
    x = _drawn(1, 500, 8) * 3
    x = x if signed else x.relu()
    step = activation_step(x, code_range(8, signed), rule).float()[0]  # type: ignore[arg-type]
    low, high = (int(b) for b in code_range(8, signed))
    assert high - low == 2**8 - 1
    ours = codes(x, step, *code_range(8, signed)) * step
    theirs = torch.fake_quantize_per_tensor_affine(x, float(step), 0, low, high)
    _same_but_for_ties(ours, theirs, x / step)


def test_halves_round_to_even() -> None:
    x = torch.tensor([0.5, 1.5, 2.5, -0.5, -1.5, -2.5])
    found = codes(x, torch.tensor(1.0), torch.tensor(-8.0), torch.tensor(7.0))
    assert found.tolist() == [0, 2, 2, 0, -2, -2]


def test_the_gradient_of_a_code_is_that_of_the_clipped_line() -> None:
    x = torch.tensor([-3.0, -0.4, 0.3, 0.9, 5.0], requires_grad=True)
    codes(x, torch.tensor(0.5), torch.tensor(-2.0), torch.tensor(1.0)).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [0.0, 2.0, 2.0, 0.0, 0.0]


# ---------------------------------------------------------------------- calibration
@each_bits
def test_the_min_max_step_never_clips_a_weight_and_uses_the_whole_upper_range(bits: int) -> None:
    weight = _drawn(2, 10, 20)
    step = weight_step(weight, torch.tensor([bits, bits]), "min-max")[..., None]
    high = 2 ** (bits - 1) - 1
    torch.testing.assert_close((weight.double() / step).abs().amax(2), torch.full((2, 10), float(high)).double())


@each_bits
@given(st.integers(0, 10_000))
def test_the_mse_step_is_never_further_off_than_the_min_max_step(bits: int, seed: int) -> None:
    weight = _drawn(2, 4, 12, seed=seed) ** (1 + 2 * (seed % 2))
    error = {}
    for rule in ("mse", "min-max"):
        step = weight_step(weight, torch.full((2,), bits), rule)[..., None]  # type: ignore[arg-type]
        low, high = (b for b in signed_range(torch.tensor(bits)))
        error[rule] = (codes(weight.double(), step, low, high) * step - weight.double()).square().sum(2)
    assert (error["mse"] <= error["min-max"] * (1 + 1e-12)).all()


@given(st.integers(0, 10_000), st.booleans())
def test_the_mse_clip_of_an_activation_is_never_further_off_than_min_max(seed: int, signed: bool) -> None:
    x = _drawn(2, 60, 3, seed=seed) ** 3
    x = x if signed else x.relu() + 1e-3
    error = {}
    for rule in ("mse", "min-max"):
        step = activation_step(x, code_range(8, signed), rule)[:, None, None]  # type: ignore[arg-type]
        error[rule] = (codes(x.double(), step, *code_range(8, signed)) * step - x.double()).square().sum((1, 2))
    assert (error["mse"] <= error["min-max"] * (1 + 1e-12)).all()


@each_bits
def test_the_mse_step_is_about_as_good_as_the_best_step_there_is(bits: int) -> None:
    weight = _drawn(1, 6, 40)
    low, high = signed_range(torch.tensor(bits))
    found = weight_step(weight, torch.tensor([bits]), "mse")[0]
    for row, step in zip(weight[0].double(), found, strict=True):
        every = torch.linspace(0.02, 1.3, 4000, dtype=torch.float64)[:, None] * row.abs().max() / high
        best = (codes(row, every, low, high) * every - row).square().sum(1).min()
        ours = (codes(row, step, low, high) * step - row).square().sum()
        assert ours <= best * 1.5 + 1e-12


def test_the_percentile_rule_clips_the_largest_thousandth_as_numpy_ranks_them() -> None:
    given_ = torch.relu(_drawn(2, 500, 5, seed=4))
    sizes = given_.double().flatten(1).abs().numpy()
    wanted = np.quantile(sizes, 0.999, axis=1, method="inverted_cdf") / 255
    unsigned = code_range(8, signed=False)
    clipped, whole = (activation_step(given_, unsigned, rule) for rule in ("percentile", "min-max"))  # type: ignore[arg-type]
    assert clipped.numpy() == pytest.approx(wanted, rel=1e-12) and (clipped < whole).all()
    nearly_dead = torch.zeros(1, 5000, 1)
    nearly_dead[0, 0] = 3.0
    assert float(activation_step(nearly_dead, unsigned, "percentile")) == pytest.approx(3.0 / 255)


@pytest.mark.parametrize("calibration", [Calibration("mse", "mse", 50), Calibration("min-max", "min-max", 50)])
def test_only_the_first_rows_are_watched(calibration: Calibration) -> None:
    plan, inputs = torch.full((RUNS, 3), 4), _drawn(RUNS, 100, INPUTS)
    loud = inputs.clone()
    loud[:, 50:] *= 100
    quiet, also = (calibration.quantize(_stack(), plan, x) for x in (inputs, loud))
    assert all(torch.equal(a, b) for a, b in zip(quiet.input_steps, also.input_steps, strict=True))


# ---------------------------------------------------------------------- the integer forward
def _in_numpy(q: QuantStack, run: int, x: np.ndarray) -> np.ndarray:
    """One run in int64 and float64, written from the formula and nothing else."""
    given = np.clip(np.rint(x / float(q.input_steps[0][run])), -128, 127).astype(np.int64)
    for layer in range(len(q.weights)):
        weight = q.weights[layer][run].numpy().astype(np.int8).astype(np.int64)
        bias = q.biases[layer][run].numpy().astype(np.int32).astype(np.int64)
        unit = q.weight_steps[layer][run].numpy() * float(q.input_steps[layer][run])
        real = (given @ weight.T + bias) * unit
        if layer + 1 < len(q.weights):
            given = np.clip(np.rint(np.maximum(real, 0) / float(q.input_steps[layer + 1][run])), 0, 255).astype(
                np.int64
            )
    return real[:, 0]


@each_bits
@each_rule
def test_a_student_is_plain_integer_arithmetic(bits: int, rule: str) -> None:
    q, x = _rounded(bits, rule), 2 * _drawn(RUNS, 200, INPUTS, seed=5).double()
    logits = score(q, x).numpy()
    for r in range(RUNS):
        np.testing.assert_array_equal(logits[r], _in_numpy(q, r, x[r].numpy()))


@pytest.mark.parametrize("size", [1, 3, 64, 199])
def test_a_persons_logit_does_not_depend_on_the_batch(size: int) -> None:
    q, x = _rounded(hidden=(64, 32)), _drawn(RUNS, 200, INPUTS, seed=5).double()
    whole = score(q, x)
    pieces = torch.cat([score(q, part) for part in x.split(size, dim=1)], dim=1)
    assert torch.equal(pieces, whole)
    order = torch.randperm(200, generator=torch_stream(0, "tests/quant/order"))
    assert torch.equal(score(q, x[:, order]), whole[:, order])


def test_a_runs_logits_are_the_same_bits_without_its_neighbours() -> None:
    q, x = _rounded(hidden=(64, 32)), _drawn(RUNS, 100, INPUTS, seed=5).double()
    with repeatable():
        for r in range(RUNS):
            assert torch.equal(score(q.take([r]), x[[r]])[0], score(q, x)[r])


def test_float32_computes_the_same_logits_but_for_the_last_rescaling() -> None:
    """Codes and accumulators are whole numbers below 2^24: exact in either type."""
    q, x = _rounded(), _drawn(RUNS, 300, INPUTS, seed=5)
    exact, quick = score(q, x.double()), score(q.to(torch.float32), x)
    off = (exact - quick).abs() > 1e-5
    assert off.double().mean() < 0.01, "but where an activation sits on a rounding edge"


def test_the_bias_is_rounded_to_int32_at_the_scale_of_the_products() -> None:
    stack, q = _stack(), _rounded()
    for layer, bias in enumerate(stack.biases):
        unit = q.weight_steps[layer] * q.input_steps[layer][:, None]
        assert ((q.biases[layer] * unit - bias).abs() <= unit / 2 * (1 + 1e-9)).all()


def test_a_bias_beyond_int32_saturates() -> None:
    stack = _stack()
    huge = Stack(stack.weights, (*stack.biases[:-1], torch.tensor([[1e12], [-1e12], [0.5]])))
    steps = [torch.full(w.shape[:2], 1e-3) for w in huge.weights]
    q = QuantStack.of(huge, torch.full((RUNS, 3), 8), steps, [torch.full((RUNS,), 1e-3)] * 3)
    assert q.biases[-1][:, 0].tolist() == [BIAS_LIMIT, -BIAS_LIMIT - 1, 500_000]


@each_rule
def test_a_channel_of_zeros_still_adds_its_bias(rule: str) -> None:
    """Nothing to round: whatever the step, the channel's output is its bias."""
    stack = _stack()
    weights = [w.clone() for w in stack.weights]
    weights[0][:, 2] = 0.0
    biases = (torch.full_like(stack.biases[0], 0.7), *stack.biases[1:])
    q = Calibration(rule, rule).quantize(  # type: ignore[arg-type]
        Stack(tuple(weights), biases), torch.full((RUNS, 3), 4), _drawn(RUNS, 100, INPUTS)
    )
    assert all(s.isfinite().all() and (s > 0).all() for s in (*q.weight_steps, *q.input_steps))
    assert (q.weights[0][:, 2] == 0).all()
    said = q.biases[0][:, 2] * q.weight_steps[0][:, 2] * q.input_steps[0]
    torch.testing.assert_close(said, torch.full((RUNS,), 0.7).double(), rtol=1e-3, atol=1e-3)


@each_rule
def test_a_network_whose_last_hidden_layer_is_dead_still_says_its_bias(rule: str) -> None:
    """A teacher that gives everybody the same logit has a student that gives everybody that logit."""
    stack = _stack()
    biases = (stack.biases[0], torch.full_like(stack.biases[1], -100.0), torch.full_like(stack.biases[2], 0.7))
    dead, x = Stack(stack.weights, biases), _drawn(RUNS, 100, INPUTS)
    q = Calibration(rule, rule).quantize(dead, torch.full((RUNS, 3), 4), x)  # type: ignore[arg-type]
    torch.testing.assert_close(score(q, x.double()), score(dead.to(torch.float64), x.double()), rtol=1e-3, atol=1e-3)


def test_eight_bits_are_close_and_more_bits_are_closer() -> None:
    x = _drawn(RUNS, 400, INPUTS, seed=9)  # the watched rows: none lies outside the grids
    exact = score(_stack(), x).double()
    off = [(score(_rounded(b), x.double()) - exact).square().mean().sqrt() for b in (2, 4, 8)]
    assert off[0] > off[1] > off[2]
    assert off[2] < 0.02 * exact.std()


def test_a_raised_student_adds_the_constant_up_to_its_last_bias_step() -> None:
    q, x = _rounded(), _drawn(RUNS, 50, INPUTS).double()
    more = torch.tensor([0.25, -3.0, 0.0])
    unit = (q.weight_steps[-1] * q.input_steps[-1][:, None])[:, :1]
    assert ((score(q.raised(more), x) - score(q, x) - more[:, None]).abs() <= unit / 2 + 1e-12).all()


def test_a_moved_threshold_is_subtracted_exactly() -> None:
    q, x = _rounded(), _drawn(RUNS, 50, INPUTS).double()
    shift = torch.tensor([0.25, -0.1, 1e-7], dtype=torch.float64)
    assert torch.equal(score(Shifted(q, shift), x), score(q, x) - shift[:, None])


def test_joining_students_apart_gives_the_stack_back() -> None:
    q, x = _rounded(), _drawn(RUNS, 50, INPUTS).double()
    back = QuantStack.join([q.take([r]) for r in range(RUNS)])
    assert torch.equal(score(back, x), score(q, x))
    assert torch.equal(score(q.take([2, 0, 0]), x[[2, 0, 0]]), score(q, x)[[2, 0, 0]])


# ---------------------------------------------------------------------- what bits cost
def test_average_bits_by_hand() -> None:
    assert bit_cost((2, 4, 8), (100, 50, 10)) == 480
    assert average_bits((2, 4, 8), (100, 50, 10)) == 3.0
    assert average_bits((3,), (7,)) == 3.0


def test_bytes_by_hand() -> None:
    """Packed in containers of 2, 4 and 8 bits; a float step a channel and layer, an int32 bias a channel."""
    assert size_bytes((2, 3, 5), (9, 9, 9), (3, 2, 1)) == (3 + 5 + 9) + 4 * (6 + 3) + 4 * 6


@given(st.lists(st.sampled_from(WEIGHT_BITS), min_size=1, max_size=6), st.integers(1, 5000))
def test_average_bits_lie_between_the_least_and_the_most(plan: list[int], size: int) -> None:
    sizes = [size * (i + 1) for i in range(len(plan))]
    assert min(plan) <= average_bits(tuple(plan), sizes) <= max(plan)


@each_bits
def test_a_container_holds_its_bits(bits: int) -> None:
    assert bits <= CONTAINER[bits] <= 8
    assert math.log2(CONTAINER[bits]).is_integer()
