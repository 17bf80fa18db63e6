"""Linear bounds of ReLU networks and of their 8-bit students, for many sets of inputs at once (CROWN).

Each set gets one form ``weight @ z + constant`` that is nowhere below the logit, ``z`` being the first
pre-activation (Zhang et al. 2018). ReLUs and roundings between the layers are replaced by two lines over
their input's interval; the interval of every neuron is the form of that neuron, maximised over the set
itself, so whatever ties the inputs together (one level a category, a budget) tightens every layer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

if TYPE_CHECKING:
    from cfq_core.nets.stack import Scorer

LEVELS = 255  # largest code of an 8-bit activation after a ReLU
ROUNDING = 1e-9  # widens an interval before its ends are rounded: float64 sums may lie on the other side of a tie


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
    low, high = (end * nets.scale for end in reach.ends())
    first, lines = (low, high), []
    for layer in range(len(layers.weights) - 1):
        lines.append(_lines(low, high, nets.steps[layer]))
        least, most = _intervals(nets, layer, lines[-1])
        weight, constant, _ = _back(nets, lines, layer, both=True)
        tops = reach.highest(weight) + constant
        width = tops.shape[1] // 2
        high = torch.minimum(tops[:, :width], most)
        low = torch.minimum(torch.maximum(-tops[:, width:], least), high)
    lines.append(_lines(low, high, nets.steps[-1]))
    _, most = _intervals(nets, len(layers.weights) - 1, lines[-1])
    weight, constant, given = _back(nets, lines, len(layers.weights) - 1, both=False)
    return Form(weight[:, 0], constant[:, 0], most[:, 0], _blame(given[:, 0], *first) * nets.scale)


def _blame(
    given: Float[Tensor, "#b h"], low: Float[Tensor, "#b h"], high: Float[Tensor, "#b h"]
) -> Float[Tensor, "#b h"]:
    """The widest gap between the lines of a ReLU whose sign is open, by its interval's width and its weight."""
    open_ = (low < 0) & (high > 0)
    width = torch.where(open_, high - low, 1.0)
    return given.abs() * torch.where(open_, -low * high / width.square(), 0.0)


class _Nets:
    """The network of each set: tensors without a leading axis where all sets are of one network."""

    def __init__(self, layers: Layers, run: Int[Tensor, "#b"]) -> None:
        one = bool((run == run[0]).all())

        def of(each: tuple[Tensor, ...]) -> list[Tensor]:
            return [t[run[0]] if one else t[run] for t in each]

        self.scale = layers.scale[run]
        self.weights, self.biases = of(layers.weights), of(layers.biases)
        self.steps = [s[run][:, None] for s in layers.steps]
        exact = layers.weight_radius is None or layers.bias_radius is None
        self.weight_radius = None if exact else of(layers.weight_radius or ())
        self.bias_radius = None if exact else of(layers.bias_radius or ())


@dataclass(frozen=True)
class _Lines:
    """For every neuron: lines above and below what the next layer is given, and the ends of that."""

    above: Float[Tensor, "#b h"]  # slopes
    below: Float[Tensor, "#b h"]
    above_at: Float[Tensor, "#b h"]  # values at 0
    below_at: Float[Tensor, "#b h"]
    least: Float[Tensor, "#b h"]
    most: Float[Tensor, "#b h"]


def _lines(low: Float[Tensor, "#b h"], high: Float[Tensor, "#b h"], step: Float[Tensor, "#b 1"]) -> _Lines:
    """Lines of ``relu`` on [low, high], of ``step * round(relu / step)`` where there is a step."""
    open_ = (low < 0) & (high > 0)
    on = (low >= 0).to(low.dtype)
    above = torch.where(open_, high / torch.where(open_, high - low, 1.0), on)
    below = torch.where(open_, (high > -low).to(low.dtype), on)
    above_at, below_at = torch.where(open_, -low * above, 0.0), torch.zeros_like(low)
    least, most = torch.relu(low), torch.relu(high)
    if not bool((step > 0).any()):
        return _Lines(above, below, above_at, below_at, least, most)
    unit = torch.where(step > 0, step, 1.0)
    least, most = (
        torch.where(step > 0, (end / unit).round().clamp(0, LEVELS) * unit, end)
        for end in (torch.relu(low - ROUNDING * (1 + low.abs())), torch.relu(high + ROUNDING * (1 + high.abs())))
    )
    above_at = above_at + step / 2
    lost = torch.where(step > 0, (high - LEVELS * step).clamp_min(0.0), 0.0)  # what saturation takes
    below_at = below_at - step / 2 - lost
    middle = (low + high) / 2  # a constant is the better line where it is the closer one in the mean
    flat_above, flat_below = most <= above * middle + above_at, least >= below * middle + below_at
    return _Lines(
        torch.where(flat_above, 0.0, above), torch.where(flat_below, 0.0, below),
        torch.where(flat_above, most, above_at), torch.where(flat_below, least, below_at), least, most,
    )  # fmt: skip


def _intervals(nets: _Nets, layer: int, given: _Lines) -> tuple[Float[Tensor, "#b o"], Float[Tensor, "#b o"]]:
    """The ends of a layer's pre-activations by interval arithmetic; what it is given is never negative."""
    weight, bias = nets.weights[layer], nets.biases[layer]
    middle, half = (given.most + given.least) / 2, (given.most - given.least) / 2
    centre, spread = _apply(weight, middle) + bias, _apply(weight.abs(), half)
    if nets.weight_radius is not None and nets.bias_radius is not None:
        spread = spread + nets.weight_radius[layer] * given.most.sum(1, keepdim=True) + nets.bias_radius[layer]
    return centre - spread, centre + spread


def _back(nets: _Nets, lines: list[_Lines], layer: int, both: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Forms in the first pre-activation above every output of a layer, then above its negative where ``both``.

    Gives their weights and constants, and their weights on what the second layer is given.
    """
    weight, bias = nets.weights[layer], nets.biases[layer]
    forms, constant = (torch.cat([weight, -weight], -2), torch.cat([bias, -bias], -1)) if both else (weight, bias)
    if nets.weight_radius is not None and nets.bias_radius is not None:
        times = 2 if both else 1
        forms = forms + torch.cat([nets.weight_radius[layer]] * times, -1)[..., None]
        constant = constant + torch.cat([nets.bias_radius[layer]] * times, -1)
    forms, constant = (t[None] if t.dim() == d else t for t, d in ((forms, 2), (constant, 1)))
    for depth in range(layer, -1, -1):
        line = lines[depth]
        given = forms
        up, down = forms.clamp_min(0.0), forms.clamp_max(0.0)
        constant = constant + _dot(up, line.above_at) + _dot(down, line.below_at)
        forms = (up * line.above[:, None]).add_(down * line.below[:, None])
        if depth == 0:
            break
        constant = constant + (forms @ nets.biases[depth - 1][..., None])[..., 0]
        spread = None
        if nets.weight_radius is not None and nets.bias_radius is not None:
            size = forms.abs()
            constant = constant + (size @ nets.bias_radius[depth - 1][..., None])[..., 0]
            spread = size @ nets.weight_radius[depth - 1][..., None]
        forms = forms @ nets.weights[depth - 1]
        forms = forms if spread is None else forms + spread
    return forms * nets.scale[:, None], constant, given


def _apply(weight: Tensor, given: Float[Tensor, "#b i"]) -> Float[Tensor, "#b o"]:
    return given @ weight.mT if weight.dim() == 2 else torch.bmm(weight, given[..., None])[..., 0]


def _dot(forms: Float[Tensor, "#b m h"], values: Float[Tensor, "#b h"]) -> Float[Tensor, "#b m"]:
    return (forms @ values[..., None])[..., 0]
