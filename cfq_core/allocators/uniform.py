"""Every layer gets the same bits: the most that the budget pays for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cfq_core.base.errors import BadPlan
from cfq_core.quant.bits import BitPlan
from cfq_core.quant.calibrate import Calibration
from cfq_core.quant.grid import WEIGHT_BITS
from cfq_core.quant.training_data import TrainingData


@dataclass(frozen=True)
class Uniform:
    """The same bits everywhere."""

    KEY = "uniform"
    uniform_bits = True

    def plans(self, data: TrainingData, calibration: Calibration, budgets: Sequence[float]) -> tuple[BitPlan, ...]:
        """One plan a run and budget, budgets innermost."""
        one = [self.plan(data.teachers.sizes, b) for b in budgets]
        return tuple(one * data.teachers.runs)

    def plan(self, sizes: Sequence[int], budget: float) -> BitPlan:
        """Bits per layer for weights per layer ``sizes`` under ``budget`` average bits; `BadPlan` under 2."""
        affordable = [b for b in WEIGHT_BITS if b <= budget]
        if not affordable:
            raise BadPlan(f"a budget of {budget:g} bits per weight; at least {min(WEIGHT_BITS)}")
        return (max(affordable),) * len(sizes)


PLUGIN = Uniform()
