"""Accuracy lost to quantization: teacher minus student, on the same rows."""

from __future__ import annotations

import numpy as np

from cfq_core.evidence import Evidence, Metric, PerRow


def score(e: Evidence) -> PerRow:
    """+1 where only the teacher is right, -1 where only the student is."""
    right = [((logits > 0) == e.outcome).astype(float) for logits in (e.teacher, e.student)]
    return PerRow(right[0] - right[1], np.arange(len(e.student)))


PLUGIN = Metric("accuracy drop", "share", "lower", score, "mean", by_group=True)
