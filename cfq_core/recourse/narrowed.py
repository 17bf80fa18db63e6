"""Of a wide table's moves, those that gain most for what they cost: pairs of all of them are cubic in the features."""

from __future__ import annotations

from dataclasses import replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from cfq_core.recourse.best_known import BestKnown
from cfq_core.recourse.problem import EVALUATIONS, Points, Problem


def narrowed(problem: Problem, best: BestKnown, rows: Int[Tensor, "n"], moves: int) -> Problem:
    """The problem in which the listed instances may only make their best moves from where they would go.

    A move: one number up or down by a unit of cost, or as far as it goes, or one category to another level; the best
    gain most logits for each unit of cost. What has been changed already stays free, beside ``moves`` others.
    Everybody else's problem stays as it is.
    """
    low, high, allowed = problem.low.clone(), problem.high.clone(), problem.allowed.clone()
    block = max(1, EVALUATIONS // (2 * problem.numbers + len(problem.group)))
    for part in rows.split(block):
        now, own = best.points.take(part), problem.own.take(part)
        down, up, levels = _best(problem, now, part, moves)
        moved = now.numbers != own.numbers
        low[part] = torch.where(down | moved, low[part], own.numbers)
        high[part] = torch.where(up | moved, high[part], own.numbers)
        switched = (now.levels != own.levels)[:, problem.group]
        here = torch.zeros_like(levels).scatter_(1, own.levels, True)
        allowed[part] &= levels | switched | here
    return replace(problem, low=low, high=high, allowed=allowed)


def _best(
    problem: Problem, now: Points, rows: Int[Tensor, "n"], moves: int
) -> tuple[Bool[Tensor, "n p"], Bool[Tensor, "n p"], Bool[Tensor, "n q"]]:
    """Which numbers to move down, which up, which levels to switch to."""
    worth = torch.cat([*_numbers(problem, now, rows), _levels(problem, now, rows)], 1)
    fresh = torch.cat([(now.numbers == problem.own.numbers[rows]).repeat(1, 2), _unmoved(problem, now, rows)], 1)
    worth = torch.where(fresh, worth, -torch.inf)
    chosen = torch.zeros_like(fresh).scatter_(1, worth.topk(min(moves, worth.shape[1]), dim=1).indices, True)
    chosen &= worth.isfinite()
    return tuple(chosen.split([problem.numbers, problem.numbers, len(problem.group)], dim=1))


def _unmoved(problem: Problem, now: Points, rows: Int[Tensor, "n"]) -> Bool[Tensor, "n q"]:
    return (now.levels == problem.own.levels[rows])[:, problem.group]


def _numbers(problem: Problem, now: Points, rows: Int[Tensor, "n"]) -> list[Float[Tensor, "n p"]]:
    """Logits that a unit of cost gains, for every number down and up."""
    run, here = problem.run[rows], problem.modelled(now.numbers)
    seen, first, out = problem.seen(now.numbers, run), problem.first(now, rows), []
    before = problem.forward_from_first(first, run)
    for sign, end in ((-1.0, problem.low), (1.0, problem.high)):
        there = here + sign / problem.number_price[run]
        counts = (torch.where(problem.log, torch.expm1(there), there) / problem.step).round()
        counts = torch.minimum(torch.maximum(counts, problem.low[rows]), problem.high[rows])
        counts = torch.where(counts == now.numbers, _towards(now.numbers, end[rows], sign), counts)
        paid = (problem.modelled(counts) - here).abs() * problem.number_price[run]
        change = (problem.seen(counts, run) - seen)[..., None] * problem.number_weight[run]
        out.append(_worth(problem, first[:, None] + change, run, before, paid))
    return out


def _towards(counts: Float[Tensor, "n p"], end: Float[Tensor, "n p"], sign: float) -> Float[Tensor, "n p"]:
    """One step of the grid, where there is one: a step may cost more than a unit."""
    return torch.where((end - counts) * sign >= 1, counts + sign, counts)


def _levels(problem: Problem, now: Points, rows: Int[Tensor, "n"]) -> Float[Tensor, "n q"]:
    """Logits that a unit of cost gains, for every level."""
    run, first = problem.run[rows], problem.first(now, rows)
    before = problem.forward_from_first(first, run)
    weight = problem.switch_weight[run]  # [n, q, h]
    current = now.levels[:, problem.group]
    change = weight - weight.gather(1, current[..., None].expand(-1, -1, weight.shape[2]))
    worth = _worth(problem, first[:, None] + change, run, before, problem.switch_price.expand(len(rows), -1))
    return torch.where(problem.allowed[rows] & (torch.arange(len(problem.group)) != current), worth, -torch.inf)


def _worth(
    problem: Problem, first: Float[Tensor, "n m h"], run: Int[Tensor, "n"], before: Tensor, paid: Float[Tensor, "n m"]
) -> Float[Tensor, "n m"]:
    moves = first.shape[1]
    after = problem.forward_from_first(first.flatten(0, 1), run.repeat_interleave(moves)).view(len(first), moves)
    return torch.where(paid > 0, (after - before[:, None]).double() / paid.clamp_min(1e-12), -torch.inf)
