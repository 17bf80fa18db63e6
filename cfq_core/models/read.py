"""An ONNX file from anywhere, read as untrusted: nothing is unpickled, everything has a limit.

Only the protocol buffer is parsed here. Whatever executes a foreign graph does so in a process of its own
(`runtime.py`), with limits on memory, time and files.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from math import prod
from pathlib import Path

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from jaxtyping import Float
from onnx import AttributeProto, TensorProto, helper, numpy_helper

from cfq_core.models import wire
from cfq_core.models.beside import taken_in
from cfq_core.models.entries import Entry, Gives, entries, gives, without_zipmap
from cfq_core.models.provenance import KEY, BadModel, Provenance, read_provenance
from cfq_core.models.raw import behind_encoding, is_raw

Array = Float[np.ndarray, "..."]

#: Bits of an element of a tensor of weights; a kind whose name this onnx does not know is in no file it reads.
BITS = {
    getattr(TensorProto, kind): bits
    for kind, bits in {"FLOAT": 32, "DOUBLE": 64, "FLOAT16": 16, "BFLOAT16": 16, "INT8": 8, "UINT8": 8, "INT4": 4,
                       "UINT4": 4, "INT2": 2, "UINT2": 2}.items()
    if hasattr(TensorProto, kind)
}  # fmt: skip
MOST_BYTES = 64_000_000
MOST_NODES = 5_000
MOST_NAMES = 200_000  # of nodes, inputs, outputs, attributes and tensors together
MOST_LEVELS = 10_000  # of a category, of one OneHot
MOST_STRINGS = 1_000_000  # of all attributes together
MOST_ELEMENTS = 30_000_000  # of all tensors together

#: Operators of the models this field deploys: dense networks, their quantized forms, linear models and trees. None of
#: them loops, branches, draws random numbers, opens a file, or makes a tensor of a size that its inputs do not have
#: (OneHot's size is an input: it must be a constant, and small).
OPERATORS = {
    "": frozenset("""
        Abs Add And ArgMax ArgMin BatchNormalization Cast Ceil Celu Clip Concat Constant Cos DequantizeLinear Div
        Dropout DynamicQuantizeLinear Elu Equal Erf Exp Flatten Floor Gather GatherElements GatherND Gelu Gemm Greater
        GreaterOrEqual HardSigmoid HardSwish Identity IsInf IsNaN LayerNormalization LeakyRelu Less LessOrEqual Log
        LogSoftmax MatMul MatMulInteger Max Mean Min Mish Mul Neg Not OneHot Or PRelu Pow QLinearMatMul QuantizeLinear
        RMSNormalization Reciprocal ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin
        ReduceProd ReduceSum ReduceSumSquare Relu Reshape Round Selu Shape Sigmoid Sign Sin Slice Softmax Softplus
        Softsign Split Sqrt Squeeze Sub Sum Tanh ThresholdedRelu Transpose Unsqueeze Where Xor
    """.split()),
    "ai.onnx.ml": frozenset("""
        ArrayFeatureExtractor Binarizer FeatureVectorizer Imputer LabelEncoder LinearClassifier LinearRegressor
        Normalizer OneHotEncoder SVMClassifier SVMRegressor Scaler TreeEnsemble TreeEnsembleClassifier
        TreeEnsembleRegressor ZipMap
    """.split()),
    "com.microsoft": frozenset("""
        DequantizeLinear DynamicQuantizeMatMul FusedGemm FusedMatMul Gelu MatMulIntegerToFloat MatMulNBits QGemm
        QLinearAdd QLinearConcat QLinearLeakyRelu QLinearMul QLinearReduceMean QLinearSigmoid QLinearSoftmax
        QLinearWhere QuantizeLinear
    """.split()),
}  # fmt: skip


#: Operators that find an 8-bit step in all people that they are given at once.
BATCH_STEPS = ("DynamicQuantizeLinear", "DynamicQuantizeMatMul")


@dataclass(frozen=True)
class ModelFile:
    """A file that kept to the limits: what it takes of people and gives, and what it says about itself."""

    name: str  # of the file, for messages
    content: bytes
    sha256: str
    proto: onnx.ModelProto
    entries: tuple[Entry, ...]  # inputs
    batch: int | None  # people at a time; None: any number
    gives: Gives
    provenance: Provenance | None

    @property
    def given(self) -> str:
        """Name of its first input."""
        return self.entries[0].name

    @property
    def says_itself(self) -> bool:
        """Whether it says how its inputs are made: a file of ours, whose output is the good decision's logit."""
        return self.provenance is not None and bool(self.provenance.inputs)

    @property
    def alone(self) -> bool:
        """Whether a person's numbers depend on who else is asked: steps found anew in every batch."""
        return any(n.op_type in BATCH_STEPS for n in self.proto.graph.node)

    @property
    def width(self) -> int:
        """Input columns, of all inputs together."""
        return sum(e.width for e in self.entries)

    @property
    def bits_per_weight(self) -> float:
        """Average bits of the tensors of two or more dimensions; of a graph that has none (trees), of a float32."""
        held = [t for t in self.proto.graph.initializer if len(t.dims) > 1 and t.data_type in BITS]
        each = [(prod(t.dims), BITS[t.data_type]) for t in held]
        for node in (n for n in self.proto.graph.node if n.op_type == "MatMulNBits"):  # packed in bytes
            of = {a.name: a.i for a in node.attribute}
            each = [e for e in each if e[1] != BITS[TensorProto.UINT8]] + [(of["K"] * of["N"], of["bits"])]
        count = sum(n for n, _ in each)
        return round(sum(n * b for n, b in each) / count, 2) if count else 32.0


def read_model(path: Path) -> ModelFile:
    """The model in a file; raises `BadModel` in one line."""
    try:
        if not path.is_file():
            raise BadModel(f"{path}: no such file")
        if (size := path.stat().st_size) > MOST_BYTES:
            raise BadModel(f"{path.name}: has {size / 1e6:.1f} MB; at most {MOST_BYTES / 1e6:g} MB")
        content = path.read_bytes()
    except (OSError, ValueError) as problem:  # ValueError: a name with a NUL byte
        raise BadModel(f"{path.name}: cannot be read ({type(problem).__name__})") from None
    return parse_model(content, path.name, path.parent)


def parse_model(content: bytes, name: str, folder: Path | None = None) -> ModelFile:
    """The model in an upload, or (``folder``) in a file there; raises `BadModel` in one line."""
    if len(content) > MOST_BYTES:
        raise BadModel(f"{name}: has {len(content) / 1e6:.1f} MB; at most {MOST_BYTES / 1e6:g} MB")
    try:
        wire.check(content, {"nodes": MOST_NODES, "names": MOST_NAMES, "strings": MOST_STRINGS, "graphs": 1})
    except wire.Refused as problem:
        raise BadModel(f"{name}: {problem}") from None
    proto = onnx.ModelProto()
    try:
        proto.ParseFromString(content)
    except DecodeError:
        raise BadModel(f"{name}: not an ONNX file") from None
    if not proto.graph.node:
        raise BadModel(f"{name}: not an ONNX file, or one without a graph")
    whole = taken_in(proto, folder, name, MOST_BYTES) if len(proto.graph.initializer) <= MOST_NAMES else False
    if whole:
        content = proto.SerializeToString()
    for mistake in _mistakes(proto):
        raise BadModel(f"{name}: {mistake}")
    text = next((p.value for p in proto.metadata_props if p.key == KEY), None)
    told = None if text is None else read_provenance(text, name)
    sha256 = hashlib.sha256(content).hexdigest()
    if told is not None and is_raw(proto, told):  # a file of ours: read as the model of encoded people it holds
        proto = behind_encoding(proto, told, name)
        content = proto.SerializeToString()
    if (plain := without_zipmap(proto, name)) is not None:
        proto, content, original = plain, plain.SerializeToString(), proto.graph
    else:
        original = proto.graph
    inputs, batch = entries(proto.graph, name)
    return ModelFile(name, content, sha256, proto, inputs, batch, gives(proto.graph, original, name), told)


def _mistakes(proto: onnx.ModelProto) -> Iterator[str]:
    """Why the file is refused, most basic first."""
    graph = proto.graph
    if len(graph.node) > MOST_NODES:  # what is too much to look at is refused before it is looked at
        yield f"has {len(graph.node)} nodes; at most {MOST_NODES}"
    names = list(islice(_names(proto), MOST_NAMES + 1))
    if len(names) > MOST_NAMES:
        yield f"holds more than {MOST_NAMES} names"
    if not all(isinstance(name, str) for name in names):  # protobuf hands over bytes that are no text
        yield "holds names that are not UTF-8 text"
        return
    if proto.functions or proto.training_info:
        yield "holds functions of its own or training graphs; a plain graph is needed"
    for node in graph.node:
        domain = "" if node.domain == "ai.onnx" else node.domain
        if node.op_type not in OPERATORS.get(domain, ()):
            yield f'operator "{_short(node.op_type)}"{_of(domain)} is not one this audit runs'
        if node.op_type == "OneHot" and not _is_small(graph, node):
            yield f'node "{_short(node.name)}" makes more than {MOST_LEVELS} columns, or a number that it computes'
        for attribute in node.attribute:
            if attribute.HasField("g") or attribute.graphs:
                yield f'node "{_short(node.name)}" holds a graph of its own; loops and branches are not run'
            if attribute.HasField("sparse_tensor") or attribute.sparse_tensors:
                yield f'node "{_short(node.name)}" holds a sparse tensor'
    if graph.sparse_initializer:
        yield "holds sparse tensors"
    yield from _mistakes_of_tensors(_tensors(proto))


def _is_small(graph: onnx.GraphProto, one_hot: onnx.NodeProto) -> bool:
    """Whether the number of columns is a constant of the file, and small."""
    depth = one_hot.input[1] if len(one_hot.input) > 1 else ""
    held = {t.name: t for t in graph.initializer}
    held |= {n.output[0]: n.attribute[0].t for n in graph.node if n.op_type == "Constant" and n.attribute and n.output}
    if depth not in held or prod(held[depth].dims) != 1:
        return False
    try:
        return 0 < float(numpy_helper.to_array(held[depth]).ravel()[0]) <= MOST_LEVELS
    except (ValueError, TypeError, IndexError):  # a tensor that says one size and holds another
        return False


def _mistakes_of_tensors(tensors: Iterable[TensorProto]) -> Iterator[str]:
    total = 0
    for t in tensors:
        if t.data_location == TensorProto.EXTERNAL or t.external_data:
            yield f'tensor "{_short(t.name)}" lies in another file; one self-contained file is needed'
        if any(d < 0 for d in t.dims) or len(t.dims) > 8:
            yield f'tensor "{_short(t.name)}" has an impossible shape'
        total += prod(t.dims)
        if total > MOST_ELEMENTS:
            yield f"holds more than {MOST_ELEMENTS} numbers"


def _names(proto: onnx.ModelProto) -> Iterator[object]:
    for node in proto.graph.node:
        yield from (node.op_type, node.domain, node.name, *node.input, *node.output)
        yield from (a.name for a in node.attribute)
    yield from (v.name for v in (*proto.graph.input, *proto.graph.output))
    yield from (t.name for t in _tensors(proto))
    for entry in proto.metadata_props:
        yield from (entry.key, entry.value)


def _tensors(proto: onnx.ModelProto) -> Iterator[TensorProto]:
    yield from proto.graph.initializer
    for node in proto.graph.node:
        for attribute in node.attribute:
            if attribute.type == AttributeProto.TENSOR or attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors


def _of(domain: str) -> str:
    return f' of "{_short(domain)}"' if domain else ""


def _short(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text[:40])


# ---------------------------------------------------------------------- what depends on no input
def attributes(node: onnx.NodeProto) -> dict[str, object]:
    """A node's attributes as plain values."""
    return {a.name: helper.get_attribute_value(a) for a in node.attribute}


def constants(graph: onnx.GraphProto) -> dict[str, Array]:
    """Arrays that depend on no input, float64: initializers, constants, and what folds from them."""
    held = {c.name: _wide(numpy_helper.to_array(c)) for c in graph.initializer if c.data_type != TensorProto.STRING}
    for node in graph.node:
        at = {a.name: a for a in node.attribute}
        plain = next((at[k] for k in ("value_float", "value_floats", "value_int", "value_ints") if k in at), None)
        if node.op_type == "Constant" and plain is not None:
            held[node.output[0]] = _wide(np.array(helper.get_attribute_value(plain)))
        elif node.op_type == "Constant" and "value" in at and at["value"].t.data_type != TensorProto.STRING:
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
        raise ValueError("a scale of more than one axis")
    axis = int(attributes(node).get("axis", 1))  # type: ignore[call-overload]
    shape = (
        [-1 if i == axis % max(codes.ndim, 1) else 1 for i in range(codes.ndim)] if scale.size > 1 else [1] * codes.ndim
    )
    offset = zero[0].reshape(shape) if zero else 0.0
    return (codes - offset) * scale.reshape(shape)


def _wide(array: np.ndarray) -> Array:
    return np.asarray(array).astype(np.float64)
