"""Branch and bound over boxes of actions: what the exact solver proves with, and what finishes a constrained search.

A box of actions (`boxes.py`) gets a linear form nowhere below the logit (CROWN over the actions that the
best known answer's cost pays for), and from it the least cost at which any action in it can be approved.
Boxes that cannot beat the best answer are dropped, small ones are enumerated, the rest are split. Only
actions are branched on, never neurons, so depth of the network hurts little; what is left at the end is
proved, whatever the bounds' tightness. All people and models at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from cfq_core.nets.linear import above
from cfq_core.recourse.ball import Ball
from cfq_core.recourse.best_known import BestKnown
from cfq_core.recourse.boxes import Boxes, Space
from cfq_core.recourse.budget import Budget
from cfq_core.recourse.find import CLOSE
from cfq_core.recourse.problem import Points, Problem, of_each_run
from cfq_core.recourse.repair import barred, settled

#: Logits by which float64 bounds may be off.
GUARD = 1e-9
#: Turns after which a person who is still open has one share of boxes more bounded at once: small blocks waste time.
LONG = 8
#: Numbers in the largest tensor of a block of boxes: it stays in the second-level cache.
BLOCK = 1 << 20


#: Shares of the best known cost below which everything is ruled out, one after the other, where a budget did not last.
LEVELS = (0.6, 0.76, 0.88)


@dataclass(frozen=True)
class Known:
    """What is known of everybody while it is being proved."""

    cost: Float[Tensor, "i"]  # of the best answer; infinite: none
    lower: Float[Tensor, "i"]  # no valid action costs less than this, or than ``cost``


Tell = Callable[[Known], None]


def _silent(known: Known) -> None:
    """Nobody listens."""


@dataclass(frozen=True)
class Branch:
    """How much of it is done."""

    at_once: int  # of a person's boxes bounded before any of them is split
    enumerated: int  # actions; a box of no more is tried out
    people: int  # at a time, so that memory does not grow with the number of people
    single: bool = False  # intervals of hidden layers in float32, with room for its rounding: faster
    steps: int = 0  # on the slopes of a form's lower lines
    raises: bool = False  # raise lower bounds where the budget did not last
    tell: Tell = _silent  # told every turn

    def improve(self, space: Space, best: BestKnown, feasible: Bool[Tensor, "i"], budget: Budget) -> Float[Tensor, "i"]:
        """Improve the answers; gives the cost below which no box of an instance was left open, infinite for none."""
        floor, people = torch.full_like(best.cost, torch.inf), (feasible & (best.cost > 0)).nonzero()[:, 0]
        floor[people] = 0.0
        for start in range(0, len(people), self.people):
            rows = people[start : start + self.people]
            own = budget.share(len(rows) / (len(people) - start))
            first = own.first() if self.raises else own
            left = self._branch(space, best, space.whole(rows), best.cost.clone(), first, floor)
            floor[rows] = torch.inf
            floor.scatter_reduce_(0, left.rows, left.bound, "amin")
            if self.raises and len(left):
                self._raise(space, best, left.rows.unique(), own.later(), floor)
        return floor

    def _raise(
        self, space: Space, best: BestKnown, people: Int[Tensor, "n"], budget: Budget, floor: Float[Tensor, "i"]
    ) -> None:
        """Rule out what costs less than a share of the best known answer: smaller balls are bounded more tightly."""
        for level in LEVELS:
            ceiling = level * best.cost
            rows = people[(floor[people] < ceiling[people]) & ceiling[people].isfinite()]
            if not len(rows) or budget.late:
                continue
            open_ = self._branch(space, best, space.whole(rows), ceiling, budget, floor)
            least = torch.minimum(ceiling, best.cost).scatter_reduce(0, open_.rows, open_.bound, "amin")
            floor[rows] = torch.maximum(floor[rows], least[rows])

    def _branch(
        self,
        space: Space,
        best: BestKnown,
        pool: Boxes,
        ceiling: Float[Tensor, "i"],
        budget: Budget,
        floor: Float[Tensor, "i"],
    ) -> Boxes:
        """Improve answers until nothing dearer than the ceiling is left to try; gives the boxes that were left open."""
        everybody, left, turn = pool.rows, [pool.take(pool.rows < 0)], 0
        while True:
            most = torch.minimum(ceiling, best.cost)
            pool = pool.take(pool.bound < most[pool.rows] * (1 - CLOSE))
            over = budget.spent(pool.rows)
            if over.any():
                left.append(pool.take(over))
                pool = pool.take(~over)
            if not len(pool):
                return Boxes.join(left)
            if turn:
                least = most.scatter_reduce(0, pool.rows, pool.bound, "amin")
                for part in left:
                    least.scatter_reduce_(0, part.rows, part.bound, "amin")
                floor[everybody] = torch.maximum(floor, least)[everybody]
                self.tell(Known(best.cost, torch.minimum(floor, best.cost)))
            rank = torch.arange(len(pool)) - torch.searchsorted(pool.rows, pool.rows)
            now = rank < self.at_once * (1 + turn // LONG)
            pool = Boxes.join([pool.take(~now), *self._turn(space, best, most, pool.take(now), budget)])
            turn += 1

    def _turn(
        self, space: Space, best: BestKnown, most: Float[Tensor, "i"], boxes: Boxes, budget: Budget
    ) -> list[Boxes]:
        """What becomes of some boxes; once seconds are spent they stay as they are."""
        steps, kept = [], []
        for part in self._blocks(space, boxes):
            if budget.late:
                kept.append(part)
                continue
            budget.take(part.rows)
            steps.append(self._step(space, most, part))
        for step in steps:  # after all of them: an answer must not depend on how people fall into blocks
            best.offer(step.rows, step.cost, step.points.take)
        return [*kept, *(step.boxes for step in steps)]

    @staticmethod
    def _blocks(space: Space, boxes: Boxes) -> Iterator[Boxes]:
        """Whole blocks are of one model, whose weights are then shared; what is left of each is put together."""
        hidden, coordinates = space.problem.base.shape[1], space.columns.shape[1]
        size = max(1, BLOCK // (2 * hidden * max(hidden, coordinates)))
        left = []
        for _, own in of_each_run(space.problem.run[boxes.rows]):
            parts = torch.arange(own.start, own.stop).split(size)
            yield from (boxes.take(part) for part in parts[:-1])
            left.append(parts[-1])
        yield from (boxes.take(part) for part in torch.cat(left).split(size))

    def _step(self, space: Space, known: Float[Tensor, "i"], boxes: Boxes) -> _Step:
        """Enumerate small boxes, bound the others and split those that could hold a better answer."""
        problem = space.problem
        boxes = space.shrunk(boxes, known[boxes.rows])
        small = space.sizes(boxes) <= self.enumerated
        tried = [space.listed(boxes.take(small))]
        boxes = boxes.take(~small)
        if len(boxes):
            ball = Ball(space, boxes, known[boxes.rows], self.single, self.steps)
            form = above(problem.model, problem.run[boxes.rows], ball)
            least = ball.cheapest(form, problem.target - GUARD)
            boxes = replace(boxes, bound=torch.maximum(boxes.bound, least.cost))
            possible = boxes.bound < known[boxes.rows] * (1 - CLOSE)
            boxes, points = boxes.take(possible), least.points.take(possible)
            tried.append(settled(problem, boxes.rows, points))
            boxes = space.split(boxes, least.slope[possible], form.blame[possible], barred(problem, boxes.rows, points))
        return self._valid(problem, known, boxes, tried)

    @staticmethod
    def _valid(problem: Problem, known: Float[Tensor, "i"], boxes: Boxes, tried: list[tuple[Tensor, Points]]) -> _Step:
        rows, points = torch.cat([r for r, _ in tried]), Points.join([p for _, p in tried])
        cost = problem.cost(points, rows)
        cheaper = (cost < known[rows]).nonzero()[:, 0]
        cheaper = cheaper[torch.argsort(rows[cheaper], stable=True)]
        rows, cost, points = rows[cheaper], cost[cheaper], points.take(cheaper)
        valid = problem.logits(points, rows) >= problem.target if len(rows) else torch.zeros(0, dtype=torch.bool)
        return _Step(boxes, rows[valid], cost[valid], points.take(valid))


@dataclass(frozen=True)
class _Step:
    """What became of a block of boxes: smaller ones, and valid actions that are cheaper than known ones."""

    boxes: Boxes
    rows: Int[Tensor, "n"]
    cost: Float[Tensor, "n"]
    points: Points
