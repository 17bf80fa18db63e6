"""Points that constraints forbid, moved to where they are allowed: columns that follow first, then one more column.

Where nothing ties features together every function gives its points back as they are.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from cfq_core.recourse.problem import Points, Problem

HALVINGS = 40  # of a stretch of counts: its nearest allowed one is found to the step


def barred(problem: Problem, rows: Int[Tensor, "b"], points: Points) -> Bool[Tensor, "b"]:
    """Which points break a constraint, with what follows put right."""
    if problem.tied is None:
        return torch.zeros(len(rows), dtype=torch.bool)
    return ~problem.tied.completed(points.numbers, points.levels, rows)[1]


def kept(problem: Problem, rows: Int[Tensor, "b"], points: Points) -> tuple[Int[Tensor, "k"], Points]:
    """The points that constraints allow, with what follows put right."""
    if problem.tied is None:
        return rows, points
    numbers, legal = problem.tied.completed(points.numbers, points.levels, rows)
    return rows[legal], Points(numbers, points.levels).take(legal)


def settled(problem: Problem, rows: Int[Tensor, "b"], points: Points) -> tuple[Int[Tensor, "k"], Points]:
    """The points that are allowed, and for each other one those it becomes by one more move; rows increasing."""
    if problem.tied is None:
        return rows, points
    numbers, legal = problem.tied.completed(points.numbers, points.levels, rows)
    points = Points(numbers, points.levels)
    found = [(rows[legal], points.take(legal)), *_repaired(problem, rows[~legal], points.take(~legal))]
    listed = torch.cat([r for r, _ in found])
    order = torch.argsort(listed, stable=True)
    return listed[order], Points.join([p for _, p in found]).take(order)


def _repaired(problem: Problem, rows: Int[Tensor, "b"], points: Points) -> Iterator[tuple[Tensor, Points]]:
    tied = problem.tied
    if tied is None or not len(rows):
        return
    for j in tied.involved[: tied.free].nonzero()[:, 0].tolist():
        own, low, high = problem.own.numbers[rows, j], problem.low[rows, j], problem.high[rows, j]
        for end in (own, low, high):
            yield _towards(problem, rows, points, j, end)
    for g in tied.involved[problem.numbers :].nonzero()[:, 0].tolist():
        for column in (problem.group == g).nonzero()[:, 0].tolist():
            open_ = problem.allowed[rows, column] & (points.levels[:, g] != column)
            levels = points.levels[open_].clone()
            levels[:, g] = column
            yield kept(problem, rows[open_], Points(points.numbers[open_], levels))


def _towards(
    problem: Problem, rows: Int[Tensor, "b"], points: Points, j: int, end: Float[Tensor, "b"]
) -> tuple[Tensor, Points]:
    """Points with number ``j`` moved as little towards an allowed end as is allowed, by halving."""
    tied = problem.tied
    assert tied is not None, "asked of tied problems only"
    moved = points.numbers.clone()
    moved[:, j] = end
    ended, legal = tied.completed(moved, points.levels, rows)
    rows, levels, best = rows[legal], points.levels[legal], ended[legal]
    near, far = points.numbers[legal, j], end[legal]  # forbidden, allowed
    for _ in range(HALVINGS):
        if not ((far - near).abs() > 1).any():
            break
        between = ((near + far) / 2).trunc()
        tried = best.clone()
        tried[:, j] = between
        tried, allowed = tied.completed(tried, levels, rows)
        best = torch.where(allowed[:, None], tried, best)
        near, far = torch.where(allowed, near, between), torch.where(allowed, between, far)
    return rows, Points(best, levels)
