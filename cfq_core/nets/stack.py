"""R multilayer perceptrons of one shape, evaluated and trained as one batched program.

Every parameter has a leading run axis, so a sweep over seeds is one stack and one loop, and R = 1 is
the ordinary case of the same code. Runs share no parameter; a run's numbers are those it would get
alone up to float32 rounding. Not bit for bit: kernels choose by the number of runs, and vector units
treat the ends of an array apart, so whatever is trained together is part of a run's identity
(`study/plan.py`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from cfq_core.base.seeds import torch_stream
from cfq_core.nets.elementwise import linear
from cfq_core.nets.linear import Form, Layers, Reach, form_above


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


def score(model: Scorer, inputs: Float[Tensor, "r n d"]) -> Float[Tensor, "r n"]:
    """Logits of every run on its own inputs."""
    return model.forward_from_first(linear(model.quantize_input(inputs), model.first_weight, model.first_bias))


def interval_product(
    low: Float[Tensor, "r n i"],
    high: Float[Tensor, "r n i"],
    weight: Float[Tensor, "r o i"],
    bias: Float[Tensor, "r o"],
) -> tuple[Float[Tensor, "r n o"], Float[Tensor, "r n o"]]:
    """The box that a linear layer makes of a box."""
    middle = torch.baddbmm(bias[:, None], (high + low) / 2, weight.mT)
    radius = torch.bmm((high - low) / 2, weight.abs().mT)
    return middle - radius, middle + radius


@dataclass(frozen=True)
class Stack:
    """R full-precision ReLU networks: ``weights[l]: [R, out, in]``, ``biases[l]: [R, out]``, one logit."""

    weights: tuple[Float[Tensor, "r _ _"], ...]
    biases: tuple[Float[Tensor, "r _"], ...]

    @staticmethod
    def initial(inputs: int, hidden: Sequence[int], seeds: Sequence[int]) -> Stack:
        """He-uniform weights (He et al. 2015) and zero biases, one run a seed."""
        sizes = [inputs, *hidden, 1]
        generators = [torch_stream(s, "nets/initial") for s in seeds]
        weights, biases = [], []
        for fan_in, fan_out in pairwise(sizes):
            bound = math.sqrt(6.0 / fan_in)
            drawn = [(torch.rand(fan_out, fan_in, generator=g) * 2 - 1) * bound for g in generators]
            weights.append(torch.stack(drawn))
            biases.append(torch.zeros(len(seeds), fan_out))
        return Stack(tuple(weights), tuple(biases))

    @staticmethod
    def join(stacks: Sequence[Stack]) -> Stack:
        """All runs of several stacks of one shape."""
        weights = zip(*(s.weights for s in stacks), strict=True)
        biases = zip(*(s.biases for s in stacks), strict=True)
        return Stack(tuple(torch.cat(w) for w in weights), tuple(torch.cat(b) for b in biases))

    @property
    def runs(self) -> int:
        """Number of models R."""
        return self.weights[0].shape[0]

    @property
    def sizes(self) -> tuple[int, ...]:
        """Weights per layer n_l, of one run."""
        return tuple(w[0].numel() for w in self.weights)

    @property
    def first_weight(self) -> Float[Tensor, "r h d"]:
        """Weights of the first layer."""
        return self.weights[0]

    @property
    def first_bias(self) -> Float[Tensor, "r h"]:
        """Bias of the first layer."""
        return self.biases[0]

    def quantize_input(
        self, inputs: Float[Tensor, "*n d"], run: Int[Tensor, "b"] | None = None
    ) -> Float[Tensor, "*n d"]:
        """The inputs themselves."""
        return inputs

    def forward_from_first(self, first: Float[Tensor, "r n h"]) -> Float[Tensor, "r n"]:
        """Logits from the first pre-activation."""
        hidden = first
        for weight, bias in zip(self.weights[1:], self.biases[1:], strict=True):
            hidden = linear(torch.relu(hidden), weight, bias)
        return hidden[..., 0]

    def highest(self, low: Float[Tensor, "r n h"], high: Float[Tensor, "r n h"]) -> Float[Tensor, "r n"]:
        """Upper bound of the logit by interval arithmetic (Gowal et al. 2018)."""
        for weight, bias in zip(self.weights[1:], self.biases[1:], strict=True):
            low, high = interval_product(torch.relu(low), torch.relu(high), weight, bias)
        return high[..., 0]

    @property
    def input_step(self) -> Float[Tensor, "r"]:
        """Zeros: nothing is rounded."""
        return torch.zeros(self.runs, dtype=self.first_weight.dtype)

    @cached_property
    def layers(self) -> Layers:
        """The layers behind the first, for linear bounds."""
        exact = tuple(self.input_step for _ in self.weights[1:])
        return Layers(torch.ones_like(self.first_bias), self.weights[1:], self.biases[1:], exact)

    def above(self, run: Int[Tensor, "b"], reach: Reach) -> Form:
        """A linear form nowhere below the logit on each set."""
        return form_above(self.layers, run, reach)

    def layer_inputs(self, inputs: Float[Tensor, "r n d"]) -> list[Float[Tensor, "r n _"]]:
        """What each layer is given: the inputs, then every hidden layer after its ReLU."""
        seen = [inputs]
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            seen.append(torch.relu(torch.baddbmm(bias[:, None], seen[-1], weight.mT)))
        return seen

    def take(self, runs: Sequence[int]) -> Stack:
        """A stack of the chosen runs, in that order, repeats allowed."""
        index = torch.as_tensor(list(runs))
        return Stack(tuple(w[index] for w in self.weights), tuple(b[index] for b in self.biases))

    def to(self, dtype: torch.dtype) -> Stack:
        """The same models in another floating type."""
        return Stack(tuple(w.to(dtype) for w in self.weights), tuple(b.to(dtype) for b in self.biases))

    def trainable(self) -> Stack:
        """A copy whose parameters receive gradients; the original never changes."""
        copies = [tuple(p.detach().clone().requires_grad_() for p in group) for group in (self.weights, self.biases)]
        return Stack(*copies)

    def frozen(self) -> Stack:
        """A detached copy."""
        copies = [tuple(p.detach().clone() for p in group) for group in (self.weights, self.biases)]
        return Stack(*copies)

    @property
    def parameters(self) -> tuple[Tensor, ...]:
        """All parameters, weights first."""
        return (*self.weights, *self.biases)
