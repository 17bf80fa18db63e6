"""Standard deviation of q - f over the test rows: the part no moved threshold undoes."""

from __future__ import annotations

from cfq_core.evidence import Metric
from cfq_core.metrics.logit_shift import score

PLUGIN = Metric("logit shift, sd", "logits", "lower", score, "sd", decision=False)
