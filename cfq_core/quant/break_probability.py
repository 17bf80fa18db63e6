"""From a promise's margin and its noise to the odds that it breaks, and back. Without torch: a picture reads it too.

A forecast (`quant/forecast.py`), never a guarantee.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy.special import ndtr, ndtri  # not scipy.stats: two seconds at the start of every command


def break_probability(margin: Float[np.ndarray, "n"], noise: Float[np.ndarray, "n"]) -> Float[np.ndarray, "n"]:
    """P(the deployed model refuses) of promises with these margins: ``Phi(-margin / sigma)``."""
    return ndtr(-margin / np.maximum(noise, np.finfo(float).tiny))


def margin_for(odds: float, noise: Float[np.ndarray, "n"]) -> Float[np.ndarray, "n"]:
    """The margin, in logits, each person's promise needs to break with no more than these odds."""
    return -ndtri(odds) * noise
