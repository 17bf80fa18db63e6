"""For people without an answer: climb the logit from several starts until some point is valid."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from cfq_core.base.seeds import torch_stream
from cfq_core.recourse.best_known import BestKnown
from cfq_core.recourse.problem import Points, Problem

SWEEPS = 4  # passes over all coordinates
SCREENED = 256  # random places looked at before the best of them are climbed from
ROWS_AT_A_TIME = 64  # people screened together: their candidates fit the cache
SAMPLES = 17  # grid points of a number in one look; a second look refines around the best


def rescue(problem: Problem, best: BestKnown, rows: Int[Tensor, "n"], restarts: int) -> None:
    """Coordinate ascent on the logit for the listed instances; offers the cheapest valid end point."""
    climbers = rows.repeat_interleave(restarts)
    points = _starts(problem, rows, restarts)
    logits = problem.logits(points, climbers)
    order_of = torch_stream(0, "recourse/rescue/order")
    for _ in range(SWEEPS):
        for coordinate in torch.randperm(problem.numbers + problem.groups, generator=order_of).tolist():
            climbing = (logits < problem.target).nonzero()[:, 0]
            if not len(climbing):
                break
            if coordinate < problem.numbers:
                _climb_number(problem, climbers, points, logits, climbing, coordinate)
            else:
                _climb_level(problem, climbers, points, logits, climbing, coordinate - problem.numbers)
    valid = (logits >= problem.target).nonzero()[:, 0]
    ends = points.take(valid)
    best.offer(climbers[valid], problem.cost(ends, climbers[valid]), ends.take)


def _starts(problem: Problem, rows: Int[Tensor, "n"], restarts: int) -> Points:
    """The best of many random realisable places, and the person's own: the same draws for everybody.

    Numbers are drawn from their ends, their own value and the grid between: logits tend to be extreme at ends.
    """
    generator = torch_stream(0, "recourse/rescue/starts")
    share = torch.rand(SCREENED, problem.numbers, generator=generator, dtype=torch.float64)
    kind = torch.randint(0, 4, share.shape, generator=generator)
    taste = torch.rand(SCREENED, len(problem.group), generator=generator)
    kept = [_screened(problem, part, share, kind, taste, restarts) for part in rows.split(ROWS_AT_A_TIME)]
    return Points.join(kept)


def _screened(problem: Problem, rows: Tensor, share: Tensor, kind: Tensor, taste: Tensor, restarts: int) -> Points:
    low, high, own = problem.low[rows][:, None], problem.high[rows][:, None], problem.own.take(rows)
    between = (low + (high - low) * share).round()
    numbers = torch.where(kind == 0, low, torch.where(kind == 1, high, between))
    numbers = torch.where(kind == 2, own.numbers[:, None].expand_as(numbers), numbers)
    open_ = problem.allowed[rows][:, None]
    levels = [torch.where(open_ & (problem.group == g), taste, -1.0).argmax(2) for g in range(problem.groups)]
    chosen = torch.stack(levels, dim=2) if levels else own.levels[:, None].expand(-1, SCREENED, -1).clone()
    numbers[:, 0], chosen[:, 0] = own.numbers, own.levels
    drawn = Points(numbers.flatten(0, 1), chosen.flatten(0, 1))
    logits = problem.logits(drawn, rows.repeat_interleave(SCREENED)).view(len(rows), SCREENED)
    best = logits.topk(restarts, dim=1).indices + SCREENED * torch.arange(len(rows))[:, None]
    return drawn.take(best.flatten())


def _climb_number(
    problem: Problem, climbers: Tensor, points: Points, logits: Float[Tensor, "c"], climbing: Int[Tensor, "k"], j: int
) -> None:
    rows = climbers[climbing]
    low, high = problem.low[rows, j], problem.high[rows, j]
    for _ in range(2):
        counts = (low[:, None] + (high - low)[:, None] * torch.linspace(0, 1, SAMPLES, dtype=torch.float64)).round()
        tried = points.numbers[climbing].repeat_interleave(SAMPLES, 0)
        tried[:, j] = counts.flatten()
        levels = points.levels[climbing].repeat_interleave(SAMPLES, 0)
        found = problem.logits(Points(tried, levels), rows.repeat_interleave(SAMPLES)).view(-1, SAMPLES)
        value, at = found.max(1)
        centre = counts.gather(1, at[:, None])[:, 0]
        higher = value > logits[climbing]
        points.numbers[climbing[higher], j] = centre[higher]
        logits[climbing[higher]] = value[higher]
        width = ((high - low) / (SAMPLES - 1)).ceil()
        low, high = (
            torch.maximum(centre - width, problem.low[rows, j]),
            torch.minimum(centre + width, problem.high[rows, j]),
        )


def _climb_level(
    problem: Problem, climbers: Tensor, points: Points, logits: Float[Tensor, "c"], climbing: Int[Tensor, "k"], g: int
) -> None:
    rows = climbers[climbing]
    columns = (problem.group == g).nonzero()[:, 0]
    tried = points.levels[climbing].repeat_interleave(len(columns), 0)
    tried[:, g] = columns.repeat(len(climbing))
    numbers = points.numbers[climbing].repeat_interleave(len(columns), 0)
    found = problem.logits(Points(numbers, tried), rows.repeat_interleave(len(columns))).view(-1, len(columns))
    value, at = found.masked_fill(~problem.allowed[rows][:, columns], -torch.inf).max(1)
    higher = value > logits[climbing]
    points.levels[climbing[higher], g] = columns[at[higher]]
    logits[climbing[higher]] = value[higher]
