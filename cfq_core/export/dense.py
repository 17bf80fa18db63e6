"""The dense network in an ONNX graph, where there is one: then recourse has gradients and bounds.

A graph is read as a chain of affine maps and activations from its one input to its one output. Our own quantized files
are recognised by writing them again: what comes out must be the very graph that was read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import onnx
import torch
from jaxtyping import Float
from onnx import helper, numpy_helper
from onnx.checker import ValidationError
from onnx.shape_inference import InferenceError

from cfq_core.export.provenance import BadModel
from cfq_core.export.read import ModelFile
from cfq_core.export.write import FORMS, student_model
from cfq_core.nets.layers import LOGIT, Activation, Layer
from cfq_core.nets.stack import Scorer, Stack
from cfq_core.quant.grid import WEIGHT_BITS
from cfq_core.quant.quantized import QuantStack

MOST_LAYERS = 64
Array = Float[np.ndarray, "..."]


class _NotDense(Exception):
    """The graph is something else than a chain of affine maps and known activations."""


def dense(file: ModelFile) -> Scorer | None:
    """The network of a file (R = 1, float64); None where the graph is another kind of model."""
    try:
        return _own(file) or _chain(file)
    except (_NotDense, ValidationError, InferenceError, ValueError, TypeError, KeyError, IndexError):
        return None  # the last four are numpy's and torch's own ways to say that shapes do not fit


# ---------------------------------------------------------------------- our own quantized files
def _own(file: ModelFile) -> QuantStack | None:
    """The integers of a file that `write.py` wrote."""
    provenance = file.provenance
    if provenance is None or provenance.role != "student" or not 1 <= len(provenance.bits) <= MOST_LAYERS:
        return None
    if not set(provenance.bits) <= set(WEIGHT_BITS):
        return None
    held = {c.name: c for c in file.proto.graph.initializer}

    def read(kind: str) -> tuple[torch.Tensor, ...]:
        arrays = (
            numpy_helper.to_array(held[f"{kind}{layer}"]).astype(np.float64) for layer in range(len(provenance.bits))
        )
        return tuple(torch.from_numpy(np.array(a)[None]) for a in arrays)

    weights, biases, input_steps = read("W"), read("B"), read("step")
    scales = read("scale")
    for form in FORMS:
        steps = tuple(_float32(s / i) for s, i in zip(scales, input_steps, strict=True)) if form == "exact" else scales
        made = QuantStack(weights, biases, steps, input_steps)
        if student_model(made, provenance, form).graph == file.proto.graph:
            return made
    return None


def _float32(steps: torch.Tensor) -> torch.Tensor:
    """Weight steps are float32 values; dividing their product with an input step only comes near them."""
    return steps.float().double()


# ---------------------------------------------------------------------- any dense network
@dataclass(frozen=True)
class _Chain:
    """What was read so far: finished layers, and the affine map since the last activation."""

    weights: tuple[Array, ...]
    biases: tuple[Array, ...]
    activations: tuple[Activation, ...]
    weight: Array  # [h, of the last layer]
    bias: Array  # [h]
    ended: bool = False  # behind a softmax nothing else may follow

    def affine(self, weight: Array, bias: Array) -> _Chain:
        """``y = weight @ x + bias`` behind it."""
        return replace(self, weight=weight @ self.weight, bias=weight @ self.bias + bias)

    def scaled(self, by: Array, plus: Array) -> _Chain:
        """``y = by * x + plus``, elementwise."""
        size = len(self.bias)
        by, plus = np.broadcast_to(by, (1, size))[0], np.broadcast_to(plus, (1, size))[0]
        return replace(self, weight=by[:, None] * self.weight, bias=by * self.bias + plus)

    def activated(self, kind: Activation) -> _Chain:
        """An activation behind it."""
        size = len(self.bias)
        return _Chain(
            (*self.weights, self.weight),
            (*self.biases, self.bias),
            (*self.activations, kind),
            np.eye(size),
            np.zeros(size),
        )


def _chain(file: ModelFile) -> Scorer:
    graph, constants = file.proto.graph, _constants(file.proto.graph)
    chain = _Chain((), (), (), np.eye(file.width), np.zeros(file.width))
    current, nodes = file.given, [n for n in graph.node if not all(o in constants for o in n.output)]
    for node in nodes:
        if current not in node.input or len(node.output) != 1 or len(chain.weights) > MOST_LAYERS:
            raise _NotDense
        if node.domain not in ("", "ai.onnx") or node.op_type not in _STEPS or chain.ended:
            raise _NotDense
        chain = _STEPS[node.op_type](chain, node, current, constants)
        current = node.output[0]
    if len(graph.output) != 1 or graph.output[0].name != current:
        raise _NotDense
    return _network(_to_logit(chain, graph, file.name))


def _to_logit(chain: _Chain, graph: onnx.GraphProto, name: str) -> _Chain:
    """One logit: a final sigmoid is taken off, two classes become their difference."""
    size = len(chain.bias)
    if size == 1 and chain.activations[-1:] == ("sigmoid",) and _is_identity(chain):
        chain = _Chain(
            chain.weights[:-1], chain.biases[:-1], chain.activations[:-1], chain.weights[-1], chain.biases[-1]
        )
    if size == 2 and not (chain.activations[-1:] == ("sigmoid",) and _is_identity(chain)):
        return chain.affine(np.array([[-1.0, 1.0]]), np.zeros(1))
    if size != 1:
        raise (
            BadModel(f"{name}: gives {size} numbers a person; one, or two classes, are needed")
            if size > 2
            else _NotDense
        )
    return chain


def _is_identity(chain: _Chain) -> bool:
    return np.array_equal(chain.weight, np.eye(len(chain.bias))) and not chain.bias.any()


def _network(chain: _Chain) -> Scorer:
    weights, biases = (*chain.weights, chain.weight), (*chain.biases, chain.bias)
    if not all(np.isfinite(a).all() for a in (*weights, *biases)):
        raise _NotDense
    stack = Stack(
        tuple(torch.from_numpy(np.array(w, np.float64))[None] for w in weights),
        tuple(torch.from_numpy(np.array(b, np.float64))[None] for b in biases),
    )
    return replace(stack, architecture=(*(Layer(a) for a in chain.activations), LOGIT))


# ---------------------------------------------------------------------- one step a kind of node
Constants = dict[str, Array]
Step = Callable[[_Chain, onnx.NodeProto, str, Constants], _Chain]


def _attributes(node: onnx.NodeProto) -> dict[str, object]:
    return {a.name: helper.get_attribute_value(a) for a in node.attribute}


def _gemm(chain: _Chain, node: onnx.NodeProto, current: str, constants: Constants) -> _Chain:
    at = _attributes(node)
    if node.input[0] != current or at.get("transA", 0):
        raise _NotDense
    weight = constants[node.input[1]] * float(at.get("alpha", 1.0))  # type: ignore[arg-type]
    weight = weight if at.get("transB", 0) else weight.T
    bias = np.zeros(len(weight))
    if len(node.input) > 2 and node.input[2]:
        bias = np.broadcast_to(constants[node.input[2]] * float(at.get("beta", 1.0)), (1, len(weight)))[0]  # type: ignore[arg-type]
    return chain.affine(weight, bias)


def _matmul(chain: _Chain, node: onnx.NodeProto, current: str, constants: Constants) -> _Chain:
    weight = constants[node.input[1]]
    if node.input[0] != current or weight.ndim != 2:
        raise _NotDense
    return chain.affine(weight.T, np.zeros(weight.shape[1]))


def _elementwise(kind: str) -> Step:
    def step(chain: _Chain, node: onnx.NodeProto, current: str, constants: Constants) -> _Chain:
        first = node.input[0] == current
        other = constants[node.input[1] if first else node.input[0]]
        zero = np.zeros(1)
        if kind == "Add":
            return chain.scaled(np.ones(1), other)
        if kind == "Mul":
            return chain.scaled(other, zero)
        if kind == "Sub":
            return chain.scaled(np.ones(1), -other) if first else chain.scaled(-np.ones(1), other)
        if not first:
            raise _NotDense  # a constant divided by the input
        return chain.scaled(1.0 / other, zero)

    return step


def _activation(chain: _Chain, node: onnx.NodeProto, current: str, constants: Constants) -> _Chain:
    return chain.activated(_NAMED[node.op_type])


def _softmax(chain: _Chain, node: onnx.NodeProto, current: str, constants: Constants) -> _Chain:
    """Of two classes at the end: the difference of their logits says all of it."""
    if len(chain.bias) != 2 or _attributes(node).get("axis", -1) not in (-1, 1):
        raise _NotDense
    return replace(chain, ended=True)


def _same(chain: _Chain, node: onnx.NodeProto, current: str, constants: Constants) -> _Chain:
    if list(node.input) != [current] or _attributes(node).get("axis", 1) != 1:
        raise _NotDense
    return chain


def _cast(chain: _Chain, node: onnx.NodeProto, current: str, constants: Constants) -> _Chain:
    if _attributes(node).get("to") not in (onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE):
        raise _NotDense
    return chain


_NAMED: dict[str, Activation] = {"Relu": "relu", "Tanh": "tanh", "Sigmoid": "sigmoid"}
_STEPS: dict[str, Step] = {
    "Gemm": _gemm,
    "MatMul": _matmul,
    "Add": _elementwise("Add"),
    "Sub": _elementwise("Sub"),
    "Mul": _elementwise("Mul"),
    "Div": _elementwise("Div"),
    "Relu": _activation,
    "Tanh": _activation,
    "Sigmoid": _activation,
    "Softmax": _softmax,
    "Identity": _same,
    "Dropout": _same,
    "Flatten": _same,
    "Cast": _cast,
}


def _constants(graph: onnx.GraphProto) -> Constants:
    """Arrays that depend on no input, float64: initializers, constants, and what folds from them."""
    held = {c.name: _wide(numpy_helper.to_array(c)) for c in graph.initializer}
    for node in graph.node:
        at = {a.name: a for a in node.attribute}
        if node.op_type == "Constant" and "value" in at:
            held[node.output[0]] = _wide(numpy_helper.to_array(at["value"].t))
        elif node.op_type in ("Identity", "Cast") and node.input[0] in held:
            held[node.output[0]] = held[node.input[0]]
        elif node.op_type == "Transpose" and node.input[0] in held and held[node.input[0]].ndim == 2:
            held[node.output[0]] = held[node.input[0]].T
        elif node.op_type == "DequantizeLinear" and all(i in held for i in node.input):
            held[node.output[0]] = _dequantized(node, [held[i] for i in node.input])
    return held


def _dequantized(node: onnx.NodeProto, given: list[Array]) -> Array:
    """``(codes - zero) * scale``, a scale a tensor or along one axis."""
    codes, scale, *zero = given
    if scale.ndim > 1:
        raise _NotDense
    axis = int(_attributes(node).get("axis", 1))  # type: ignore[call-overload]
    shape = (
        [-1 if i == axis % max(codes.ndim, 1) else 1 for i in range(codes.ndim)] if scale.size > 1 else [1] * codes.ndim
    )
    offset = zero[0].reshape(shape) if zero else 0.0
    return (codes - offset) * scale.reshape(shape)


def _wide(array: np.ndarray) -> Array:
    return np.asarray(array).astype(np.float64)
