"""R multilayer perceptrons with tanh, sigmoid or ReLU: the dense networks that a `Stack` is not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from cfq_core.nets.stack import Stack, interval_product

Activation = Literal["Relu", "Tanh", "Sigmoid"]
ACTIVATIONS: dict[Activation, Callable[[Tensor], Tensor]] = {
    "Relu": torch.relu,
    "Tanh": torch.tanh,
    "Sigmoid": torch.sigmoid,
}


@dataclass(frozen=True)
class Dense:
    """A stack's weights behind other activations; each is monotone, so intervals pass through it."""

    layers: Stack
    activations: tuple[Activation, ...]  # of the hidden layers

    @property
    def runs(self) -> int:
        """Number of models R."""
        return self.layers.runs

    @property
    def first_weight(self) -> Float[Tensor, "r h d"]:
        """Weights of the first layer."""
        return self.layers.first_weight

    @property
    def first_bias(self) -> Float[Tensor, "r h"]:
        """Bias of the first layer."""
        return self.layers.first_bias

    def quantize_input(
        self, inputs: Float[Tensor, "*n d"], run: Int[Tensor, "b"] | None = None
    ) -> Float[Tensor, "*n d"]:
        """The inputs themselves."""
        return inputs

    def forward_from_first(self, first: Float[Tensor, "r n h"]) -> Float[Tensor, "r n"]:
        """Logits from the first pre-activation."""
        hidden = first
        for kind, weight, bias in zip(self.activations, self.layers.weights[1:], self.layers.biases[1:], strict=True):
            hidden = torch.baddbmm(bias[:, None], ACTIVATIONS[kind](hidden), weight.mT)
        return hidden[..., 0]

    def highest(self, low: Float[Tensor, "r n h"], high: Float[Tensor, "r n h"]) -> Float[Tensor, "r n"]:
        """Upper bound of the logit by interval arithmetic."""
        for kind, weight, bias in zip(self.activations, self.layers.weights[1:], self.layers.biases[1:], strict=True):
            act = ACTIVATIONS[kind]
            low, high = interval_product(act(low), act(high), weight, bias)
        return high[..., 0]

    def take(self, runs: Sequence[int]) -> Dense:
        """A stack of the chosen runs, in that order, repeats allowed."""
        return replace(self, layers=self.layers.take(runs))

    def to(self, dtype: torch.dtype) -> Dense:
        """The same models in another floating type."""
        return replace(self, layers=self.layers.to(dtype))
