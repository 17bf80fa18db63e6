"""Certificates under attack: sampled and gradient-made roundings and points find nothing below a proved bound."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import norm

from cfq_core.artifacts.forecasts import PLUGIN as FORECASTS
from cfq_core.artifacts.forecasts import Safety
from cfq_core.base.seeds import numpy_stream, repeatable
from cfq_core.certificates.logit_lower_bound import Norm, lower_bound_nearby, lower_bound_rounded, within_half_a_step
from cfq_core.nets.stack import Stack, score
from cfq_core.pipeline import TeacherRecourse
from cfq_core.quant.break_probability import break_probability, margin_for
from cfq_core.quant.calibrate import Calibration
from cfq_core.quant.forecast import rounding_noise
from cfq_core.quant.quantized import QuantStack

STEPS = 6  # of the gradient attack
ATTACKED = 10  # people


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    with repeatable():
        yield


def points(p: TeacherRecourse) -> np.ndarray:
    return p.design.encoding.encode(p.recourse.after[p.recourse.has_recourse])


def grid(p: TeacherRecourse, bits: int) -> QuantStack:
    watched = torch.tensor(p.design.inputs(p.design.split.train), dtype=torch.float32)[None]
    plan = torch.full((1, len(p.teacher.weights)), bits)
    return Calibration(weights="min-max").quantize(p.teacher, plan, watched)


def deployed(teacher: Stack, on: QuantStack, errors: list[torch.Tensor], biases: list[torch.Tensor]) -> QuantStack:
    """The integer model with weights so many half-steps off, and biases so many half-units."""
    weights, off = [], []
    for w, b, s, x, e, d in zip(
        teacher.weights, teacher.biases, on.weight_steps, on.input_steps, errors, biases, strict=True
    ):
        weights.append(w.double() / s[..., None] + e / 2)
        off.append(b.double() / (s * x[:, None]) + d / 2)
    return QuantStack(tuple(weights), tuple(off), on.weight_steps, on.input_steps)


def signs(random: np.random.Generator, like: tuple[torch.Tensor, ...], corner: bool) -> list[torch.Tensor]:
    drawn = [random.uniform(-1, 1, w.shape) for w in like]
    return [torch.tensor(np.sign(e) if corner else e) for e in drawn]


@pytest.mark.parametrize("bits", [8, 6, 3])
def test_no_rounding_goes_below_the_proved_logit(cell, bits: int) -> None:  # type: ignore[no-untyped-def]
    random, trials = numpy_stream(bits, "tests/rounding"), 0
    for p in cell.promises:
        on, x = grid(p, bits), torch.tensor(points(p))
        lowest = torch.tensor(lower_bound_rounded(p.teacher, on, x.numpy()))
        for trial in range(60):
            errors, biases = (signs(random, t, trial % 2 == 0) for t in (p.teacher.weights, p.teacher.biases))
            logits = score(deployed(p.teacher, on, errors, biases), x[None])[0]
            assert (logits >= lowest).all()
            trials += len(logits)
        few = slice(None, ATTACKED)
        lowest_met = attacked(p.teacher, on, x[few])
        assert (lowest_met >= lowest[few]).all()
        real = QuantStack.of(p.teacher, torch.full((1, len(on.weights)), bits), on.weight_steps, on.input_steps)
        assert within_half_a_step(p.teacher, real)
        assert (score(real, x[None])[0] >= lowest).all()
        if bits == 8:
            margin = torch.tensor(p.recourse.margin[p.recourse.has_recourse])[few]
            assert ((margin - lowest_met) / (margin - lowest[few])).median() > 0.3, "the bound is not idle"
    assert trials > 3_000


def attacked(teacher: Stack, on: QuantStack, x: torch.Tensor) -> torch.Tensor:
    """The lowest logit of each point that signed gradient steps over its own roundings find."""
    found = torch.full((len(x),), torch.inf, dtype=torch.float64)
    for i in range(len(x)):
        errors = [torch.zeros(w.shape, dtype=torch.float64, requires_grad=True) for w in teacher.weights]
        biases = [torch.zeros(b.shape, dtype=torch.float64) for b in teacher.biases]
        for _ in range(STEPS):
            logit = score(deployed(teacher, on, errors, biases), x[None, i : i + 1])[0, 0]
            found[i] = torch.minimum(found[i], logit.detach())
            slopes = torch.autograd.grad(logit, errors)
            errors = [(-g.sign()).detach().requires_grad_() for g in slopes]
    return found


@pytest.mark.parametrize("how", ["each", "sum"])
@pytest.mark.parametrize("bits", [0, 8, 4])
def test_no_point_nearby_goes_below_the_proved_logit(cell, bits: int, how: Norm) -> None:  # type: ignore[no-untyped-def]
    random = numpy_stream(bits, f"tests/region/{how}")
    for p in cell.promises:
        model = grid(p, bits) if bits else p.teacher.to(torch.float64)
        x = points(p)
        movable = [p.design.encoding.starts[i] for i in p.design.actions.numbers]
        last = np.full(len(x), np.inf)
        for radius in (0.0, 0.02, 0.1, 0.5):
            lowest = lower_bound_nearby(model, x, movable, radius, how)
            assert (lowest <= last + 1e-9).all(), "a larger region holds less"
            last = lowest
            for trial in range(40):
                move = random.uniform(-1, 1, (len(x), len(movable)))
                move = np.sign(move) if trial % 2 else move
                if how == "sum":
                    move = (
                        np.where(np.arange(len(movable)) == random.integers(len(movable)), move, 0)
                        if trial % 3
                        else (move / np.abs(move).sum(1, keepdims=True))
                    )
                near = x.copy()
                near[:, movable] += radius * move
                assert (score(model, torch.tensor(near)[None])[0].numpy() >= lowest).all()


def test_a_region_of_no_size_is_the_point_itself(cell) -> None:  # type: ignore[no-untyped-def]
    p = cell.promises[0]
    lowest = lower_bound_nearby(p.teacher, points(p), [0], 0.0, "each")
    np.testing.assert_allclose(lowest, p.recourse.margin[p.recourse.has_recourse], atol=1e-6)


def test_a_student_that_clips_is_no_rounding(cell) -> None:  # type: ignore[no-untyped-def]
    p = cell.promises[0]
    on = grid(p, 4)
    assert within_half_a_step(p.teacher, on)
    narrow = tuple(s * 0.7 for s in on.weight_steps)
    plan = torch.full((1, len(on.weights)), 4)
    assert not within_half_a_step(p.teacher, QuantStack.of(p.teacher, plan, narrow, on.input_steps))


def test_safe_bits_follow_the_proofs_and_grow_with_the_margin(cell) -> None:  # type: ignore[no-untyped-def]
    p = cell.promises[0]
    found = FORECASTS.of(p)
    stored = Safety.of_arrays(found.arrays())
    np.testing.assert_array_equal(stored.min_safe_bits, found.min_safe_bits)
    for k, bits in enumerate(found.min_safe_bits):
        above = found.bits >= bits if bits else found.bits < 0
        assert found.safe[above, k].all()
        assert bits == 0 or not found.safe[found.bits < bits, k][-1:].any()
    firm = replace(p, recourse=replace(p.recourse, margin=p.recourse.margin + 5))
    raised = replace(p.teacher, biases=(*p.teacher.biases[:-1], p.teacher.biases[-1] + 5))
    safer = FORECASTS.of(replace(firm, teacher=raised))
    assert (safer.safe.sum(0) >= found.safe.sum(0)).all() and safer.safe.sum() > found.safe.sum()


def test_the_forecast_is_the_spread_of_random_roundings(cell) -> None:  # type: ignore[no-untyped-def]
    p, random = cell.promises[0], numpy_stream(0, "tests/forecast")
    on, x = grid(p, 6), torch.tensor(points(p))
    drawn = []
    for _ in range(300):
        errors, biases = (signs(random, t, False) for t in (p.teacher.weights, p.teacher.biases))
        fine = replace(on, input_steps=tuple(s * 1e-3 for s in on.input_steps))
        fine = replace(deployed(p.teacher, on, errors, biases), input_steps=fine.input_steps)
        real = Stack(
            tuple(w * s[..., None] for w, s in zip(fine.weights, on.weight_steps, strict=True)),
            tuple(b.double() for b in p.teacher.biases),
        )
        drawn.append(score(real, x[None])[0].numpy())
    still = replace(on, input_steps=tuple(s * 0 for s in on.input_steps))
    noise = rounding_noise(p.teacher, still, x.numpy())
    ratio = np.std(drawn, axis=0) / noise
    assert 0.85 < np.median(ratio) < 1.15, "weights alone: uniform within half a step"
    assert (rounding_noise(p.teacher, on, x.numpy()) > noise).all(), "activations add to it"


def test_odds_and_needed_margin_are_each_others_inverse() -> None:
    noise = np.array([0.01, 0.2, 3.0])
    margin = margin_for(0.05, noise)
    np.testing.assert_allclose(break_probability(margin, noise), 0.05)
    np.testing.assert_allclose(margin, norm.ppf(0.95) * noise)


def test_of_nobody_nothing_is_proved_and_nothing_fails(cell) -> None:  # type: ignore[no-untyped-def]
    p, nobody = cell.promises[0], np.zeros((0, cell.designs[0].encoding.width))
    assert lower_bound_rounded(p.teacher, grid(p, 4), nobody).shape == (0,)
    assert lower_bound_nearby(p.teacher, nobody, [0], 0.1, "each").shape == (0,)
    told = replace(p, recourse=replace(p.recourse, why=np.ones_like(p.recourse.why)))
    assert not told.recourse.has_recourse.any() and np.isnan(FORECASTS.of(told).logit_lower_bound).all()
