"""What a graph takes and gives: named inputs with their element types, one tensor of outputs, its classes' labels."""

from __future__ import annotations

from dataclasses import dataclass

import onnx
from onnx import TensorProto, helper

from cfq_core.models.provenance import BadModel

WIDEST = 20_000  # input columns
MOST_INPUTS = 2_000
MOST_LABELS = 1_000
#: Element types of inputs, as numpy names them; a string column takes words.
KINDS: dict[int, str] = {
    TensorProto.FLOAT: "float32", TensorProto.DOUBLE: "float64", TensorProto.FLOAT16: "float16",
    TensorProto.INT64: "int64", TensorProto.INT32: "int32", TensorProto.BOOL: "bool", TensorProto.STRING: "str",
}  # fmt: skip
FLOATING = (TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16)
LABELS = ("classlabels_ints", "classlabels_int64s", "classlabels_strings")


@dataclass(frozen=True)
class Entry:
    """One input: people by columns, or (``flat``) one value a person."""

    name: str
    kind: str  # element type
    width: int  # columns
    flat: bool = False


@dataclass(frozen=True)
class Gives:
    """The tensor that is read: scores or probabilities where there are any, else the class that was chosen."""

    name: str
    is_label: bool = False
    labels: tuple[str, ...] = ()  # of its columns or classes, where the file names them
    words: bool = False  # a label that is a word; its number is its place among ``labels``


def entries(graph: onnx.GraphProto, name: str) -> tuple[tuple[Entry, ...], int | None]:
    """The inputs that are no constants, and how many people are taken at a time (None: any number)."""
    held = {c.name for c in graph.initializer}
    given = [i for i in graph.input if i.name not in held]
    if not 1 <= len(given) <= MOST_INPUTS:
        raise BadModel(f"{name}: has {len(given)} inputs; from 1 to {MOST_INPUTS} are read")
    found: list[Entry] = []
    people: set[int | None] = set()
    for i in given:
        entry, rows = _entry(i, name)
        found.append(entry)
        people.add(rows)
    if sum(e.width for e in found) > WIDEST:
        raise BadModel(f"{name}: takes more than {WIDEST} columns")
    rows = max(people, key=lambda p: p or 0)
    if rows not in (None, 1):
        raise BadModel(f"{name}: takes exactly {rows} people at a time; export it with a free first dimension")
    return tuple(found), rows


def _entry(given: onnx.ValueInfoProto, name: str) -> tuple[Entry, int | None]:
    tensor = given.type.tensor_type
    if tensor.elem_type not in KINDS:
        raise BadModel(f'{name}: its input "{given.name[:40]}" holds neither numbers nor words')
    dims = [d.dim_value if d.HasField("dim_value") and d.dim_value else None for d in tensor.shape.dim]
    flat = len(dims) == 1
    width = 1 if flat else dims[1] if len(dims) == 2 else None
    if width is None or not 1 <= width <= WIDEST:
        raise BadModel(
            f'{name}: its input "{given.name[:40]}" must be people by columns, with a stated width from 1 to {WIDEST}'
        )
    return Entry(given.name, KINDS[tensor.elem_type], width, flat), dims[0]


def without_zipmap(proto: onnx.ModelProto, name: str) -> onnx.ModelProto | None:
    """The same model giving the array that a final ZipMap makes dictionaries of; None where there is none."""
    maps = [n for n in proto.graph.node if n.op_type == "ZipMap" and n.domain == "ai.onnx.ml"]
    if not maps:
        return None
    ends = {o.name for o in proto.graph.output}
    if len(maps) > 1 or len(maps[0].input) != 1 or len(maps[0].output) != 1 or maps[0].output[0] not in ends:
        raise BadModel(f"{name}: a ZipMap that is not the end of the graph")
    out = onnx.ModelProto()
    out.CopyFrom(proto)
    del out.graph.node[:], out.graph.output[:]
    out.graph.node.extend(n for n in proto.graph.node if n.op_type != "ZipMap")
    array = helper.make_tensor_value_info(maps[0].input[0], TensorProto.FLOAT, None)
    kept = [array if o.name == maps[0].output[0] else o for o in proto.graph.output]
    out.graph.output.extend(kept)
    return out


def gives(graph: onnx.GraphProto, original: onnx.GraphProto, name: str) -> Gives:
    """The last floating output, else a label; labels as a classifier or ZipMap of the file names them."""
    floats = [o.name for o in graph.output if o.type.tensor_type.elem_type in FLOATING]
    if floats:
        return Gives(floats[-1], False, _labels(original))
    whole = (TensorProto.INT64, TensorProto.INT32, TensorProto.BOOL)
    kinds = {o.name: o.type.tensor_type.elem_type for o in graph.output}
    for output, kind in kinds.items():
        if kind in whole:
            return Gives(output, True, _labels(original))
    for output, kind in kinds.items():
        if kind == TensorProto.STRING and (labels := _labels(original)):
            return Gives(output, True, labels, words=True)
    raise BadModel(f"{name}: has no floating output and no class that it names; export its probabilities too")


def _labels(graph: onnx.GraphProto) -> tuple[str, ...]:
    """Of the last node that names classes; where several differ, none."""
    found: set[tuple[str, ...]] = set()
    for node in graph.node:
        for a in node.attribute:
            if a.name in (*LABELS, "classlabels_int64s") and node.domain == "ai.onnx.ml":
                value = helper.get_attribute_value(a)
                words = tuple(v.decode(errors="replace") if isinstance(v, bytes) else str(v) for v in value)
                found |= {words[:MOST_LABELS]} if words else set()
        if node.op_type == "ArrayFeatureExtractor" and node.domain == "ai.onnx.ml":
            found |= _constant_labels(graph, node.input[0])
    return found.pop() if len(found) == 1 else ()


def _constant_labels(graph: onnx.GraphProto, name: str) -> set[tuple[str, ...]]:
    """Labels that a class number is looked up in, as scikit-learn's networks are exported."""
    for held in graph.initializer:
        if held.name == name and held.data_type in (TensorProto.STRING, TensorProto.INT64, TensorProto.INT32):
            values = onnx.numpy_helper.to_array(held).ravel()[:MOST_LABELS].tolist()
            return {tuple(v.decode(errors="replace") if isinstance(v, bytes) else str(v) for v in values)}
    return set()
