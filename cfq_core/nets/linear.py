"""Linear bounds of networks and of their integer students, for many sets of inputs at once (CROWN).

Each set gets one form ``weight @ z + constant`` that is nowhere below the logit, ``z`` being the first
pre-activation (Zhang et al. 2018). Activations and roundings between the layers are replaced by two lines over
their input's interval (`nets/lines.py` draws them); the interval of every neuron is the form of that
neuron, maximised over the set itself, so whatever ties the inputs together (one level a category, a budget) tightens
every layer. A sum passes a form on to both of its operands.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol, cast, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from cfq_core.nets.forward import Box, walk
from cfq_core.nets.layers import Architecture, Codes, branch_range, checked, code_range
from cfq_core.nets.lines import Lines, curve_lines, relu_lines, table_lines
from cfq_core.nets.scorer import Scorer
from cfq_core.nets.single import Networks, Single, Span, exact_products
from cfq_core.nets.slopes import Aim, Bent, sharpened


@runtime_checkable
class Reach(Protocol):
    """One set of first pre-activations for each of B networks."""

    def ends(self) -> tuple[Float[Tensor, "#b h"], Float[Tensor, "#b h"]]:
        """Lower and upper bound of every first pre-activation."""
        ...

    def highest(self, forms: Float[Tensor, "#b m h"]) -> Float[Tensor, "#b m"]:
        """An upper bound of ``form @ z`` over the set, for every form."""
        ...


@dataclass(frozen=True)
class Form:
    """``weight @ z + constant``, nowhere below the logit."""

    weight: Float[Tensor, "#b h"]
    constant: Float[Tensor, "#b"]
    top: Float[Tensor, "#b"]  # no logit of the set is above it, by intervals alone
    blame: Float[
        Tensor, "#b h"
    ]  # how far the form may lie above the logit for want of a narrower ``z``: per unit of it

    def take(self, rows: Tensor) -> Form:
        """The chosen sets' forms."""
        return Form(self.weight[rows], self.constant[rows], self.top[rows], self.blame[rows])

    def where(self, other: Bool[Tensor, "#b"], instead: Form) -> Form:
        """These forms, and ``instead``'s where ``other``."""
        return Form(
            torch.where(other[:, None], instead.weight, self.weight),
            torch.where(other, instead.constant, self.constant),
            torch.where(other, instead.top, self.top),
            torch.where(other[:, None], instead.blame, self.blame),
        )


@dataclass(frozen=True)
class Layers:
    """R networks in real numbers, from the first pre-activation on.

    ``steps[l]``: grid step of what layer l + 1 is given, 0 where that is not rounded. A radius says how far
    a deployed weight (of an output channel) or bias may lie from the one here; None: not at all.
    """

    scale: Float[Tensor, "r h"]  # real value of a unit of the first pre-activation
    weights: tuple[Float[Tensor, "r _ _"], ...]
    biases: tuple[Float[Tensor, "r _"], ...]
    steps: tuple[Float[Tensor, "r"], ...]
    weight_radius: tuple[Float[Tensor, "r _"], ...] | None = None
    bias_radius: tuple[Float[Tensor, "r _"], ...] | None = None
    architecture: Architecture = ()  # none: a ReLU behind every hidden layer
    activations: Codes = field(default_factory=Codes)  # of the hidden ones, where they are rounded

    def __post_init__(self) -> None:
        outputs = [self.scale.shape[1], *(w.shape[1] for w in self.weights)]
        object.__setattr__(self, "architecture", checked(self.architecture, outputs))


@runtime_checkable
class Linear(Protocol):
    """A model that linear bounds can be computed of; of any other, intervals alone are."""

    @property
    def input_step(self) -> Float[Tensor, "r"]:
        """Grid step on which `quantize_input` rounds an input; 0 where it does not."""
        ...

    def above(self, run: Int[Tensor, "#b"], reach: Reach) -> Form:
        """For each set of first pre-activations, a linear form nowhere below the logit of its model."""
        ...


def input_step(model: Scorer) -> Float[Tensor, "r"]:
    """Grid step of each model's inputs; 0 where they are seen as they are."""
    return model.input_step if isinstance(model, Linear) else torch.zeros(model.runs, dtype=model.first_weight.dtype)


def above(model: Scorer, run: Int[Tensor, "#b"], reach: Reach) -> Form:
    """For each set of first pre-activations, a linear form nowhere below the logit of model ``run[k]``."""
    if isinstance(model, Linear):
        return model.above(run, reach)
    low, high = reach.ends()
    top = model.take(run.tolist()).highest(low[:, None], high[:, None])[:, 0]
    return Form(torch.zeros_like(low), top, top, high - low)


def form_above(layers: Layers, run: Int[Tensor, "#b"], reach: Reach) -> Form:
    """The form of every set; set k is of network ``run[k]``."""
    nets = _Nets(layers, run)
    bounds = _Bounds(nets, reach)
    first = bounds.ends()
    for _ in walk(layers.architecture, bounds, (first[0], first[1])):
        pass
    if bounds.form is None:  # a logistic regression is a form itself
        return Form(nets.scale, torch.zeros_like(first[1][:, 0]), first[1][:, 0], torch.zeros_like(first[0]))
    weight, constant, given = bounds.form
    sets = len(first[0])  # a last layer right behind the first is the same of every set
    form = Bent(*(t[:, 0].expand(sets, *t.shape[2:]) for t in (weight, constant, given)))
    if nets.chain and hasattr(reach, "steps") and reach.steps:
        form = sharpened(nets.exact, bounds.lines, form, cast(Aim, reach))
    blame = _blame(nets, form.given, first[0], first[1], bounds.lines[0]) * nets.scale
    return Form(form.weight, form.constant, bounds.most[:, 0], blame)


def _blame(
    nets: _Nets, given: Float[Tensor, "#b h"], low: Float[Tensor, "#b h"], high: Float[Tensor, "#b h"], line: Lines
) -> Float[Tensor, "#b h"]:
    """The widest gap between the lines of an activation, by width and weight; of a ReLU without its rounding."""
    if nets.layers.architecture[0].activation == "relu":
        open_ = (low < 0) & (high > 0)
        width = torch.where(open_, high - low, 1.0)
        return given.abs() * torch.where(open_, -low * high / width.square(), 0.0)
    slope, gap = line.above - line.below, line.above_at - line.below_at
    widest = torch.maximum(slope * low + gap, slope * high + gap)
    return given.abs() * widest / (high - low).clamp_min(1e-12)


class _Nets:
    """The network of each set: tensors without a leading axis where all sets are of one network."""

    def __init__(self, layers: Layers, run: Int[Tensor, "#b"]) -> None:
        one = bool((run == run[0]).all())

        def of(each: tuple[Tensor, ...]) -> list[Tensor]:
            return [t[run[0]] if one else t[run] for t in each]

        self.layers, self.one = layers, one
        self.scale = layers.scale[run]
        self.weights, self.biases = of(layers.weights), of(layers.biases)
        self.steps = [s[run][:, None] for s in layers.steps]
        self.totals, self.branches = ([s[run][:, None] for s in t] for t in (
            layers.activations.total_steps, layers.activations.branch_steps))  # fmt: skip
        self.tables = of(layers.activations.tables)
        exact = layers.weight_radius is None or layers.bias_radius is None
        self.weight_radius = None if exact else of(layers.weight_radius or ())
        self.bias_radius = None if exact else of(layers.bias_radius or ())

    def single(self, reach: Reach) -> Single | None:
        """Hidden layers in float32, where its rounding is accounted for: one exact network's, over a span."""
        exact = self.weight_radius is None and exact_products()
        if not (exact and getattr(reach, "single", False)):  # to look for the whole protocol takes a while
            return None
        return Single(self.exact, cast(Span, reach))

    @property
    def exact(self) -> Networks:
        """Weights and biases, which here are the deployed ones."""
        return Networks(self.scale, self.weights, self.biases, self.layers.architecture)

    @property
    def chain(self) -> bool:
        """Whether they are ReLUs one behind the other, exact and without rounding."""
        plain = all(each.activation == "relu" and each.skip is None for each in self.layers.architecture[:-1])
        return plain and self.weight_radius is None and not any(bool((s > 0).any()) for s in self.steps)


class _Bounds:
    """An interpreter of intervals that keeps the lines of every layer it passed, and in the end the logit's form."""

    def __init__(self, nets: _Nets, reach: Reach) -> None:
        self.nets, self.reach = nets, reach
        self.single = nets.single(reach)
        self.lines: list[Lines] = []
        self.given: list[Box] = []  # ends of what each layer behind the first is given
        self.sums: dict[int, Lines] = {}  # of rounded sums
        self.form: tuple[Tensor, Tensor, Tensor] | None = None
        self.most = torch.zeros(0)  # of the logit, by intervals alone

    def ends(self) -> Box:
        """The interval of every first pre-activation."""
        if self.single is not None:
            return self.single.ends()
        low, high = self.reach.ends()
        return low * self.nets.scale, high * self.nets.scale

    def linear(self, layer: int, given: Box) -> Box:
        """The interval of every pre-activation: that of its form, or by intervals where that is narrower."""
        self.given.append(given)
        least, most = _intervals(self.nets, layer - 1, *given)
        if layer == len(self.nets.weights):
            self.form, self.most = self._back(layer - 1, both=False), most
            return least, most
        if self.single is not None:
            tops = self.single.tops(layer - 1, self.lines, self.sums)
        else:
            weight, constant, _ = self._back(layer - 1, both=True)
            tops = self.reach.highest(weight) + constant
        width = tops.shape[1] // 2
        high = torch.minimum(tops[:, :width], most)
        return torch.minimum(torch.maximum(-tops[:, width:], least), high), high

    def activate(self, layer: int, total: Box) -> Box:
        """The ends of what an activation gives; its lines are kept."""
        nets, (low, high) = self.nets, total
        if layer == len(nets.weights):
            return total
        each, bits = nets.layers.architecture[layer], nets.layers.activations.bits
        step = nets.steps[layer] if each.skip is None or not nets.branches else nets.branches[layer]
        if each.curved and nets.tables:
            lines = table_lines(each.activation, low, high, nets.totals[layer], step, nets.tables[layer], bits)
        elif each.curved:
            lines = curve_lines(each.activation, low, high)
        else:
            range_ = branch_range(nets.layers.architecture, layer, bits)
            lines = relu_lines(low, high, step, range_, each.activation == "relu")
        self.lines.append(lines)
        return lines.least, lines.most

    def add(self, layer: int, branch: Box, skip: Box) -> Box:
        """The ends of a sum; the lines of its rounding are kept."""
        low, high = branch[0] + skip[0], branch[1] + skip[1]
        step = self.nets.steps[layer]
        if not bool((step > 0).any()):
            return low, high
        range_ = code_range(self.nets.layers.activations.bits, signed=True)
        lines = self.sums[layer] = relu_lines(low, high, step, range_, relu=False)
        return lines.least, lines.most

    def _back(self, layer: int, both: bool) -> tuple[Tensor, Tensor, Tensor]:
        """Forms in the first pre-activation above every output of a layer, then above its negative where ``both``.

        Gives their weights and constants, and their weights on what the second layer is given.
        """
        nets, skips = self.nets, [each.skip for each in self.nets.layers.architecture]
        forms, constant = nets.weights[layer], nets.biases[layer]
        if both:
            forms, constant = torch.cat([forms, -forms], -2), torch.cat([constant, -constant], -1)
        forms, constant = (t[None] if t.dim() == d else t for t, d in ((forms, 2), (constant, 1)))
        if nets.weight_radius is not None and nets.bias_radius is not None:
            radii = [torch.cat([t[layer]] * (2 if both else 1), -1) for t in (nets.weight_radius, nets.bias_radius)]
            forms, off = _either_way(forms, radii[0], *self.given[layer])
            constant = constant + radii[1] + off
        added: dict[int, Tensor] = {}  # forms on outputs that a later sum takes
        for depth in range(layer, -1, -1):
            forms, line, skip = forms + added.pop(depth) if depth in added else forms, self.lines[depth], skips[depth]
            if depth in self.sums:
                forms, constant = _before(self.sums[depth], forms, constant)
            if skip is not None:
                added[skip] = added[skip] + forms if skip in added else forms
            behind = forms
            forms, constant = _before(line, forms, constant)
            if depth == 0:
                break
            constant = constant + (forms @ nets.biases[depth - 1][..., None])[..., 0]
            if nets.weight_radius is None or nets.bias_radius is None:
                forms = forms @ nets.weights[depth - 1]
                continue
            size = forms.abs()
            constant = constant + (size @ nets.bias_radius[depth - 1][..., None])[..., 0]
            spread = (size @ nets.weight_radius[depth - 1][..., None])[..., 0]
            forms, off = _either_way(forms @ nets.weights[depth - 1], spread, *self.given[depth - 1])
            constant = constant + off
        return forms * nets.scale[:, None], constant, behind


def _before(
    line: Lines, forms: Float[Tensor, "#b m h"], constant: Float[Tensor, "#b m"]
) -> tuple[Float[Tensor, "#b m h"], Float[Tensor, "#b m"]]:
    """Forms in what an activation is given, above forms in what it gives."""
    up, down = forms.clamp_min(0.0), forms.clamp_max(0.0)
    constant = constant + _dot(up, line.above_at) + _dot(down, line.below_at)
    return (up * line.above[:, None]).add_(down * line.below[:, None]), constant


def _either_way(
    forms: Float[Tensor, "#b m h"],
    radius: Float[Tensor, "*b m"],
    least: Float[Tensor, "#b h"],
    most: Float[Tensor, "#b h"],
) -> tuple[Float[Tensor, "#b m h"], Float[Tensor, "#b m"] | float]:
    """Forms, and what to add to them, above those whose every weight may lie ``radius`` farther up or down.

    That is linear in what is never negative; of anything else only its size is known.
    """
    positive = least >= 0
    if bool(positive.all()):
        return forms + radius[..., None], 0.0
    size = torch.where(positive, 0.0, torch.maximum(least.abs(), most.abs())).sum(1, keepdim=True)
    return forms + radius[..., None] * positive[:, None], radius * size


def _intervals(
    nets: _Nets, layer: int, least: Float[Tensor, "#b i"], most: Float[Tensor, "#b i"]
) -> tuple[Float[Tensor, "#b o"], Float[Tensor, "#b o"]]:
    """The ends of a layer's pre-activations by interval arithmetic."""
    weight, bias = nets.weights[layer], nets.biases[layer]
    middle, half = (most + least) / 2, (most - least) / 2
    centre, spread = _apply(weight, middle) + bias, _apply(weight.abs(), half)
    if nets.weight_radius is not None and nets.bias_radius is not None:
        size = torch.maximum(most, -least).sum(1, keepdim=True)
        spread = spread + nets.weight_radius[layer] * size + nets.bias_radius[layer]
    return centre - spread, centre + spread


def _apply(weight: Tensor, given: Float[Tensor, "#b i"]) -> Float[Tensor, "#b o"]:
    return given @ weight.mT if weight.dim() == 2 else torch.bmm(weight, given[..., None])[..., 0]


def _dot(forms: Float[Tensor, "#b m h"], values: Float[Tensor, "#b h"]) -> Float[Tensor, "#b m"]:
    return (forms @ values[..., None])[..., 0]
