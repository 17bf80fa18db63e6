"""Soft choices of bits: a mixture of a layer over bit-widths, with learned shares (arXiv 1812.00090).

Every choice is the layer as it would be deployed with those bits: weights on learned steps, an int32 bias. Activations
are not mixed: that would quantize every layer's outputs once a choice, in every step.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

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
    """Shares of every bit-width in every layer of R runs, starting at the budget."""

    def __init__(self, sizes: Sequence[int], choices: Sequence[int], budget: Float[Tensor, "r"]) -> None:
        self.choices = torch.tensor(list(choices))
        tilt = _tilt(self.choices, budget)[:, None, None] * self.choices
        self.logits = tilt.expand(-1, len(sizes), -1).clone().requires_grad_()
        self.sizes = torch.tensor(list(sizes), dtype=torch.float32)

    def expected(self, each: Sequence[Tensor], layer: int) -> Tensor:
        """A layer's expected weights or biases, from those of every choice."""
        share = torch.softmax(self.logits[:, layer], dim=1)
        parts = [share[:, c].view(-1, *[1] * (e.dim() - 1)) * e for c, e in enumerate(each)]
        return torch.stack(parts).sum(0)

    def average_bits(self) -> Float[Tensor, "r"]:
        """Expected average bits per weight of every run."""
        expected = (torch.softmax(self.logits, dim=2) * self.choices).sum(2)
        return (expected * self.sizes).sum(1) / self.sizes.sum()
