"""A priori: no rounding of the weights within half a step can break this person's recourse on this grid."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool

from cfq_core.certificates.certificate import Certificate
from cfq_core.evidence import Evidence


def holds(e: Evidence) -> Bool[np.ndarray, "k"]:
    """Where the least logit over all roundings is positive; nowhere for a student that is not such a rounding."""
    return e.found & (e.lowest.get("rounding", np.full(len(e.found), -np.inf)) > 0)


PLUGIN = Certificate(
    "any rounding within half a step",
    "However each weight is rounded within half a step of this grid, with 8-bit activations and int32 biases, the "
    "model approves this person's recommended point; below about 6 bits this is hardly ever provable, because "
    "roundings exist that break it.",
    holds,
)
