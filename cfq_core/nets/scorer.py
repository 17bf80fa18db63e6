"""What a search needs of a model: the interface of stacks, students and models of other origin."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor


@runtime_checkable
class Scorer(Protocol):
    """R models that turn encoded people into logits; favourable where the logit is positive.

    A model is its first layer, seen apart (a search changes few inputs, so it moves the first
    pre-activation instead of the inputs), and the rest. ``score`` is their composition.
    """

    @property
    def runs(self) -> int:
        """Number of models R."""
        ...

    @property
    def first_weight(self) -> Float[Tensor, "r h d"]:
        """Weights of the first layer, in the units `quantize_input` produces."""
        ...

    @property
    def first_bias(self) -> Float[Tensor, "r h"]:
        """Bias of the first layer."""
        ...

    def quantize_input(
        self, inputs: Float[Tensor, "*n d"], run: Int[Tensor, "b"] | None = None
    ) -> Float[Tensor, "*n d"]:
        """What the first layer is given, element by element: inputs [R, N, d], or [B, d] of the listed models."""
        ...

    def forward_from_first(self, first: Float[Tensor, "r n h"]) -> Float[Tensor, "r n"]:
        """Logits from the first pre-activation."""
        ...

    def highest(self, low: Float[Tensor, "r n h"], high: Float[Tensor, "r n h"]) -> Float[Tensor, "r n"]:
        """An upper bound of the logit over a box of first pre-activations."""
        ...

    def take(self, runs: Sequence[int]) -> Scorer:
        """A stack of the chosen runs, in that order, repeats allowed."""
        ...

    def to(self, dtype: torch.dtype) -> Scorer:
        """The same models in another floating type."""
        ...
