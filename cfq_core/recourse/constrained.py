"""The default search where constraints tie features together: moves that are put right, then a few boxes of proof.

A line of one number is no line once other columns follow it or forbid it. So every move is completed and, where a
constraint forbids it, repaired by one more (`repair.py`): that is how moves of two features at once come about. What
single moves leave is improved by branch and bound, which stops after ``boxes`` a person; who is left open then has
moves from the best known answer tried until they gain nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from cfq_core.recourse.best_known import BestKnown, Candidates, try_points
from cfq_core.recourse.boxes import Space
from cfq_core.recourse.branch import Branch
from cfq_core.recourse.problem import Points, Problem
from cfq_core.recourse.repair import settled

STRIDES = (1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 233, 377, 610, 987, 1597)  # steps of a number tried by itself
SHARES = (0.0, 0.25, 0.5, 0.75, 0.9)  # of a number's change kept by the polish
ROWS = 250  # people at a time


@dataclass(frozen=True)
class Constrained:
    """Settings."""

    boxes: int  # a person may take
    rounds: int  # of polish
    at_once: int = 16
    enumerated: int = 64

    def best(self, problem: Problem, feasible: Bool[Tensor, "i"]) -> Points:
        """Cheapest valid points found."""
        exact = problem.to(torch.float64)
        best = BestKnown(exact)
        best.start()
        self._around(exact, best, feasible & (best.cost > 0))
        floor = Branch(self.boxes, self.at_once, self.enumerated, ROWS).improve(Space(exact), best, feasible)
        left = floor < best.cost
        for _ in range(self.rounds):
            before = best.cost.clone()
            self._around(exact, best, left)
            left = best.cost < before
            if not left.any():
                break
        return best.points

    def _around(self, problem: Problem, best: BestKnown, people: Bool[Tensor, "i"]) -> None:
        """Offer every single move from where each of some people would go."""
        for rows in people.nonzero()[:, 0].split(ROWS):
            start = best.points.take(rows)
            for points in _moves(problem, rows, start):
                listed, settled_points = settled(problem, rows, points)
                if len(listed):
                    try_points(problem, best, Candidates.at(problem, listed, settled_points))


def _moves(problem: Problem, rows: Int[Tensor, "n"], start: Points) -> Iterator[Points]:
    """Every listed instance with one number, or one category, moved."""
    tied = problem.tied
    assert tied is not None, "asked of tied problems only"
    low, high, own = problem.low[rows], problem.high[rows], problem.own.take(rows)
    for j in range(tied.free):
        change = start.numbers[:, j] - own.numbers[:, j]
        places = [own.numbers[:, j] + (share * change).trunc() for share in SHARES]
        places += [start.numbers[:, j] + sign * stride for stride in STRIDES for sign in (1, -1)]
        places += [low[:, j], high[:, j]]
        for place in places:
            numbers = start.numbers.clone()
            numbers[:, j] = place.clamp(low[:, j], high[:, j])
            yield Points(numbers, start.levels)
    for g in range(problem.groups):
        for column in (problem.group == g).nonzero()[:, 0].tolist():
            levels = start.levels.clone()
            levels[:, g] = torch.where(problem.allowed[rows, column], column, levels[:, g])
            yield Points(start.numbers, levels)
