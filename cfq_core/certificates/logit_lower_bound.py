"""Lower bounds of a student's logit at recommended points: over every rounding, and over points nearby.

Linear bounds (`nets/linear.py`) of the network with its sign turned, so that what is above it is minus what
is below the logit. A weight that may be rounded either way moves a bound by half its step times the size of what it
is given; where that is never negative, the worst case over all weights at once is linear too.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from cfq_core.nets.linear import Layers, Reach, form_above
from cfq_core.nets.stack import Stack
from cfq_core.quant.quantized import QuantStack

Norm = Literal["each", "sum"]  # every number within the radius (L-infinity), or all changes together (L1)
Lowest = Float[np.ndarray, "n"]

AT_ONCE = 256  # points bounded together
NOISE = 1e-6  # relative: steps are kept as float32, so half a step is exact up to this
GUARD = 1e-9  # logits that a float64 bound may be off by


@dataclass(frozen=True)
class Neighbourhood:
    """First pre-activations around a centre: a `Reach`.

    Each may be off by its own radius; each seen number may lie ``up`` above or ``down`` below the centre's; and
    all together ``shared`` times ``per_sd`` units from there.
    """

    centre: Float[Tensor, "b h"]
    radius: Float[Tensor, "b h"]
    columns: Float[Tensor, "k h"]  # what a unit of a seen number adds
    up: Float[Tensor, "b k"]
    down: Float[Tensor, "b k"]
    per_sd: float = 0.0
    shared: float = 0.0

    def ends(self) -> tuple[Float[Tensor, "b h"], Float[Tensor, "b h"]]:
        """Lower and upper bound of every first pre-activation."""
        slope = self.columns.mT[None]
        return self.centre - self.radius - self._moved(-slope), self.centre + self.radius + self._moved(slope)

    def highest(self, forms: Float[Tensor, "#b m h"]) -> Float[Tensor, "b m"]:
        """An upper bound of every form."""
        fixed = (forms @ self.centre[..., None] + forms.abs() @ self.radius[..., None])[..., 0]
        return fixed + self._moved(forms @ self.columns.mT)

    def _moved(self, slope: Float[Tensor, "*b m k"]) -> Float[Tensor, "_ m"]:
        moved = (slope.clamp_min(0.0) * self.up[:, None] + (-slope).clamp_min(0.0) * self.down[:, None]).sum(2)
        return moved + self.shared * self.per_sd * slope.abs().amax(2) if slope.shape[2] else moved


def within_half_a_step(teacher: Stack, student: QuantStack) -> bool:
    """Whether every weight of the student is its teacher's, rounded to one of the two nearest halves of its grid."""
    pairs = zip(teacher.weights, student.weights, student.weight_steps, strict=True)
    off = [(w.double() - codes * step[..., None]).abs() <= step[..., None] * (0.5 + NOISE) for w, codes, step in pairs]
    biases = zip(teacher.biases, student.biases, student.weight_steps, student.input_steps, strict=True)
    units = [(b.double() - c * w * x[:, None]).abs() <= w * x[:, None] * (0.5 + NOISE) for b, c, w, x in biases]
    return all(bool(t.all()) for t in (*off, *units))


def lower_bound_rounded(teacher: Stack, grid: QuantStack, inputs: Float[np.ndarray, "n d"]) -> Lowest:
    """At each point, the least logit of any student on this grid within half a step of its teacher (R = 1).

    ``grid``: only its steps and tables count. Inputs are rounded as the grid rounds them.
    """
    steps = [s[0] * (1 + NOISE) for s in grid.weight_steps]
    units = [w * x[0] for w, x in zip(steps, grid.input_steps, strict=True)]
    exact = teacher.to(torch.float64)
    layers = Layers(
        torch.ones_like(exact.first_bias), exact.weights[1:], exact.biases[1:], grid.input_steps[1:],
        tuple(s[None] / 2 for s in steps[1:]), tuple(u[None] / 2 for u in units[1:]),
        grid.architecture, grid.activations,
    )  # fmt: skip
    nothing = torch.zeros(0, exact.first_weight.shape[1], dtype=torch.float64)
    out = []
    for part in torch.as_tensor(inputs, dtype=torch.float64).split(AT_ONCE):
        seen = grid.quantize_input(part[None])[0] * grid.input_steps[0]
        centre = seen @ exact.weights[0][0].mT + exact.biases[0]
        radius = seen.abs().sum(1, keepdim=True) * steps[0] / 2 + units[0] / 2
        still = torch.zeros(len(part), 0, dtype=torch.float64)
        out.append(_lowest(layers, Neighbourhood(centre, radius, nothing, still, still)))
    return np.concatenate(out) if out else np.zeros(0)


def lower_bound_nearby(
    model: Stack | QuantStack, inputs: Float[np.ndarray, "n d"], columns: list[int], radius: float, norm: Norm
) -> Lowest:
    """The least logit of one model (R = 1) over all points whose listed numbers lie within a radius of each point.

    ``radius`` in standard deviations of the training rows; everything else stays as it is.
    """
    model = model.to(torch.float64)
    step = float(model.input_step[0])
    out = []
    for part in torch.as_tensor(inputs, dtype=torch.float64).split(AT_ONCE):
        seen = model.quantize_input(part[None])[0]
        centre = seen @ model.first_weight[0].mT + model.first_bias
        here, at = part[:, columns], seen[:, columns]
        if norm == "each":
            ends = part.repeat(2, 1)
            ends[: len(part), columns] = here + radius
            ends[len(part) :, columns] = here - radius
            high, low = model.quantize_input(ends[None])[0][:, columns].chunk(2)
            around = (high - at, at - low, 0.0)
        else:  # a code moves by up to one step more than the number below it
            up, down = ((sign * (here / step - at) + 0.5).clamp(0.0, 1.0) if step else 0 * here for sign in (1, -1))
            around = (up, down, radius)
        weight = model.first_weight[0][:, columns].mT
        per_sd = 1 / step if step else 1.0
        out.append(
            _lowest(
                model.layers, Neighbourhood(centre, torch.zeros_like(centre), weight, *around[:2], per_sd, around[2])
            )
        )
    return np.concatenate(out) if out else np.zeros(0)


def _lowest(layers: Layers, reach: Reach) -> Lowest:
    if not layers.weights:  # a logistic regression: its first layer is the logit
        return (-reach.highest(-layers.scale[:, None])[:, 0] - GUARD).numpy()
    turned = replace(
        layers, weights=(*layers.weights[:-1], -layers.weights[-1]), biases=(*layers.biases[:-1], -layers.biases[-1])
    )
    low, _ = reach.ends()
    if not len(low):  # nobody was told of an action
        return np.zeros(0)
    form = form_above(turned, torch.zeros(len(low), dtype=torch.int64), reach)
    above = torch.minimum(form.top, reach.highest(form.weight[:, None])[:, 0] + form.constant)
    return (-above - GUARD).numpy()
