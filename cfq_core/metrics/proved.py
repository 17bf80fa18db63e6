"""Share of people asked twice whose two answers are both proved: cheapest, or that no action exists."""

from __future__ import annotations

import numpy as np

from cfq_core.evidence import Evidence, Metric, PerRow


def score(e: Evidence) -> PerRow:
    """1 where both are proved."""
    proved = np.zeros(len(e.found), bool) if e.proved is None else e.proved
    return PerRow(proved[e.asked_again].astype(float), e.person[e.asked_again])


PLUGIN = Metric("proved on both models", "share", "higher", score)
