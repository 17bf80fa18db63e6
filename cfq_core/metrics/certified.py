"""Share of recourse points that at least one certificate proves to hold on the student."""

from __future__ import annotations

import numpy as np

from cfq_core.base.plugins import load_all
from cfq_core.evidence import Evidence, Metric, PerRow


def score(e: Evidence) -> PerRow:
    """1 where some certificate holds."""
    proved = np.any([c.holds(e) for c in load_all("certificates").values() if c.transfer], axis=0)
    return PerRow(proved[e.found].astype(float), e.person[e.found])


PLUGIN = Metric("certified", "share", "higher", score, by_group=True)
