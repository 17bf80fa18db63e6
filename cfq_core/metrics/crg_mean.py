"""Counterfactual recourse gap: mean of (c(delta*_q) - c(delta*_f)) / c(delta*_f), recourse on both models."""

from __future__ import annotations

from cfq_core.evidence import Evidence, Metric, PerRow


def score(e: Evidence) -> PerRow:
    """Relative change of the cost; -1 where the student needs no action."""
    both = e.asked_again & e.found & e.again_found
    return PerRow((e.again_cost[both] - e.cost[both]) / e.cost[both], e.person[both])


PLUGIN = Metric("recourse gap, mean", "relative", "near 0", score, "mean", by_group=True)
