"""The cheapest valid point known of every instance, and the moves that look for a cheaper one."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from cfq_core.base.seeds import torch_stream
from cfq_core.recourse.problem import EVALUATIONS, ROUNDING, Points, Problem, listed

LEAST_GAIN = 1e-9  # in cost: what counts as cheaper, above float64 rounding


class BestKnown:
    """Best cost and point so far, per instance; infinite cost where none is known."""

    def __init__(self, problem: Problem) -> None:
        everybody = torch.arange(len(problem))
        start = problem.logits(problem.own, everybody) >= problem.target
        self.problem = problem
        self.cost = torch.where(start, 0.0, torch.full((len(problem),), math.inf, dtype=torch.float64))
        self.numbers = problem.own.numbers.clone()
        self.levels = problem.own.levels.clone()

    def start(self) -> None:
        """Take the known points that are answers."""
        rows = (self.problem.holds & (self.cost > 0)).nonzero()[:, 0]
        points = self.problem.known.take(rows)
        self.offer(rows, self.problem.cost(points, rows), points.take)

    @property
    def points(self) -> Points:
        """Where every instance would go."""
        return Points(self.numbers, self.levels)

    def offer(self, rows: Int[Tensor, "b"], cost: Float[Tensor, "b"], points: Callable[[Tensor], Points]) -> None:
        """Take the cheapest offer of each instance where it is cheaper; ``points(k)`` builds the chosen ones."""
        least = torch.full_like(self.cost, math.inf).scatter_reduce_(0, rows, cost, "amin")
        winner = (cost == least[rows]) & (least[rows] < self.cost[rows] - LEAST_GAIN)
        lane = torch.full((len(self.cost),), len(rows)).scatter_reduce_(0, rows[winner], winner.nonzero()[:, 0], "amin")
        taken = (lane < len(rows)).nonzero()[:, 0]
        chosen = points(lane[taken])
        self.cost[taken] = least[taken]
        self.numbers[taken], self.levels[taken] = chosen.numbers, chosen.levels


@dataclass(frozen=True)
class Candidates:
    """Points of listed instances (rows increasing) with their first pre-activation and cost.

    ``covered`` names the number whose line from here another candidate has too, because they differ in
    that number only; -1 for none. Such a line is not searched twice.
    """

    rows: Int[Tensor, "b"]
    points: Points
    first: Float[Tensor, "b h"]
    cost: Float[Tensor, "b"]
    covered: Int[Tensor, "b"]

    @staticmethod
    def at(
        problem: Problem, rows: Int[Tensor, "b"], points: Points, covered: Int[Tensor, "b"] | None = None
    ) -> Candidates:
        """Candidates at any points, sorted by instance."""
        order = torch.argsort(rows, stable=True)
        rows, points = rows[order], points.take(order)
        covered = torch.full_like(rows, -1) if covered is None else covered[order]
        return Candidates(rows, points, problem.first(points, rows), problem.cost(points, rows), covered)

    def take(self, keep: Tensor) -> Candidates:
        """The chosen candidates, order kept."""
        keep = listed(keep)
        rows, first, cost, covered = (t.index_select(0, keep) for t in (self.rows, self.first, self.cost, self.covered))
        return Candidates(rows, self.points.take(keep), first, cost, covered)

    @staticmethod
    def join(problem: Problem, parts: list[Candidates]) -> Candidates:
        """All candidates of several lists, sorted by instance."""
        order = torch.argsort(torch.cat([p.rows for p in parts]), stable=True)
        return Candidates(
            torch.cat([p.rows for p in parts])[order],
            Points.join([p.points for p in parts]).take(order),
            torch.cat([p.first for p in parts]).index_select(0, order),
            torch.cat([p.cost for p in parts])[order],
            torch.cat([p.covered for p in parts])[order],
        )


def number_cost(problem: Problem, c: Candidates) -> Float[Tensor, "b p"]:
    """What each moved number contributes to a candidate's cost."""
    moved = problem.modelled(c.points.numbers) - problem.modelled(problem.own.numbers[c.rows])
    return moved.abs() * problem.number_price[problem.run[c.rows]]


def worth_trying(problem: Problem, best: BestKnown, c: Candidates) -> Candidates:
    """Candidates that could beat the best known points once one of their numbers is made as small as possible."""
    floor = c.cost.clone()
    if problem.numbers:
        floor -= number_cost(problem, c).max(1).values
    return c.take(floor < best.cost[c.rows] - LEAST_GAIN)


def switched(
    problem: Problem, c: Candidates, dearest: Float[Tensor, "b"], among: Bool[Tensor, "*b q"] | None = None
) -> Candidates:
    """Every candidate with one category moved to another allowed level, while that costs under ``dearest``.

    ``among``: the level columns to move to; None for all.
    """
    return _switched(problem, c, *_switches(problem, c, dearest, among))


def _switches(
    problem: Problem, c: Candidates, dearest: Float[Tensor, "b"], among: Bool[Tensor, "*b q"] | None
) -> tuple[Int[Tensor, "k"], Int[Tensor, "k"], Float[Tensor, "k"]]:
    """Which candidate moves to which level column, and at what cost."""
    rows = c.rows
    current = c.points.levels[:, problem.group]  # [b, Q]: the column each one replaces
    own = problem.own.levels[rows][:, problem.group]
    columns = torch.arange(len(problem.group))
    price = problem.switch_price
    cost = c.cost[:, None] - torch.where(current != own, price[current], 0.0) + torch.where(columns != own, price, 0.0)
    keep = problem.allowed[rows] & (columns != current) & (cost < dearest[:, None])
    if among is not None:
        keep &= among
    base, column = keep.nonzero(as_tuple=True)
    return base, column, cost[base, column]


def _switched(
    problem: Problem, c: Candidates, base: Int[Tensor, "k"], column: Int[Tensor, "k"], cost: Float[Tensor, "k"]
) -> Candidates:
    run = problem.run[c.rows]
    levels = c.points.levels.index_select(0, base)
    old = levels.gather(1, problem.group[column][:, None])[:, 0]
    levels.scatter_(1, problem.group[column][:, None], column[:, None])
    first = c.first.index_select(0, base)
    first -= problem.switch_column(run[base], old)
    first += problem.switch_column(run[base], column)
    numbers = c.points.numbers.index_select(0, base)
    return Candidates(c.rows[base], Points(numbers, levels), first, cost, c.covered[base])


def stepped(problem: Problem, c: Candidates, dearest: Float[Tensor, "b"], steps: tuple[int, ...]) -> Candidates:
    """Every candidate with one number set a few steps from the person's own value, while that costs under ``dearest``.

    A basin with two small changes in it is out of reach of moves that only shrink or re-optimise one number.
    """
    away = torch.tensor([sign * s for s in steps for sign in (1.0, -1.0)], dtype=torch.float64)
    own, contribution = problem.own.numbers[c.rows], number_cost(problem, c)
    counts = own[..., None] + away  # [b, p, 2 steps]
    moved = problem.modelled(counts.mT).mT - problem.modelled(own)[..., None]
    cost = (c.cost[:, None] - contribution)[..., None] + moved.abs() * problem.number_price[problem.run[c.rows]][
        ..., None
    ]
    inside = (counts >= problem.low[c.rows][..., None]) & (counts <= problem.high[c.rows][..., None])
    fresh = inside & (counts != c.points.numbers[..., None]) & (cost < dearest[:, None, None])
    base, number, step = fresh.nonzero(as_tuple=True)
    numbers = c.points.numbers[base]
    numbers[torch.arange(len(base)), number] = counts[base, number, step]
    return Candidates.at(problem, c.rows[base], Points(numbers, c.points.levels[base]), number)


def switched_twice(
    problem: Problem, c: Candidates, dearest: Callable[[Candidates], Float[Tensor, "b"]], at_once: bool = False
) -> Iterator[Candidates]:
    """Every candidate with two categories moved, a list for each first category; or all in one list."""
    if at_once:
        base, column, cost = _switches(problem, c, dearest(c), None)
        one = _switched(problem, c, base, column, cost)
        yield switched(problem, one, dearest(one), problem.group > problem.group[column][:, None])
        return
    for g in range(problem.groups - 1):
        one = switched(problem, c, dearest(c), problem.group == g)
        yield switched(problem, one, dearest(one), problem.group > g)


def try_points(problem: Problem, best: BestKnown, c: Candidates) -> None:
    """Offer every candidate that is valid and cheaper."""
    cheaper = c.take(c.cost < best.cost[c.rows] - LEAST_GAIN)
    if len(cheaper.rows):
        valid = problem.forward_from_first(cheaper.first, problem.run[cheaper.rows]) >= problem.target
        valid_ones = cheaper.take(valid)
        best.offer(valid_ones.rows, valid_ones.cost, valid_ones.points.take)


def try_lines(problem: Problem, best: BestKnown, c: Candidates, grid: int, once: bool = False) -> None:
    """From every candidate, make one number as small a change as keeps the point valid (or makes it so).

    A line starts at the person's own value and ends where the best known cost would be reached.
    Its first valid grid point is bracketed by ``grid`` samples, then refined until the bracket is one
    step; a line is dropped as soon as its bracket cannot beat it. Exact along each line
    wherever the valid part of the line is an interval at least one sample wide. ``once``: a line that several
    candidates of a block lie on is searched from one of them; from any of them it differs by float32's rounding alone.
    """
    if not problem.numbers or not len(c.rows):
        return
    block = max(1, EVALUATIONS // (2 * problem.numbers))
    for start in range(0, len(c.rows), block):
        part = c.take(torch.arange(start, min(start + block, len(c.rows))))
        lines = _lines(problem, best, part, once)
        while len(lines.rows):
            lines = _narrow(problem, best, part.points, lines, grid)


@dataclass(frozen=True)
class _Lines:
    rows: Int[Tensor, "n"]  # instance
    candidate: Int[Tensor, "n"]  # where it starts, but for its number
    number: Int[Tensor, "n"]
    sign: Float[Tensor, "n"]
    anchor: Float[Tensor, "n h"]  # first pre-activation without this number
    rest_cost: Float[Tensor, "n"]  # cost of everything else
    low: Float[Tensor, "n"]  # steps from the person's own value: bracket of the first valid one
    high: Float[Tensor, "n"]

    def take(self, keep: Tensor) -> _Lines:
        return _Lines(*(getattr(self, f.name).index_select(0, listed(keep)) for f in fields(self)))


def _lines(problem: Problem, best: BestKnown, c: Candidates, once: bool) -> _Lines:
    rest_cost = (c.cost[:, None] - number_cost(problem, c)).clamp_min(0.0)
    own = problem.own.numbers[c.rows]
    room = torch.stack([problem.high[c.rows] - own, own - problem.low[c.rows]], dim=2)  # [b, p, 2]
    steps = torch.minimum(room, affordable(problem, c.rows, own, best.cost[c.rows][:, None] - rest_cost))
    covered = torch.arange(problem.numbers) == c.covered[:, None]
    candidate, number, side = ((steps >= 1) & ~covered[..., None]).nonzero(as_tuple=True)
    if once:
        kept = _first_of_each(c, candidate, number, side)
        candidate, number, side = candidate[kept], number[kept], side[kept]
    rows, run = c.rows[candidate], problem.run[c.rows[candidate]]
    encoded = (
        problem.modelled(c.points.numbers) * problem.slope[problem.run[c.rows]] + problem.offset[problem.run[c.rows]]
    )
    seen = problem.model.quantize_input(encoded.float(), problem.run[c.rows])
    anchor = c.first.index_select(0, candidate)
    anchor.addcmul_(seen[candidate, number][:, None], problem.number_column(run, number), value=-1)
    return _Lines(
        rows, candidate, number, 1.0 - 2.0 * side, anchor, rest_cost[candidate, number],
        torch.ones(len(rows), dtype=torch.float64), steps[candidate, number, side],
    )  # fmt: skip


def _first_of_each(c: Candidates, candidate: Tensor, number: Tensor, side: Tensor) -> Int[Tensor, "k"]:
    """One of all lines of a person with the same number, side and point without that number, told by 64-bit hashes."""
    random = torch_stream(0, "recourse/lines")
    sizes = (c.points.numbers.shape[1], c.points.levels.shape[1], 3)
    of_number, of_level, of_line = (torch.randint(-(2**62), 2**62, (n,), generator=random) for n in sizes)
    counts = c.points.numbers.long()
    point = (counts * of_number).sum(1) + (c.points.levels * of_level).sum(1) + c.rows * of_line[0]
    line = point[candidate] - counts[candidate, number] * of_number[number]
    line += number * of_line[1] + side * of_line[2]
    order = line.argsort(stable=True)
    first = torch.ones_like(order, dtype=torch.bool)
    first[1:] = line[order][1:] != line[order][:-1]
    return order[first].sort().values


def affordable(problem: Problem, rows: Tensor, own: Tensor, budget: Float[Tensor, "b p"]) -> Float[Tensor, "b p 2"]:
    """Grid steps up and down from a count that the budget pays for."""
    reach = budget.clamp_min(0.0) / problem.number_price[problem.run[rows]]
    here = problem.modelled(own)
    up, down = here + reach, here - reach
    up = torch.where(problem.log, torch.expm1(up), up) / problem.step - own
    down = own - torch.where(problem.log, torch.expm1(down), down) / problem.step
    return torch.stack([up, down], dim=2).nan_to_num(posinf=math.inf).add(ROUNDING).floor()


def _narrow(problem: Problem, best: BestKnown, points: Points, lines: _Lines, grid: int) -> _Lines:
    """Offer the first valid sample of each line; what is left of the brackets that may still hold a cheaper one."""
    parts = torch.arange(1, grid + 1, dtype=torch.float64) / grid
    samples = (lines.low[:, None] + (lines.high - lines.low)[:, None] * parts).round()
    valid = _logits_along(problem, lines, samples) >= problem.target
    hit = valid.any(1).nonzero()[:, 0]
    lines, samples, valid = lines.take(hit), samples[hit], valid[hit]
    at = valid.float().argmax(1)  # the first valid sample
    high = samples.gather(1, at[:, None])[:, 0]
    before = samples.gather(1, (at - 1).clamp_min(0)[:, None])[:, 0]
    low = torch.minimum(torch.where(at > 0, before + 1, lines.low), high)
    own = problem.own.numbers[lines.rows, lines.number]
    _offer_lines(problem, best, points, lines, own + lines.sign * high)
    floor = lines.rest_cost + _step_cost(problem, lines, own + lines.sign * low)
    keep = ((low < high) & (floor < best.cost[lines.rows] - LEAST_GAIN)).nonzero()[:, 0]
    return replace(lines.take(keep), low=low[keep], high=high[keep] - 1)


def _logits_along(problem: Problem, lines: _Lines, samples: Float[Tensor, "n k"]) -> Float[Tensor, "n k"]:
    """Logits so many grid steps along each line."""
    run = problem.run[lines.rows]
    counts = problem.own.numbers[lines.rows, lines.number][:, None] + lines.sign[:, None] * samples
    encoded = _modelled_one(problem, counts, lines.number) * problem.slope[run, lines.number][:, None]
    encoded += problem.offset[run, lines.number][:, None]
    seen = problem.model.quantize_input(encoded.float(), run)
    weight = problem.number_column(run, lines.number)
    first = torch.addcmul(lines.anchor[:, None], seen[..., None], weight[:, None])
    grid = samples.shape[1]
    return problem.forward_from_first(first.flatten(0, 1), run.repeat_interleave(grid)).view(-1, grid)


def _offer_lines(problem: Problem, best: BestKnown, points: Points, lines: _Lines, counts: Float[Tensor, "n"]) -> None:
    """Offer where each line reaches these counts of its number."""

    def reached(lane: Tensor) -> Points:
        at = points.take(lines.candidate[lane])
        at.numbers.scatter_(1, lines.number[lane][:, None], counts[lane][:, None])
        return at

    best.offer(lines.rows, lines.rest_cost + _step_cost(problem, lines, counts), reached)


def _step_cost(problem: Problem, lines: _Lines, counts: Float[Tensor, "n"]) -> Float[Tensor, "n"]:
    own = problem.own.numbers[lines.rows, lines.number]
    moved = _modelled_one(problem, counts[:, None], lines.number) - _modelled_one(problem, own[:, None], lines.number)
    return moved[:, 0].abs() * problem.number_price[problem.run[lines.rows], lines.number]


def _modelled_one(problem: Problem, counts: Float[Tensor, "n k"], number: Int[Tensor, "n"]) -> Float[Tensor, "n k"]:
    raw = counts * problem.step[number][:, None]
    return torch.where(problem.log[number][:, None], torch.log1p(raw), raw) if problem.has_log else raw
