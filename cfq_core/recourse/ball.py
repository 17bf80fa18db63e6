"""What a linear form reaches over the actions of a box that cost no more than a budget.

It is highest, or cheap enough to reach a target, at the solution of a fractional knapsack: every number's stretch from
the cheapest place of the box to its far end is one item, every category's best level another. The highest value needs
no sorting: by duality it is the least over rates ``l`` of ``l * budget + sum of (gain - l * price)+``, and one of the
items' own rates is the least. Any other rate is above it, so rounding a rate costs nothing but tightness.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from cfq_core.nets.linear import Form
from cfq_core.nets.single import along
from cfq_core.nets.slopes import Aimed
from cfq_core.recourse.boxes import Boxes, Space, stacked
from cfq_core.recourse.find import CLOSE
from cfq_core.recourse.problem import ROUNDING, Points

NEAR = 0.7  # of the budget: steps on the lines of boxes below that cost more time than they save
LARGEST_BUDGET = 1e12  # stands for infinity where it is multiplied by zero
LEAST_RATE = 1e-30  # keeps a division by the rate of an item without gain finite, in float32 too
LEAST_PRICE = 1e-30  # likewise by a price


@dataclass(frozen=True)
class _Items:
    """Forms over a box: the value that costs nothing, and what every item adds to it at which price."""

    value: Float[Tensor, "b m"]
    gain: Float[Tensor, "n b m"]  # numbers, then categories
    price: Float[Tensor, "n b m"]
    rate: Float[Tensor, "n b m"]  # gain a unit of price


@dataclass(frozen=True)
class Cheapest:
    """The cheapest fractional action of each box whose form reaches a target, and the action it rounds up to."""

    cost: Float[Tensor, "b"]  # infinite where none reaches it
    points: Points
    slope: Float[Tensor, "b k"]  # the form over seen numbers and levels


@dataclass(frozen=True)
class _Filled:
    """The cheapest fractional action of each box."""

    cost: Float[Tensor, "b"]
    share: Float[Tensor, "b n"]  # of every item that it takes
    slope: Float[Tensor, "b k"]  # the form over seen numbers and levels


class Ball:
    """The actions of each box that cost no more than its budget, as first pre-activations: a `Span` and an `Aim`.

    ``single``: hidden layers may be bounded in float32; ``steps``: taken on the slopes of a form's lower lines.
    """

    def __init__(
        self, space: Space, boxes: Boxes, budget: Float[Tensor, "b"], single: bool = False, steps: int = 0
    ) -> None:
        p, rows = space.problem, boxes.rows
        run = p.run[rows]
        self.one = bool((run == run[0]).all())
        self.space, self.boxes, self.run, self.budget = space, boxes, run, budget
        self.single, self.steps = single, steps
        self.columns = space.columns[run[0]] if self.one else space.columns[run]
        self.place = space.cheapest_place(boxes)
        moved, left = space.least_spent(boxes, self.place)
        self.spent = moved.sum(1) + left.sum(1)
        self.spare = (budget - self.spent).clamp(0.0, LARGEST_BUDGET)
        self.seen = p.seen(self.place, run)
        rise, fall = p.seen(boxes.high, run) - self.seen, self.seen - p.seen(boxes.low, run)
        step = space.step[run]
        exact = (p.modelled(self.place) * p.slope[run] + p.offset[run]) / torch.where(step > 0, step, 1.0)
        rounded = (step > 0).double()  # a code rises by up to one step more than the number below it
        free_rise = torch.minimum(((exact - self.seen) + 0.5).clamp(0.0, 1.0) * rounded, rise)
        free_fall = torch.minimum(((self.seen - exact) + 0.5).clamp(0.0, 1.0) * rounded, fall)
        self.coded = bool((step > 0).any())
        if p.tied is not None:  # what follows costs nothing: it is taken to be wherever it helps
            free_rise = torch.where(space.follows, rise, free_rise)
            free_fall = torch.where(space.follows, fall, free_fall)
            self.coded = True
        self.free_rise, self.free_fall = free_rise, free_fall
        self.rise, self.fall = rise - free_rise, fall - free_fall
        self.own_level = p.own.levels[rows]
        self.stays = boxes.open.gather(1, self.own_level)
        self.closed = torch.where(boxes.open, 0.0, -torch.inf)

    @cached_property
    def start(self) -> Float[Tensor, "b h"]:
        """First pre-activation at the cheapest place of every number and everybody's own levels."""
        return self.space.problem.first(Points(self.place, self.own_level), self.boxes.rows)

    @cached_property
    def spread(self) -> Float[Tensor, "b h"]:
        """The sum of all sizes that the box's numbers and levels may add to the start."""
        size, n = self.columns.abs(), self.space.problem.numbers
        wide = self.rise + self.free_rise + self.fall + self.free_fall
        numbers, levels = size[..., :n, :], size[..., n:, :]
        switched = sum(2 * levels[..., columns, :].amax(-2) for columns in self.space.slices)  # another's, and the own
        return (wide @ numbers if self.one else (wide[:, None] @ numbers)[:, 0]) + switched

    def ends(self) -> tuple[Float[Tensor, "b h"], Float[Tensor, "b h"]]:
        """Lower and upper bound of every first pre-activation."""
        columns = self.columns[:, None] if self.one else self.columns.movedim(1, 0)
        tops = self.top(torch.cat([columns, -columns], 2), torch.cat([self.start, -self.start], 1))
        high, low = tops.chunk(2, dim=1)
        return -low, high

    def highest(self, forms: Float[Tensor, "b m h"]) -> Float[Tensor, "b m"]:
        """An upper bound of every form."""
        return self.top(along(self.columns, forms), self._at_start(forms))

    def cheapest(self, form: Form, target: float) -> Cheapest:
        """The least cost at which the form can reach the target; every action that reaches it costs as much."""
        filled = self._filled(form.weight, form.constant, target)
        cost = torch.where(form.top >= target, filled.cost, torch.inf)
        if bool((cost + form.constant + form.top).isnan().any()):
            raise ArithmeticError("a bound of a box of actions is not a number")  # it would drop the box
        return Cheapest(cost, self._rounded_up(filled.slope, filled.share), filled.slope)

    def aimed(self, weight: Float[Tensor, "b h"], constant: Float[Tensor, "b"]) -> Aimed:
        """Where a form reaches the problem's target at the least cost, fractions of items allowed."""
        filled, n = self._filled(weight, constant, self.space.problem.target), self.space.problem.numbers
        share = filled.share[:, :n]
        up = filled.slope[:, :n] > 0
        numbers = torch.where(up, self.free_rise + share * self.rise, -self.free_fall - share * self.fall)
        levels = torch.zeros_like(filled.slope[:, n:])
        for g, columns in enumerate(self.space.slices):
            best = (filled.slope[:, n:] + self.closed)[:, columns].argmax(1, keepdim=True) + columns.start
            part = torch.where(self.stays[:, g], filled.share[:, n + g], 1.0)[:, None]
            levels = levels.scatter_add(1, best, part).scatter_add(1, self.own_level[:, g, None], -part)
        along_columns = torch.cat([numbers, levels], 1)[:, None] @ self.columns
        return Aimed(filled.cost, self.start + along_columns[:, 0])

    def wanted(self, cost: Float[Tensor, "b"]) -> Bool[Tensor, "b"]:
        """Boxes that better lines may rule out."""
        return (cost < self.budget * (1 - CLOSE)) & (cost >= NEAR * self.budget)

    def take(self, rows: Tensor) -> Ball:
        """That of the chosen boxes."""
        return Ball(self.space, self.boxes.take(rows), self.budget[rows], self.single, self.steps)

    def _filled(self, weight: Float[Tensor, "b h"], constant: Float[Tensor, "b"], target: float) -> _Filled:
        forms = weight[:, None]
        slopes = along(self.columns, forms)
        items = self._items(slopes, self._at_start(forms))
        need = target - constant - items.value[:, 0]
        rates, order = items.rate[..., 0].mT.sort(dim=1, descending=True)
        gains = items.gain[..., 0].mT.gather(1, order)
        cost, taken = _taken(gains, rates, need)
        share = torch.zeros_like(gains).scatter(1, order, taken / gains.clamp_min(LEAST_RATE))
        return _Filled(self.spent + cost, share, slopes[..., 0].mT)

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
            best = (slope[:, n:] + self.closed)[:, columns].argmax(1) + columns.start
            stays = self.stays[:, g] & (share[:, n + g] <= 0)
            levels.append(torch.where(stays, self.own_level[:, g], best))
        return Points(numbers, stacked(levels, len(slope), torch.int64))

    def _at_start(self, forms: Float[Tensor, "b m h"]) -> Float[Tensor, "b m"]:
        return (forms * self.start[:, None]).sum(2)

    def top(self, slopes: Float[Tensor, "k #b m"], value: Float[Tensor, "b m"]) -> Float[Tensor, "b m"]:
        """The highest value of forms, told by what a unit of each seen number and level adds to their start's."""
        items = self._items(slopes, value)
        spare, price, best = self.spare[:, None].to(value.dtype), items.price, items.gain.sum(0)
        for rate in items.rate:
            rest = torch.addcmul(items.gain, rate, price, value=-1).clamp_min_(0.0).sum(0)
            best = torch.minimum(best, torch.addcmul(rest, rate, spare))
        return items.value + best

    def _items(self, slopes: Float[Tensor, "k #b m"], value: Float[Tensor, "b m"]) -> _Items:
        kind, n = value.dtype, self.space.problem.numbers

        def each(known: Float[Tensor, "b n"]) -> Float[Tensor, "n b 1"]:
            return known.to(kind).mT[..., None]

        numbers = slopes[:n]
        size, up = numbers.abs(), numbers > 0
        unit = each(self.space.seen_price[self.run]).clamp_min(LEAST_PRICE)
        reach = torch.where(up, each(self.rise), each(self.fall))
        if self.coded:
            value = value + (size * torch.where(up, each(self.free_rise), each(self.free_fall))).sum(0)
        gain, price, rate = size * reach, unit * reach, (size / unit).expand_as(reach)
        if not self.space.slices:
            return _Items(value, gain, price, rate)
        start, switched = self._switched(slopes[n:].expand(-1, len(value), -1))
        prices = self.space.group_price.to(kind)[:, None, None].clamp_min(LEAST_PRICE)
        return _Items(
            value + start.sum(0),
            torch.cat([gain, switched]),
            torch.cat([price, prices.expand_as(switched)]),
            torch.cat([rate, switched / prices]),
        )

    def _switched(self, levels: Float[Tensor, "q b m"]) -> tuple[Float[Tensor, "g b m"], Float[Tensor, "g b m"]]:
        """What leaving a closed level adds to the value at the start, and what leaving an open one gains."""
        own = levels.gather(0, self.own_level.mT[..., None].expand(-1, -1, levels.shape[2]))
        open_ = levels + self.closed.to(levels.dtype).mT[..., None]
        more = torch.stack([open_[columns].amax(0) for columns in self.space.slices]) - own
        stays = self.stays.mT[..., None]
        return torch.where(stays, 0.0, more), torch.where(stays, more, 0.0)


def _taken(
    gains: Float[Tensor, "b n"], rates: Float[Tensor, "b n"], need: Float[Tensor, "b"]
) -> tuple[Float[Tensor, "b"], Float[Tensor, "b n"]]:
    """Least cost of gaining ``need`` from items in order of rate, infinite where they are too few; what is taken."""
    before = gains.cumsum(1) - gains
    taken = torch.minimum(gains, (need[:, None] - before).clamp_min(0.0))
    cost = (taken / rates.clamp_min(LEAST_RATE)).sum(1)
    return torch.where(gains.sum(1) >= need, cost, torch.inf), taken
