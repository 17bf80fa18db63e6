"""Feasible recourse rate: share of the denied for whom an action was found on the teacher."""

from __future__ import annotations

from cfq_core.evidence import Evidence, Metric, PerRow


def score(e: Evidence) -> PerRow:
    """1 where the search found an action."""
    return PerRow(e.found.astype(float), e.person)


PLUGIN = Metric("feasible recourse rate", "share", "higher", score, decision=False, by_group=True)
