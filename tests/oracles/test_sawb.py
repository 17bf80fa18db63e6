"""SAWB's constants against a fit made anew, and against steps that no search improves by much."""

import pytest
import torch

from benchmarks.sawb import fitted
from cfq_core.quant.calibrate import weight_step
from cfq_core.quant.grid import WEIGHT_BITS, codes, signed_range
from cfq_core.quant.sawb import SAWB, sawb_step

PAPER = {2: (3.12, -2.064), 3: (7.509, -6.892)}  # of the grid without 0, from where the two differ (not at 4 bits)


@pytest.mark.parametrize("bits", WEIGHT_BITS)
def test_the_constants_are_those_of_this_grid(bits: int) -> None:
    """The clips they give between a uniform channel (1.155) and a Laplace one (1.414) are those of a fit made anew."""
    for ratio in (1.155, 1.25, 1.414):
        here, anew = (c1 * ratio + c2 for c1, c2 in (SAWB[bits], fitted(bits)))
        assert here == pytest.approx(anew, rel=0.01)


@pytest.mark.parametrize("bits", WEIGHT_BITS)
def test_a_gaussian_channel_loses_at_most_a_quarter_more_than_at_its_best_step(bits: int) -> None:
    weight = torch.randn(2, 4, 20_000, generator=torch.Generator().manual_seed(1))
    of = torch.full((2,), bits)
    low, high = (b[:, None, None].float() for b in signed_range(of))

    def error(step: torch.Tensor) -> float:
        return float((codes(weight, step[..., None], low, high) * step[..., None] - weight).square().mean())

    best = error(weight_step(weight, of, "mse").float())
    assert error(sawb_step(weight, of)) < 1.25 * best
    c1, c2 = PAPER.get(bits, (0.0, 0.0))
    theirs = (c1 * weight.square().mean(2).sqrt() + c2 * weight.abs().mean(2)) / high[:, 0]
    assert bits not in PAPER or error(sawb_step(weight, of)) < error(theirs)
