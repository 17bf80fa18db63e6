"""Post-training quantization whose weights are rounded up or down by what keeps each layer's outputs (AdaRound)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from cfq_core.allocators.uniform import Uniform
from cfq_core.base.identity import LABEL
from cfq_core.methods.method import Allocator, Students, each_budget
from cfq_core.quant.adaround import AdaRound
from cfq_core.quant.training_data import TrainingData


@dataclass(frozen=True)
class AdaRoundPtq:
    """An allocator chooses the bits; rounding is learned on training rows, layer by layer."""

    KEY = "adaround_ptq"
    title: str = field(default="AdaRound", metadata=LABEL)
    allocator: Allocator = field(default_factory=Uniform)
    rounding: AdaRound = field(default_factory=AdaRound)
    about: str = field(default="", metadata=LABEL)
    trained = True  # not the weights, but how they are rounded
    needs_recourse = False

    def students(self, data: TrainingData, budgets: Sequence[float]) -> Students:
        """One student a teacher and budget; the teachers are not changed."""
        plans = self.allocator.plans(data, self.rounding.calibration, budgets)
        bits, runs = torch.tensor(plans), each_budget(data, budgets)
        models = self.rounding.quantize(data.teachers, bits, data.inputs, runs, data.seeds, data.activation_bits)
        return Students(models, plans)
