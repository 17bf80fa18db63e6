"""A control: bits drawn at random, layer by layer, as far as the budget allows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cfq_core.allocators.sensitivity import CHOICES
from cfq_core.base.errors import BadPlan
from cfq_core.base.seeds import numpy_stream
from cfq_core.quant.bits import BitPlan, average_bits
from cfq_core.quant.calibrate import Calibration
from cfq_core.quant.training_data import TrainingData

SPENT = 0.9  # share of the budget a drawn plan spends at least, where some plan does
DRAWS = 1000


@dataclass(frozen=True)
class Random:
    """Uniform over plans that spend at least nine tenths of the budget, drawn anew for each seed and budget."""

    KEY = "random"

    def plans(self, data: TrainingData, calibration: Calibration, budgets: Sequence[float]) -> tuple[BitPlan, ...]:
        """One plan a run and budget, budgets innermost."""
        return tuple(self.plan(data.teachers.sizes, b, s) for s in data.seeds for b in budgets)

    def plan(self, sizes: Sequence[int], budget: float, seed: int = 0) -> BitPlan:
        """The first drawn plan that spends enough of the budget, else the one that spends most; `BadPlan` under 2."""
        if budget < min(CHOICES):
            raise BadPlan(f"a budget of {budget:g} bits per weight; at least {min(CHOICES)}")
        random = numpy_stream(seed, f"allocators/random/{budget:g}")
        best: BitPlan = (min(CHOICES),) * len(sizes)
        for drawn in random.choice(CHOICES, size=(DRAWS, len(sizes))).tolist():
            plan = tuple(drawn)
            if average_bits(best, sizes) < average_bits(plan, sizes) <= budget:
                best = plan
            if average_bits(best, sizes) >= SPENT * budget:
                break
        return best


PLUGIN = Random()
