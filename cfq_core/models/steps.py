"""One step a kind of node: what a tensor becomes in terms of the layers read so far (see `dense.py`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx

from cfq_core.models.dense import (
    Classes,
    Func,
    Index,
    Map,
    NotDense,
    Parts,
    Reader,
    Shape,
    Value,
    is_sigmoid,
    joined,
    stacked,
)
from cfq_core.models.elementwise import FUNCTIONS
from cfq_core.models.read import Array, attributes
from cfq_core.nets.layers import ALPHA, CURVES

Step = Callable[[Reader, onnx.NodeProto, list[str]], Value]
WHOLE = (onnx.TensorProto.INT64, onnx.TensorProto.INT32)
FLOATS = (onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE, onnx.TensorProto.FLOAT16)


def _number(node: onnx.NodeProto, name: str, default: float) -> float:
    return float(attributes(node).get(name, default))  # type: ignore[arg-type]


def _list(node: onnx.NodeProto, name: str) -> list[Any]:
    value = attributes(node).get(name, [])
    return [v.decode(errors="replace") if isinstance(v, bytes) else v for v in value]  # type: ignore[attr-defined]


def _only(node: onnx.NodeProto, given: list[str], first: bool = True) -> str:
    if len(given) != 1 or (first and node.input[0] != given[0]):
        raise NotDense
    return given[0]


# ---------------------------------------------------------------------- affine
def _gemm(reader: Reader, node: onnx.NodeProto, given: list[str]) -> Map:
    at, name = attributes(node), _only(node, given)
    if at.get("transA", 0):
        raise NotDense
    weight = reader.constants[node.input[1]] * _number(node, "alpha", 1.0)
    weight = weight if at.get("transB", 0) else weight.T
    bias = np.zeros(len(weight))
    if len(node.input) > 2 and node.input[2]:
        bias = np.broadcast_to(reader.constants[node.input[2]] * _number(node, "beta", 1.0), (1, len(weight)))[0]
    return reader.base(reader.named(name).affine(weight, bias))


def _matmul(reader: Reader, node: onnx.NodeProto, given: list[str]) -> Map:
    weight = reader.constants[node.input[1]]
    if weight.ndim != 2:
        raise NotDense
    return reader.named(_only(node, given)).affine(weight.T, np.zeros(weight.shape[1]))


def _batch_norm(reader: Reader, node: onnx.NodeProto, given: list[str]) -> Map:
    """As it stands at inference: a scale and a shift for each column."""
    if attributes(node).get("training_mode", 0):
        raise NotDense
    gain, shift, mean, variance = (reader.constants[name] for name in node.input[1:5])
    by = gain / np.sqrt(variance + _number(node, "epsilon", 1e-5))
    return reader.base(reader.named(_only(node, given)).scaled(by, shift - mean * by))


def _scaler(reader: Reader, node: onnx.NodeProto, given: list[str]) -> Map:
    """ai.onnx.ml: ``(x - offset) * scale``."""
    by, offset = np.array(_list(node, "scale") or [1.0]), np.array(_list(node, "offset") or [0.0])
    return reader.named(_only(node, given)).scaled(by, -offset * by)


def _linear(reader: Reader, node: onnx.NodeProto, given: list[str]) -> Value:
    """ai.onnx.ml LinearClassifier of two classes; ONNX keeps a row of coefficients for one of them or both."""
    inner = reader.named(_only(node, given))
    intercepts = np.array(_list(node, "intercepts") or [0.0, 0.0])
    weight = np.array(_list(node, "coefficients")).reshape(-1, len(inner.bias))
    if len(weight) not in (1, 2) or len(intercepts) < len(weight):
        raise NotDense
    scores = inner.affine(weight, intercepts[: len(weight)])
    kind = attributes(node).get("post_transform", b"NONE")
    reader.ended = True
    if kind == b"NONE" and len(weight) == 2:
        return scores
    if kind == b"SOFTMAX" and len(weight) == 2:
        return Classes(scores.affine(np.array([[-1.0, 1.0]]), np.zeros(1)))
    if kind == b"LOGISTIC":
        return Classes(scores.take(np.array([len(weight) - 1])))
    raise NotDense


# ---------------------------------------------------------------------- elementwise
def _combined(reader: Reader, node: onnx.NodeProto, given: list[str]) -> Value:
    """A sum, difference, product or quotient of two tensors, or of one and a constant."""
    if len(node.input) != 2:
        raise NotDense
    if len(given) == 2:
        return _of_two(reader, node.op_type, list(node.input))
    name, first = given[0], node.input[0] == given[0]
    value, other = reader.value(name), reader.constants[node.input[1] if first else node.input[0]]
    if isinstance(value, Func) and other.size == 1:
        c, v = float(other.reshape(-1)[0]), value.values
        with np.errstate(all="ignore"):
            return Func(value.inner, _arithmetic(node.op_type, *((v, c) if first else (c, v))))
    if node.op_type in ("Pow", "Max", "Min") or (node.op_type == "Div" and not first):
        if other.size != 1:
            raise NotDense
        c, f = float(other.reshape(-1)[0]), reader.function(value)
        with np.errstate(all="ignore"):
            return Func(f.inner, _arithmetic(node.op_type, *((f.values, c) if first else (c, f.values))))
    how: dict[str, tuple[Any, Any]] = {
        "Add": (1.0, other), "Mul": (other, 0.0), "Div": (1.0 / other if first else other, 0.0),
        "Sub": (1.0, -other) if first else (-1.0, other),
    }  # fmt: skip
    by, plus = how[node.op_type]
    made = reader.named(name).scaled(by, plus)
    return reader.base(made) if node.op_type == "Add" and other.ndim else made  # a bias


def _arithmetic(kind: str, a: Any, b: Any) -> Array:
    """On values of the grid."""
    made = {
        "Add": np.add, "Sub": np.subtract, "Mul": np.multiply, "Div": np.divide, "Pow": np.power, "Max": np.maximum,
        "Min": np.minimum,
    }[kind](a, b)  # fmt: skip
    return np.asarray(made, float)


def _of_two(reader: Reader, kind: str, names: list[str]) -> Value:
    first, second = (reader.value(n) for n in names)
    if not all(isinstance(v, Map) for v in (first, second)) or kind not in ("Add", "Sub"):
        if (found := _together(reader, kind, first, second)) is not None:
            return found
        if kind not in ("Add", "Sub"):
            raise NotDense
    maps = [reader.named(n) for n in sorted(names, key=lambda n: isinstance(reader.value(n), Func))]
    if names != sorted(names, key=lambda n: isinstance(first if n == names[0] else second, Func)):
        maps.reverse()
    maps[1] = maps[1].scaled(-1.0) if kind == "Sub" else maps[1]
    return reader.base(reader.residual(names, (maps[0], maps[1])))


def _together(reader: Reader, kind: str, first: Value, second: Value) -> Func | None:
    """Two elementwise functions of one tensor as one; None where they are of different ones."""
    if not all(isinstance(v, Map | Func) for v in (first, second)):
        return None
    a, b = reader.function(first), reader.function(second)
    if a.inner.times(b.inner) != (1.0, 0.0):
        return None
    with np.errstate(all="ignore"):
        return Func(a.inner, _arithmetic(kind, a.values, b.values))


def _function(reader: Reader, node: onnx.NodeProto, given: list[str]) -> Value:
    value = reader.value(_only(node, given))
    f = reader.function(value)
    with np.errstate(all="ignore"):
        out = Func(f.inner, FUNCTIONS[node.op_type](f.values))
    return out


def _curve(kind: Callable[[onnx.NodeProto], str]) -> Step:
    """A node that is an activation."""

    def step(reader: Reader, node: onnx.NodeProto, given: list[str]) -> Func:
        import torch

        name = kind(node)
        reader.hints.append(name)
        f = reader.function(reader.value(_only(node, given)))
        return Func(f.inner, CURVES[name].value(torch.from_numpy(np.ascontiguousarray(f.values))).numpy())

    return step


def _leaky(node: onnx.NodeProto) -> str:
    alpha = _number(node, "alpha", 0.01)
    return "leaky_relu" if abs(alpha - ALPHA) < 1e-9 else f"leaky_relu:{alpha!r}"


def _elu(node: onnx.NodeProto) -> str:
    alpha = _number(node, "alpha", 1.0)
    return "elu" if alpha == 1 else f"elu:{alpha!r}"


def _gelu(node: onnx.NodeProto) -> str:
    return "gelu" if attributes(node).get("approximate", b"none") == b"none" else "gelu_tanh"


def _hard_sigmoid(reader: Reader, node: onnx.NodeProto, given: list[str]) -> Func:
    f = reader.function(reader.value(_only(node, given)))
    return Func(f.inner, np.clip(_number(node, "alpha", 0.2) * f.values + _number(node, "beta", 0.5), 0.0, 1.0))


def _clip(reader: Reader, node: onnx.NodeProto, given: list[str]) -> Func:
    f, at = reader.function(reader.value(_only(node, given))), attributes(node)
    ends = [float(at.get(k, d)) for k, d in (("min", -np.inf), ("max", np.inf))]  # type: ignore[arg-type]
    for i, name in enumerate(node.input[1:3]):
        if name:
            ends[i] = float(reader.constants[name].reshape(-1)[0])
    return Func(f.inner, np.clip(f.values, ends[0], ends[1]))


# ---------------------------------------------------------------------- shapes and columns
def _same(reader: Reader, node: onnx.NodeProto, given: list[str]) -> Value:
    """What gives on what it is given."""
    if len(given) == 2 and node.op_type == "Reshape" and isinstance(reader.value(given[1]), Shape):
        return reader.value(given[0])  # to a shape that follows from its own
    at, value = attributes(node), reader.value(_only(node, given))
    if node.op_type == "Flatten" and at.get("axis", 1) not in (1, -1):
        raise NotDense
    kinds = (*FLOATS, *WHOLE, onnx.TensorProto.STRING) if isinstance(value, Index) else FLOATS
    if node.op_type == "Cast" and at.get("to") not in kinds:
        raise NotDense
    if node.op_type == "Reshape":
        shape = [int(v) for v in reader.constants[node.input[1]].reshape(-1)]
        flat = len(shape) == 1 and shape[0] == -1 and isinstance(value, Map | Func) and _size(value) == 1
        if not flat and (len(shape) < 2 or shape[0] not in (-1, 0) or any(d != 1 for d in shape[1:-1])):
            raise NotDense
    return value


def _size(value: Map | Func) -> int:
    return len(value.bias if isinstance(value, Map) else value.inner.bias)


def _softmax(reader: Reader, node: onnx.NodeProto, given: list[str]) -> Value:
    """Of two classes at the end, whose logits' difference says it all."""
    value = reader.named(_only(node, given))
    if len(value.bias) != 2 or attributes(node).get("axis", 1) not in (-1, 1):
        raise NotDense
    reader.ended = True
    return Classes(value.affine(np.array([[-1.0, 1.0]]), np.zeros(1)))


def _concat(reader: Reader, node: onnx.NodeProto, given: list[str]) -> Value:
    if len(given) != len(node.input) or attributes(node).get("axis") not in (1, -1):
        raise NotDense
    values = [reader.value(n) for n in node.input]
    if len(values) == 2 and all(isinstance(v, Func) for v in values):
        low, high = values
        assert isinstance(low, Func) and isinstance(high, Func)
        opposite = np.abs(low.values + high.values - 1).max() < 1e-9
        if opposite and is_sigmoid(high) and low.inner.times(high.inner) == (1.0, 0.0) and len(high.inner.bias) == 1:
            reader.ended = True
            return Classes(high.inner)
    if any(isinstance(v, Func | Classes) for v in values):
        return stacked([reader.map(v) for v in values])
    return joined(values)


def _gather(reader: Reader, node: onnx.NodeProto, given: list[str]) -> Value:
    """Columns of a tensor, or rows of a table by the index of a level: an embedding."""
    name, axis = _only(node, given, first=False), int(attributes(node).get("axis", 0))  # type: ignore[call-overload]
    if name == node.input[0]:
        columns = reader.constants[node.input[1]].reshape(-1).astype(int)
        if axis not in (1, -1) and node.op_type == "Gather":
            raise NotDense
        return _columns(reader.value(name), columns)
    table, value = reader.constants[node.input[0]], reader.value(name)
    if axis != 0 or not isinstance(value, Index) or table.ndim != 2 or len(table) < len(value.levels):
        raise NotDense
    return value.hot.affine(table[: len(value.levels)].T, np.zeros(table.shape[1]))


def _columns(value: Value, columns: Array) -> Value:
    if isinstance(value, Map):
        return value.take(columns)
    if isinstance(value, Index) and list(columns) == [0]:
        return value
    if not isinstance(value, Parts):
        raise NotDense
    flat: list[Value] = []
    for part in value.parts:
        flat += [part.take(np.array([i])) for i in range(len(part.bias))] if isinstance(part, Map) else [part]
    chosen = [flat[c] for c in columns]
    return chosen[0] if len(chosen) == 1 else joined(chosen)


def _slice(reader: Reader, node: onnx.NodeProto, given: list[str]) -> Value:
    ends = [[int(v) for v in reader.constants[n].reshape(-1)] for n in node.input[1:]]
    value = reader.value(_only(node, given))
    if len(ends) < 3 or ends[2] not in ([1], [-1]) or (len(ends) > 3 and ends[3] != [1]):
        raise NotDense
    width = len(value.bias) if isinstance(value, Map) else len(value.parts) if isinstance(value, Parts) else 1
    return _columns(value, np.arange(width)[ends[0][0] : ends[1][0]])


def _one_hot(reader: Reader, node: onnx.NodeProto, given: list[str]) -> Value:
    """ai.onnx.ml OneHotEncoder of one column or several."""
    value = reader.value(_only(node, given))
    parts = value.parts if isinstance(value, Parts) else (value,)
    words = _list(node, "cats_strings") or [str(v) for v in _list(node, "cats_int64s")]
    by_index = not _list(node, "cats_strings")
    out = []
    for part in parts:
        if not isinstance(part, Index):
            raise NotDense
        names = [str(k) for k in range(len(part.levels))] if by_index else list(part.levels)
        weight = np.array([[float(name == word) for name in names] for word in words])
        out.append(part.hot.affine(weight, np.zeros(len(words))))
    return stacked(out)


STEPS: dict[str, Step] = {
    "Gemm": _gemm,
    "MatMul": _matmul,
    "BatchNormalization": _batch_norm,
    "ai.onnx.ml.Scaler": _scaler,
    "ai.onnx.ml.LinearClassifier": _linear,
    **dict.fromkeys(("Add", "Sub", "Mul", "Div", "Pow", "Max", "Min"), _combined),
    **dict.fromkeys(FUNCTIONS, _function),
    "LeakyRelu": _curve(_leaky),
    "Elu": _curve(_elu),
    "Gelu": _curve(_gelu),
    "HardSwish": _curve(lambda node: "hard_swish"),
    "HardSigmoid": _hard_sigmoid,
    "Clip": _clip,
    "Softmax": _softmax,
    "LogSoftmax": _softmax,
    "Concat": _concat,
    "ai.onnx.ml.FeatureVectorizer": _concat,
    "Gather": _gather,
    "ai.onnx.ml.ArrayFeatureExtractor": _gather,
    "Slice": _slice,
    "ai.onnx.ml.OneHotEncoder": _one_hot,
    **dict.fromkeys(
        ("Identity", "Dropout", "Flatten", "Cast", "Squeeze", "Unsqueeze", "Reshape", "ai.onnx.ml.Normalizer"), _same
    ),
}
