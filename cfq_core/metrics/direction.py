"""Direction stability: mean cosine of delta*_f and delta*_q in cost-scaled action space."""

from __future__ import annotations

import numpy as np

from cfq_core.evidence import Evidence, Metric, PerRow


def score(e: Evidence) -> PerRow:
    """Cosine of the two actions, where both move."""
    both = np.isfinite(e.cosine)
    return PerRow(e.cosine[both], e.person[both])


PLUGIN = Metric("direction stability", "cosine", "higher", score, "mean", by_group=True)
