"""Share of test rows on which teacher and student decide alike."""

from __future__ import annotations

import numpy as np

from cfq_core.evidence import Evidence, Metric, PerRow


def score(e: Evidence) -> PerRow:
    """1 where the two decisions are the same."""
    return PerRow(((e.teacher > 0) == (e.student > 0)).astype(float), np.arange(len(e.student)))


PLUGIN = Metric("agreement", "share", "higher", score)
