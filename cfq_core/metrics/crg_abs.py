"""Mean absolute counterfactual recourse gap: signs do not cancel."""

from __future__ import annotations

import numpy as np

from cfq_core.evidence import Evidence, Metric, PerRow
from cfq_core.metrics.crg_mean import score as gap


def score(e: Evidence) -> PerRow:
    """Absolute relative change of the cost."""
    signed = gap(e)
    return PerRow(np.abs(signed.values), signed.rows)


PLUGIN = Metric("recourse gap, mean absolute", "relative", "lower", score, "mean", by_group=True)
