"""Boxes of actions: what exact recourse shrinks, bounds, splits and enumerates.

A box is an interval of counts for every number and a set of levels for every category of one person. A
linear form over it is highest, or cheap enough to reach a target, at the solution of a fractional
knapsack: every number's stretch from the cheapest place of the box to its far end is one item, every
category's best level another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from cfq_core.nets.linear import Form, input_step
from cfq_core.recourse.best_known import affordable
from cfq_core.recourse.problem import ROUNDING, Points, Problem
from cfq_core.recourse.repair import kept

LARGEST_BUDGET = 1e12  # stands for infinity where it is multiplied by zero
SLOPE = 0.01  # logits a coordinate moves the form by count this much beside those it may be wrong by
LEAST_SCORE = 1e-9  # of a coordinate that can still be split
LEAST_RATE = 1e-300  # keeps a division by the rate of an item without gain finite


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
    def columns(self) -> Float[Tensor, "r k h"]:
        """What a unit of every seen number, then every level, adds to the first pre-activation."""
        return torch.cat([self.problem.number_weight, self.problem.switch_weight], dim=1)

    @cached_property
    def seen_price(self) -> Float[Tensor, "r p"]:
        """Cost of a unit of a seen number; of one that follows, which is never paid, 1."""
        step = input_step(self.problem.model).double()[:, None]
        price = self.problem.number_price / self.problem.slope * torch.where(step > 0, step, 1.0)
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
        points = Points(_stack(numbers, len(of), torch.float64), _stack(levels, len(of), torch.int64))
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


def _stack(columns: list[Tensor], rows: int, dtype: torch.dtype) -> Tensor:
    return torch.stack(columns, dim=1) if columns else torch.zeros(rows, 0, dtype=dtype)


@dataclass(frozen=True)
class _Items:
    """A form over a box: its value at the cheapest place, and what every item adds to it at which rate of cost."""

    value: Float[Tensor, "b m"]
    gain: Float[Tensor, "b m n"]  # numbers, then categories
    rate: Float[Tensor, "b m n"]  # gain a unit of cost


@dataclass(frozen=True)
class Cheapest:
    """The cheapest fractional action of each box whose form reaches a target, and the action it rounds up to."""

    cost: Float[Tensor, "b"]  # infinite where none reaches it
    points: Points
    slope: Float[Tensor, "b k"]  # the form over seen numbers and levels


def _filled(
    gains: Float[Tensor, "b n"], rates: Float[Tensor, "b n"], need: Float[Tensor, "b"]
) -> tuple[Float[Tensor, "b"], Float[Tensor, "b n"]]:
    """Least cost of gaining ``need`` from items in order of rate, infinite where they are too few; what is taken."""
    before = gains.cumsum(1) - gains
    taken = torch.minimum(gains, (need[:, None] - before).clamp_min(0.0))
    cost = (taken / rates.clamp_min(LEAST_RATE)).sum(1)
    return torch.where(gains.sum(1) >= need, cost, torch.inf), taken


class Ball:
    """The actions of each box that cost no more than its budget, as first pre-activations: a `Reach`."""

    def __init__(self, space: Space, boxes: Boxes, budget: Float[Tensor, "b"]) -> None:
        p, rows = space.problem, boxes.rows
        run = p.run[rows]
        one = bool((run == run[0]).all())
        self.space, self.boxes = space, boxes
        self.columns = space.columns[run[0]] if one else space.columns[run]
        self.place = space.cheapest_place(boxes)
        moved, left = space.least_spent(boxes, self.place)
        self.spent = moved.sum(1) + left.sum(1)
        self.spare = (budget - self.spent).clamp(0.0, LARGEST_BUDGET)
        self.seen = p.seen(self.place, run)
        self.rise, self.fall = p.seen(boxes.high, run) - self.seen, self.seen - p.seen(boxes.low, run)
        step = input_step(p.model).double()[run][:, None]
        exact = (p.modelled(self.place) * p.slope[run] + p.offset[run]) / torch.where(step > 0, step, 1.0)
        rounded = (step > 0).double()  # a code rises by up to one step more than the number below it
        self.free_rise = torch.minimum(((exact - self.seen) + 0.5).clamp(0.0, 1.0) * rounded, self.rise)
        self.free_fall = torch.minimum(((self.seen - exact) + 0.5).clamp(0.0, 1.0) * rounded, self.fall)
        self.coded = bool((step > 0).any())
        if p.tied is not None:  # what follows costs nothing: it is taken to be wherever it helps
            self.free_rise = torch.where(space.follows, self.rise, self.free_rise)
            self.free_fall = torch.where(space.follows, self.fall, self.free_fall)
            self.coded = True
        self.price = space.seen_price[run][:, None]
        self.own_level = p.own.levels[rows]
        self.stays = boxes.open.gather(1, self.own_level)
        self.closed = torch.where(boxes.open, 0.0, -torch.inf)[:, None]

    def ends(self) -> tuple[Float[Tensor, "b h"], Float[Tensor, "b h"]]:
        """Lower and upper bound of every first pre-activation."""
        base = self.space.problem.base[self.boxes.rows]
        columns = self.columns.mT.expand(len(base), -1, -1)
        return -self._top(self._items(-columns, -base)), self._top(self._items(columns, base))

    def highest(self, forms: Float[Tensor, "b m h"]) -> Float[Tensor, "b m"]:
        """An upper bound of every form."""
        return self._top(self._of(forms))

    def cheapest(self, form: Form, target: float) -> Cheapest:
        """The least cost at which the form can reach the target; every action that reaches it costs as much."""
        items = self._of(form.weight[:, None])
        need = target - form.constant - items.value[:, 0]
        rates, order = items.rate[:, 0].sort(dim=1, descending=True)
        gains = items.gain[:, 0].gather(1, order)
        cost, taken = _filled(gains, rates, need)
        share = torch.zeros_like(gains).scatter(1, order, taken / gains.clamp_min(LEAST_RATE))
        slope = self._over(form.weight[:, None])[:, 0]
        cost = torch.where(form.top >= target, self.spent + cost, torch.inf)
        return Cheapest(cost, self._rounded_up(slope, share), slope)

    def _rounded_up(self, slope: Float[Tensor, "b k"], share: Float[Tensor, "b n"]) -> Points:
        p = self.space.problem
        n = p.numbers
        far = torch.where(slope[:, :n] > 0, self.boxes.high, self.boxes.low)
        here, there = p.modelled(self.place), p.modelled(far)
        reached = here + (there - here) * share[:, :n]
        counts = torch.where(p.log, torch.expm1(reached), reached) / p.step
        steps = (counts - self.place).abs().sub(ROUNDING).ceil()
        numbers = self.place + torch.sign(far - self.place) * torch.minimum(steps, (far - self.place).abs())
        levels = []
        for g, columns in enumerate(self.space.slices):
            best = (slope[:, n:] + self.closed[:, 0])[:, columns].argmax(1) + columns.start
            stays = self.stays[:, g] & (share[:, n + g] <= 0)
            levels.append(torch.where(stays, self.own_level[:, g], best))
        return Points(numbers, _stack(levels, len(slope), torch.int64))

    def _over(self, forms: Float[Tensor, "b m h"]) -> Float[Tensor, "b m k"]:
        return forms @ self.columns.mT

    def _of(self, forms: Float[Tensor, "b m h"]) -> _Items:
        constant = (forms @ self.space.problem.base[self.boxes.rows][..., None])[..., 0]
        return self._items(self._over(forms), constant)

    def _items(self, slope: Float[Tensor, "b m k"], value: Float[Tensor, "b m"]) -> _Items:
        n = self.space.problem.numbers
        numbers, levels = slope[..., :n], slope[..., n:] + self.closed
        value = value + (numbers * self.seen[:, None]).sum(2)
        up, down = numbers.clamp_min(0.0), (-numbers).clamp_min(0.0)
        gain, rate = up * self.rise[:, None] + down * self.fall[:, None], (up + down) / self.price
        if self.coded:
            free = up * self.free_rise[:, None] + down * self.free_fall[:, None]
            value, gain = value + free.sum(2), gain - free
        if not self.space.slices:
            return _Items(value, gain, rate)
        best = torch.stack([levels[..., columns].amax(2) for columns in self.space.slices], dim=2)
        own = levels.gather(2, self.own_level[:, None].expand(-1, levels.shape[1], -1))
        start = torch.where(self.stays[:, None], own, best)
        switched = best - start
        return _Items(
            value + start.sum(2),
            torch.cat([gain, switched], 2),
            torch.cat([rate, switched / self.space.group_price], 2),
        )

    def _top(self, items: _Items) -> Float[Tensor, "b m"]:
        """The best fractional choice of items that the budget pays for."""
        rate, order = items.rate.sort(dim=2, descending=True)
        price = items.gain.gather(2, order) / rate.clamp_min(LEAST_RATE)
        left = (self.spare[:, None, None] - (price.cumsum(2) - price)).clamp_min(0.0)
        return items.value + (torch.minimum(price, left) * rate).sum(2)
