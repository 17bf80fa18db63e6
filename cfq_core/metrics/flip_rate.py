"""Share of test rows whose decision changes (Accuracy Is Not All You Need, arXiv 2407.09141)."""

from __future__ import annotations

import numpy as np

from cfq_core.evidence import Evidence, Metric, PerRow


def score(e: Evidence) -> PerRow:
    """1 where the two decisions differ."""
    return PerRow(((e.teacher > 0) != (e.student > 0)).astype(float), np.arange(len(e.student)))


PLUGIN = Metric("flip rate", "share", "lower", score, by_group=True)
