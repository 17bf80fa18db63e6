"""Soft choices of bits: a mixture of a layer's weights over bit-widths, with learned shares (arXiv 1812.00090).

Only weights are mixed: mixing activations too would quantize every layer's outputs once a choice, in every step.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from cfq_core.nets.stack import Stack
from cfq_core.quant.calibrate import weight_step
from cfq_core.quant.fake import FakeQuantize
from cfq_core.quant.grid import signed_range

STEEPEST = 5.0  # of the starting shares, per bit: a budget at either end of the choices


def _tilt(choices: Tensor, budget: Float[Tensor, "r"]) -> Float[Tensor, "r"]:
    """Slope t for which shares proportional to exp(t b) expect exactly the budget; by bisection."""
    low, high = torch.full_like(budget, -STEEPEST), torch.full_like(budget, STEEPEST)
    for _ in range(40):
        middle = (low + high) / 2
        over = (torch.softmax(middle[:, None] * choices, dim=1) * choices).sum(1) > budget
        low, high = torch.where(over, low, middle), torch.where(over, middle, high)
    return low


class Gates:
    """Shares of every bit-width in every layer of R runs, starting at the budget; steps stay at least squared error."""

    def __init__(self, start: Stack, choices: Sequence[int], budget: Float[Tensor, "r"]) -> None:
        self.choices = torch.tensor(list(choices))
        tilt = _tilt(self.choices, budget)[:, None, None] * self.choices
        self.logits = tilt.expand(-1, len(start.weights), -1).clone().requires_grad_()
        self.sizes = torch.tensor(start.sizes, dtype=torch.float32)
        self.steps = [
            [weight_step(w, torch.full((start.runs,), b), "mse").float()[..., None] for b in choices]
            for w in start.weights
        ]

    def mixed(self, weight: Float[Tensor, "r o i"], layer: int) -> Float[Tensor, "r o i"]:
        """Expected weights of one layer."""
        share = torch.softmax(self.logits[:, layer], dim=1)
        zero = torch.zeros(())
        parts = [
            share[:, c, None, None] * FakeQuantize.apply(weight, self.steps[layer][c], *self._range(c), zero)
            for c in range(len(self.choices))
        ]
        return torch.stack(parts).sum(0)

    def _range(self, choice: int) -> tuple[Tensor, Tensor]:
        low, high = signed_range(self.choices[choice])
        return low.float(), high.float()

    def average_bits(self) -> Float[Tensor, "r"]:
        """Expected average bits per weight of every run."""
        expected = (torch.softmax(self.logits, dim=2) * self.choices).sum(2)
        return (expected * self.sizes).sum(1) / self.sizes.sum()
