"""Share of recourse points that transfer although |q - f| < f fails: what the condition misses."""

from __future__ import annotations

from cfq_core.certificates.margin import holds
from cfq_core.evidence import Evidence, Metric, PerRow


def score(e: Evidence) -> PerRow:
    """1 where the promise holds and the condition does not."""
    lucky = (e.student_at > 0) & ~holds(e)
    return PerRow(lucky[e.found].astype(float), e.person[e.found])


PLUGIN = Metric("transferred without the condition", "share", "neither", score)
