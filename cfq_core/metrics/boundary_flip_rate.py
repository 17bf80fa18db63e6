"""Share of changed decisions among test rows near the boundary, |f| < 0.5 logits (arXiv 2607.01478)."""

from __future__ import annotations

import numpy as np

from cfq_core.evidence import Evidence, Metric, PerRow

BAND = 0.5  # logits of the teacher


def score(e: Evidence) -> PerRow:
    """1 where the decisions differ, on rows inside the band."""
    near = np.flatnonzero(np.abs(e.teacher) < BAND)
    return PerRow(((e.teacher[near] > 0) != (e.student[near] > 0)).astype(float), near)


PLUGIN = Metric("flip rate near the boundary", "share", "lower", score)
