"""The default search where constraints tie features together: moves that are put right, then a few boxes of proof.

A line of one number is no line once other columns follow it or forbid it. So every move is completed and, where a
constraint forbids it, repaired by one more (`repair.py`): that is how moves of two features at once come about. What
single moves leave is improved by branch and bound, which stops after ``boxes`` a person; who is left open then has
moves from the best known answer tried until they gain nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from cfq_core.recourse.best_known import BestKnown, Candidates, try_points
from cfq_core.recourse.boxes import Space
from cfq_core.recourse.branch import Branch
from cfq_core.recourse.budget import Budget
from cfq_core.recourse.problem import Points, Problem
from cfq_core.recourse.repair import settled

#: Steps of a number that are tried from where it is, either way.
STRIDES = torch.tensor([sign * s for s in (1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 233, 377, 610) for sign in (1, -1)])
SHARES = (0.0, 0.25, 0.5, 0.75, 0.9)  # of a number's change kept by the polish
ROWS = 64  # people at a time whose moves are held in memory
PEOPLE = 250  # at a time in branch and bound


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
        branch, budget = Branch(self.at_once, self.enumerated, PEOPLE), Budget(len(exact), self.boxes)
        floor = branch.improve(Space(exact), best, feasible, budget)
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
            moved, points = _moves(problem, rows, best.points.take(rows))
            moved, points = settled(problem, moved, points)
            try_points(problem, best, Candidates.at(problem, moved, points))


def _moves(problem: Problem, rows: Int[Tensor, "n"], start: Points) -> tuple[Int[Tensor, "b"], Points]:
    """Every listed instance with one number, or one category, moved; in increasing order of the instances."""
    tied = problem.tied
    assert tied is not None, "asked of tied problems only"
    low, high, own = problem.low[rows], problem.high[rows], problem.own.take(rows)
    of, parts = [], []
    for j in range(tied.free):
        here, change = start.numbers[:, j], start.numbers[:, j] - own.numbers[:, j]
        kept = own.numbers[:, j, None] + (change[:, None] * torch.tensor(SHARES, dtype=torch.float64)).trunc()
        places = torch.cat([kept, here[:, None] + STRIDES, low[:, j, None], high[:, j, None]], 1)
        places = places.clamp(low[:, j, None], high[:, j, None]).sort(1).values
        fresh = (places != here[:, None]) & (places.diff(dim=1, prepend=places[:, :1] - 1) > 0)
        who, at = fresh.nonzero(as_tuple=True)
        moved = start.take(who)
        moved.numbers[:, j] = places[who, at]
        of.append(rows[who])
        parts.append(moved)
    open_ = problem.allowed[rows] & ~(start.levels[..., None] == torch.arange(len(problem.group))).any(1)
    who, column = open_.nonzero(as_tuple=True)
    moved = start.take(who)
    moved.levels.scatter_(1, problem.group[column][:, None], column[:, None])
    of.append(rows[who])
    parts.append(moved)
    order = torch.argsort(torch.cat(of), stable=True)
    return torch.cat(of)[order], Points.join(parts).take(order)
