"""What a method is: a small frozen record. What it may see is `TrainingData`: no test rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from cfq_core.base.errors import CfqError
from cfq_core.base.identity import LABEL
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

    def take(self, runs: Sequence[int]) -> Students:
        """The chosen ones."""
        return Students(self.models.take(runs), tuple(self.plans[r] for r in runs))

    @staticmethod
    def join(several: Sequence[Students]) -> Students:
        """All of them, in order."""
        return Students(QuantStack.join([s.models for s in several]), tuple(p for s in several for p in s.plans))


@runtime_checkable
class Method(Protocol):
    """A way from teachers to students."""

    title: str
    trained: bool  # an optimizer runs for every student, which takes longer; False where weights are only rounded

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

    KEY = "ptq"
    trained = False
    title: str = field(metadata=LABEL)
    allocator: Allocator
    calibration: Calibration
    correct_shift: bool = False  # add the mean of f - q over training rows to the last bias
    about: str = field(default="", metadata=LABEL)  # one line for a list of all methods

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
            models = models.raised(torch.cat([_gap(data, m, models.take([r])) for r, m in enumerate(runs)]))
        return Students(models, plans)


def _gap(data: TrainingData, teacher: int, student: QuantStack) -> Float[Tensor, "1"]:
    """Mean of f - q over one teacher's training rows, of one student."""
    seen = data.inputs[[teacher]].double()
    return (score(data.teachers.take([teacher]).to(torch.float64), seen) - score(student, seen)).mean(1)


@dataclass(frozen=True)
class Qat:
    """Quantization-aware training: an allocator chooses the bits, a config what is trained on what."""

    KEY = "qat"
    trained = True
    title: str = field(metadata=LABEL)
    allocator: Allocator
    config: QatConfig
    schedule: Schedule = field(default_factory=Schedule)
    about: str = field(default="", metadata=LABEL)  # one line for a list of all methods
    several_sources: bool = False  # learns from promises of further sources too, in equal turn (`pipeline.FURTHER`)

    @property
    def needs_recourse(self) -> bool:
        """Whether bits or losses look at training recourse."""
        return getattr(self.allocator, "needs_recourse", False) or self.config.losses.at_recourse

    def students(self, data: TrainingData, budgets: Sequence[float]) -> Students:
        """One student a teacher and budget; the teachers are not changed."""
        runs = each_budget(data, budgets)
        seen = data if self.several_sources else replace(data, further=())
        if self.several_sources and not data.further:
            raise CfqError(f"{self.title} needs training recourse of further sources, and none was computed")
        plans = self.allocator.plans(seen, Calibration(), budgets)
        models = finetune(seen, runs, torch.tensor(plans), [self.config] * len(runs), self.schedule)
        return Students(models, plans)


def has_several_sources(method: Method) -> bool:
    """Whether a method learns from promises of further sources too."""
    return bool(getattr(method, "several_sources", False))


def each_budget(data: TrainingData, budgets: Sequence[float]) -> list[int]:
    """Run numbers of the training data, each repeated for every budget."""
    return [r for r in range(data.teachers.runs) for _ in budgets]
