"""Where the grids lie: steps of weights (per output channel) and activations (per layer).

``min-max`` never clips; ``percentile`` clips the largest thousandth of the sizes (of a short row of weights
nothing); ``mse`` takes the step of least squared error among multiples of min-max's. At 2
bits the convention matters by a factor of two, so it is stated: the min-max step is ``max|w| /
(2^(b-1) - 1)`` and codes run over the whole signed range.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from cfq_core.nets.elementwise import aligned
from cfq_core.nets.forward import Passed
from cfq_core.nets.layers import Architecture, branch_range, code_range, signed_output
from cfq_core.nets.stack import Stack
from cfq_core.quant.grid import LEAST_STEP, Bound, Steps, codes, signed_range
from cfq_core.quant.quantized import QuantStack

Rule = Literal["min-max", "percentile", "mse"]

#: Share of the sizes that the percentile rule does not clip (Wu et al., arXiv 2004.09602, try 0.999 to 0.99999).
KEPT = 0.999

#: Multiples of the min-max step that the MSE rule tries (QUANT: 60 to 100 of them, from 0.05 to 1.05).
MULTIPLES = torch.linspace(0.05, 1.05, 81, dtype=torch.float64)


@dataclass(frozen=True)
class Grids:
    """R runs before they are rounded: their networks, each layer's steps, and what each model's layers are given."""

    start: Stack
    weight_steps: list[Float[Tensor, "r _"]]
    activations: Steps
    seen: list[Float[Tensor, "m n _"]]


@dataclass(frozen=True)
class Calibration:
    """Which rule sets the steps, and on how many training rows activations are watched."""

    KEY = "calibration"
    weights: Rule = "mse"
    activations: Rule = "mse"
    rows: int = 2048

    def quantize(
        self,
        stack: Stack,
        bits: Int[Tensor, "r l"],
        inputs: Float[Tensor, "m n d"],
        of: Sequence[int] | None = None,
        activation_bits: int = 8,
    ) -> QuantStack:
        """Post-training quantization of every run at its own plan; ``inputs`` are the watched rows.

        Run r starts at ``stack``'s model ``of[r]``; None for one run a model.
        """
        grids = self.grids(stack, bits, inputs, of, activation_bits)
        return QuantStack.of(grids.start, bits, grids.weight_steps, grids.activations)

    def grids(
        self,
        stack: Stack,
        bits: Int[Tensor, "r l"],
        inputs: Float[Tensor, "m n d"],
        of: Sequence[int] | None = None,
        activation_bits: int = 8,
    ) -> Grids:
        """Where R runs start and on which grids, as of `quantize`.

        Activations are watched one model at a time, so that a run depends on no other budget and no other model.
        """
        runs = list(range(stack.runs)) if of is None else list(of)
        rows = aligned(min(self.rows, inputs.shape[1]))
        seen, steps = watched_steps(stack, inputs[:, :rows], self.activations, activation_bits)
        start = stack.take(runs)
        weight_steps = [weight_step(w, bits[:, layer], self.weights) for layer, w in enumerate(start.weights)]
        return Grids(start, weight_steps, steps.each(lambda s: s[runs]), seen)


def watched_steps(
    stack: Stack, inputs: Float[Tensor, "m n d"], rule: Rule, bits: int
) -> tuple[list[Float[Tensor, "m n _"]], Steps]:
    """What each layer of each model is given on watched rows, and the steps of all its activations."""
    inputs, layers = inputs.to(stack.weights[0].dtype), stack.architecture
    each_model = [stack.take([m]).passed(inputs[[m]])[:-1] for m in range(stack.runs)]
    passed = [_joined(of_one) for of_one in zip(*each_model, strict=True)]
    seen = [inputs, *(p.output for p in passed)]
    ranges = [code_range(bits, True), *(_output_range(layers, layer, bits) for layer in range(len(passed)))]
    given = tuple(activation_step(x, codes, rule) for x, codes in zip(seen, ranges, strict=True))
    if not any(each.curved or each.skip is not None for each in layers):
        return seen, Steps(given, bits=bits)
    ones, total, branch = torch.ones(stack.runs, dtype=torch.float64), [], []
    for layer, (each, p) in enumerate(zip(layers, passed, strict=False)):
        total.append(activation_step(p.total, code_range(bits, True), rule) if each.curved else ones)
        branch.append(ones if each.skip is None else activation_step(p.branch, branch_range(layers, layer, bits), rule))
    return seen, Steps(given, tuple(total), tuple(branch), bits)


def _joined(models: Sequence[Passed[Tensor]]) -> Passed[Tensor]:
    """One layer of several models."""
    return Passed(*(torch.cat([getattr(p, part) for p in models]) for part in ("total", "branch", "output")))


def _output_range(layers: Architecture, layer: int, bits: int) -> tuple[float, float]:
    """Codes of what a hidden layer gives on."""
    summed = layers[layer].skip is not None
    return code_range(bits, signed_output(layers, layer)) if summed else branch_range(layers, layer, bits)


def weight_step(weight: Float[Tensor, "r out in"], bits: Int[Tensor, "r"], rule: Rule) -> Float[Tensor, "r out"]:
    """Step of every output channel."""
    weight = weight.double()
    low, high = (b[:, None, None] for b in signed_range(bits))
    return _step(weight, low, high, rule)[..., 0]


def activation_step(given: Float[Tensor, "r n in"], codes: tuple[float, float], rule: Rule) -> Float[Tensor, "r"]:
    """One step for all that a layer is given."""
    return _step(given.double().flatten(1), *codes, rule)[:, 0]


def _step(x: Tensor, low: Bound, high: Bound, rule: Rule) -> Tensor:
    """The step of all values along the last axis."""
    peak = x.abs().amax(-1, keepdim=True)
    if rule == "percentile":
        rank = math.ceil(KEPT * x.shape[-1])
        usual = x.abs().kthvalue(rank, dim=-1, keepdim=True).values
        peak = torch.where(usual > 0, usual, peak)  # of values that are nearly all zero, none is usual
    widest = _widest(peak, high)
    return _least_error(x, widest, low, high) if rule == "mse" else widest


def _widest(peak: Tensor, high: Bound) -> Tensor:
    """The step that never clips; of zeros any step is, but a tiny one would leave the int32 bias no range."""
    return torch.where(peak > 0, peak, torch.ones_like(peak)).clamp_min(LEAST_STEP) / high


def _least_error(x: Tensor, widest: Tensor, low: Bound, high: Bound) -> Tensor:
    """The multiple of ``widest`` of least squared rounding error along the last axis."""
    best, least = widest, torch.full_like(widest, torch.inf)
    for multiple in MULTIPLES:
        step = widest * multiple
        error = (codes(x, step, low, high) * step - x).square().sum(-1, keepdim=True)
        best, least = torch.where(error < least, step, best), torch.minimum(error, least)
    return best
