"""The largest validity drop among groups of at least 30 people (single protected columns)."""

from __future__ import annotations

from cfq_core.evidence import Metric
from cfq_core.metrics.vd import score

PLUGIN = Metric("validity drop, worst group", "share", "lower", score, "worst")
