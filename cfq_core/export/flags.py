"""What a file's integers say before it is run: where other processors and runtimes may decide otherwise.

- Pairs of 8-bit products that exceed 16 bits: processors without VNNI add u8 x s8 products in pairs and saturate.
- Sums or biases that exceed 32 bits.
- 8-bit steps found anew in every batch (`DynamicQuantizeLinear`): a person's decision depends on who else is asked.
- Ties: a value `(n + 1/2) * scale` on the way of a promised point, which runtimes round to one side or the other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx
from jaxtyping import Bool, Float
from onnx import TensorProto, helper, numpy_helper

from cfq_core.models import verify
from cfq_core.models.entries import Gives
from cfq_core.models.integer_nodes import CODES, exceeds_16_bits
from cfq_core.models.provenance import BadModel
from cfq_core.models.read import BATCH_STEPS, Array, ModelFile, attributes, constants
from cfq_core.models.runtime import Running

MOST_32 = 2**31 - 1
MOST_TIES = 64  # nodes looked at
NEAR = 2.0**-22  # relative: two units in the last place of float32, as far as a product with 1 / scale may be off
RATIOS = "cfq_ratios"


@dataclass(frozen=True)
class _Product:
    """One layer that a runtime computes in integers."""

    name: str
    weight: Array  # [k, n]; whole numbers
    bias: Array | None  # in units of a product; None: none that is known


def flags(file: ModelFile) -> tuple[str, ...]:
    """What the graph alone says, a line each; a graph that cannot be read so says nothing."""
    products = _integer_layers(file)
    return (*_saturating(products), *_overflowing(products), *_dynamic(file.proto.graph))


def _integer_layers(file: ModelFile) -> list[_Product]:
    try:
        return [p for p in _products(file.proto.graph) if p.weight.ndim == 2 and p.weight.size]
    except (KeyError, IndexError, ValueError, TypeError, AttributeError):  # shapes that do not fit: the runtime says so
        return []


def _saturating(products: list[_Product]) -> Iterator[str]:
    found = []
    for p in products:
        if exceeds_16_bits(p.weight).any():
            found.append(p.name)
    if found:
        has = [e for e in verify.runtime()["extensions"] if "vnni" in e]
        here = f"this one has it ({has[0]})" if has else "this one has none"
        yield (
            f"{_listed(found)}: pairs of 8-bit products exceed 16 bits; processors without VNNI cut them off and may "
            f"decide otherwise ({here}); quantize with 7-bit weights (reduce_range)"
        )


def _overflowing(products: list[_Product]) -> Iterator[str]:
    found = []
    for p in products:
        most = CODES * np.abs(p.weight).sum(0) + (0.0 if p.bias is None else np.abs(p.bias))
        if np.max(most, initial=0.0) > MOST_32:
            found.append(p.name)
    if found:
        yield f"{_listed(found)}: a bias or sum can exceed 32 bits, where runtimes cut it off or wrap around"


def _dynamic(graph: onnx.GraphProto) -> Iterator[str]:
    if any(n.op_type in BATCH_STEPS for n in graph.node):
        yield (
            "its 8-bit steps are found anew in every batch: what is decided of a person depends on who else is asked; "
            "audited one person at a time"
        )


def _listed(names: list[str]) -> str:
    shown = ", ".join("".join(c if c.isprintable() else "?" for c in n[:40]) for n in names[:4])
    more = f" and {len(names) - 4} more" if len(names) > 4 else ""
    return f"layer{'s' if len(names) > 1 else ''} {shown}{more}"


# ---------------------------------------------------------------------- layers in integers
def _products(graph: onnx.GraphProto) -> Iterator[_Product]:
    held = constants(graph)
    types = {c.name: c.data_type for c in graph.initializer}
    made = {o: n for n in graph.node for o in n.output}
    for node in graph.node:
        named = f"{node.op_type} {node.name or node.output[0]}"
        if node.op_type in _INTEGER:
            weight, bias = _INTEGER[node.op_type]
            if len(node.input) > weight and types.get(node.input[weight]) == TensorProto.INT8:
                array = held[node.input[weight]]
                of = held.get(node.input[bias]) if bias is not None and len(node.input) > bias else None
                yield _Product(named, array.T if attributes(node).get("transB") else array, of)
        elif node.op_type in ("Gemm", "MatMul") and (found := _dequantized(node, made, types, held)) is not None:
            yield replace(found, name=named)


#: Places of weight and integer bias among the inputs of nodes that compute in integers.
_INTEGER: dict[str, tuple[int, int | None]] = {
    "MatMulInteger": (1, None), "MatMulIntegerToFloat": (1, None), "DynamicQuantizeMatMul": (1, None),
    "QLinearMatMul": (3, None), "QGemm": (3, 6),
}  # fmt: skip


def _dequantized(
    node: onnx.NodeProto, made: dict[str, onnx.NodeProto], types: dict[str, int], held: dict[str, Array]
) -> _Product | None:
    """A product of dequantized codes with dequantized INT8 weights, which a runtime fuses."""
    given, weight = (made.get(name) for name in node.input[:2])
    dequantized = all(n is not None and n.op_type == "DequantizeLinear" for n in (given, weight))
    if not dequantized or given is None or weight is None or types.get(weight.input[0]) != TensorProto.INT8:
        return None
    codes = held[weight.input[0]]
    codes = codes.T if attributes(node).get("transB") else codes
    if len(node.input) < 3 or not node.input[2]:
        return _Product("", codes, None)
    bias = made.get(node.input[2])
    if bias is not None and types.get(bias.input[0]) == TensorProto.INT32:
        return _Product("", codes, held[bias.input[0]])
    unit = held[given.input[1]] * held[weight.input[1]]  # a float bias: the runtime rounds it to this
    return _Product("", codes, held[node.input[2]] / unit)


# ---------------------------------------------------------------------- ties
def ties(
    file: ModelFile, points: Float[np.ndarray, "k d"], seconds: float, feeds: Sequence[Mapping[str, Any]] = ()
) -> tuple[str, Bool[np.ndarray, "k"]]:
    """Which of some points meet a tie on their way, and a line about them; empty where none does, or none is known."""
    none = np.zeros(len(points), bool)
    probe = _with_ratios(file)
    if probe is None or not len(points):
        return "", none
    try:
        with Running(probe, seconds, feeds) as probed:
            probed.run_as({"level": "off"})
            ratios = np.abs(probed.outputs(points))
    except BadModel:
        return "", none  # of another shape than one row a person
    met = (np.abs(ratios - np.floor(ratios) - 0.5) <= NEAR * np.maximum(ratios, 1.0)).any(1)
    if not met.any():
        return "", none
    line = (
        f"{int(met.sum())} of {len(points)} promised points meet a tie, (n + 1/2) * scale, on their way: runtimes "
        "round it to one side or the other"
    )
    return line, met


def _with_ratios(file: ModelFile) -> ModelFile | None:
    """The file with one output more: every value that is quantized, in steps of its scale."""
    graph = file.proto.graph
    held = {c.name for c in graph.initializer}
    scales = {c.name: numpy_helper.to_array(c) for c in graph.initializer if not c.dims or list(c.dims) == [1]}
    nodes = [n for n in graph.node if n.op_type == "QuantizeLinear" and n.input[0] not in held and n.input[1] in scales]
    nodes = [n for n in nodes if float(scales[n.input[1]].reshape(-1)[0]) != 1.0][:MOST_TIES]  # whole numbers already
    if not nodes:
        return None
    proto, parts = onnx.ModelProto(), []
    proto.CopyFrom(file.proto)
    for k, node in enumerate(nodes):
        for i, name in enumerate(node.input[:2]):
            proto.graph.node.append(helper.make_node("Cast", [name], [f"cfq_{k}_{i}"], to=TensorProto.FLOAT))
        proto.graph.node.append(helper.make_node("Div", [f"cfq_{k}_0", f"cfq_{k}_1"], [f"cfq_{k}"]))
        proto.graph.node.append(helper.make_node("Flatten", [f"cfq_{k}"], [f"cfq_{k}_flat"], axis=1))
        parts.append(f"cfq_{k}_flat")
    proto.graph.node.append(helper.make_node("Concat", parts, [RATIOS], axis=1))
    proto.graph.output.append(helper.make_tensor_value_info(RATIOS, TensorProto.FLOAT, None))
    return replace(file, proto=proto, content=proto.SerializeToString(), gives=Gives(RATIOS))
