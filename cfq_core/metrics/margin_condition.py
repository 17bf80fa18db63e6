"""Share of recourse points where |q - f| < f: sufficient, not necessary, for the promise to hold."""

from __future__ import annotations

from cfq_core.certificates.margin import holds
from cfq_core.evidence import Evidence, Metric, PerRow


def score(e: Evidence) -> PerRow:
    """1 where the condition holds."""
    return PerRow(holds(e)[e.found].astype(float), e.person[e.found])


PLUGIN = Metric("margin condition holds", "share", "higher", score, by_group=True)
