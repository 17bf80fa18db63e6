"""Soft choices of bits: a mixture of a layer's weights over bit-widths, with learned shares.

Only weights are mixed (mixing activations costs twice as much and teaches no more, QUANT.md 1.7).
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


class Gates:
    """Shares of every bit-width in every layer of R runs; steps stay at least squared error."""

    def __init__(self, start: Stack, choices: Sequence[int]) -> None:
        self.choices = torch.tensor(list(choices))
        self.logits = torch.zeros(start.runs, len(start.weights), len(choices), requires_grad=True)
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
