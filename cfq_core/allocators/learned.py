"""Bits learned with the task: soft gates held to the budget, hardened by an exact knapsack (the paper's CFQ).

The expected average bits are held to the budget by an augmented Lagrangian,
``(max(0, m + r g)^2 - m^2) / 2r`` with ``g = E[bits] - budget`` and ``m <- max(0, m + r g)``; the plan is
the most likely one that fits and spends the budget, by a knapsack over the gates' log-probabilities. The most likely
one that fits would leave up to a sixth of the budget: what the gates hold open between two choices is lost on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from cfq_core.allocators.knapsack import fullest_plan
from cfq_core.allocators.sensitivity import CHOICES
from cfq_core.base.errors import BadPlan
from cfq_core.nets.optim import Adam
from cfq_core.quant.bits import BitPlan
from cfq_core.quant.calibrate import Calibration
from cfq_core.quant.training_data import TrainingData
from cfq_core.training.finetune import QatConfig, Schedule, Student, objectives
from cfq_core.training.gates import Gates
from cfq_core.training.losses import Weights


@dataclass(frozen=True)
class Learned:
    """Gates trained with a config's own losses for a third of a training, then discarded but for the plan."""

    KEY = "learned"
    config: QatConfig = field(default_factory=lambda: QatConfig(Weights(task=1.0, outcome=0.5)))
    schedule: Schedule = field(default_factory=Schedule)
    share_of_steps: float = 1 / 3
    gate_rate: float = 0.05  # learning rate of the gates' logits
    penalty: float = 1.0  # r: loss per squared bit over the budget
    update_every: int = 10  # steps between updates of the multiplier
    spent: float = 0.97  # share of the budget that a plan uses at least, where any does
    learns_bits = True

    @property
    def needs_recourse(self) -> bool:
        """Whether the losses look at training recourse."""
        return self.config.losses.at_recourse

    def plans(self, data: TrainingData, calibration: Calibration, budgets: Sequence[float]) -> tuple[BitPlan, ...]:
        """One plan a run and budget, budgets innermost; all gates are trained as one stack."""
        if min(budgets) < min(CHOICES):
            raise BadPlan(f"a budget of {min(budgets):g} bits per weight; at least {min(CHOICES)}")
        runs = [r for r in range(data.teachers.runs) for _ in budgets]
        wanted = torch.tensor([float(b) for _ in range(data.teachers.runs) for b in budgets])
        if len(runs) == 1:  # a product of one run with one output takes another kernel
            return self.plans(data, calibration, [*budgets] * 2)[:1]
        gates = self._train(data, runs, wanted)
        logs = torch.log_softmax(gates.logits.detach(), dim=2)
        sizes = data.teachers.sizes
        each = zip(logs, wanted, strict=True)
        return tuple(fullest_plan((-t).tolist(), CHOICES, sizes, float(b), self.spent) for t, b in each)

    def _train(self, data: TrainingData, runs: list[int], wanted: torch.Tensor) -> Gates:
        gates = Gates(data.teachers.sizes, CHOICES, wanted)
        bits = torch.full((len(runs), len(data.teachers.weights)), max(CHOICES))
        configs = [self.config] * len(runs)
        student = Student(data.teachers, bits, data.inputs, configs, gates, runs, data.activation_bits)
        rest = [p for p in student.parameters if p is not gates.logits]
        rates: list[dict[str, Any]] = [{"params": rest}, {"params": [gates.logits], "lr": self.gate_rate}]
        optimizer = Adam(rates, lr=self.schedule.rate(data.inputs.shape[1]), fused=True)
        multiplier = torch.zeros(len(runs))
        steps = max(1, round(self.schedule.steps(data.inputs.shape[1]) * self.share_of_steps))
        for step, loss in enumerate(objectives(student, data, runs, self.schedule, steps)):
            over = gates.average_bits() - wanted
            held = (torch.relu(multiplier + self.penalty * over).square() - multiplier.square()) / (2 * self.penalty)
            optimizer.zero_grad()
            (loss + held).sum().backward()
            optimizer.step()
            if step % self.update_every == self.update_every - 1:
                multiplier = torch.relu(multiplier + self.penalty * (gates.average_bits().detach() - wanted))
        return gates


PLUGIN = Learned()
