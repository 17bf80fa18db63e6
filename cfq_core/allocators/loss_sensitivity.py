"""Factual sensitivity: how much the training loss rises when one layer is rounded.

Rounding sometimes lowers the loss by chance. Taken at its word, the knapsack would buy fewer bits *because* they
help; like the trace-based measures (HAWQ), which cannot be negative, a fall counts as no harm.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from cfq_core.allocators.sensitivity import CHOICES, ROWS, one_layer_rounded, one_teacher_at_a_time, plans_of
from cfq_core.nets.stack import Stack, score
from cfq_core.quant.bits import BitPlan
from cfq_core.quant.calibrate import Calibration
from cfq_core.quant.training_data import TrainingData
from cfq_core.training.losses import task_loss


@dataclass(frozen=True)
class LossSensitivity:
    """Mean cross-entropy with one layer rounded, minus that of the teacher, on training rows."""

    KEY = "loss_sensitivity"
    rows: int = ROWS
    least: float = 0.0  # loss increase that a fall counts as

    def plans(self, data: TrainingData, calibration: Calibration, budgets: Sequence[float]) -> tuple[BitPlan, ...]:
        """One plan a run and budget, budgets innermost."""
        return plans_of(self.sensitivity(data, calibration), data.teachers.sizes, budgets)

    @one_teacher_at_a_time
    def sensitivity(self, data: TrainingData, calibration: Calibration) -> Float[Tensor, "r l c"]:
        """Loss increase of every run, layer and choice of bits."""
        inputs, outcome = data.inputs[:, : self.rows], data.outcome[:, : self.rows]
        weight = None if data.row_weight is None else data.row_weight[:, : self.rows]

        def loss(stack: Stack) -> Float[Tensor, "r"]:
            return task_loss(score(stack, inputs), outcome, weight)

        teachers = data.teachers
        base = loss(teachers)
        out = torch.zeros(teachers.runs, len(teachers.weights), len(CHOICES))
        for layer, choice, stack in one_layer_rounded(teachers, calibration):
            out[:, layer, choice] = (loss(stack) - base).clamp_min(self.least)
        return out


PLUGIN = LossSensitivity()
