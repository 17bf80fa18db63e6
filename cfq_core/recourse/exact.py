"""Exact recourse: the provably cheapest realisable action, by branch and bound over actions.

See `branch.py`. Warm-started by the search; all people and models at once.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar

import torch
from jaxtyping import Bool
from torch import Tensor

from cfq_core.recourse.best_known import BestKnown
from cfq_core.recourse.boxes import Space
from cfq_core.recourse.branch import Branch, Tell
from cfq_core.recourse.budget import Budget
from cfq_core.recourse.find import SLACK, Proof, Solver
from cfq_core.recourse.problem import Points, Problem
from cfq_core.recourse.search import Search

#: On the slopes of a form's lower lines: a sixth fewer boxes, each dearer by a tenth.
STEPS = 3


@dataclass(frozen=True)
class Exact:
    """Settings of branch and bound."""

    KEY = "exact"
    STARTS: ClassVar[bool] = True  # from known points
    boxes: int = 20_000  # a person may take, and a third more to raise the lower bound of who needs more
    at_once: int = 32  # of a person's boxes bounded before any of them is split
    enumerated: int = 64  # actions; a box of no more is tried out
    people: int = 250  # proved at a time, so that memory does not grow with the number of people
    warm: Solver = field(default_factory=Search)
    seconds: float | None = None  # of CPU that a person may take in the mean, instead of boxes

    def best(self, problem: Problem, feasible: Bool[Tensor, "i"]) -> Points:
        """Cheapest valid points."""
        return self.prove(problem.to(torch.float64), feasible).points

    def prove(self, problem: Problem, feasible: Bool[Tensor, "i"], tell: Tell | None = None) -> Proof:
        """Cheapest valid points with what is proved of them; ``problem`` in float64. ``tell``: of it, every turn."""
        budget = Budget.of(len(problem), self.boxes, self.seconds)
        space, best = Space(problem), self._warm_start(problem, feasible)
        branch = Branch(self.at_once, self.enumerated, self.people, single=True, steps=STEPS, raises=True)
        branch = branch if tell is None else replace(branch, tell=tell)
        floor = branch.improve(space, best, feasible, budget)
        return Proof(best.points, torch.minimum(floor, best.cost))

    def _warm_start(self, problem: Problem, feasible: Bool[Tensor, "i"]) -> BestKnown:
        """Known answers and the search's, as far as they hold in float64."""
        best = BestKnown(problem)
        best.start()
        everybody = torch.arange(len(problem))
        fast = replace(problem.to(torch.float32), target=problem.target + SLACK[0])
        points = self.warm.best(fast, feasible)
        valid = problem.logits(points, everybody) >= problem.target
        best.offer(everybody[valid], problem.cost(points, everybody)[valid], points.take(valid).take)
        return best


@dataclass(frozen=True)
class Followed:
    """Exact recourse that tells every turn what is known."""

    STARTS: ClassVar[bool] = True
    solver: Exact
    tell: Tell

    def best(self, problem: Problem, feasible: Bool[Tensor, "i"]) -> Points:
        """Cheapest valid points."""
        return self.prove(problem.to(torch.float64), feasible).points

    def prove(self, problem: Problem, feasible: Bool[Tensor, "i"]) -> Proof:
        """The same proof."""
        return self.solver.prove(problem, feasible, self.tell)


PLUGIN = Exact()
