"""The integer grids: symmetric, round half to even, ``x / step`` (as ONNX QuantizeLinear computes it).

Weights are signed ``[-2^(b-1), 2^(b-1) - 1]``; activations have 8 bits, signed at the input and
unsigned after a ReLU; a bias is int32 at scale ``input step * weight step``.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

WEIGHT_BITS = (2, 3, 4, 5, 6, 8)
ACTIVATION_BITS = 8
BIAS_LIMIT = 2**31 - 1

Bound = Tensor | float  # one code for all, or a tensor where runs differ

#: Smallest step: keeps the division finite for a channel whose weights are all zero.
LEAST_STEP = 1e-9


def signed_range(bits: Int[Tensor, "*r"]) -> tuple[Float[Tensor, "*r"], Float[Tensor, "*r"]]:
    """Least and largest code of signed weights of these bits."""
    half = 2.0 ** (bits.double() - 1)
    return -half, half - 1


def activation_range(signed: bool) -> tuple[float, float]:
    """Least and largest code of an 8-bit activation; plain numbers, which torch clamps to five times faster."""
    levels = 2**ACTIVATION_BITS
    low = -levels // 2 if signed else 0
    return float(low), float(low + levels - 1)


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
