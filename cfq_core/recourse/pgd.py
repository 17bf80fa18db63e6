"""The paper's teacher: K projected gradient steps on the relaxed numbers, categories as they are.

Kept as published practice, not as advice: it misses people whose answer needs a category and
overshoots, and its overshoot acts as a hidden margin. Every iterate is put on the grid away from the
person's own value and the cheapest valid one is returned. An iterate that a constraint forbids is repaired or left
out.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from cfq_core.recourse.best_known import BestKnown, Candidates, try_points
from cfq_core.recourse.problem import Points, Problem, by_run
from cfq_core.recourse.repair import settled


@dataclass(frozen=True)
class Pgd:
    """K steps of fixed length along the normalised gradient of ``hinge + price * cost``."""

    KEY = "pgd"
    steps: int = 20
    step_size: float = 0.1  # standard deviations, Euclidean length
    price: float = 0.05  # logits per unit of cost
    slack: float = 0.05  # logits beyond the target

    def best(self, problem: Problem, feasible: Tensor) -> Points:
        """Cheapest valid iterate of every instance."""
        best_known = BestKnown(problem)
        if not problem.numbers or not len(problem):
            return best_known.points
        index, real = by_run(problem)
        slope, offset = problem.slope[:, None], problem.offset[:, None]
        fixed = problem.base[index]
        for g in range(problem.groups):
            fixed = fixed + problem.switch_weight[torch.arange(len(index))[:, None], problem.own.levels[index][..., g]]
        own = problem.modelled(problem.own.numbers[index]) * slope + offset
        low, high = (problem.modelled(b[index]) * slope + offset for b in (problem.low, problem.high))
        if problem.tied is not None:  # what follows is moved by nobody, and put right when an iterate is offered
            low[..., problem.tied.free :], high[..., problem.tied.free :] = (own[..., problem.tied.free :],) * 2
        inputs = own.clone()
        for _ in range(self.steps):
            gradient = self._gradient(problem, inputs, own, fixed)
            length = gradient.norm(dim=2, keepdim=True).clamp_min(1e-12)
            inputs = torch.clamp(inputs - self.step_size * gradient / length, low, high)
            self._offer(problem, best_known, (inputs - offset) / slope, index, real)
        return best_known.points

    def _gradient(self, problem: Problem, inputs: Tensor, own: Tensor, fixed: Tensor) -> Tensor:
        free = inputs.float().requires_grad_()
        logits = problem.model.forward_from_first(
            fixed + torch.bmm(problem.model.quantize_input(free), problem.number_weight)
        )
        cost = ((free - own).abs() * (problem.number_price / problem.slope)[:, None]).sum(2)
        loss = torch.relu(problem.target + self.slack - logits) + self.price * cost
        return torch.autograd.grad(loss.sum(), free)[0].double()

    @staticmethod
    def _offer(problem: Problem, best: BestKnown, modelled: Tensor, index: Tensor, real: Tensor) -> None:
        own = problem.own.numbers[index]
        counts = torch.where(problem.log, torch.expm1(modelled), modelled) / problem.step
        away = own + torch.sign(counts - own) * (counts - own).abs().round()
        numbers = torch.clamp(away, problem.low[index], problem.high[index])
        points = Points(numbers[real], problem.own.levels[index[real]])
        try_points(problem, best, Candidates.at(problem, *settled(problem, index[real], points)))


PLUGIN = Pgd()
