"""The one walk over a network's layers; what a layer does is told by an interpreter.

Float networks, integer models and networks in training are interpreters of tensors; intervals, linear bounds, learned
rounding and ONNX graphs are interpreters of their own kind of value.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from cfq_core.nets.layers import Architecture, operands

V = TypeVar("V")
Box = tuple[Tensor, Tensor]


@runtime_checkable
class Interpreter(Protocol[V]):
    """What the parts of a layer do to some kind of value."""

    def linear(self, layer: int, given: V) -> V:
        """The pre-activation of a layer."""
        ...

    def activate(self, layer: int, total: V) -> V:
        """What its activation makes of that; the last layer's is the logit."""
        ...

    def add(self, layer: int, branch: V, skip: V) -> V:
        """The sum with an earlier layer's output."""
        ...


@dataclass(frozen=True)
class Passed(Generic[V]):
    """One layer that was walked over."""

    total: V  # its pre-activation
    branch: V  # behind its activation
    output: V  # what the next layer is given


def behind(layers: Architecture, how: Interpreter[V], layer: int, total: V, outputs: Sequence[V | None]) -> Passed[V]:
    """A layer from its pre-activation on; ``outputs`` of the layers before it, those that are added at least."""
    branch, skip = how.activate(layer, total), layers[layer].skip
    if skip is None:
        return Passed(total, branch, branch)
    other = outputs[skip]
    assert other is not None, "an output that is added is kept"
    return Passed(total, branch, how.add(layer, branch, other))


def walk(layers: Architecture, how: Interpreter[V], total: V) -> Iterator[Passed[V]]:
    """Every layer in turn, from the first pre-activation on."""
    kept, outputs = operands(layers), list[V | None]()
    for layer in range(len(layers)):
        passed = behind(layers, how, layer, total, outputs)
        outputs.append(passed.output if layer in kept else None)
        yield passed
        if layer + 1 < len(layers):
            total = how.linear(layer + 1, passed.output)


def logit(layers: Architecture, how: Interpreter[V], total: V) -> V:
    """What the last layer gives."""
    for passed in walk(layers, how, total):
        out = passed.output
    return out


@runtime_checkable
class Boxed(Protocol):
    """A network whose layers take boxes to boxes."""

    @property
    def weights(self) -> tuple[Tensor, ...]:
        """Of every layer."""
        ...

    @property
    def biases(self) -> tuple[Tensor, ...]:
        """Of every layer."""
        ...

    def ends(self, layer: int, low: Tensor, high: Tensor) -> Box:
        """The least and largest value behind a layer's activation."""
        ...

    def add(self, layer: int, branch: Tensor, skip: Tensor) -> Tensor:
        """The sum of two outputs; it rises with both."""
        ...


@dataclass(frozen=True)
class Intervals:
    """Interval arithmetic over a network (Gowal et al. 2018): an interpreter of boxes."""

    net: Boxed

    def linear(self, layer: int, given: Box) -> Box:
        """The box that a linear layer makes of a box."""
        return interval_product(*given, self.net.weights[layer], self.net.biases[layer])

    def activate(self, layer: int, total: Box) -> Box:
        """Both ends behind the activation."""
        return self.net.ends(layer, *total)

    def add(self, layer: int, branch: Box, skip: Box) -> Box:
        """Both ends of the sum."""
        return self.net.add(layer, branch[0], skip[0]), self.net.add(layer, branch[1], skip[1])


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
