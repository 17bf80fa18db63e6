"""An elementwise function met in a graph, known by its values: which activation is it, whatever nodes compute it?

Exporters spell an activation in many ways (GELU is one node, or five, or eight). A composition of elementwise nodes is
therefore carried as its values on a fixed grid, and compared with those of every known activation.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from jaxtyping import Float

from cfq_core.nets.layers import ACTIVATIONS, CURVES

GRID = np.linspace(-12.0, 12.0, 4801)
CLOSE = 2e-6  # of the largest value: constants of formulas are kept as float32
#: What an activation's argument may have been multiplied by before the function was met.
FACTORS = (1.0, math.sqrt(2), 1 / math.sqrt(2), 1.702, 2.0, 0.5, 1 / 6)

Values = Float[np.ndarray, "g"]


def _torch(of: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[Values], Values]:
    return lambda v: of(torch.from_numpy(v)).numpy()


#: One function a kind of node.
FUNCTIONS: dict[str, Callable[[Values], Values]] = {
    "Erf": _torch(torch.erf), "Tanh": np.tanh, "Sigmoid": _torch(torch.sigmoid), "Exp": np.exp, "Neg": np.negative,
    "Abs": np.abs, "Relu": lambda v: np.maximum(v, 0.0), "Reciprocal": lambda v: 1.0 / v, "Softplus": _torch(
        torch.nn.functional.softplus), "Sqrt": np.sqrt, "Log": np.log,
}  # fmt: skip


@dataclass(frozen=True)
class Known:
    """``f(z) = by * kind(factor * z) + plus``."""

    kind: str
    factor: float
    by: float
    plus: float


def recognised(values: Values, hints: Iterable[str] = ()) -> Known | None:
    """The activation that has these values on the grid, up to scaling; None where none has."""
    if not np.isfinite(values).all():
        return None
    size = float(np.abs(values).max())
    kinds = dict.fromkeys((*hints, *ACTIVATIONS))
    for factor, kind in product(FACTORS, kinds):
        like = _curve(kind, factor)
        if np.abs(like - values).max() <= CLOSE * size:
            return Known(kind, factor, 1.0, 0.0)  # a fit would give 1 and 0 but for the last digits
        spread = like - like.mean()
        by = float((values * spread).sum() / (spread * spread).sum())
        plus = float((values - by * like).mean())
        if by and np.abs(by * like + plus - values).max() <= CLOSE * size:
            return Known(kind, factor, by, 0.0 if abs(plus) <= CLOSE * size else plus)
    return None


def _curve(kind: str, factor: float) -> Values:
    return CURVES[kind].value(torch.from_numpy(GRID * factor)).numpy()
