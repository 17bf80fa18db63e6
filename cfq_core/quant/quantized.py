"""R quantized networks as an integer runtime computes them.

Every layer multiplies integer codes, adds an int32 bias and rescales: in float64 the sums are exact,
so a decision depends neither on the batch nor on the order of summation. The bias is rounded to
int32 at scale ``input step * weight step`` because runtimes do so, and with few bits that alone
flips decisions (pytorch/pytorch#89976). A ReLU is the range of the codes behind it. Any other activation is a table
from signed codes of the pre-activation to codes of the output, which is kept with the model: an entry on a rounding
tie is not the same wherever it is computed. A sum adds signed codes, ``rint((s_a a + s_b b) / s_c)``, on steps for
which no two codes lie on a tie.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
from jaxtyping import Float, Int
from torch import Tensor

from cfq_core.nets.forward import Box, Intervals, logit
from cfq_core.nets.layers import CURVES, Architecture, Codes, activated, branch_range, checked, code_range
from cfq_core.nets.linear import Form, Layers, Reach, above, form_above, input_step
from cfq_core.nets.stack import Scorer, Stack
from cfq_core.quant.grid import BIAS_LIMIT, Steps, codes, codes_of, signed_range, untied

#: Tensors of every layer, in the order of the fields.
PER_LAYER = ("weights", "biases", "weight_steps", "input_steps")


@dataclass(frozen=True)
class QuantStack:
    """Integer codes and steps of R networks of one architecture, kept in a floating type; an interpreter."""

    weights: tuple[Float[Tensor, "r _ _"], ...]  # codes
    biases: tuple[Float[Tensor, "r _"], ...]  # int32 codes
    weight_steps: tuple[Float[Tensor, "r _"], ...]  # per output channel
    input_steps: tuple[Float[Tensor, "r"], ...]  # of each layer's input
    architecture: Architecture = ()  # none: a ReLU behind every hidden layer
    activations: Codes = field(default_factory=Codes)  # of the hidden activations

    def __post_init__(self) -> None:
        object.__setattr__(self, "architecture", checked(self.architecture, [w.shape[1] for w in self.weights]))

    @staticmethod
    def of(
        stack: Stack,
        bits: Int[Tensor, "r l"],
        weight_steps: Sequence[Float[Tensor, "r _"]],
        activations: Steps | Sequence[Float[Tensor, "r"]],
    ) -> QuantStack:
        """Round a stack's weights and biases to given grids; steps are kept as float32 values, as a file keeps them.

        ``activations``: all steps of activations, or those of each layer's input where no other is needed.
        """
        steps = activations if isinstance(activations, Steps) else Steps(tuple(activations))
        weight_steps = [s.float().double() for s in weight_steps]
        steps = untied(steps.each(lambda s: s.float().double()), stack.architecture)
        weights, biases = [], []
        for layer, (weight, bias) in enumerate(zip(stack.weights, stack.biases, strict=True)):
            low, high = signed_range(bits[:, layer])
            weights.append(
                codes(weight.double(), weight_steps[layer][..., None], low[:, None, None], high[:, None, None])
            )
            unit = weight_steps[layer] * steps.given[layer][:, None]
            biases.append((bias.double() / unit).round().clamp(-BIAS_LIMIT - 1, BIAS_LIMIT))
        coded = Codes(steps.bits, steps.total, steps.branch, _tables(stack.architecture, steps))
        return QuantStack(tuple(weights), tuple(biases), tuple(weight_steps), steps.given, stack.architecture, coded)

    @property
    def runs(self) -> int:
        """Number of models R."""
        return self.weights[0].shape[0]

    @property
    def first_weight(self) -> Float[Tensor, "r h d"]:
        """Weight codes of the first layer."""
        return self.weights[0]

    @property
    def first_bias(self) -> Float[Tensor, "r h"]:
        """Bias codes of the first layer."""
        return self.biases[0]

    def quantize_input(
        self, inputs: Float[Tensor, "*n d"], run: Int[Tensor, "b"] | None = None
    ) -> Float[Tensor, "*n d"]:
        """Input codes."""
        step = self.input_steps[0][:, None, None] if run is None else self.input_steps[0][run][:, None]
        return codes(inputs, step, *code_range(self.activations.bits, signed=True))

    def linear(self, layer: int, given: Float[Tensor, "r n _"]) -> Float[Tensor, "r n _"]:
        """Accumulators of a layer from the codes it is given."""
        return torch.baddbmm(self.biases[layer][:, None], given, self.weights[layer].mT)

    def activate(self, layer: int, total: Float[Tensor, "r n o"]) -> Float[Tensor, "r n o"]:
        """Codes behind a layer's activation, from its accumulators; logits behind the last layer."""
        total = total * (self.weight_steps[layer] * self.input_steps[layer][:, None])[:, None]
        if layer + 1 == len(self.weights):
            return total
        if self.architecture[layer].curved:
            return self._looked_up(layer, total)
        return codes_of(total, self._step(layer), *branch_range(self.architecture, layer, self.activations.bits))

    def add(self, layer: int, branch: Float[Tensor, "r n o"], skip: Float[Tensor, "#r n o"]) -> Float[Tensor, "r n o"]:
        """Codes of the sum with an earlier layer's output."""
        other = self.architecture[layer].skip
        assert other is not None
        real = branch * self._step(layer) + skip * self.input_steps[other + 1][:, None, None]
        return codes_of(
            real, self.input_steps[layer + 1][:, None, None], *code_range(self.activations.bits, signed=True)
        )

    def ends(self, layer: int, low: Float[Tensor, "r n o"], high: Float[Tensor, "r n o"]) -> Box:
        """Least and largest code behind a layer's activation, from the ends of its accumulators."""
        if not self.architecture[layer].curved:
            return self.activate(layer, low), self.activate(layer, high)
        unit = (self.weight_steps[layer] * self.input_steps[layer][:, None])[:, None]
        first, last = (self._index(layer, end * unit) for end in (low, high))
        power = (last - first + 1).double().log2().floor().long()
        least, most = self._extremes[layer]
        later = last - (1 << power) + 1
        ends = [torch.stack([_at(t, power, i) for i in (first, later)]) for t in (least, most)]
        return ends[0].amin(0), ends[1].amax(0)

    def forward_from_first(self, first: Float[Tensor, "r n h"]) -> Float[Tensor, "r n"]:
        """Logits from the first accumulators."""
        return logit(self.architecture, self, first)[..., 0]

    def highest(self, low: Float[Tensor, "r n h"], high: Float[Tensor, "r n h"]) -> Float[Tensor, "r n"]:
        """Upper bound of the logit by interval arithmetic; rounding is monotone, so bounds pass through it."""
        return logit(self.architecture, Intervals(self), (low, high))[1][..., 0]

    @property
    def input_step(self) -> Float[Tensor, "r"]:
        """Grid step of the inputs."""
        return self.input_steps[0]

    @cached_property
    def layers(self) -> Layers:
        """The layers behind the first in real numbers, for linear bounds."""
        units = [w * x[:, None] for w, x in zip(self.weight_steps, self.input_steps, strict=True)]
        weights = [w * s[..., None] for w, s in zip(self.weights, self.weight_steps, strict=True)]
        biases = [b * u for b, u in zip(self.biases, units, strict=True)]
        behind_first = tuple(weights[1:]), tuple(biases[1:]), self.input_steps[1:]
        return Layers(units[0], *behind_first, None, None, self.architecture, self.activations)

    def above(self, run: Int[Tensor, "b"], reach: Reach) -> Form:
        """A linear form nowhere below the logit on each set."""
        return form_above(self.layers, run, reach)

    def _step(self, layer: int) -> Float[Tensor, "r 1 1"]:
        """Step of the codes behind a layer's activation."""
        added = self.architecture[layer].skip is not None
        return (self.activations.branch_steps[layer] if added else self.input_steps[layer + 1])[:, None, None]

    def _index(self, layer: int, total: Float[Tensor, "r n o"]) -> Int[Tensor, "r n o"]:
        """Where a curved layer's table is read, from its pre-activation."""
        low, high = code_range(self.activations.bits, signed=True)
        return (codes(total.detach(), self.activations.total_steps[layer][:, None, None], low, high) - low).long()

    def _looked_up(self, layer: int, total: Float[Tensor, "r n o"]) -> Float[Tensor, "r n o"]:
        """Output codes of a curved layer; the gradient is that of the clipped curve."""
        index = self._index(layer, total)
        out = self.activations.tables[layer].gather(1, index.flatten(1)).view(index.shape)
        if not total.requires_grad:
            return out
        low, high = (
            c * self.activations.total_steps[layer][:, None, None] for c in code_range(self.activations.bits, True)
        )
        clipped = torch.minimum(torch.maximum(total, low), high)
        curve = activated(self.architecture[layer].activation, clipped) / self._step(layer)
        return curve + (out - curve).detach()

    @cached_property
    def _extremes(self) -> list[Box]:
        """Of every table the least and largest entry of each stretch of 2^k codes, by k and its first code."""
        out = []
        for table in self.activations.tables:
            least, most, size = [table], [table], 1
            while 2 * size <= table.shape[1]:
                for of, rows in ((torch.minimum, least), (torch.maximum, most)):
                    rows.append(of(rows[-1], torch.cat([rows[-1][:, size:], rows[-1][:, -1:].expand(-1, size)], 1)))
                size *= 2
            out.append((torch.stack(least, 1), torch.stack(most, 1)))
        return out

    def take(self, runs: Sequence[int]) -> QuantStack:
        """A stack of the chosen runs, in that order, repeats allowed."""
        index = torch.as_tensor(list(runs))
        return self._each(lambda t: t[index])

    def to(self, dtype: torch.dtype) -> QuantStack:
        """The same models computed in another floating type (codes are exact in either)."""
        return self._each(lambda t: t.to(dtype))

    def raised(self, logits: Float[Tensor, "r"]) -> QuantStack:
        """The same models with a constant added to their logit, as far as the last int32 bias can say it."""
        unit = self.weight_steps[-1] * self.input_steps[-1][:, None]
        last = (self.biases[-1] + (logits.double()[:, None] / unit).round()).clamp(-BIAS_LIMIT - 1, BIAS_LIMIT)
        return replace(self, biases=(*self.biases[:-1], last))

    def _each(self, of: Callable[[Tensor], Tensor]) -> QuantStack:
        weights, biases, *steps = (tuple(map(of, getattr(self, k))) for k in PER_LAYER)
        return QuantStack(weights, biases, steps[0], steps[1], self.architecture, self.activations.each(of))

    @staticmethod
    def join(stacks: Sequence[QuantStack]) -> QuantStack:
        """All runs of several stacks of one architecture."""
        each = [tuple(map(torch.cat, zip(*(getattr(s, k) for s in stacks), strict=True))) for k in PER_LAYER]
        activations = Codes.join(s.activations for s in stacks)
        return QuantStack(each[0], each[1], each[2], each[3], stacks[0].architecture, activations)


def _tables(layers: Architecture, steps: Steps) -> tuple[Float[Tensor, "r _"], ...]:
    """Output codes of every pre-activation code of curved layers; of no other layer any."""
    low, high = code_range(steps.bits, signed=True)
    every = torch.arange(low, high + 1, dtype=torch.float64)
    out = []
    for layer in range(len(steps.total)):
        if not layers[layer].curved:
            out.append(torch.zeros(len(steps.total[layer]), 0, dtype=torch.float64))
            continue
        real = CURVES[layers[layer].activation].value(every * steps.total[layer][:, None])
        step = steps.given[layer + 1] if layers[layer].skip is None else steps.branch[layer]
        out.append(codes(real, step[:, None], *branch_range(layers, layer, steps.bits)))
    return tuple(out)


def _at(
    rows: Float[Tensor, "r k t"], power: Int[Tensor, "r n o"], first: Int[Tensor, "r n o"]
) -> Float[Tensor, "r n o"]:
    where = power * rows.shape[2] + first
    return rows.flatten(1).gather(1, where.flatten(1)).view(where.shape)


@dataclass(frozen=True)
class Shifted:
    """Models with a moved threshold: approval is ``logit - shift > 0``, exactly."""

    models: Scorer
    shift: Float[Tensor, "r"]

    @property
    def runs(self) -> int:
        """Number of models R."""
        return self.models.runs

    @property
    def first_weight(self) -> Float[Tensor, "r h d"]:
        """Weight codes of the first layer."""
        return self.models.first_weight

    @property
    def first_bias(self) -> Float[Tensor, "r h"]:
        """Bias codes of the first layer."""
        return self.models.first_bias

    def quantize_input(
        self, inputs: Float[Tensor, "*n d"], run: Int[Tensor, "b"] | None = None
    ) -> Float[Tensor, "*n d"]:
        """Input codes."""
        return self.models.quantize_input(inputs, run)

    def forward_from_first(self, first: Float[Tensor, "r n h"]) -> Float[Tensor, "r n"]:
        """Logits beyond the moved threshold."""
        return self.models.forward_from_first(first) - self.shift[:, None]

    def highest(self, low: Float[Tensor, "r n h"], high: Float[Tensor, "r n h"]) -> Float[Tensor, "r n"]:
        """Upper bound of the logit beyond the threshold."""
        return self.models.highest(low, high) - self.shift[:, None]

    @property
    def input_step(self) -> Float[Tensor, "r"]:
        """Grid step of the inputs."""
        return input_step(self.models)

    def above(self, run: Int[Tensor, "b"], reach: Reach) -> Form:
        """A linear form nowhere below the logit beyond the threshold on each set."""
        form, shift = above(self.models, run, reach), self.shift[run]
        return replace(form, constant=form.constant - shift, top=form.top - shift)

    def take(self, runs: Sequence[int]) -> Shifted:
        """A stack of the chosen runs."""
        return Shifted(self.models.take(runs), self.shift[torch.as_tensor(list(runs))])

    def to(self, dtype: torch.dtype) -> Shifted:
        """The same models in another floating type."""
        return replace(self, models=self.models.to(dtype), shift=self.shift.to(dtype))
