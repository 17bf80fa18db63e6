"""A posteriori: |q - f| < f at x + delta implies q > 0 there (the paper's margin condition)."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool

from cfq_core.certificates.certificate import Certificate
from cfq_core.evidence import Evidence


def holds(e: Evidence) -> Bool[np.ndarray, "k"]:
    """Where the condition holds; False where there is no recourse."""
    with np.errstate(invalid="ignore"):
        return e.found & (np.abs(e.student_at - e.teacher_at) < e.teacher_at)


PLUGIN = Certificate(
    "margin condition at the point",
    "At this person's recommended point the quantized logit is off by less than the promised margin, so it approves.",
    holds,
)
