"""The price of an action: weighted L1 over numbers, one weight a changed category.

``c(x, x') = sum_j w_j |x'_j - x_j| / scale_j + sum_g w_g [x'_g != x_g]`` with scale = MAD of the
training rows, else their standard deviation (the MAD of a number most people share is 0).
Numbers the card models as log(1 + x) are priced there too: a change of ten percent costs the same at
any level, and the cost stays linear in the model's inputs.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

from cfq_core.tables.encode import modelled
from cfq_core.tables.schema import Feature


def scale(feature: Feature, training: Int[np.ndarray, "n"]) -> float:
    """Median absolute deviation of the training rows, else their standard deviation, else 1."""
    column = modelled(feature, training)
    mad = float(np.median(np.abs(column - np.median(column))))
    return mad or float(column.std()) or 1.0


def price(
    features: tuple[Feature, ...],
    scales: tuple[float, ...],
    before: Int[np.ndarray, "n f"],
    after: Int[np.ndarray, "n f"],
) -> Float[np.ndarray, "n"]:
    """Cost of moving each person from ``before`` to ``after``, in scale units."""
    total = np.zeros(len(before))
    for i, f in enumerate(features):
        if f.is_category:
            total += f.weight * (before[:, i] != after[:, i])
        else:
            total += f.weight * np.abs(modelled(f, after[:, i]) - modelled(f, before[:, i])) / scales[i]
    return total
