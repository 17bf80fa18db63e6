"""Recourse holds around the recommended point, for people who carry it out imprecisely."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool

from cfq_core.certificates.certificate import Certificate
from cfq_core.evidence import Evidence

#: Standard deviations by which every movable number may be off.
RADIUS = 0.05


def holds(e: Evidence) -> Bool[np.ndarray, "k"]:
    """Where the student's least logit over the region is positive."""
    return e.found & (e.lowest.get("region", np.full(len(e.found), -np.inf)) > 0)


PLUGIN = Certificate(
    "region around the point",
    f"Every point whose movable numbers are each within {RADIUS:g} standard deviations of this person's "
    "recommended ones, all else as recommended, is approved by the quantized model.",
    holds,
    transfer=False,
)
