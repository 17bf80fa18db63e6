"""Branch and bound over boxes of actions: what the exact solver proves with, and what finishes a constrained search.

A box of actions (`boxes.py`) gets a linear form nowhere below the logit (CROWN over the actions that the
best known answer's cost pays for), and from it the least cost at which any action in it can be approved.
Boxes that cannot beat the best answer are dropped, small ones are enumerated, the rest are split. Only
actions are branched on, never neurons, so depth of the network hurts little; what is left at the end is
proved, whatever the bounds' tightness. All people and models at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import count

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from cfq_core.nets.linear import above
from cfq_core.recourse.ball import Ball
from cfq_core.recourse.best_known import BestKnown
from cfq_core.recourse.boxes import Boxes, Space
from cfq_core.recourse.find import CLOSE
from cfq_core.recourse.problem import Points, Problem, of_each_run
from cfq_core.recourse.repair import barred, settled

#: Logits by which float64 bounds may be off.
GUARD = 1e-9
#: Turns after which a person who is still open has one share of boxes more bounded at once: small blocks waste time.
LONG = 8
#: Numbers in the largest tensor of a block of boxes: it stays in the second-level cache.
BLOCK = 1 << 20


@dataclass(frozen=True)
class Branch:
    """How much of it is done."""

    boxes: int  # a person may take
    at_once: int  # of a person's boxes bounded before any of them is split
    enumerated: int  # actions; a box of no more is tried out
    people: int  # at a time, so that memory does not grow with the number of people
    single: bool = False  # intervals of hidden layers in float32, with room for its rounding: faster
    steps: int = 0  # on the slopes of a form's lower lines

    def improve(self, space: Space, best: BestKnown, feasible: Bool[Tensor, "i"]) -> Float[Tensor, "i"]:
        """Improve the answers; gives the cost below which no box of an instance was left open, infinite for none."""
        floor = torch.full_like(best.cost, torch.inf)
        for rows in (feasible & (best.cost > 0)).nonzero()[:, 0].split(self.people):
            for left in self._branch(space, best, rows):
                floor.scatter_reduce_(0, left.rows, left.bound, "amin")
        return floor

    def _branch(self, space: Space, best: BestKnown, rows: Int[Tensor, "n"]) -> Iterator[Boxes]:
        """Improve the listed instances' answers until nothing is left to try; gives the boxes that were left open."""
        pool, taken = space.whole(rows), torch.zeros(len(best.cost), dtype=torch.int64)
        for turn in count():
            pool = pool.take(pool.bound < best.cost[pool.rows] * (1 - CLOSE))
            over = taken[pool.rows] >= self.boxes
            yield pool.take(over)
            pool = pool.take(~over)
            if not len(pool):
                return
            rank = torch.arange(len(pool)) - torch.searchsorted(pool.rows, pool.rows)
            now = rank < self.at_once * (1 + turn // LONG)
            taken += torch.bincount(pool.rows[now], minlength=len(taken))
            steps = [self._step(space, best.cost, part) for part in self._blocks(space, pool.take(now))]
            for step in steps:  # after all of them: an answer must not depend on how people fall into blocks
                best.offer(step.rows, step.cost, step.points.take)
            pool = Boxes.join([pool.take(~now), *(s.boxes for s in steps)])

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
