"""How many more people the student approves: mean[q > 0] - mean[f > 0]. Leniency is not faithfulness."""

from __future__ import annotations

import numpy as np

from cfq_core.evidence import Evidence, Metric, PerRow


def score(e: Evidence) -> PerRow:
    """+1 where only the student approves, -1 where only the teacher does."""
    return PerRow((e.student > 0).astype(float) - (e.teacher > 0), np.arange(len(e.student)))


PLUGIN = Metric("approval shift", "share", "near 0", score, "mean", by_group=True)
