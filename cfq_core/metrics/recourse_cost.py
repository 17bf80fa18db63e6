"""Mean cost of the FP32 recourse, in scale units: what the promise asks of people."""

from __future__ import annotations

from cfq_core.evidence import Evidence, Metric, PerRow


def score(e: Evidence) -> PerRow:
    """Cost where an action was found."""
    return PerRow(e.cost[e.found], e.person[e.found])


PLUGIN = Metric("recourse cost", "cost", "neither", score, "mean", decision=False, by_group=True)
