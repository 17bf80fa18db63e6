"""Lower lines of ReLUs chosen for what a form is asked: how dear a set's points are that it lets reach a target.

Below an open ReLU any line through 0 with a slope in [0, 1] is sound (alpha-CROWN, Xu et al. 2021). A form is dearer
the lower it is where it reaches the target at the least cost, and that value's slope in the lines is known: with the
point and the signs of the coefficients held, the form is a network of lines, passed once back for the coefficients and
once forward for the values (envelope theorem). Intervals stay as they are. A few steps of Adam; the dearest form wins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from cfq_core.nets.lines import Lines
from cfq_core.nets.single import Networks, through

RATE, FADES = 0.4, 0.85  # of the first step, and what every further one has of the one before
MEAN, SQUARE = 0.7, 0.9  # what Adam keeps of its averages: few steps are taken


@dataclass(frozen=True)
class Aimed:
    """Where each set's form reaches the target at the least cost."""

    cost: Float[Tensor, "b"]  # infinite where it does not
    at: Float[Tensor, "b h"]  # the first pre-activation there


@runtime_checkable
class Aim(Protocol):
    """Sets of first pre-activations, each with a cost, and a target that a form is to reach."""

    @property
    def steps(self) -> int:
        """How many are taken on the slopes."""
        ...

    def aimed(self, weight: Float[Tensor, "b h"], constant: Float[Tensor, "b"]) -> Aimed:
        """The least cost at which ``weight @ z + constant`` reaches the target."""
        ...

    def wanted(self, cost: Float[Tensor, "b"]) -> Bool[Tensor, "b"]:
        """Sets for which steps are worth their time, by what their plain form reaches the target at."""
        ...

    def take(self, rows: Tensor) -> Aim:
        """The chosen sets."""
        ...


@dataclass(frozen=True)
class Bent:
    """A form under chosen lower lines: ``weight @ z + constant``, and its weights on what the second layer is given."""

    weight: Float[Tensor, "b h"]
    constant: Float[Tensor, "b"]
    given: Float[Tensor, "b h"]

    def where(self, other: Bool[Tensor, "b"], instead: Bent) -> Bent:
        """These forms, and ``instead``'s where ``other``."""
        return Bent(
            torch.where(other[:, None], instead.weight, self.weight),
            torch.where(other, instead.constant, self.constant),
            torch.where(other[:, None], instead.given, self.given),
        )


def sharpened(nets: Networks, lines: Sequence[Lines], plain: Bent, aim: Aim) -> Bent:
    """Forms of ReLU chains without rounding that reach the target no cheaper than the plain ones do."""
    first = aim.aimed(plain.weight, plain.constant)
    rows = aim.wanted(first.cost).nonzero()[:, 0]
    if not len(rows):
        return plain
    few = [_taken(line, rows) for line in lines]
    start = Bent(plain.weight[rows], plain.constant[rows], plain.given[rows])
    best = _Chain(_networks(nets, rows), few).climbed(start, Aimed(first.cost[rows], first.at[rows]), aim.take(rows))
    return Bent(
        plain.weight.index_copy(0, rows, best.weight),
        plain.constant.index_copy(0, rows, best.constant),
        plain.given.index_copy(0, rows, best.given),
    )


def _taken(line: Lines, rows: Tensor) -> Lines:
    return Lines(*(getattr(line, name)[rows] for name in ("above", "below", "above_at", "below_at", "least", "most")))


def _networks(nets: Networks, rows: Tensor) -> Networks:
    def of(each: Sequence[Tensor], shared: int) -> list[Tensor]:
        return [t if t.dim() == shared else t[rows] for t in each]

    return replace(nets, scale=nets.scale[rows], weights=of(nets.weights, 2), biases=of(nets.biases, 1))


class _Chain:
    """Networks of lines, one a set."""

    def __init__(self, nets: Networks, lines: Sequence[Lines]) -> None:
        self.nets, self.lines = nets, lines
        self.slopes = [line.below for line in lines]
        self.open = [line.above_at > 0 for line in lines]  # of the others both lines are the ReLU
        self.coefficients: list[Tensor] = []

    def climbed(self, best: Bent, aimed: Aimed, aim: Aim) -> Bent:
        """The dearest form on the way up from the plain one."""
        cost, at = aimed.cost, aimed.at
        self._back()
        means = [torch.zeros_like(slope) for slope in self.slopes]
        squares = [torch.zeros_like(slope) for slope in self.slopes]
        for step in range(aim.steps):
            for k, turn in enumerate(self._turns(at)):
                means[k] = MEAN * means[k] + (1 - MEAN) * turn
                squares[k] = SQUARE * squares[k] + (1 - SQUARE) * turn.square()
                size = (squares[k] / (1 - SQUARE ** (step + 1))).sqrt().clamp_min(1e-12)
                moved = RATE * FADES**step * means[k] / (1 - MEAN ** (step + 1)) / size
                self.slopes[k] = torch.where(self.open[k], (self.slopes[k] - moved).clamp(0.0, 1.0), self.slopes[k])
            form = self._back()
            aimed = aim.aimed(form.weight, form.constant)
            at, dearer = aimed.at, aimed.cost > cost
            cost, best = torch.where(dearer, aimed.cost, cost), best.where(dearer, form)
        return best

    def _back(self) -> Bent:
        """The form of the lines; keeps the coefficient of each layer's outputs."""
        weights, biases = self.nets.weights, self.nets.biases
        given = weights[-1][..., 0, :].expand(len(self.nets.scale), -1)
        constant = biases[-1][..., 0].expand(len(given))
        self.coefficients = [given] * len(self.lines)
        for depth in range(len(self.lines) - 1, -1, -1):
            self.coefficients[depth] = given
            up, down, line = given.clamp_min(0.0), given.clamp_max(0.0), self.lines[depth]
            constant = constant + (up * line.above_at).sum(1)
            behind, given = given, up * line.above + down * self.slopes[depth]
            if depth:
                constant = constant + (given * biases[depth - 1]).sum(1)
                given = through(given[None], weights[depth - 1].mT)[0]
        return Bent(given * self.nets.scale, constant, behind)

    def _turns(self, at: Float[Tensor, "b h"]) -> list[Tensor]:
        """What a unit of every lower slope adds to the forms' values at a point."""
        total, turns = at * self.nets.scale, []
        for depth, (given, line) in enumerate(zip(self.coefficients, self.lines, strict=True)):
            turns.append(given.clamp_max(0.0) * total)
            out = torch.where(given > 0, line.above * total + line.above_at, self.slopes[depth] * total)
            if depth + 1 < len(self.lines):
                total = through(out[None], self.nets.weights[depth])[0] + self.nets.biases[depth]
        return turns
