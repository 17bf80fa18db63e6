"""Share of the people denied by the teacher whom the student approves without any action."""

from __future__ import annotations

from cfq_core.evidence import Evidence, Metric, PerRow


def score(e: Evidence) -> PerRow:
    """1 where the student approves the person as they are."""
    return PerRow((e.student[e.person] > 0).astype(float), e.person)


PLUGIN = Metric("windfall", "share", "near 0", score, by_group=True)
