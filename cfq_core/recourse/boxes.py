"""Boxes of actions: what exact recourse shrinks, bounds (`ball.py`), splits and enumerates.

A box is an interval of counts for every number and a set of levels for every category of one person.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from cfq_core.nets.linear import input_step
from cfq_core.recourse.best_known import affordable
from cfq_core.recourse.problem import ROUNDING, Points, Problem
from cfq_core.recourse.repair import kept

SLOPE = 0.01  # logits a coordinate moves the form by count this much beside those it may be wrong by
LEAST_SCORE = 1e-9  # of a coordinate that can still be split


@dataclass(frozen=True)
class Boxes:
    """B boxes of listed instances, rows increasing; no action in one costs less than its ``bound``."""

    rows: Int[Tensor, "b"]
    low: Float[Tensor, "b p"]
    high: Float[Tensor, "b p"]
    open: Bool[Tensor, "b q"]
    bound: Float[Tensor, "b"]

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, keep: Tensor) -> Boxes:
        """The chosen boxes, in that order."""
        return Boxes(*(getattr(self, f.name)[keep] for f in fields(self)))

    @staticmethod
    def join(parts: Sequence[Boxes]) -> Boxes:
        """All boxes of several lists, sorted by instance and bound."""
        whole = Boxes(*(torch.cat([getattr(p, f.name) for p in parts]) for f in fields(Boxes)))
        order = torch.argsort(whole.bound, stable=True)
        return whole.take(order[torch.argsort(whole.rows[order], stable=True)])


@dataclass(frozen=True)
class Space:
    """The action space of a problem in float64, and what is the same for all boxes of it."""

    problem: Problem

    @cached_property
    def step(self) -> Float[Tensor, "r 1"]:
        """Grid step of each model's inputs; 0 where they are seen as they are."""
        return input_step(self.problem.model).double()[:, None]

    @cached_property
    def columns(self) -> Float[Tensor, "r k h"]:
        """What a unit of every seen number, then every level, adds to the first pre-activation."""
        return torch.cat([self.problem.number_weight, self.problem.switch_weight], dim=1)

    @cached_property
    def seen_price(self) -> Float[Tensor, "r p"]:
        """Cost of a unit of a seen number; of one that follows, which is never paid, 1."""
        price = self.problem.number_price / self.problem.slope * torch.where(self.step > 0, self.step, 1.0)
        return price if self.problem.tied is None else torch.where(self.follows, 1.0, price)

    @cached_property
    def follows(self) -> Bool[Tensor, "p"]:
        """Numbers that follow from others: no cost, no choice."""
        tied, numbers = self.problem.tied, torch.arange(self.problem.numbers)
        return numbers >= (self.problem.numbers if tied is None else tied.free)

    @cached_property
    def group_price(self) -> Float[Tensor, "g"]:
        """Cost of a switch of every category."""
        price = torch.zeros(self.problem.groups, dtype=torch.float64)
        return price.scatter_(0, self.problem.group, self.problem.switch_price)

    @cached_property
    def slices(self) -> list[slice]:
        """Level columns of every category."""
        width = torch.bincount(self.problem.group, minlength=self.problem.groups).tolist()
        ends = [sum(width[: g + 1]) for g in range(self.problem.groups)]
        return [slice(end - w, end) for w, end in zip(width, ends, strict=True)]

    def whole(self, rows: Int[Tensor, "n"]) -> Boxes:
        """The box of everything each listed instance can do."""
        p = self.problem
        return Boxes(rows, p.low[rows], p.high[rows], p.allowed[rows], torch.zeros(len(rows), dtype=torch.float64))

    def cheapest_place(self, boxes: Boxes) -> Float[Tensor, "b p"]:
        """Counts of the box nearest to the person's own."""
        return self.problem.own.numbers[boxes.rows].clamp(boxes.low, boxes.high)

    def least_spent(self, boxes: Boxes, place: Float[Tensor, "b p"]) -> tuple[Tensor, Tensor]:
        """What the cheapest place of a box costs: a number, and a category, at a time."""
        p, rows = self.problem, boxes.rows
        moved = (p.modelled(place) - p.modelled(p.own.numbers[rows])).abs() * p.number_price[p.run[rows]]
        left = ~boxes.open.gather(1, p.own.levels[rows])
        return moved, left * self.group_price

    def shrunk(self, boxes: Boxes, budget: Float[Tensor, "b"]) -> Boxes:
        """Without what the budget does not pay for, and without boxes that hold nothing then."""
        p, rows = self.problem, boxes.rows
        own, place = p.own.numbers[rows], self.cheapest_place(boxes)
        moved, left = self.least_spent(boxes, place)
        spare = budget - moved.sum(1) - left.sum(1)
        steps = affordable(p, rows, own, spare[:, None] + moved)
        steps = steps if p.tied is None else torch.where(self.follows[:, None], torch.inf, steps)
        low, high = torch.maximum(boxes.low, own - steps[..., 1]), torch.minimum(boxes.high, own + steps[..., 0])
        switched = torch.arange(boxes.open.shape[1]) != p.own.levels[rows][:, p.group]
        dear = p.switch_price > (spare[:, None] + left)[:, p.group] + ROUNDING
        open_ = boxes.open & ~(switched & dear)
        alive = (spare >= -ROUNDING) & (low <= high).all(1)
        for columns in self.slices:
            alive &= open_[:, columns].any(1)
        run = p.run[rows]
        same = p.seen(low, run) == p.seen(high, run)  # one code: only the cheapest count matters
        if p.tied is not None:
            same &= ~(p.tied.involved[: p.numbers] | self.follows)
            low, high, held = p.tied.narrowed(rows, low, high, open_)
            alive &= held
        low, high = (torch.where(same, place, end) for end in (low, high))
        return Boxes(rows, low, high, open_, boxes.bound).take(alive)

    def sizes(self, boxes: Boxes) -> Float[Tensor, "b"]:
        """How many actions each box holds."""
        size = (boxes.high - boxes.low + 1)[:, ~self.follows].prod(1)
        for columns in self.slices:
            size = size * boxes.open[:, columns].sum(1)
        return size

    def listed(self, boxes: Boxes) -> tuple[Int[Tensor, "n"], Points]:
        """Every action of small boxes that keeps the constraints, and the instance it is of."""
        moved = int((~self.follows).sum())
        counts = [boxes.high[:, j] - boxes.low[:, j] + 1 for j in range(moved)]
        counts += [boxes.open[:, c].sum(1).double() for c in self.slices]
        radix = torch.stack(counts, 1).long() if counts else torch.ones(len(boxes), 0, dtype=torch.int64)
        size = radix.prod(1)
        of = torch.repeat_interleave(torch.arange(len(boxes)), size)
        place = torch.arange(len(of)) - (size.cumsum(0) - size)[of]
        digits = []
        for k in range(radix.shape[1]):
            digits.append(place % radix[of, k])
            place = place // radix[of, k]
        numbers = [boxes.low[of, j] + d for j, d in enumerate(digits[:moved])]
        numbers += [boxes.low[of, j] for j in range(moved, self.problem.numbers)]
        levels = []
        for columns, digit in zip(self.slices, digits[moved:], strict=True):
            first_open = torch.argsort((~boxes.open[:, columns]).long(), dim=1, stable=True)
            levels.append(columns.start + first_open[of, digit])
        points = Points(stacked(numbers, len(of), torch.float64), stacked(levels, len(of), torch.int64))
        return kept(self.problem, boxes.rows[of], points)

    def split(
        self,
        boxes: Boxes,
        slope: Float[Tensor, "b k"],
        blame: Float[Tensor, "b h"],
        barred: Bool[Tensor, "b"] | None = None,
    ) -> Boxes:
        """Each box in two, along the coordinate whose width costs the form most.

        ``slope``: the form over seen numbers and levels; ``blame``: over first pre-activations. A number is cut at
        the person's own value where that is inside, a category into its cheapest, then best, level and the rest.
        ``barred``: boxes whose best action a constraint forbids; they are split along what constraints tie.
        """
        p = self.problem
        run = p.run[boxes.rows]
        columns, seen = self.columns[run], p.seen(boxes.high, run) - p.seen(boxes.low, run)
        reach = torch.bmm(columns[:, : p.numbers].abs(), blame[..., None])[..., 0]
        score = [(reach + SLOPE * slope[:, : p.numbers].abs()) * seen + torch.where(seen > 0, LEAST_SCORE, -1.0)]
        best = torch.zeros(len(boxes), p.groups, dtype=torch.int64)
        for g, mine in enumerate(self.slices):
            open_ = boxes.open[:, mine]
            best[:, g] = slope[:, p.numbers :][:, mine].masked_fill(~open_, -torch.inf).argmax(1) + mine.start
            levels = torch.cat([columns[:, p.numbers :][:, mine], SLOPE * slope[:, p.numbers :][:, mine, None]], 2)
            spread = levels.masked_fill(~open_[..., None], -torch.inf).amax(1)
            spread = spread - levels.masked_fill(~open_[..., None], torch.inf).amin(1)
            value = (spread[:, :-1] * blame).sum(1) + spread[:, -1]
            score.append((value + torch.where(open_.sum(1) > 1, LEAST_SCORE, -1.0))[:, None])
        scores = torch.cat(score, 1)
        pick = (scores if p.tied is None else self._tied_scores(boxes, scores, barred)).argmax(1)
        return Boxes.join([*self._cut(boxes, pick), *self._parted(boxes, pick - p.numbers, best)])

    def _tied_scores(
        self, boxes: Boxes, scores: Float[Tensor, "b pg"], barred: Bool[Tensor, "b"] | None
    ) -> Float[Tensor, "b pg"]:
        """What follows is narrowed by splitting what it follows from; what is barred along what constraints tie."""
        p, tied = self.problem, self.problem.tied
        assert tied is not None, "asked of tied problems only"
        numbers = p.numbers
        wide = torch.cat([boxes.high > boxes.low, *(boxes.open[:, c].sum(1, True) > 1 for c in self.slices)], 1)
        wide[:, :numbers] &= ~self.follows
        for k, sources in enumerate(tied.sources):
            scores[:, :numbers] += scores[:, tied.free + k, None].clamp_min(0.0) * sources
        scores = torch.where(wide & tied.involved, scores.clamp_min(LEAST_SCORE), scores)
        if barred is not None:
            urgent = barred[:, None] & tied.involved & wide
            scores = scores + torch.where(urgent, scores.amax(1, keepdim=True).clamp_min(0.0) + 1.0, 0.0)
        follows = torch.cat([self.follows, torch.zeros(p.groups, dtype=torch.bool)])
        return torch.where(follows, -1.0, torch.where(wide, scores, scores.clamp_max(-0.5)))

    def _cut(self, boxes: Boxes, number: Int[Tensor, "b"]) -> list[Boxes]:
        mine = (number < self.problem.numbers).nonzero()[:, 0]
        few, j = boxes.take(mine), number[mine][:, None]
        low, high, here = (t.gather(1, j) for t in (few.low, few.high, self.problem.own.numbers[few.rows]))
        end = torch.where((here > low) & (here <= high), here - 1, ((low + high) / 2).floor())
        return [replace(few, high=few.high.scatter(1, j, end)), replace(few, low=few.low.scatter(1, j, end + 1))]

    def _parted(self, boxes: Boxes, group: Int[Tensor, "b"], best: Int[Tensor, "b g"]) -> list[Boxes]:
        mine = (group >= 0).nonzero()[:, 0]
        few, g = boxes.take(mine), group[mine][:, None]
        own = self.problem.own.levels[few.rows].gather(1, g) if len(mine) else g
        level = torch.where(few.open.gather(1, own), own, best[mine].gather(1, g)) if len(mine) else g
        columns = torch.arange(few.open.shape[1])
        inside, one = self.problem.group == g, columns == level
        return [replace(few, open=few.open & (one | ~inside)), replace(few, open=few.open & ~(one & inside))]


def stacked(columns: list[Tensor], rows: int, dtype: torch.dtype) -> Tensor:
    """Columns side by side; none are a table without columns."""
    return torch.stack(columns, dim=1) if columns else torch.zeros(rows, 0, dtype=dtype)
