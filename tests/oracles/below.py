"""Actions that cost less than what is proved to be needed: none of them may be enough."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from cfq_core.base.seeds import torch_stream
from cfq_core.nets.stack import Scorer
from cfq_core.recourse.outcome import Recourse
from cfq_core.recourse.problem import Points, Problem, RecourseQuery, build_problem

AT_ONCE = 20_000


@dataclass(frozen=True)
class Sampled:
    """What sampling found."""

    points: int  # below the bounds
    valid: int
    closest: float  # logits by which the best of them is short of the target


def sampled(model: Scorer, ask: RecourseQuery, answer: Recourse, kappa: float, each: int) -> Sampled:
    """Realisable actions of everybody whose lower bound is finite, a third each: sparse ones near the bound, the best
    known answer's with other sizes, and such in the directions of the best answer.
    """
    problem = build_problem(model, [ask], kappa, torch.float64)
    best = build_problem(model, [RecourseQuery(answer.after, ask.encoding, ask.actions)], kappa, torch.float64).own
    random = torch_stream(0, "tests/below")
    points, valid, closest = 0, 0, -np.inf
    for person in np.flatnonzero(np.isfinite(answer.lower) & (answer.lower > 0)):
        for start in range(0, each, AT_ONCE):
            rows = torch.full((min(AT_ONCE, each - start),), int(person))
            tried = _drawn(problem, rows, best, float(answer.lower[person]), random)
            below = problem.cost(tried, rows) < answer.lower[person] * (1 - 1e-6)
            logits = problem.logits(tried.take(below), rows[below])
            points, valid = points + int(below.sum()), valid + int((logits >= problem.target).sum())
            closest = max(closest, float(logits.max()) if len(logits) else -np.inf)
    return Sampled(points, valid, problem.target - closest)


def _drawn(problem: Problem, rows: torch.Tensor, best: Points, lower: float, random: torch.Generator) -> Points:
    """Points of numbers on no logarithmic scale, and of levels where there are any."""
    own, told = problem.own.take(rows), best.take(rows)
    n, kind = problem.numbers, torch.arange(len(rows)) % 3
    share = torch.rand(len(rows), n, generator=random, dtype=torch.float64) ** 2
    share = share * (torch.rand(len(rows), n, generator=random) < torch.rand(len(rows), 1, generator=random))
    signs = torch.where(torch.rand(len(rows), n, generator=random) < 0.5, -1.0, 1.0)
    towards = torch.sign(told.numbers - own.numbers)
    signs = torch.where((kind[:, None] > 0) & (towards != 0), towards, signs)
    about = (told.numbers - own.numbers) * (0.8 + 0.4 * torch.rand(len(rows), n, generator=random))
    counts = signs * share / (problem.number_price[problem.run[rows]] * problem.step)
    counts = torch.where(kind[:, None] == 2, about, counts)
    paid = (counts.abs() * problem.number_price[problem.run[rows]] * problem.step).sum(1, keepdim=True)
    near = lower * (1 - 0.3 * torch.rand(len(rows), 1, generator=random, dtype=torch.float64) ** 3)
    moved = (counts * near / paid.clamp_min(1e-12)).trunc()
    numbers = torch.minimum(torch.maximum(own.numbers + moved, problem.low[rows]), problem.high[rows])
    levels = torch.where(torch.rand(own.levels.shape, generator=random) < 0.2, told.levels, own.levels)
    return Points(numbers, levels)
