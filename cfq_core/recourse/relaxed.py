"""Gradient search on a relaxation: numbers move freely in their boxes, categories on simplexes.

Adam minimises ``hinge(target + slack - logit) + price * cost`` for several prices at once; every few
steps the iterate is hardened (numbers to their grid, categories to one level) and offered.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from cfq_core.base.seeds import torch_stream
from cfq_core.nets.optim import Adam
from cfq_core.recourse.best_known import BestKnown, Candidates, try_points
from cfq_core.recourse.problem import EVALUATIONS, Points, Problem, by_run

HINGE_SLACK = 0.1  # logits beyond the target that the hinge asks for, so that hardening may lose some
COOLEST = 0.2  # softmax temperature at the end; 1 at the start
EVERY = 5  # steps between hardenings
SPREAD = (0.05, 0.3)  # starting noise of numbers (standard deviations) and of levels (softmax logits)


@dataclass(frozen=True)
class Relaxed:
    """Settings of the gradient search."""

    KEY = "relaxed"
    steps: int = 40
    learning_rate: float = 0.08
    prices: tuple[float, ...] = (0.02, 0.05, 0.1, 0.2, 0.4, 0.8)  # logits per unit of cost

    def improve(self, problem: Problem, best: BestKnown, rows: Int[Tensor, "n"] | None = None) -> None:
        """Offer the hardened iterates of every instance, or of the listed, as candidates for the best known."""
        rows = torch.arange(len(problem)) if rows is None else rows
        if problem.numbers + problem.groups == 0 or self.steps == 0 or not len(rows):
            return
        index, real = by_run(problem, rows)
        block = max(1, EVALUATIONS // (len(self.prices) * len(index)))
        for start in range(0, index.shape[1], block):
            _Block(problem, self, index[:, start : start + block], real[:, start : start + block]).descend(best)


class _Block:
    """One block of instances: [R, n] people x K prices, flattened to [R, n*K]."""

    def __init__(self, problem: Problem, how: Relaxed, index: Int[Tensor, "r n"], real: Bool[Tensor, "r n"]) -> None:
        k = len(how.prices)
        self.problem, self.how, self.k = problem, how, k
        self.rows = index.repeat_interleave(k, dim=1)  # [R, n*K]
        self.real = real.repeat_interleave(k, dim=1)
        self.price = torch.tensor(how.prices).repeat(index.shape[1])
        slope, offset = problem.slope[:, None], problem.offset[:, None]
        own = problem.modelled(problem.own.numbers[self.rows])
        self.own = (own * slope + offset).float()
        self.low = (problem.modelled(problem.low[self.rows]) * slope + offset).float()
        self.high = (problem.modelled(problem.high[self.rows]) * slope + offset).float()
        self.number_price = (problem.number_price / problem.slope).float()[:, None]
        self.closed = torch.where(problem.allowed[self.rows], 0.0, -1e9)
        self.members = torch.nn.functional.one_hot(problem.group, max(problem.groups, 1)).float()
        self.own_level = torch.zeros(*self.rows.shape, len(problem.group))
        self.own_level.scatter_(2, problem.own.levels[self.rows], 1.0)
        self.level_price = (1 - self.own_level) * problem.switch_price.float()

    def descend(self, best: BestKnown) -> None:
        generator = torch_stream(0, "recourse/relaxed")  # the same start for everybody: no answer depends on neighbours
        n = self.rows.shape[1] // self.k
        noise = [
            torch.randn(self.k, w, generator=generator).repeat(n, 1)
            for w in (self.problem.numbers, len(self.problem.group))
        ]
        moved = (SPREAD[0] * noise[0]).expand(len(self.rows), -1, -1).clone().requires_grad_()
        taste = (self.own_level + SPREAD[1] * noise[1]).requires_grad_()
        optimizer = Adam([moved, taste], lr=self.how.learning_rate)
        for step in range(self.how.steps):
            loss = self._loss(moved, taste, max(COOLEST, 1 - step / self.how.steps))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            with torch.no_grad():
                moved.copy_(torch.clamp(moved, self.low - self.own, self.high - self.own))
                if step % EVERY == EVERY - 1 or step == self.how.steps - 1:
                    self._offer(best, moved, taste)

    def _loss(self, moved: Tensor, taste: Tensor, temperature: float) -> Tensor:
        problem = self.problem
        inputs = torch.clamp(self.own + moved, self.low, self.high)
        first = problem.base[self.rows] + torch.bmm(problem.model.quantize_input(inputs), problem.number_weight)
        cost = ((inputs - self.own).abs() * self.number_price).sum(2)
        if problem.groups:
            share = self._softmax((taste + self.closed) / temperature)
            first = first + torch.bmm(share, problem.switch_weight)
            cost = cost + (share * self.level_price).sum(2)
        hinge = torch.relu(problem.target + HINGE_SLACK - problem.model.forward_from_first(first))
        return (hinge + self.price * cost).sum()

    def _softmax(self, logits: Tensor) -> Tensor:
        """Softmax within each category."""
        odds = torch.exp(logits - logits.detach().amax(2, keepdim=True))
        return odds / (odds @ self.members)[..., self.problem.group].clamp_min(1e-30)

    def _offer(self, best: BestKnown, moved: Tensor, taste: Tensor) -> None:
        problem, rows = self.problem, self.rows[self.real]
        points = Points(self._to_grid(moved)[self.real], self._to_level(taste)[self.real])
        try_points(problem, best, Candidates.at(problem, rows, points))

    def _to_grid(self, moved: Tensor) -> Float[Tensor, "r nk p"]:
        """Nearest grid point by distance from the person's own value, inside the box."""
        problem = self.problem
        own = problem.own.numbers[self.rows]
        raw = problem.modelled(own) + moved.double() / problem.slope[:, None]
        counts = torch.where(problem.log, torch.expm1(raw), raw) / problem.step
        return torch.clamp(own + (counts - own).round(), problem.low[self.rows], problem.high[self.rows])

    def _to_level(self, taste: Tensor) -> Int[Tensor, "r nk g"]:
        logits = taste + self.closed
        best = [logits.masked_fill(self.problem.group != g, -2e9).argmax(2) for g in range(self.problem.groups)]
        return torch.stack(best, dim=2) if best else torch.zeros(*logits.shape[:2], 0, dtype=torch.int64)
