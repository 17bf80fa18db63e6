"""The margin of a promise in people's own terms: how far beyond the boundary costs them a given share more?

A logit is worth something else on every network. A margin that raises the mean cost of recourse by 10 % is the same
demand everywhere; how many logits that is, is solved for each teacher on people whom no table reports.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.optimize import brentq

from cfq_core.nets.stack import Scorer
from cfq_core.recourse.find import Solver, find_recourse
from cfq_core.recourse.problem import RecourseQuery

MOST = 100.0  # logits
NEAR = 2e-3  # logits, and relative: where solving stops; the mean cost of few people moves in steps


def margin_costing(
    share: float, model: Scorer, query: RecourseQuery, solver: Solver, approves: Sequence[bool] | None = None
) -> float:
    """The margin in logits with which recourse costs these people ``share`` more, in the mean, than with none.

    ``model``: one run. Counted are those who have recourse, at a cost, without a margin and with the margin tried.
    0 where nobody has; `MOST` where no margin costs that much.
    """
    free = find_recourse(model, [query], solver, 0.0, approves)
    asked = np.flatnonzero(free.has_recourse & (free.cost > 0))
    if not len(asked):
        return 0.0
    few = RecourseQuery(query.values[asked], query.encoding, query.actions)

    def beyond(kappa: float) -> float:
        if kappa == 0:
            return -share
        found = find_recourse(model, [few], solver, kappa, approves)
        both = found.has_recourse
        return float(found.cost[both].sum() / free.cost[asked][both].sum() - 1 - share) if both.any() else share

    low, high = 0.0, 0.2
    while beyond(high) < 0:
        if high >= MOST:
            return MOST
        low, high = high, min(2 * high, MOST)
    return float(brentq(beyond, low, high, xtol=NEAR, rtol=NEAR, maxiter=30, disp=False))
