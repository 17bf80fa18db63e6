"""Median counterfactual recourse gap: the mean is heavy-tailed."""

from __future__ import annotations

from cfq_core.evidence import Metric
from cfq_core.metrics.crg_mean import score

PLUGIN = Metric("recourse gap, median", "relative", "near 0", score, "median", by_group=True)
