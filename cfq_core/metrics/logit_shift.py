"""Mean of q - f over the test rows: the common part of what quantization does."""

from __future__ import annotations

import numpy as np

from cfq_core.evidence import Evidence, Metric, PerRow


def score(e: Evidence) -> PerRow:
    """Logit of the student minus the teacher's."""
    return PerRow(e.student - e.teacher, np.arange(len(e.student)))


PLUGIN = Metric("logit shift, mean", "logits", "near 0", score, "mean", decision=False)
