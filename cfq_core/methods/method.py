"""What a method is: a small frozen record, and what it is allowed to see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from cfq_core.nets.stack import Stack
from cfq_core.quant.bits import BitPlan
from cfq_core.quant.calibrate import Calibration
from cfq_core.quant.quantized import QuantStack


@runtime_checkable
class Allocator(Protocol):
    """Turns a budget into bits per layer."""

    def plan(self, sizes: Sequence[int], budget: float) -> BitPlan:
        """Bits per layer; their average never exceeds the budget."""
        ...


@dataclass(frozen=True)
class Material:
    """What a method may see: teachers and their training rows. Test rows are not in it."""

    teachers: Stack
    inputs: Float[Tensor, "r n d"]  # training rows of each teacher
    outcome: Float[Tensor, "r n"]


@dataclass(frozen=True)
class Students:
    """Quantized models, one a (run of the material, budget) pair, budgets innermost, and their plans."""

    models: QuantStack
    plans: tuple[BitPlan, ...]


@dataclass(frozen=True)
class PostTraining:
    """Round a trained model: an allocator chooses the bits, a calibration the steps, nothing is trained."""

    title: str
    allocator: Allocator
    calibration: Calibration

    def students(self, material: Material, budgets: Sequence[float]) -> Students:
        """One student a teacher and budget; the teachers are not changed."""
        runs = [r for r in range(material.teachers.runs) for _ in budgets]
        plans = tuple(
            self.allocator.plan(material.teachers.sizes, b) for _ in range(material.teachers.runs) for b in budgets
        )
        models = self.calibration.quantize(material.teachers.take(runs), torch.tensor(plans), material.inputs[runs])
        return Students(models, plans)
