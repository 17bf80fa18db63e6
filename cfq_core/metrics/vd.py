"""Validity drop: share of valid FP32 recourse that the student refuses, q(x + delta*_f) <= 0."""

from __future__ import annotations

from cfq_core.evidence import Evidence, Metric, PerRow


def score(e: Evidence) -> PerRow:
    """1 where the promise is broken, among people whose recourse holds on the teacher."""
    return PerRow((e.student_at[e.found] <= 0).astype(float), e.person[e.found])


PLUGIN = Metric("validity drop", "share", "lower", score, by_group=True)
