"""The network in an ONNX graph, where there is one: then recourse has gradients and bounds, and it can be quantized.

A graph is read tensor by tensor. Each is an affine map of the input or of the newest layer's output, an elementwise
function of one (`elementwise.py` says which activation it is, whatever nodes compute it), the index of a level, or two
classes. A sum of the outputs of two layers is a residual. What else there is makes it another kind of model.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce

import numpy as np
import onnx
import torch

from cfq_core.models.elementwise import FUNCTIONS, GRID, recognised
from cfq_core.models.own_file import own_file
from cfq_core.models.provenance import BadModel
from cfq_core.models.read import Array, ModelFile, constants
from cfq_core.nets.layers import LOGIT, Activation, Layer
from cfq_core.nets.stack import Scorer, Stack

MOST_LAYERS = 64
CLOSE = 1e-6  # relative: a constant of a formula that is kept as float32


class NotDense(Exception):
    """The graph is something else than layers of affine maps, known activations and residuals."""


class Earlier(NotDense):
    """A tensor that a residual adds must be a layer's output; then the graph is read anew."""

    def __init__(self, tensor: str) -> None:
        self.tensor = tensor


@dataclass(frozen=True)
class Group:
    """Columns of a file that stand for one feature: ``levels`` = () a number; else the index of a level, or words."""

    levels: tuple[str, ...] = ()


@dataclass(frozen=True)
class Map:
    """``y = weight @ v + bias``, where ``v`` is the input (0) or the output of the layer before number ``of``."""

    of: int
    weight: Array  # [h, width of v]
    bias: Array  # [h]

    @property
    def plain(self) -> bool:
        """Whether it is ``v`` itself."""
        return np.array_equal(self.weight, np.eye(len(self.bias))) and not self.bias.any()

    def affine(self, weight: Array, bias: Array) -> Map:
        """``weight @ y + bias`` behind it."""
        return Map(self.of, weight @ self.weight, weight @ self.bias + bias)

    def scaled(self, by: Array | float, plus: Array | float = 0.0) -> Map:
        """``by * y + plus``, elementwise."""
        size = len(self.bias)
        gain, shift = (np.broadcast_to(np.reshape(a, (1, -1)), (1, size))[0] for a in (by, plus))
        return Map(self.of, gain[:, None] * self.weight, gain * self.bias + shift)

    def take(self, rows: Array) -> Map:
        """Some of its elements."""
        return Map(self.of, self.weight[rows], self.bias[rows])

    def times(self, other: Map) -> tuple[float, float] | None:
        """``a, b`` with this one = a * other + b in every element; None where there are none."""
        if self.of != other.of or self.weight.shape != other.weight.shape or not other.weight.any():
            return None
        at = np.unravel_index(np.abs(other.weight).argmax(), other.weight.shape)
        a = float(self.weight[at] / other.weight[at])
        plus = self.bias - a * other.bias
        close = np.allclose(self.weight, a * other.weight, CLOSE, 0.0) and np.allclose(
            plus, plus[0], CLOSE, CLOSE * float(np.abs(self.bias).max(initial=0.0))
        )
        b = float(plus[0])
        return (a, 0.0 if abs(b) <= CLOSE * float(np.abs(self.bias).max(initial=0.0)) else b) if close else None


@dataclass(frozen=True)
class Func:
    """An elementwise function of ``inner``, by its values on the grid."""

    inner: Map
    values: Array


@dataclass(frozen=True)
class Index:
    """The level of one categorical column: of people as they are read, one column a level."""

    hot: Map
    levels: tuple[str, ...]

    @property
    def number(self) -> Map:
        """The index itself."""
        return self.hot.affine(np.arange(len(self.levels), dtype=float)[None], np.zeros(1))


@dataclass(frozen=True)
class Parts:
    """Columns side by side, of which some are levels."""

    parts: tuple[Value, ...]


@dataclass(frozen=True)
class Classes:
    """Probabilities of two classes, the second of which has this logit."""

    logit: Map


@dataclass(frozen=True)
class Shape:
    """Sizes of tensors, and what is made of them; the only use is the shape of a person's numbers."""


Value = Map | Func | Index | Parts | Classes | Shape


def dense(file: ModelFile, groups: Sequence[Group] | None = None) -> Scorer | None:
    """The network of a file (R = 1, float64), or the integers of our own; None where it is another kind of model.

    ``groups``: what its columns stand for; the network's inputs are then one column a level. None: all are numbers.
    """
    from cfq_core.models.steps import STEPS

    if (own := own_file(file)) is not None:
        return own
    try:
        return _network(file, groups or (Group(),) * file.width, STEPS)
    except (NotDense, ValueError, TypeError, KeyError, IndexError, ZeroDivisionError):
        return None  # the last five are numpy's and torch's own ways to say that shapes do not fit


def _network(file: ModelFile, groups: Sequence[Group], steps: Mapping[str, object]) -> Stack:
    graph, earlier = file.proto.graph, frozenset[str]()
    nodes = _wanted(graph, file.gives.name)
    while len(earlier) <= MOST_LAYERS:
        try:
            reader = Reader(file, groups, earlier, nodes)
            for node in nodes:
                if not all(o in reader.constants for o in node.output if o):
                    reader.read(node, steps)
            return reader.network(reader.values[file.gives.name], file.name)
        except Earlier as wanted:
            if wanted.tensor in earlier:
                raise NotDense from None
            earlier |= {wanted.tensor}
    raise NotDense


def _wanted(graph: onnx.GraphProto, output: str) -> list[onnx.NodeProto]:
    """The nodes that an output depends on, in order."""
    needed, kept = {output}, []
    for node in reversed(graph.node):
        if needed & set(node.output):
            needed |= set(node.input)
            kept.append(node)
    return kept[::-1]


class Reader:
    """The layers read so far, and what each tensor is in terms of the newest one's output."""

    def __init__(
        self, file: ModelFile, groups: Sequence[Group], earlier: frozenset[str], nodes: Sequence[onnx.NodeProto]
    ) -> None:
        self.constants, self.earlier = constants(file.proto.graph), earlier
        self.uses = Counter([*(i for n in nodes for i in n.input), file.gives.name])
        self.weights: list[Array] = []
        self.biases: list[Array] = []
        self.layers: list[Layer] = []
        self.values: dict[str, Value] = {}
        self.bases: list[Map] = []  # what a layer's activation is a function of
        self.hints: list[str] = []  # activations with numbers of their own
        self.ended = False  # behind a softmax nothing else may follow
        self._enter(file, groups)

    def _enter(self, file: ModelFile, groups: Sequence[Group]) -> None:
        sizes = [max(1, len(g.levels)) for g in groups]
        width, starts = sum(sizes), np.cumsum([0, *sizes])
        whole = Map(0, np.eye(width), np.zeros(width))
        each: list[Value] = []
        for g, start, size in zip(groups, starts, sizes, strict=False):
            rows = whole.take(np.arange(start, start + size))
            each.append(Index(rows, g.levels) if g.levels else rows)
        first = 0
        for e in file.entries:
            mine = each[first : first + e.width]
            self._keep(e.name, mine[0] if len(mine) == 1 else joined(mine))
            first += e.width

    def read(self, node: onnx.NodeProto, steps: Mapping[str, object]) -> None:
        """Take one node in."""
        given = [i for i in node.input if i in self.values]
        if not given or len(self.weights) > MOST_LAYERS:
            raise NotDense
        if node.op_type == "Shape" or all(isinstance(self.values[g], Shape) for g in given):
            self.values[node.output[0]] = Shape()
            return
        domain = "" if node.domain == "ai.onnx" else node.domain
        kind = f"{domain}.{node.op_type}" if domain else node.op_type
        step = steps.get("Gelu" if kind == "com.microsoft.Gelu" else kind)
        if step is None or (self.ended and kind not in ENDS):
            raise NotDense
        name = node.output[-1] if kind == "ai.onnx.ml.LinearClassifier" else node.output[0]
        self._keep(name, step(self, node, given))  # type: ignore[operator]

    def _keep(self, name: str, value: Value) -> None:
        if name in self.earlier:
            value = self.activated("none", self.map(value))
        self.values[name] = value

    def value(self, name: str) -> Value:
        """What a tensor is."""
        return self.values[name]

    def map(self, value: Value) -> Map:
        """A tensor as an affine map of the newest output; a function becomes a layer."""
        if isinstance(value, Map):
            return value
        if isinstance(value, Index):
            return value.number
        if isinstance(value, Parts):
            return stacked([self.map(p) for p in value.parts])
        if isinstance(value, Classes | Shape):
            raise NotDense
        found = recognised(value.values, self.hints)
        if found is None:
            raise NotDense
        inner = value.inner if found.factor == 1 else value.inner.scaled(found.factor)
        if found.kind == "none":
            return inner.scaled(found.by, found.plus)
        return self.activated(found.kind, inner).scaled(found.by, found.plus)  # type: ignore[arg-type]

    def activated(self, kind: Activation, total: Map) -> Map:
        """A new layer; its output. One that is there already is not made twice."""
        if self.layers and total.of == len(self.layers) - 1 and self._is_newest(kind, total):
            size = len(total.bias)
            return Map(len(self.layers), np.eye(size), np.zeros(size))
        if total.of != len(self.layers):
            raise NotDense  # not of the newest output
        self.weights.append(total.weight)
        self.biases.append(total.bias)
        self.layers.append(Layer(kind))
        size = len(total.bias)
        return Map(len(self.layers), np.eye(size), np.zeros(size))

    def _is_newest(self, kind: Activation, total: Map) -> bool:
        same = self.layers[-1] == Layer(kind) and self.weights[-1].shape == total.weight.shape
        return same and np.array_equal(self.weights[-1], total.weight) and np.array_equal(self.biases[-1], total.bias)

    def named(self, name: str) -> Map:
        """A tensor as an affine map; a function that is one of a layer's outputs from now on."""
        value = self.values[name]
        made = self.map(value)
        if isinstance(value, Func):
            self.values[name] = made
        return made

    def base(self, value: Map) -> Map:
        """The same, and functions of multiples of it are functions of it."""
        self.bases.append(value)
        return value

    def function(self, value: Value) -> Func:
        """An elementwise function; of a multiple of an earlier map as one of that map."""
        if isinstance(value, Func):
            return value
        own = self.map(value)
        for other in self.bases:
            if (like := own.times(other)) is not None:
                return Func(other, like[0] * GRID + like[1])
        for other in (v for v in self.values.values() if isinstance(v, Map)):
            if (like := own.times(other)) is not None and like[1] == 0:
                return Func(self.base(other), like[0] * GRID)
        return Func(self.base(own), GRID)

    def residual(self, names: list[str], pair: tuple[Map, Map]) -> Map:
        """Two tensors of one layer added, or the newest layer's output and an earlier one's."""
        first, second = pair
        if first.of == second.of:
            return Map(first.of, first.weight + second.weight, first.bias + second.bias)
        if first.of < second.of:
            first, second, names = second, first, names[::-1]
        if not second.plain or second.of == 0:
            raise Earlier(names[1])
        if not first.plain:
            first = self.activated("none", first)
        elif any(self.uses[n] > 1 for n, v in self.values.items() if isinstance(v, Map) and v.of == first.of):
            raise NotDense  # somebody else wants the output without the sum
        if first.of != len(self.layers) or self.layers[-1].skip is not None:
            raise NotDense
        self.layers[-1] = replace(self.layers[-1], skip=second.of - 1)
        return first

    def network(self, value: Value, name: str) -> Stack:
        """The network whose output a tensor is, as one logit."""
        last = self._to_logit(value, name)
        if last.of != len(self.layers):
            raise NotDense
        weights, biases = [*self.weights, last.weight], [*self.biases, last.bias]
        if not all(np.isfinite(a).all() for a in (*weights, *biases)):
            raise NotDense
        tensors = [tuple(torch.from_numpy(np.array(a, np.float64))[None] for a in each) for each in (weights, biases)]
        return Stack(tensors[0], tensors[1], (*self.layers, LOGIT))

    def _to_logit(self, value: Value, name: str) -> Map:
        """One logit: a final sigmoid is taken off, two classes become their difference."""
        if isinstance(value, Classes):
            return value.logit
        if isinstance(value, Func) and len(value.inner.bias) == 1 and is_sigmoid(value):
            return value.inner
        last = self.map(value)
        size = len(last.bias)
        if size > 2:
            raise BadModel(f"{name}: gives {size} numbers a person; one, or two classes, are needed")
        return last.affine(np.array([[-1.0, 1.0]]), np.zeros(1)) if size == 2 else last


#: What may stand behind a softmax.
ENDS = ("Identity", "Cast", "Reshape", "Flatten", "Squeeze", "ai.onnx.ml.Normalizer")


def is_sigmoid(value: Func) -> bool:
    """Whether it is the sigmoid itself."""
    return bool(np.abs(value.values - FUNCTIONS["Sigmoid"](GRID)).max() <= CLOSE)


def stacked(maps: Sequence[Map]) -> Map:
    """Maps of one output side by side."""
    if len({m.of for m in maps}) != 1:
        raise NotDense
    return Map(maps[0].of, np.concatenate([m.weight for m in maps]), np.concatenate([m.bias for m in maps]))


def joined(values: Sequence[Value]) -> Value:
    """Columns side by side; levels stay levels."""
    flat = reduce(lambda out, v: (*out, *(v.parts if isinstance(v, Parts) else (v,))), values, tuple[Value, ...]())
    if all(isinstance(v, Map) for v in flat):
        return stacked(flat)  # type: ignore[arg-type]
    return Parts(flat)
