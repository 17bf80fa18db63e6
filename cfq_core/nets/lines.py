"""Two lines around an activation over an interval, one nowhere below it and one nowhere above: sound by construction.

- "none", ReLU: their own lines, and half a step more where the output is rounded.
- A curve: for any slope ``k`` the greatest and least value of ``f(z) - k z`` over a grid of points that holds the
  curve's kinks, widened by ``bend h^2 / 8``, which is as far as a function of that second derivative leaves its chords.
- A table: the same over all of its codes in the interval, at the end of each code's cell where ``k z`` is least or
  greatest; exactly the step function that a runtime computes.

Of a few slopes each neuron takes the one whose line is the closest at the middle of its interval.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from cfq_core.nets.layers import CURVES, Activation, code_range

ROUNDING = 1e-9  # widens an interval before its ends are rounded: float64 sums may lie on the other side of a tie
POINTS = 25  # of the grid on which a curve is looked at
GUARD = 1e-11  # relative: a curve's values are themselves rounded

Ends = Float[Tensor, "#b h"]
Step = Float[Tensor, "#b 1"]


@dataclass(frozen=True)
class Lines:
    """For every neuron: lines above and below what an activation gives, and the ends of that."""

    above: Ends  # slopes
    below: Ends
    above_at: Ends  # values at 0
    below_at: Ends
    least: Ends
    most: Ends


def rounded(value: Ends, step: Step, codes: tuple[float, float]) -> Ends:
    """A value on its grid, where it has a step."""
    unit = torch.where(step > 0, step, 1.0)
    return torch.where(step > 0, (value / unit).round().clamp(*codes) * unit, value)


def widened(low: Ends, high: Ends) -> tuple[Ends, Ends]:
    """An interval with room for how float64 sums are rounded."""
    return low - ROUNDING * (1 + low.abs()), high + ROUNDING * (1 + high.abs())


def relu_lines(low: Ends, high: Ends, step: Step, codes: tuple[float, float], relu: bool) -> Lines:
    """Lines of a ReLU, or of no activation, on [low, high]; of its codes where there is a step."""
    if relu:
        open_ = (low < 0) & (high > 0)
        on = (low >= 0).to(low.dtype)
        above = torch.where(open_, high / torch.where(open_, high - low, 1.0), on)
        below = torch.where(open_, (high > -low).to(low.dtype), on)
        above_at, below_at = torch.where(open_, -low * above, 0.0), torch.zeros_like(low)
    else:
        above, below, above_at, below_at = (torch.full_like(low, v) for v in (1.0, 1.0, 0.0, 0.0))
    if not bool((step > 0).any()):
        least, most = (torch.relu(end) if relu else end for end in (low, high))
        return Lines(above, below, above_at, below_at, least, most)
    least, most = (rounded(torch.relu(end) if relu else end, step, codes) for end in widened(low, high))
    below_at = below_at - step / 2 - (high - codes[1] * step).clamp_min(0.0) * (step > 0)  # what saturation takes
    above_at = above_at + step / 2
    if not relu:
        above_at = above_at + (codes[0] * step - low).clamp_min(0.0) * (step > 0)
    middle = (low + high) / 2  # a constant is the better line where it is the closer one in the mean
    flat_above, flat_below = most <= above * middle + above_at, least >= below * middle + below_at
    return Lines(
        torch.where(flat_above, 0.0, above), torch.where(flat_below, 0.0, below),
        torch.where(flat_above, most, above_at), torch.where(flat_below, least, below_at), least, most,
    )  # fmt: skip


def curve_lines(kind: Activation, low: Ends, high: Ends) -> Lines:
    """Lines of an activation on [low, high]."""
    curve, width = CURVES[kind], high - low
    along = torch.linspace(0, 1, POINTS, dtype=low.dtype)
    points = low[..., None] + width[..., None] * along
    kinks = [torch.minimum(torch.maximum(torch.full_like(low, k), low), high)[..., None] for k in curve.kinks]
    points = torch.cat([points, *kinks], -1)
    value = curve.value(points)
    size = points.abs().amax(-1) + value.abs().amax(-1) + 1
    room = curve.bend * (width / (POINTS - 1)).square() / 8 + GUARD * size

    def reach(slope: Ends) -> tuple[Ends, Ends]:
        rest = value - slope[..., None] * points
        return rest.amax(-1) + room, rest.amin(-1) - room

    guard = GUARD * size
    least, most = curve.ends(low, high)
    return _closest(kind, low, high, (value[..., POINTS - 1] - value[..., 0]), reach, (least - guard, most + guard))


def table_lines(
    kind: Activation, low: Ends, high: Ends, total_step: Step, step: Step, table: Float[Tensor, "*b t"], bits: int
) -> Lines:
    """Lines of an activation's table on [low, high]: codes of one step become codes of another."""
    lowest, highest = code_range(bits, signed=True)
    wide = widened(low, high)
    first, last = ((end / total_step).round().clamp(lowest, highest)[..., None] for end in wide)
    code = torch.minimum(first + torch.arange(int((last - first).max()) + 1, dtype=low.dtype), last)
    entries = table.expand(len(low), -1)
    value = entries.gather(1, (code - lowest).long().flatten(1)).view(code.shape) * step[..., None]
    unit, slack = total_step[..., None], (wide[1] - high + low - wide[0])[..., None]
    left = torch.where(code == first, low[..., None], torch.maximum((code - 0.5) * unit - slack, low[..., None]))
    right = torch.where(code == last, high[..., None], torch.minimum((code + 0.5) * unit + slack, high[..., None]))

    def reach(slope: Ends) -> tuple[Ends, Ends]:
        ends = slope[..., None] * left, slope[..., None] * right
        return (value - torch.minimum(*ends)).amax(-1), (value - torch.maximum(*ends)).amin(-1)

    return _closest(kind, low, high, value[..., -1] - value[..., 0], reach, (value.amin(-1), value.amax(-1)))


def _closest(
    kind: Activation,
    low: Ends,
    high: Ends,
    rise: Ends,
    reach: Callable[[Ends], tuple[Ends, Ends]],
    ends: tuple[Ends, Ends],
) -> Lines:
    """The best lines of the slopes that are tried: the chord's, the curve's in the middle, and none."""
    middle, width = (low + high) / 2, high - low
    chord = torch.where(width > 1e-9, rise / width.clamp_min(1e-9), 0.0)
    slopes = [torch.zeros_like(low), chord, CURVES[kind].slope(middle)]
    found = [(ends[1], ends[0]), *(reach(slope) for slope in slopes[1:])]
    above, above_at, below, below_at = slopes[0], found[0][0], slopes[0], found[0][1]
    for slope, (top, bottom) in zip(slopes[1:], found[1:], strict=True):
        closer = slope * middle + top < above * middle + above_at
        above, above_at = torch.where(closer, slope, above), torch.where(closer, top, above_at)
        closer = slope * middle + bottom > below * middle + below_at
        below, below_at = torch.where(closer, slope, below), torch.where(closer, bottom, below_at)
    return Lines(above, below, above_at, below_at, *ends)
