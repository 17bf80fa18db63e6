"""Fits SAWB's two constants (arXiv 1807.06964, section 3) to the signed grid that weights have here.

    python -m benchmarks.sawb

For each of the six distributions the clip of least squared error is searched; then ``clip / E|w|`` is fitted by a line
in ``sqrt(E w^2) / E|w|``, which no scale moves. Expectations are sums over the midpoints of a fine grid.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import optimize

from cfq_core.quant.grid import WEIGHT_BITS

#: Densities without their constants, and where they end; behind 30 scales nothing is left that counts.
DISTRIBUTIONS: dict[str, tuple[Callable[[np.ndarray], np.ndarray], float]] = {
    "Gaussian": (lambda x: np.exp(-x * x / 2), 10.0),
    "uniform": (np.ones_like, 1.0),
    "Laplace": (lambda x: np.exp(-np.abs(x)), 30.0),
    "logistic": (lambda x: np.exp(-np.abs(x)) / (1 + np.exp(-np.abs(x))) ** 2, 30.0),
    "triangle": (lambda x: 1 - np.abs(x), 1.0),
    "von Mises": (lambda x: np.exp(np.cos(x)), np.pi),  # concentration 1: between the uniform and the Gaussian
}
POINTS = 10_000


def best_clip(w: np.ndarray, weight: np.ndarray, bits: int) -> float:
    """The clip of least squared error on codes -2^(b-1) .. 2^(b-1) - 1 of step clip / (2^(b-1) - 1)."""
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1

    def error(clip: float) -> float:
        step = clip / high
        return float(np.square(np.clip(w / step, low, high).round() * step - w) @ weight)

    tried = w.max() * np.geomspace(0.05, 1.0, 40)
    at = int(np.argmin([error(c) for c in tried]))
    around = (tried[max(0, at - 1)], tried[min(len(tried) - 1, at + 1)])
    return float(optimize.minimize_scalar(error, bounds=around, method="bounded", options={"xatol": 1e-5}).x)


def fitted(bits: int) -> tuple[float, float]:
    """c1 and c2 of one bit-width."""
    spread, clips = [], []
    for density, end in DISTRIBUTIONS.values():
        w = ((np.arange(POINTS) + 0.5) / POINTS * 2 - 1) * end
        weight = density(w) / density(w).sum()
        size = np.abs(w) @ weight
        spread.append(np.sqrt(np.square(w) @ weight) / size)
        clips.append(best_clip(w, weight, bits) / size)
    c1, c2 = np.polyfit(spread, clips, 1)
    return float(c1), float(c2)


if __name__ == "__main__":
    for b in WEIGHT_BITS:
        c1, c2 = fitted(b)
        print(f"    {b}: ({c1:.3f}, {c2:.3f}),")
