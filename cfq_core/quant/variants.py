"""Deployment variants: the models that might ship, drawn from bit-widths, rounding and clip choices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product

import torch
from jaxtyping import Float
from torch import Tensor

from cfq_core.base.seeds import torch_stream
from cfq_core.nets.stack import Stack
from cfq_core.quant.calibrate import Calibration, Rule, watched_steps, weight_step
from cfq_core.quant.grid import Steps, signed_range
from cfq_core.quant.quantized import QuantStack


@dataclass(frozen=True)
class Variants:
    """Every bit-width (outermost) x weight clip rule, rounded to nearest once and stochastically ``draws`` times."""

    KEY = "variants"
    bits: tuple[int, ...] = (8, 6, 4, 3)
    clips: tuple[Rule, ...] = ("mse", "min-max")
    draws: int = 2
    seed: int = 0  # held-out variants take another one
    nearest: bool = True  # False: stochastic roundings only, of which another seed's are all unseen

    @property
    def count(self) -> int:
        """Variants of one teacher."""
        return len(self._each())

    def of(self, teacher: Stack, watched: Float[Tensor, "1 n d"], activation_bits: int = 8) -> QuantStack:
        """All variants of one teacher (R = 1), as one stack; activations are calibrated on ``watched`` rows."""
        _, steps = watched_steps(teacher, watched[:, : Calibration().rows], "mse", activation_bits)
        parts = [self._one(teacher, b, rule, draw, steps) for b, rule, draw in self._each()]
        return QuantStack.join(parts)

    def _each(self) -> Sequence[tuple[int, Rule, int]]:
        return list(product(self.bits, self.clips, range(0 if self.nearest else 1, 1 + self.draws)))

    def _one(self, teacher: Stack, bits: int, rule: Rule, draw: int, steps: Steps) -> QuantStack:
        plan = torch.full((1, len(teacher.weights)), bits)
        weight_steps = [weight_step(w, plan[:, 0], rule) for w in teacher.weights]
        if draw == 0:
            return QuantStack.of(teacher, plan, weight_steps, steps)
        generator = torch_stream(self.seed, f"quant/variants/{bits}/{rule}/{draw}")
        low, high = signed_range(plan[0, 0])
        rounded = []
        for weight, step in zip(teacher.weights, weight_steps, strict=True):
            noise = torch.rand(weight.shape, generator=generator, dtype=torch.float64)
            code = torch.floor(weight.double() / step[..., None] + noise).clamp(low, high)
            rounded.append(code * step[..., None])
        return QuantStack.of(replace(teacher, weights=tuple(rounded)), plan, weight_steps, steps)
