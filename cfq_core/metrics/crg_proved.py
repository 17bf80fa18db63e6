"""Mean absolute counterfactual recourse gap over pairs whose two costs are proved to be the least there are."""

from __future__ import annotations

import numpy as np

from cfq_core.evidence import Evidence, Metric, PerRow


def score(e: Evidence) -> PerRow:
    """Absolute relative change of the cost; no rows where the solver proves nothing."""
    proved = np.zeros(len(e.found), bool) if e.proved is None else e.proved
    both = proved & e.asked_again & e.found & e.again_found
    return PerRow(np.abs(e.again_cost[both] - e.cost[both]) / e.cost[both], e.person[both])


PLUGIN = Metric("recourse gap of proved pairs, mean absolute", "relative", "lower", score, "mean", by_group=True)
