"""The network in an ONNX graph, where there is one: then recourse has gradients and bounds.

A graph is read tensor by tensor: each is an affine map of the input or of the newest layer's output, or waits to become
an activation (`Silu` is a product with a sigmoid, `Gelu` one with an error function). A sum of two such tensors is a
residual. Our own files are recognised by writing them again: what comes out must be the very graph that was read.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from onnx.checker import ValidationError
from onnx.shape_inference import InferenceError

from cfq_core.models.provenance import BadModel
from cfq_core.models.read import Array, ModelFile, attributes, constants
from cfq_core.models.write import FORMS, student_model, teacher_model, written_for
from cfq_core.nets.layers import ALPHA, LOGIT, Activation, Architecture, Codes, Layer, read
from cfq_core.nets.stack import Scorer, Stack
from cfq_core.quant.grid import WEIGHT_BITS
from cfq_core.quant.quantized import QuantStack

MOST_LAYERS = 64
CLOSE = 1e-6  # relative: a constant of a formula that is kept as float32


class _NotDense(Exception):
    """The graph is something else than layers of affine maps, known activations and residuals."""


class _Earlier(_NotDense):
    """A tensor that a residual adds must be a layer's output; then the graph is read anew."""

    def __init__(self, tensor: str) -> None:
        self.tensor = tensor


def dense(file: ModelFile) -> Scorer | None:
    """The network of a file (R = 1, float64); None where the graph is another kind of model."""
    for reader in (_own, _network):
        try:
            if (model := reader(file)) is not None:
                return model
        except (_NotDense, ValidationError, InferenceError, ValueError, TypeError, KeyError, IndexError):
            continue  # the last four are numpy's and torch's own ways to say that shapes do not fit
    return None


# ---------------------------------------------------------------------- our own files
def _own(file: ModelFile) -> Scorer | None:
    """The numbers of a file that `write.py` wrote."""
    provenance = file.provenance
    if provenance is None or max(len(provenance.bits), len(provenance.layers)) > MOST_LAYERS:
        return None
    layers = read(provenance.layers)
    held = {c.name: numpy_helper.to_array(c).astype(np.float64) for c in file.proto.graph.initializer}

    def listed(kind: str) -> tuple[torch.Tensor, ...]:
        count = next(i for i in range(len(held) + 1) if f"{kind}{i}" not in held)
        return tuple(torch.from_numpy(np.array(held[f"{kind}{i}"])[None]) for i in range(count))

    weights, biases, target = listed("W"), listed("B"), written_for(file.proto)
    for form in FORMS:
        if provenance.role == "teacher" and weights:
            teacher = Stack(weights, biases, layers)
            if teacher_model(teacher, provenance, form, target).graph == file.proto.graph:
                return teacher
        elif weights and len(weights) == len(provenance.bits) and set(provenance.bits) <= set(WEIGHT_BITS):
            inputs, steps = _steps(held, layers or (LOGIT,) * len(weights), listed("scale"), form == "exact")
            codes = _codes(held, layers, provenance.activation_bits)
            student = QuantStack(weights, biases, steps, inputs, layers, codes)
            if student_model(student, provenance, form, target).graph == file.proto.graph:
                return student
    return None


def _codes(held: dict[str, Array], layers: Architecture, bits: int) -> Codes:
    """Steps and tables of the hidden activations."""
    if not any(each.curved or each.skip is not None for each in layers):
        return Codes(bits)
    one, none = torch.ones(1, dtype=torch.float64), torch.zeros(1, 0, dtype=torch.float64)

    def each(name: str, absent: torch.Tensor) -> tuple[torch.Tensor, ...]:
        names = [f"{name}{i}" for i in range(len(layers) - 1)]
        return tuple(torch.from_numpy(np.array(held[n])[None]) if n in held else absent for n in names)

    def branch(layer: int) -> torch.Tensor:
        names = [f"{kind}{layer}" for kind in ("step_a", "step_entry", "step_branch")]
        step = next((held[n] for n in names if n in held and layers[layer].skip is not None), np.ones(()))
        return torch.from_numpy(np.array(step)[None])

    return Codes(bits, each("step_total", one), tuple(map(branch, range(len(layers) - 1))), each("table", none))


def _steps(
    held: dict[str, Array], layers: Architecture, scales: tuple[torch.Tensor, ...], exact: bool
) -> tuple[tuple[torch.Tensor, ...], tuple[torch.Tensor, ...]]:
    """Steps of each layer's input and of its weights; the exact form holds their product.

    Behind a table no step of its output is needed, and only a sum says it: the product then stands for both.
    """
    inputs, weights = [], []
    for layer, scale in enumerate(scales):
        names = [f"step{layer}", *(f"step_b{i}" for i, each in enumerate(layers) if each.skip == layer - 1)]
        step = next((torch.from_numpy(np.array(held[n])[None]) for n in names if n in held), None)
        inputs.append(torch.ones(1, dtype=torch.float64) if step is None else step)
        # float32 values: dividing their product with an input step only comes near them
        weights.append(scale if step is None or not exact else (scale / step).float().double())
    return tuple(inputs), tuple(weights)


# ---------------------------------------------------------------------- any dense network
@dataclass(frozen=True)
class _Map:
    """``y = weight @ v + bias``, where ``v`` is the input (0) or the output of the layer before number ``of``."""

    of: int
    weight: Array  # [h, width of v]
    bias: Array  # [h]

    @property
    def plain(self) -> bool:
        """Whether it is ``v`` itself."""
        return np.array_equal(self.weight, np.eye(len(self.bias))) and not self.bias.any()

    def affine(self, weight: Array, bias: Array) -> _Map:
        """``weight @ y + bias`` behind it."""
        return _Map(self.of, weight @ self.weight, weight @ self.bias + bias)

    def scaled(self, by: Array, plus: Array) -> _Map:
        """``by * y + plus``, elementwise."""
        size = len(self.bias)
        by, plus = np.broadcast_to(by, (1, size))[0], np.broadcast_to(plus, (1, size))[0]
        return _Map(self.of, by[:, None] * self.weight, by * self.bias + plus)

    def near(self, other: _Map) -> bool:
        """Whether it is another one, but for how constants are rounded."""
        same = self.of == other.of and self.weight.shape == other.weight.shape
        return same and all(
            np.allclose(a, b, CLOSE, 0.0) for a, b in ((self.weight, other.weight), (self.bias, other.bias))
        )


@dataclass(frozen=True)
class _Gate:
    """``by * kind(inner) + plus``, elementwise: an activation by itself, or a factor of one."""

    kind: str  # Sigmoid, HardSigmoid, Erf
    inner: _Map
    by: float = 1.0
    plus: float = 0.0


Value = _Map | _Gate


class _Reader:
    """The layers read so far, and what each tensor is in terms of the newest one's output."""

    def __init__(self, file: ModelFile, earlier: frozenset[str]) -> None:
        graph = file.proto.graph
        self.constants, self.earlier = constants(graph), earlier
        self.uses = Counter([*(i for n in graph.node for i in n.input), *(o.name for o in graph.output)])
        self.weights: list[Array] = []
        self.biases: list[Array] = []
        self.layers: list[Layer] = []
        self.values: dict[str, Value] = {}
        self.ended = False  # behind a softmax nothing else may follow
        self._keep(file.given, _Map(0, np.eye(file.width), np.zeros(file.width)))

    def read(self, node: onnx.NodeProto) -> None:
        """Take one node in."""
        given = [i for i in node.input if i in self.values]
        if not given or len(node.output) != 1 or len(self.weights) > MOST_LAYERS or self.ended:
            raise _NotDense
        domain = "" if node.domain == "ai.onnx" else node.domain
        kind = node.op_type if domain == "" or (domain, node.op_type) == ("com.microsoft", "Gelu") else ""
        if len(given) == 2 and kind in ("Add", "Mul"):
            pair = self.values[given[0]], self.values[given[1]]
            out: Value = self._sum(given, pair) if kind == "Add" else self._product(*pair)
        elif len(given) == 1 and kind in _STEPS:
            out = _STEPS[kind](self, node, given[0])
        else:
            raise _NotDense
        self._keep(node.output[0], out)

    def _keep(self, name: str, value: Value) -> None:
        if name in self.earlier:
            value = self.activated("none", self.map(value))
        self.values[name] = value

    def map(self, value: Value) -> _Map:
        """A tensor as an affine map of the newest output; a sigmoid that waited becomes a layer."""
        if isinstance(value, _Map):
            return value
        if value.kind != "Sigmoid":
            raise _NotDense
        return self.activated("sigmoid", value.inner).scaled(np.array([value.by]), np.array([value.plus]))

    def activated(self, kind: Activation, total: _Map) -> _Map:
        """A new layer; its output."""
        if total.of != len(self.layers):
            raise _NotDense  # not of the newest output
        self.weights.append(total.weight)
        self.biases.append(total.bias)
        self.layers.append(Layer(kind))
        size = len(total.bias)
        return _Map(len(self.layers), np.eye(size), np.zeros(size))

    def _sum(self, names: list[str], pair: tuple[Value, Value]) -> _Map:
        """Two tensors of one layer added, or a residual: the newest layer's output and an earlier one's."""
        first, second = self.map(pair[0]), self.map(pair[1])
        if first.of == second.of:
            return _Map(first.of, first.weight + second.weight, first.bias + second.bias)
        if first.of < second.of:
            first, second, names = second, first, names[::-1]
        if not second.plain or second.of == 0:
            raise _Earlier(names[1])
        if not first.plain:
            first = self.activated("none", first)
        elif any(self.uses[n] > 1 for n, v in self.values.items() if isinstance(v, _Map) and v.of == first.of):
            raise _NotDense  # somebody else wants the output without the sum
        if first.of != len(self.layers) or self.layers[-1].skip is not None:
            raise _NotDense
        self.layers[-1] = replace(self.layers[-1], skip=second.of - 1)
        return first

    def _product(self, first: Value, second: Value) -> _Map:
        """``x * sigmoid(x)`` and its kin; ``x * (1 + erf(x / sqrt 2))`` is twice Gelu."""
        gate, factor = (first, second) if isinstance(first, _Gate) else (second, first)
        if not isinstance(gate, _Gate) or not isinstance(factor, _Map):
            raise _NotDense
        by = np.array([gate.by])
        if gate.kind in ("Sigmoid", "HardSigmoid") and gate.plus == 0 and factor.near(gate.inner):
            return self.activated("silu" if gate.kind == "Sigmoid" else "hard_swish", factor).scaled(by, np.zeros(1))
        x = gate.inner.scaled(np.array([math.sqrt(2)]), np.zeros(1))
        for share in (1.0, 0.5):
            whole = factor.scaled(np.array([1 / share]), np.zeros(1))
            if gate.kind == "Erf" and math.isclose(gate.by, gate.plus, rel_tol=CLOSE) and whole.near(x):
                return self.activated("gelu", whole).scaled(2 * share * by, np.zeros(1))
        raise _NotDense

    def network(self, value: Value, name: str) -> Stack:
        """The network whose output a tensor is, as one logit."""
        last = self._to_logit(value, name)
        if last.of != len(self.layers):
            raise _NotDense
        weights, biases = [*self.weights, last.weight], [*self.biases, last.bias]
        if not all(np.isfinite(a).all() for a in (*weights, *biases)):
            raise _NotDense
        tensors = [tuple(torch.from_numpy(np.array(a, np.float64))[None] for a in each) for each in (weights, biases)]
        return Stack(tensors[0], tensors[1], (*self.layers, LOGIT))

    def _to_logit(self, value: Value, name: str) -> _Map:
        """One logit: a final sigmoid is taken off, two classes become their difference."""
        if isinstance(value, _Gate):
            if (value.kind, value.by, value.plus, len(value.inner.bias)) != ("Sigmoid", 1.0, 0.0, 1):
                raise _NotDense
            return value.inner
        size = len(value.bias)
        if size > 2:
            raise BadModel(f"{name}: gives {size} numbers a person; one, or two classes, are needed")
        return value.affine(np.array([[-1.0, 1.0]]), np.zeros(1)) if size == 2 else value


def _network(file: ModelFile) -> Stack:
    graph, earlier = file.proto.graph, frozenset[str]()
    while len(earlier) <= MOST_LAYERS:
        try:
            reader = _Reader(file, earlier)
            for node in graph.node:
                if not all(o in reader.constants for o in node.output):
                    reader.read(node)
            return reader.network(reader.values[file.gives.name], file.name)
        except _Earlier as wanted:
            if wanted.tensor in earlier:
                raise _NotDense from None
            earlier |= {wanted.tensor}
    raise _NotDense


# ---------------------------------------------------------------------- one step a kind of node
Step = Callable[[_Reader, onnx.NodeProto, str], Value]


def _number(node: onnx.NodeProto, name: str, default: float) -> float:
    return float(attributes(node).get(name, default))  # type: ignore[arg-type]


def _gemm(reader: _Reader, node: onnx.NodeProto, given: str) -> _Map:
    at = attributes(node)
    if node.input[0] != given or at.get("transA", 0):
        raise _NotDense
    weight = reader.constants[node.input[1]] * _number(node, "alpha", 1.0)
    weight = weight if at.get("transB", 0) else weight.T
    bias = np.zeros(len(weight))
    if len(node.input) > 2 and node.input[2]:
        bias = np.broadcast_to(reader.constants[node.input[2]] * _number(node, "beta", 1.0), (1, len(weight)))[0]
    return reader.map(reader.values[given]).affine(weight, bias)


def _matmul(reader: _Reader, node: onnx.NodeProto, given: str) -> _Map:
    weight = reader.constants[node.input[1]]
    if node.input[0] != given or weight.ndim != 2:
        raise _NotDense
    return reader.map(reader.values[given]).affine(weight.T, np.zeros(weight.shape[1]))


def _batch_norm(reader: _Reader, node: onnx.NodeProto, given: str) -> _Map:
    """As it stands at inference: a scale and a shift for each column."""
    if node.input[0] != given or attributes(node).get("training_mode", 0):
        raise _NotDense
    gain, shift, mean, variance = (reader.constants[name] for name in node.input[1:5])
    by = gain / np.sqrt(variance + _number(node, "epsilon", 1e-5))
    return reader.map(reader.values[given]).scaled(by, shift - mean * by)


def _elementwise(kind: str) -> Step:
    def step(reader: _Reader, node: onnx.NodeProto, given: str) -> Value:
        first = node.input[0] == given
        other, zero, one = reader.constants[node.input[1] if first else node.input[0]], np.zeros(1), np.ones(1)
        if kind == "Div" and not first:
            raise _NotDense  # a constant divided by the input
        by, plus = {
            "Add": (one, other), "Mul": (other, zero), "Div": (1.0 / other if first else other, zero),
            "Sub": (one, -other) if first else (-one, other),
        }[kind]  # fmt: skip
        value = reader.values[given]
        if isinstance(value, _Gate) and by.size == plus.size == 1:
            return replace(value, by=value.by * by.item(), plus=value.plus * by.item() + plus.item())
        return reader.map(value).scaled(by, plus)

    return step


def _activation(kind: Activation, name: str = "", value: float = 0.0) -> Step:
    """A node that is an activation, where its parameter is the usual one."""

    def step(reader: _Reader, node: onnx.NodeProto, given: str) -> _Map:
        if name and not math.isclose(_number(node, name, value), value, rel_tol=CLOSE):
            raise _NotDense
        if kind == "gelu" and attributes(node).get("approximate", b"none") != b"none":
            raise _NotDense
        return reader.activated(kind, reader.map(reader.values[given]))

    return step


def _gate(kind: str) -> Step:
    def step(reader: _Reader, node: onnx.NodeProto, given: str) -> Value:
        usual = (_number(node, "alpha", 0.2), _number(node, "beta", 0.5))
        if kind == "HardSigmoid" and not np.allclose(usual, (1 / 6, 0.5), CLOSE, 0.0):
            raise _NotDense
        inner = reader.map(reader.values[given])
        if kind == "Sigmoid" and reader.uses[node.output[0]] > 1:
            return reader.activated("sigmoid", inner)
        return _Gate(kind, inner)

    return step


def _same(reader: _Reader, node: onnx.NodeProto, given: str) -> Value:
    """What gives on what it is given; a softmax of two classes at the end too, whose logits' difference says it all."""
    at, value, kind = attributes(node), reader.values[given], node.op_type
    fits = list(node.input) == [given] and at.get("axis", 1) in ((-1, 1) if kind == "Softmax" else (1,))
    if not fits or (kind == "Cast" and at.get("to") not in (onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE)):
        raise _NotDense
    if kind == "Softmax":
        value, reader.ended = reader.map(value), True
        if len(value.bias) != 2:
            raise _NotDense
    return value


_STEPS: dict[str, Step] = {
    "Gemm": _gemm,
    "MatMul": _matmul,
    "BatchNormalization": _batch_norm,
    **{kind: _elementwise(kind) for kind in ("Add", "Sub", "Mul", "Div")},
    "Relu": _activation("relu"),
    "LeakyRelu": _activation("leaky_relu", "alpha", ALPHA),
    "Elu": _activation("elu", "alpha", 1.0),
    "Gelu": _activation("gelu"),
    "HardSwish": _activation("hard_swish"),
    "Tanh": _activation("tanh"),
    **{kind: _gate(kind) for kind in ("Sigmoid", "HardSigmoid", "Erf")},
    **dict.fromkeys(("Identity", "Dropout", "Flatten", "Cast", "Softmax"), _same),
}
