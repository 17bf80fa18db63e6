"""R quantized networks as an integer runtime computes them.

Every layer multiplies integer codes, adds an int32 bias and rescales: in float64 the sums are exact,
so a decision depends neither on the batch nor on the order of summation. The bias is rounded to
int32 at scale ``input step * weight step`` because runtimes do so, and with few bits that alone
flips decisions (pytorch/pytorch#89976).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property

import torch
from jaxtyping import Float, Int
from torch import Tensor

from cfq_core.nets.linear import Form, Layers, Reach, above, form_above, input_step
from cfq_core.nets.stack import Scorer, Stack, interval_product
from cfq_core.quant.grid import BIAS_LIMIT, activation_range, codes, codes_of, signed_range


@dataclass(frozen=True)
class QuantStack:
    """Integer codes and steps of R networks of one shape; codes are kept in a floating type."""

    weights: tuple[Float[Tensor, "r _ _"], ...]  # codes
    biases: tuple[Float[Tensor, "r _"], ...]  # int32 codes
    weight_steps: tuple[Float[Tensor, "r _"], ...]  # per output channel
    input_steps: tuple[Float[Tensor, "r"], ...]  # of each layer's input

    @staticmethod
    def of(
        stack: Stack,
        bits: Int[Tensor, "r l"],
        weight_steps: Sequence[Float[Tensor, "r _"]],
        input_steps: Sequence[Float[Tensor, "r"]],
    ) -> QuantStack:
        """Round a stack's weights and biases to given grids; steps are kept as float32 values, as a file keeps them."""
        weight_steps = [s.float().double() for s in weight_steps]
        input_steps = [s.float().double() for s in input_steps]
        weights, biases = [], []
        for layer, (weight, bias) in enumerate(zip(stack.weights, stack.biases, strict=True)):
            low, high = signed_range(bits[:, layer])
            weights.append(
                codes(weight.double(), weight_steps[layer][..., None], low[:, None, None], high[:, None, None])
            )
            unit = weight_steps[layer] * input_steps[layer][:, None]
            biases.append((bias.double() / unit).round().clamp(-BIAS_LIMIT - 1, BIAS_LIMIT))
        return QuantStack(tuple(weights), tuple(biases), tuple(weight_steps), tuple(input_steps))

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
        return codes(inputs, step, *activation_range(signed=True))

    def forward_from_first(self, first: Float[Tensor, "r n h"]) -> Float[Tensor, "r n"]:
        """Logits from the first accumulators."""
        total = first
        for layer in range(1, len(self.weights)):
            given = self._given(total, layer)
            total = torch.baddbmm(self.biases[layer][:, None], given, self.weights[layer].mT)
        return self._rescaled(total, len(self.weights) - 1)[..., 0]

    def highest(self, low: Float[Tensor, "r n h"], high: Float[Tensor, "r n h"]) -> Float[Tensor, "r n"]:
        """Upper bound of the logit by interval arithmetic; rounding is monotone, so bounds pass through it."""
        for layer in range(1, len(self.weights)):
            low, high = self._given(low, layer), self._given(high, layer)
            low, high = interval_product(low, high, self.weights[layer], self.biases[layer])
        return self._rescaled(high, len(self.weights) - 1)[..., 0]

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
        return Layers(units[0], tuple(weights[1:]), tuple(biases[1:]), self.input_steps[1:])

    def above(self, run: Int[Tensor, "b"], reach: Reach) -> Form:
        """A linear form nowhere below the logit on each set."""
        return form_above(self.layers, run, reach)

    def _rescaled(self, total: Float[Tensor, "r n o"], layer: int) -> Float[Tensor, "r n o"]:
        return total * (self.weight_steps[layer] * self.input_steps[layer][:, None])[:, None]

    def _given(self, total: Float[Tensor, "r n o"], layer: int) -> Float[Tensor, "r n o"]:
        """The 8-bit codes that ``layer`` is given, from the accumulators of the layer before."""
        step = self.input_steps[layer][:, None, None]
        scaled = self._rescaled(total, layer - 1)
        return codes_of(scaled, step, *activation_range(signed=False))  # the range is the ReLU

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

    def _each(self, of) -> QuantStack:  # type: ignore[no-untyped-def]
        return QuantStack(**{f.name: tuple(of(t) for t in getattr(self, f.name)) for f in fields(self)})

    @staticmethod
    def join(stacks: Sequence[QuantStack]) -> QuantStack:
        """All runs of several stacks of one shape."""
        parts = {}
        for f in fields(QuantStack):
            layers = zip(*(getattr(s, f.name) for s in stacks), strict=True)
            parts[f.name] = tuple(torch.cat(layer) for layer in layers)
        return QuantStack(**parts)


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
