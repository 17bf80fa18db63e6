"""Upper bounds of hidden layers' forms in float32, with room for its rounding: half the time of float64 and less.

Sound by this argument. A bound is a sum over paths from a neuron through lines and layers down to what the set may
change; a path's term is a product of a weight and a slope a layer, then a column of the set and how far that goes, or
it ends at an intercept or a bias. Whatever the order of a sum, a computed term is the true one times at most ``n``
factors ``1 + d`` with ``|d| <= 2^-24``, ``n`` the terms of all sums on its way and a few operations a layer (Higham,
Accuracy and Stability of Numerical Algorithms, 2002, lemma 3.1). So the bound is off by at most ``n u / (1 - n u)``
times the sum of all terms' sizes, and that is what an input's size becomes when it is passed on by the sizes of
weights, slopes and intercepts: one product of matrices a layer, in float64 (`Single.sizes`). Where rounding
turns the sign of a coefficient, another line is taken than the true one calls for, which is sound for the coefficient
as it was computed; what that was off by is counted above, since an output is no larger than its lines' sizes. The lines
themselves are drawn in float64, over intervals that hold the true ones.

Where all sets are of one network its weights are shared, and a layer is one product of matrices. Of ``above`` where a
coefficient is positive and ``below`` where it is not, ``a * middle + |a| * half`` is the form of both signs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from cfq_core.nets.layers import Architecture
from cfq_core.nets.lines import Lines

UNIT = 2.0**-24  # the largest relative error of a float32 operation
OPERATIONS = 16  # a layer or a set does to a term beside its sums, generously
SMALLEST = 1e-30  # what is added for numbers that float32 rounds to 0


@runtime_checkable
class Span(Protocol):
    """Sets of first pre-activations that start at a point each and go along columns, those of their network."""

    @property
    def single(self) -> bool:
        """Whether hidden layers are to be bounded in float32."""
        ...

    @property
    def columns(self) -> Float[Tensor, "*b k h"]:
        """What a unit of each coordinate adds; without a leading axis where all sets are of one network."""
        ...

    @property
    def start(self) -> Float[Tensor, "b h"]:
        """Where each set starts."""
        ...

    @property
    def spread(self) -> Float[Tensor, "b h"]:
        """The sum of all sizes that may be added to it."""
        ...

    def top(self, slopes: Float[Tensor, "k #b m"], value: Float[Tensor, "b m"]) -> Float[Tensor, "b m"]:
        """The highest value of forms, told by what a unit of each coordinate adds to their start's."""
        ...


@dataclass(frozen=True)
class Networks:
    """The network of each set behind its first pre-activation, whose unit is worth ``scale``; float64.

    Without a leading axis of weights and biases where all sets are of one network.
    """

    scale: Float[Tensor, "b h"]
    weights: Sequence[Float[Tensor, "..."]]  # [*b, o, i]
    biases: Sequence[Float[Tensor, "..."]]  # [*b, o]
    architecture: Architecture


@dataclass(frozen=True)
class _Bent:
    """Lines as middles and half widths: of slopes, and of values at a reference."""

    slope: Float[Tensor, "b h"]
    slope_half: Float[Tensor, "b h"]
    value: Float[Tensor, "b h"]
    value_half: Float[Tensor, "b h"]

    @staticmethod
    def of(line: Lines, at: Float[Tensor, "*b h"] | float) -> _Bent:
        """Of lines with their values at a point."""
        above, below = line.above * at + line.above_at, line.below * at + line.below_at
        parts = line.above + line.below, line.above - line.below, above + below, above - below
        return _Bent(*((part / 2).float() for part in parts))

    def passed(
        self, forms: Float[Tensor, "#b m h"], constant: Float[Tensor, "#b m"]
    ) -> tuple[Float[Tensor, "b m h"], Float[Tensor, "b m"]]:
        """Forms in what an activation is given beside the reference, above forms in what it gives."""
        size = forms.abs()
        if len(forms) == 1:
            constant = constant + self.value @ forms[0].mT + self.value_half @ size[0].mT
        else:
            weighed = torch.mul(forms, self.value[:, None]).addcmul_(size, self.value_half[:, None])
            constant = constant + weighed.sum(2)
        return torch.mul(forms, self.slope[:, None]).addcmul_(size, self.slope_half[:, None]), constant


def exact_products() -> bool:
    """Whether a product of float32 matrices is one of float32 numbers; torch can be told to use shorter ones."""
    return torch.get_float32_matmul_precision() == "highest"


class Single:
    """Bounds of networks' layers over many sets."""

    def __init__(self, nets: Networks, span: Span) -> None:
        self.nets, self.span = nets, span
        self.weights, self.biases = ([t.float() for t in each] for each in (nets.weights, nets.biases))
        scale = nets.scale[0] if span.columns.dim() == 2 else nets.scale[:, None]
        self.columns = (span.columns * scale).float()
        self.start = span.start * nets.scale
        self.sizes = [self.start.abs() + span.spread * nets.scale]  # of all terms of each pre-activation
        self.outputs: list[Tensor] = []  # of all terms of what each layer gives
        self.terms = 2 * self.columns.shape[-2] + OPERATIONS  # on the longest way

    def ends(self) -> tuple[Float[Tensor, "b h"], Float[Tensor, "b h"]]:
        """Lower and upper bound of every first pre-activation."""
        columns, start = self._each_column(), self.start.float()
        tops = self.span.top(torch.cat([columns, -columns], 2), torch.cat([start, -start], 1))
        high, low = self._with_room(tops).chunk(2, dim=1)
        return -low, high

    def tops(self, layer: int, lines: Sequence[Lines], sums: Mapping[int, Lines]) -> Float[Tensor, "b m"]:
        """Upper bounds of every pre-activation behind a hidden layer, then of its negative; asked layer by layer."""
        self._grow(layer, lines[layer], sums.get(layer))
        if layer:
            return self._with_room(self._back(layer, lines, sums))
        weight, line, columns = self.weights[0], _Bent.of(lines[0], self.start), self._each_column()
        middle = through(torch.cat([columns * line.slope, line.value[None]]), weight)
        half = through(torch.cat([columns * line.slope_half, line.value_half[None]]), weight.abs())
        middle[-1] += self.biases[0]
        both = torch.cat([half + middle, half - middle], 2)
        return self._with_room(self.span.top(both[:-1], both[-1]))

    def _each_column(self) -> Float[Tensor, "k #b h"]:
        return self.columns[:, None] if self.columns.dim() == 2 else self.columns.movedim(1, 0)

    def _back(self, layer: int, lines: Sequence[Lines], sums: Mapping[int, Lines]) -> Float[Tensor, "b m"]:
        weight, bias = self.weights[layer], self.biases[layer]
        forms, constant = torch.cat([weight, -weight], -2), torch.cat([bias, -bias], -1)
        forms, constant = (t[None] if t.dim() == d else t for t, d in ((forms, 2), (constant, 1)))
        added: dict[int, Tensor] = {}  # forms on outputs that a later sum takes
        for depth in range(layer, -1, -1):
            forms, skip = forms + added.pop(depth) if depth in added else forms, self.nets.architecture[depth].skip
            if depth in sums:
                forms, constant = _Bent.of(sums[depth], 0.0).passed(forms, constant)
            if skip is not None:
                added[skip] = added[skip] + forms if skip in added else forms
            at = self.nets.biases[depth - 1] if depth else self.start
            forms, constant = _Bent.of(lines[depth], at).passed(forms, constant)
            if depth:
                forms = forms @ self.weights[depth - 1]
        return self.span.top(along(self.columns, forms), constant)

    def _grow(self, layer: int, line: Lines, total: Lines | None) -> None:
        """What a layer's lines, and then the next layer's weights, make of the sizes."""
        out = _passed(line, self.sizes[layer])
        skip = self.nets.architecture[layer].skip
        if skip is not None:
            out = out + self.outputs[skip]
        if total is not None:
            out = _passed(total, out)
        self.outputs.append(out)
        self.sizes.append(through(out[None], self.nets.weights[layer].abs())[0] + self.nets.biases[layer].abs())
        self.terms += out.shape[1] + OPERATIONS

    def _with_room(self, tops: Float[Tensor, "b m"]) -> Float[Tensor, "b m"]:
        if bool(tops.isnan().any()):
            raise ArithmeticError("a bound of a layer is not a number")  # lines over it would hide that
        share = self.terms * UNIT / (1 - self.terms * UNIT)
        return tops.double() + (share * self.sizes[-1] + SMALLEST).repeat(1, 2)


def _passed(line: Lines, size: Float[Tensor, "b h"]) -> Float[Tensor, "b h"]:
    steep = torch.maximum(line.above.abs(), line.below.abs())
    return steep * size + torch.maximum(line.above_at.abs(), line.below_at.abs())


def along(columns: Float[Tensor, "*b k h"], forms: Float[Tensor, "b m h"]) -> Float[Tensor, "k b m"]:
    """What a unit of each coordinate adds to forms."""
    if columns.dim() == 3:
        return torch.bmm(columns, forms.mT).movedim(1, 0)
    return (columns @ forms.flatten(0, 1).mT).unflatten(1, forms.shape[:2])


def through(rows: Float[Tensor, "k b i"], weight: Float[Tensor, "*b o i"]) -> Float[Tensor, "k b o"]:
    """What each set's weights make of rows."""
    if weight.dim() == 2:
        return rows @ weight.mT
    return (rows.movedim(0, 1) @ weight.mT).movedim(1, 0)
