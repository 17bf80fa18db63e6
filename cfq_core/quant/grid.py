"""The integer grids: symmetric, round half to even, ``x / step`` (as ONNX QuantizeLinear computes it).

Weights are signed ``[-2^(b-1), 2^(b-1) - 1]``; activations have 8 bits unless said otherwise, signed at the input
and wherever they may be negative or are added up; a bias is int32 at scale ``input step * weight step``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from cfq_core.nets.layers import Architecture, code_range

WEIGHT_BITS = (2, 3, 4, 5, 6, 8)
ACTIVATION_BITS = (8, 6, 4)  # the default first
BIAS_LIMIT = 2**31 - 1

Bound = Tensor | float  # one code for all, or a tensor where runs differ

#: Smallest step: keeps the division finite for a channel whose weights are all zero.
LEAST_STEP = 1e-9


def signed_range(bits: Int[Tensor, "*r"]) -> tuple[Float[Tensor, "*r"], Float[Tensor, "*r"]]:
    """Least and largest code of signed weights of these bits."""
    half = 2.0 ** (bits.double() - 1)
    return -half, half - 1


def round_through(x: Tensor) -> Tensor:
    """Round half to even; the gradient passes straight through (Bengio et al. 2013)."""
    return x + (x.round() - x).detach() if x.requires_grad else x.round()


def codes(x: Tensor, step: Tensor, low: Bound, high: Bound) -> Tensor:
    """Integer codes of ``x`` on a grid, as floats; the gradient is that of the clipped line."""
    if x.requires_grad:
        return round_through(torch.clamp(x / step, low, high))  # type: ignore[arg-type]
    return _rounded(x / step, low, high)


def codes_of(x: Tensor, step: Tensor, low: Bound, high: Bound) -> Tensor:
    """The same as `codes`, for an ``x`` that nobody else holds: its memory is taken for the codes."""
    return codes(x, step, low, high) if x.requires_grad else _rounded(x.div_(step), low, high)


def _rounded(scaled: Tensor, low: Bound, high: Bound) -> Tensor:
    return scaled.clamp_(low, high).round_()  # type: ignore[arg-type]


@dataclass(frozen=True)
class Steps:
    """Steps of the activations of R runs; `Codes` says what each is of, and where the last two are left out."""

    given: tuple[Float[Tensor, "r"], ...]  # of each layer's input
    total: tuple[Float[Tensor, "r"], ...] = ()
    branch: tuple[Float[Tensor, "r"], ...] = ()
    bits: int = 8

    def each(self, of: Callable[[Tensor], Tensor]) -> Steps:
        """The same with every tensor changed."""
        given, total, branch = (tuple(map(of, t)) for t in (self.given, self.total, self.branch))
        return Steps(given, total, branch, self.bits)


NUDGE = 2.0**-13  # of a sum's step, relative: by so much it grows at a time
NUDGES = 64  # the best of these many is taken where none is clear of every tie
CLEAR = 2.0**-23  # relative to the operands: what float32 may lose of a sum on its way


def untied(steps: Steps, layers: Architecture) -> Steps:
    """Steps with those of sums a little larger, so that no two codes add up to a rounding tie.

    On a tie a runtime that rescales in float32, or fuses the sum, may give the neighbouring code.
    """
    given, (low, high) = list(steps.given), code_range(steps.bits, signed=True)
    code = torch.arange(low, high + 1, dtype=torch.float64)
    for layer, each in enumerate(layers):
        if each.skip is None:
            continue
        pairs = zip(steps.branch[layer].tolist(), given[each.skip + 1].tolist(), given[layer + 1].tolist(), strict=True)
        given[layer + 1] = torch.tensor([_clear(a * code, b * code, c, high) for a, b, c in pairs], dtype=torch.float64)
    return replace(steps, given=tuple(given))


def _clear(a: Tensor, b: Tensor, step: float, highest: float) -> float:
    """The first multiple of a step at which no sum of two operands is so near a tie that float32 may move it there."""
    total, size = a[:, None] + b, (a[:, None].abs() + b.abs()) * CLEAR
    best, widest = step, -1.0
    for k in range(NUDGES):
        tried = float(torch.tensor(step * (1 + k * NUDGE)).float())
        ratio = (total / tried).abs()
        apart = (ratio - ratio.floor() - 0.5).abs() * tried / size.clamp_min(1e-300)
        clear = float(apart[ratio <= highest + 1].min())
        if clear >= 1:
            return tried
        best, widest = (tried, clear) if clear > widest else (best, widest)
    return best
