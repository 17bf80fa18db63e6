"""Every certificate: a sentence that is true of each person it is made about, and for whom it is proved."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool

from cfq_core.evidence import Evidence

#: Standard deviations by which every movable number may be off in the region certificate.
RADIUS = 0.05

Holds = Bool[np.ndarray, "k"]


@dataclass(frozen=True)
class Certificate:
    """A sentence, and for which people it is proved."""

    title: str
    sentence: str  # true of every person with `holds`
    holds: Callable[[Evidence], Holds]
    transfer: bool = True  # it says why the promise survives; False: it says more about a promise that is seen to
    about: str = ""  # one line for a list of all certificates


def margin(e: Evidence) -> Holds:
    """Where |q - f| < f at the recommended point; False where there is no recourse."""
    with np.errstate(invalid="ignore"):
        return e.has_recourse & (np.abs(e.student_at - e.teacher_at) < e.teacher_at)


def region(e: Evidence) -> Holds:
    """Where the student's least logit over the region is positive."""
    return _bounded(e, "region")


def rounding(e: Evidence) -> Holds:
    """Where the least logit over all roundings is positive; nowhere for a student that is not such a rounding."""
    return _bounded(e, "rounding")


def _bounded(e: Evidence, name: str) -> Holds:
    return e.has_recourse & (e.logit_lower_bound.get(name, np.full(len(e.has_recourse), -np.inf)) > 0)


PARTS: dict[str, Certificate] = {
    "margin": Certificate(
        "margin condition at the point",
        "At this person's recommended point the quantized logit is off by less than the promised margin, so it "
        "approves.",
        margin,
        about="A posteriori: |q - f| < f at x + delta implies q > 0 there (the paper's margin condition).",
    ),
    "region": Certificate(
        "region around the point",
        f"Every point whose movable numbers are each within {RADIUS:g} standard deviations of this person's "
        "recommended ones, all else as recommended, is approved by the quantized model.",
        region,
        transfer=False,
        about="Recourse holds around the recommended point, for people who carry it out imprecisely.",
    ),
    "rounding": Certificate(
        "any rounding within half a step",
        "However each weight is rounded within half a step of this grid, with 8-bit activations and int32 biases, the "
        "model approves this person's recommended point; below about 6 bits this is hardly ever provable, because "
        "roundings exist that break it.",
        rounding,
        about="A priori: no rounding of the weights within half a step can break this person's recourse on this grid.",
    ),
}
