"""AdaRound: every weight goes up or down on its grid, whichever keeps what its layer gives.

Nagel et al., arXiv 2004.10568.

Layer by layer, for all runs of a stack at once: with ``h(v) = clip(1.2 sigmoid(v) - 0.1, 0, 1)`` per weight, minimise

    mean over rows of |f(W a + b) - f(s (floor(W / s) + h(v)) a_q + b)|^2  +  weight * sum(1 - |2 h(v) - 1|^beta)

where ``f`` is the layer's activation, ``a`` what the full-precision layer is given and ``a_q`` what the quantized
layers before it give (eq. 21 to 25 of the paper; beta falls from 20 to 2 after a start without the second term, as in
AIMET).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from cfq_core.base.seeds import torch_stream
from cfq_core.nets.elementwise import aligned, linear, sigmoid
from cfq_core.nets.forward import walk
from cfq_core.nets.layers import Activation, activated, branch_range, code_range
from cfq_core.nets.optim import Adam
from cfq_core.nets.stack import Stack
from cfq_core.quant.calibrate import Calibration, Grids
from cfq_core.quant.grid import codes, signed_range
from cfq_core.quant.quantized import QuantStack

ZETA, GAMMA = 1.1, -0.1  # the rectified sigmoid's reach beyond [0, 1], so that it can arrive at both


@dataclass(frozen=True)
class AdaRound:
    """How long roundings are learned, on how many rows, and how hard they are pushed to up or down."""

    KEY = "adaround"
    calibration: Calibration = field(default_factory=Calibration)
    iterations: int = 1000
    rows_per_step: int = 256
    learning_rate: float = 1e-2
    weight: float = 0.01
    warm: float = 0.2  # share of the iterations without the push
    betas: tuple[float, float] = (20.0, 2.0)

    def quantize(
        self,
        teachers: Stack,
        bits: Int[Tensor, "r l"],
        inputs: Float[Tensor, "m n d"],
        of: Sequence[int],
        seeds: Sequence[int],
        activation_bits: int = 8,
    ) -> QuantStack:
        """Post-training quantization of R runs with learned rounding; run r starts at model ``of[r]`` of ``teachers``.

        ``inputs`` are the watched rows of each of the M teachers and ``seeds`` its M draws of them.
        """
        runs = list(of)
        if len(runs) == 1:  # a product of one run with one output takes another kernel
            again = self.quantize(teachers, bits.repeat(2, 1), inputs, runs * 2, seeds, activation_bits)
            return again.take([0])
        grids = self.calibration.grids(teachers, bits, inputs, runs, activation_bits)
        learned = _Learned(self, grids, bits, runs, [torch_stream(s, "quant/adaround") for s in seeds])
        unit = learned.unit(grids.activations.given[0])
        first = codes(grids.seen[0][runs], unit, *code_range(activation_bits, signed=True)) * unit
        for _ in walk(grids.start.architecture, learned, learned.linear(0, first)):
            pass
        start = replace(grids.start, weights=tuple(learned.chosen))
        return QuantStack.of(start, bits, grids.weight_steps, grids.activations)

    def rounded(
        self, layer: _Layer, wanted: Float[Tensor, "r n o"], runs: list[int], random: list[torch.Generator]
    ) -> Float[Tensor, "r o i"]:
        """A layer's weights on their grid, each at the lower or upper of its two neighbours."""
        v = layer.start().requires_grad_()
        optimizer = Adam([v], lr=self.learning_rate, fused=True)
        rows, size = wanted.shape[1], aligned(min(self.rows_per_step, wanted.shape[1]))
        run = torch.arange(len(runs))[:, None]
        for step in range(self.iterations):
            batch = torch.stack([torch.randint(rows, (size,), generator=g) for g in random])[runs]
            made = activated(layer.activation, layer.total(layer.weights(_up(v)), layer.given[run, batch]))
            loss = (made - wanted[run, batch]).square().sum(2).mean(1).sum()
            beta = self._beta(step)
            if beta is not None:
                loss = loss + self.weight * (1 - (2 * _up(v) - 1).abs().pow(beta)).sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return layer.weights((_up(v.detach()) >= 0.5).float())

    def _beta(self, step: int) -> float | None:
        """How flat the push is in the middle; None while there is none yet."""
        along = (step / self.iterations - self.warm) / (1 - self.warm)
        if along < 0:
            return None
        high, low = self.betas
        return low + (high - low) * (1 + math.cos(math.pi * along)) / 2


@dataclass(frozen=True)
class _Learned:
    """An interpreter of what the quantized layers give, on their grids; passing a layer learns its rounding."""

    how: AdaRound
    grids: Grids
    bits: Int[Tensor, "r l"]
    runs: list[int]
    random: list[torch.Generator]
    chosen: list[Float[Tensor, "r o i"]] = field(default_factory=list)

    @staticmethod
    def unit(step: Float[Tensor, "r"]) -> Float[Tensor, "r 1 1"]:
        """A step as this works with it."""
        return step.float()[:, None, None]

    def linear(self, layer: int, given: Float[Tensor, "r n i"]) -> Float[Tensor, "r n o"]:
        """The pre-activation with the layer's weights rounded as it is best."""
        start, step = self.grids.start, self.grids.weight_steps[layer].float()[..., None]
        weight, bias, kind = start.weights[layer], start.biases[layer], start.architecture[layer].activation
        wanted = activated(kind, torch.baddbmm(bias[:, None], self.grids.seen[layer][self.runs], weight.mT))
        task = _Layer(weight, bias, step, self.bits[:, layer], given, kind)
        self.chosen.append(self.how.rounded(task, wanted, self.runs, self.random))
        return task.total(self.chosen[-1], given)

    def activate(self, layer: int, total: Float[Tensor, "r n o"]) -> Float[Tensor, "r n o"]:
        """What the activation gives, on its grid."""
        layers, steps = self.grids.start.architecture, self.grids.activations
        if layer + 1 == len(layers):
            return total
        if layers[layer].curved:
            unit = self.unit(steps.total[layer])
            total = codes(total, unit, *code_range(steps.bits, signed=True)) * unit
        unit = self.unit(steps.given[layer + 1] if layers[layer].skip is None else steps.branch[layer])
        return codes(activated(layers[layer].activation, total), unit, *branch_range(layers, layer, steps.bits)) * unit

    def add(self, layer: int, branch: Float[Tensor, "r n o"], skip: Float[Tensor, "r n o"]) -> Float[Tensor, "r n o"]:
        """The sum with an earlier layer's output, on its grid."""
        unit = self.unit(self.grids.activations.given[layer + 1])
        return codes(branch + skip, unit, *code_range(self.grids.activations.bits, signed=True)) * unit


@dataclass(frozen=True)
class _Layer:
    """One layer of R runs, its grids, and the quantized activations it is given."""

    weight: Float[Tensor, "r o i"]
    bias: Float[Tensor, "r o"]
    step: Float[Tensor, "r o 1"]
    bits: Int[Tensor, "r"]
    given: Float[Tensor, "r n i"]
    activation: Activation

    def start(self) -> Float[Tensor, "r o i"]:
        """Where every weight is itself: h is what its code has after the decimal point."""
        scaled = self.weight / self.step
        part = (scaled - scaled.floor()).clamp(0.01, 0.99)
        return -torch.log((ZETA - GAMMA) / (part - GAMMA) - 1)

    def weights(self, up: Float[Tensor, "r o i"]) -> Float[Tensor, "r o i"]:
        """Weights whose codes are the lower neighbour plus ``up``, clipped to the grid."""
        low, high = (b.float()[:, None, None] for b in signed_range(self.bits))
        return torch.clamp((self.weight / self.step).floor() + up, low, high) * self.step

    def total(self, weight: Tensor, given: Float[Tensor, "r b i"]) -> Float[Tensor, "r b o"]:
        """The pre-activation with these weights."""
        return linear(given, weight, self.bias)


def _up(v: Tensor) -> Tensor:
    """The rectified sigmoid h(v)."""
    return (sigmoid(v) * (ZETA - GAMMA) + GAMMA).clamp(0.0, 1.0)
