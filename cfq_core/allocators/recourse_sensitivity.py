"""Counterfactual sensitivity: what one layer's rounding does to the logit at recourse points, and only there.

Two-sided, ``mean (q - f)^2`` at ``x + delta*_f`` of the training people. Counting losses alone prefers lenient plans,
and factual rows in the mean dilute it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from cfq_core.allocators.sensitivity import CHOICES, ROWS, one_layer_rounded, one_teacher_at_a_time, plans_of
from cfq_core.nets.stack import score
from cfq_core.quant.bits import BitPlan
from cfq_core.quant.calibrate import Calibration
from cfq_core.quant.training_data import TrainingData


@dataclass(frozen=True)
class RecourseSensitivity:
    """Mean squared change of the logit at training recourse points, one layer rounded at a time."""

    KEY = "recourse_sensitivity"
    rows: int = ROWS
    needs_recourse = True

    def plans(self, data: TrainingData, calibration: Calibration, budgets: Sequence[float]) -> tuple[BitPlan, ...]:
        """One plan a run and budget, budgets innermost."""
        return plans_of(self.sensitivity(data, calibration), data.teachers.sizes, budgets)

    @one_teacher_at_a_time
    def sensitivity(self, data: TrainingData, calibration: Calibration) -> Float[Tensor, "r l c"]:
        """Mean squared logit change of every run, layer and choice of bits."""
        teachers, points = data.teachers, data.pairs.end[:, : min(self.rows, int(data.pairs.count[0]))]
        base = score(teachers, points)
        out = torch.zeros(teachers.runs, len(teachers.weights), len(CHOICES))
        for layer, choice, stack in one_layer_rounded(teachers, calibration):
            out[:, layer, choice] = (score(stack, points) - base).square().mean(1)
        return out


PLUGIN = RecourseSensitivity()
