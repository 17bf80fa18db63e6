"""Post-training quantization whose weights are rounded up or down by what keeps each layer's outputs (AdaRound)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from cfq_core.allocators.uniform import Uniform
from cfq_core.methods.method import Allocator, Students, each_budget
from cfq_core.quant.adaround import AdaRound
from cfq_core.quant.material import Material


@dataclass(frozen=True)
class Rounded:
    """An allocator chooses the bits; rounding is learned on training rows, layer by layer."""

    title: str = "AdaRound"
    allocator: Allocator = field(default_factory=Uniform)
    rounding: AdaRound = field(default_factory=AdaRound)
    needs_recourse = False

    def students(self, material: Material, budgets: Sequence[float]) -> Students:
        """One student a teacher and budget; the teachers are not changed."""
        plans = self.allocator.plans(material, self.rounding.calibration, budgets)
        bits, runs = torch.tensor(plans), each_budget(material, budgets)
        models = self.rounding.quantize(material.teachers, bits, material.inputs, runs, material.seeds)
        return Students(models, plans)


PLUGIN = Rounded()
