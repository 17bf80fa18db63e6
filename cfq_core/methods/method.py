"""What a method is: a small frozen record. What it may see is `TrainingData`: no test rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import torch

from cfq_core.nets.stack import score
from cfq_core.quant.bits import BitPlan
from cfq_core.quant.calibrate import Calibration
from cfq_core.quant.quantized import QuantStack
from cfq_core.quant.training_data import TrainingData
from cfq_core.training.finetune import QatConfig, Schedule, finetune


@runtime_checkable
class Allocator(Protocol):
    """Turns a budget into bits per layer."""

    def plans(self, data: TrainingData, calibration: Calibration, budgets: Sequence[float]) -> tuple[BitPlan, ...]:
        """One plan a run and budget, budgets innermost; its average never exceeds the budget."""
        ...


@dataclass(frozen=True)
class Students:
    """Quantized models, one a (run of the data, budget) pair, budgets innermost, and their plans."""

    models: QuantStack
    plans: tuple[BitPlan, ...]


@runtime_checkable
class Method(Protocol):
    """A way from teachers to students."""

    title: str

    @property
    def needs_recourse(self) -> bool:
        """Whether it looks at training recourse."""
        ...

    def students(self, data: TrainingData, budgets: Sequence[float]) -> Students:
        """One student a teacher and budget; the teachers are not changed."""
        ...


@dataclass(frozen=True)
class Ptq:
    """Round a trained model: an allocator chooses the bits, a calibration the steps, nothing is trained."""

    title: str
    allocator: Allocator
    calibration: Calibration
    correct_shift: bool = False  # add the mean of f - q over training rows to the last bias
    about: str = ""  # one line for a list of all methods

    @property
    def needs_recourse(self) -> bool:
        """Whether the allocator looks at training recourse."""
        return getattr(self.allocator, "needs_recourse", False)

    def students(self, data: TrainingData, budgets: Sequence[float]) -> Students:
        """One student a teacher and budget; the teachers are not changed."""
        runs = each_budget(data, budgets)
        plans = self.allocator.plans(data, self.calibration, budgets)
        models = self.calibration.quantize(data.teachers, torch.tensor(plans), data.inputs, runs, data.activation_bits)
        if self.correct_shift:
            seen = data.inputs[runs].double()
            gap = score(data.teachers.take(runs).to(torch.float64), seen) - score(models, seen)
            models = models.raised(gap.mean(1))
        return Students(models, plans)


@dataclass(frozen=True)
class Qat:
    """Quantization-aware training: an allocator chooses the bits, a config what is trained on what."""

    title: str
    allocator: Allocator
    config: QatConfig
    schedule: Schedule = field(default_factory=Schedule)
    about: str = ""  # one line for a list of all methods

    @property
    def needs_recourse(self) -> bool:
        """Whether bits or losses look at training recourse."""
        return getattr(self.allocator, "needs_recourse", False) or self.config.losses.at_recourse

    def students(self, data: TrainingData, budgets: Sequence[float]) -> Students:
        """One student a teacher and budget; the teachers are not changed."""
        return trained_together([self], data, budgets)[0]


def trained_together(methods: Sequence[Qat], data: TrainingData, budgets: Sequence[float]) -> list[Students]:
    """The students of several methods that share a schedule, as one stack: methods x teachers x budgets."""
    runs = each_budget(data, budgets)
    plans = [m.allocator.plans(data, Calibration(), budgets) for m in methods]
    bits = torch.tensor([plan for of_method in plans for plan in of_method])
    configs = [m.config for m in methods for _ in runs]
    models = finetune(data, runs * len(methods), bits, configs, methods[0].schedule)
    size = len(runs)
    return [Students(models.take(range(i * size, (i + 1) * size)), plans[i]) for i in range(len(methods))]


def each_budget(data: TrainingData, budgets: Sequence[float]) -> list[int]:
    """Run numbers of the training data, each repeated for every budget."""
    return [r for r in range(data.teachers.runs) for _ in budgets]
