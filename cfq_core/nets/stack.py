"""R networks of one architecture, evaluated and trained as one batched program.

Every parameter has a leading run axis, so a sweep over seeds is one stack and one loop, and R = 1 is
the ordinary case of the same code. Runs share no parameter; a run that is trained has the bits it would get alone
(`nets/elementwise.py` says what that takes).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise

import torch
from jaxtyping import Float, Int
from torch import Tensor

from cfq_core.base.seeds import torch_stream
from cfq_core.nets.elementwise import linear
from cfq_core.nets.forward import Box, Intervals, Passed, logit, walk
from cfq_core.nets.layers import CURVES, Activation, Architecture, activated, architecture, checked
from cfq_core.nets.linear import Form, Layers, Reach, form_above
from cfq_core.nets.scorer import Scorer


def score(model: Scorer, inputs: Float[Tensor, "r n d"]) -> Float[Tensor, "r n"]:
    """Logits of every run on its own inputs."""
    return model.forward_from_first(linear(model.quantize_input(inputs), model.first_weight, model.first_bias))


@dataclass(frozen=True)
class Stack:
    """R full-precision networks: ``weights[l]: [R, out, in]``, ``biases[l]: [R, out]``, one logit; an interpreter."""

    weights: tuple[Float[Tensor, "r _ _"], ...]
    biases: tuple[Float[Tensor, "r _"], ...]
    architecture: Architecture = ()  # none: a ReLU behind every hidden layer

    def __post_init__(self) -> None:
        object.__setattr__(self, "architecture", checked(self.architecture, [w.shape[1] for w in self.weights]))

    @staticmethod
    def initial(
        inputs: int,
        hidden: Sequence[int],
        seeds: Sequence[int],
        activation: Activation = "relu",
        residual: bool = False,
    ) -> Stack:
        """He-uniform weights (He et al. 2015) and zero biases, one run a seed.

        Before a sigmoid they are four times Glorot's (Glorot and Bengio 2010): it passes a quarter of what it is given.
        """
        sizes = [inputs, *hidden, 1]
        generators = [torch_stream(s, "nets/initial") for s in seeds]
        weights, biases = [], []
        for fan_in, fan_out in pairwise(sizes):
            bound = math.sqrt((48.0 if activation == "sigmoid" else 6.0) / fan_in)
            drawn = [(torch.rand(fan_out, fan_in, generator=g) * 2 - 1) * bound for g in generators]
            weights.append(torch.stack(drawn))
            biases.append(torch.zeros(len(seeds), fan_out))
        return Stack(tuple(weights), tuple(biases), architecture(hidden, activation, residual))

    @staticmethod
    def join(stacks: Sequence[Stack]) -> Stack:
        """All runs of several stacks of one architecture."""
        weights = zip(*(s.weights for s in stacks), strict=True)
        biases = zip(*(s.biases for s in stacks), strict=True)
        return Stack(tuple(torch.cat(w) for w in weights), tuple(torch.cat(b) for b in biases), stacks[0].architecture)

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

    def linear(self, layer: int, given: Float[Tensor, "r n _"]) -> Float[Tensor, "r n _"]:
        """The pre-activation of a layer."""
        return linear(given, self.weights[layer], self.biases[layer])

    def activate(self, layer: int, total: Float[Tensor, "r n o"]) -> Float[Tensor, "r n o"]:
        """Behind the activation of a layer."""
        return activated(self.architecture[layer].activation, total)

    def add(self, layer: int, branch: Float[Tensor, "r n o"], skip: Float[Tensor, "r n o"]) -> Float[Tensor, "r n o"]:
        """The sum with an earlier layer's output."""
        return branch + skip

    def ends(self, layer: int, low: Float[Tensor, "r n o"], high: Float[Tensor, "r n o"]) -> Box:
        """The least and largest value behind a layer's activation."""
        return CURVES[self.architecture[layer].activation].ends(low, high)

    def forward_from_first(self, first: Float[Tensor, "r n h"]) -> Float[Tensor, "r n"]:
        """Logits from the first pre-activation."""
        return logit(self.architecture, self, first)[..., 0]

    def highest(self, low: Float[Tensor, "r n h"], high: Float[Tensor, "r n h"]) -> Float[Tensor, "r n"]:
        """Upper bound of the logit by interval arithmetic."""
        return logit(self.architecture, Intervals(self), (low, high))[1][..., 0]

    @property
    def input_step(self) -> Float[Tensor, "r"]:
        """Zeros: nothing is rounded."""
        return torch.zeros(self.runs, dtype=self.first_weight.dtype)

    @cached_property
    def layers(self) -> Layers:
        """The layers behind the first, for linear bounds."""
        exact = tuple(self.input_step for _ in self.weights[1:])
        ones = torch.ones_like(self.first_bias)
        return Layers(ones, self.weights[1:], self.biases[1:], exact, architecture=self.architecture)

    def above(self, run: Int[Tensor, "b"], reach: Reach) -> Form:
        """A linear form nowhere below the logit on each set."""
        return form_above(self.layers, run, reach)

    def passed(self, inputs: Float[Tensor, "r n d"]) -> list[Passed[Tensor]]:
        """What every layer makes of inputs."""
        return list(walk(self.architecture, self, self.linear(0, inputs)))

    def layer_inputs(self, inputs: Float[Tensor, "r n d"]) -> list[Float[Tensor, "r n _"]]:
        """What each layer is given: the inputs, then every hidden layer's output."""
        return [inputs, *(p.output for p in self.passed(inputs)[:-1])]

    def take(self, runs: Sequence[int]) -> Stack:
        """A stack of the chosen runs, in that order, repeats allowed."""
        index = torch.as_tensor(list(runs))
        return self.each(lambda p: p[index])

    def to(self, dtype: torch.dtype) -> Stack:
        """The same models in another floating type."""
        return self.each(lambda p: p.to(dtype))

    def trainable(self) -> Stack:
        """A copy whose parameters receive gradients; the original never changes."""
        return self.each(lambda p: p.detach().clone().requires_grad_())

    def frozen(self) -> Stack:
        """A detached copy."""
        return self.each(lambda p: p.detach().clone())

    def each(self, of: Callable[[Tensor], Tensor]) -> Stack:
        """The same architecture with every parameter changed."""
        return replace(self, weights=tuple(map(of, self.weights)), biases=tuple(map(of, self.biases)))

    @property
    def parameters(self) -> tuple[Tensor, ...]:
        """All parameters, weights first."""
        return (*self.weights, *self.biases)
