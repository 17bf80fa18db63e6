"""Share of test rows the student decides as they turned out."""

from __future__ import annotations

import numpy as np

from cfq_core.evidence import Evidence, Metric, PerRow


def score(e: Evidence) -> PerRow:
    """1 where the decision agrees with the observed outcome."""
    return PerRow(((e.student > 0) == e.outcome).astype(float), np.arange(len(e.student)))


PLUGIN = Metric("accuracy", "share", "higher", score, by_group=True)
