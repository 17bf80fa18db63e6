"""Ratio of mean costs minus 1: the recourse gap of the whole group, not of the average person."""

from __future__ import annotations

from cfq_core.evidence import Evidence, Metric, PerRow


def score(e: Evidence) -> PerRow:
    """Change of the cost, weighted by the cost on the teacher."""
    both = e.asked_again & e.found & e.again_found
    return PerRow(e.again_cost[both] - e.cost[both], e.person[both], weight=e.cost[both])


PLUGIN = Metric("recourse gap, ratio of means", "relative", "near 0", score, "mean")
