"""The encoding inside a file: named columns in raw units and words go in, as an application form has them.

A number is one float64 column, an ordinal or category one of strings, each [people, 1]. A word that is no level stops
the runtime (`OneHotEncoder` with zeros = 0): it is never taken for another one.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
from onnx import TensorProto, helper

from cfq_core.base.errors import BadInput
from cfq_core.models.graph import Graph
from cfq_core.models.provenance import BadModel, Input, Provenance
from cfq_core.tables.encode import Values
from cfq_core.tables.schema import Schema

INPUT, APPROVED, ZERO = "people", "approved", "nothing"  # the encoded design; the decision, and what it is above
ML = "ai.onnx.ml"
ML_OPSET = 1
Feed = Mapping[str, np.ndarray]  # what a file is given, by the name of its input


def feed(schema: Schema, values: Values) -> Feed:
    """People as the columns of a raw file."""
    out = {}
    for i, f in enumerate(schema.features):
        if f.aside:
            continue
        words = np.array(f.levels, dtype=object)
        out[f.name] = (words[values[:, i]] if f.levels else f.raw(values[:, i]))[:, None]
    return out


def entries(inputs: tuple[Input, ...]) -> list[onnx.ValueInfoProto]:
    """Names and types of the columns."""
    return [
        helper.make_tensor_value_info(i.name, TensorProto.STRING if i.levels else TensorProto.DOUBLE, ["n", 1])
        for i in inputs
    ]


def encode(graph: Graph, inputs: tuple[Input, ...]) -> None:
    """Nodes that make the encoded design of the columns, in float64 as the audit does."""
    parts = []
    for k, i in enumerate(inputs):
        if not i.levels:
            parts.append(_standardised(graph, i, i.name, f"column{k}"))
            continue
        hot = _one_hot(graph, i, f"column{k}")
        if i.kind == "category":
            parts.append(hot)
            continue
        order = graph.constant(f"column{k}_order", np.arange(len(i.levels), dtype=np.float64)[:, None])
        parts.append(_standardised(graph, i, graph.node("MatMul", [hot, order], f"column{k}_level"), f"column{k}"))
    if graph.floating == TensorProto.DOUBLE:
        graph.node("Concat", parts, INPUT, axis=1)
    else:
        graph.node("Cast", [graph.node("Concat", parts, f"{INPUT}_wide", axis=1)], INPUT, to=graph.floating)


def decide(graph: Graph, logit: str) -> onnx.ValueInfoProto:
    """The node that says whether a person is approved; its output."""
    graph.node("Greater", [logit, graph.number(ZERO, 0.0)], APPROVED)
    return helper.make_tensor_value_info(APPROVED, TensorProto.BOOL, ["n", 1])


def is_raw(proto: onnx.ModelProto, provenance: Provenance) -> bool:
    """Whether a file takes the columns that its metadata lists."""
    return bool(provenance.inputs) and list(proto.graph.input) == entries(provenance.inputs)


def behind_encoding(proto: onnx.ModelProto, provenance: Provenance, name: str) -> onnx.ModelProto:
    """The same model of encoded people; raises `BadModel` where what stands before it is not the encoding."""
    if len(proto.graph.output) != 2:
        raise BadModel(f"{name}: takes raw columns, but gives no logit and decision")
    floating = proto.graph.output[0].type.tensor_type.elem_type
    first, last = Graph(floating), Graph(floating)
    encode(first, provenance.inputs)
    decide(last, proto.graph.output[0].name)
    nodes, held = list(proto.graph.node), {c.name: c for c in proto.graph.initializer}
    n, ours = len(first.nodes), {c.name: c for c in (*first.constants, *last.constants)}
    if nodes[:n] + nodes[-1:] != first.nodes + last.nodes or any(held.get(k) != c for k, c in ours.items()):
        raise BadModel(f"{name}: takes raw columns, but its nodes are not the encoding that its metadata describes")
    width = sum(len(i.levels) if i.kind == "category" else 1 for i in provenance.inputs)
    given = helper.make_tensor_value_info(INPUT, floating, ["n", width])
    others = [c for c in proto.graph.initializer if c.name not in ours]
    core = onnx.ModelProto()
    core.CopyFrom(proto)
    core.graph.CopyFrom(helper.make_graph(nodes[n:-1], proto.graph.name, [given], proto.graph.output[:1], others))
    return core


def check_names(inputs: tuple[Input, ...], graph: Graph) -> None:
    """Raises `BadInput` where a feature is called what a tensor of the graph is called."""
    taken = {c.name for c in graph.constants} | {o for n in graph.nodes for o in n.output}
    for i in inputs:
        if i.name in taken:
            raise BadInput(f'raw inputs: the feature "{i.name}" is called as a tensor of the graph; rename it')


def _one_hot(graph: Graph, i: Input, name: str) -> str:
    shape = graph.constant(f"{name}_shape", np.array([-1, len(i.levels)], np.int64))
    hot = graph.node("OneHotEncoder", [i.name], f"{name}_hot", domain=ML, cats_strings=list(i.levels), zeros=0)
    flat = graph.node("Reshape", [hot, shape], f"{name}_flat")
    return graph.node("Cast", [flat], f"{name}_wide", to=TensorProto.DOUBLE)


def _standardised(graph: Graph, i: Input, given: str, name: str) -> str:
    """``(x - mean) / std`` of x, or of log(1 + x)."""
    numbers = {"one": 1.0} if i.log else {}
    held = {
        k: graph.constant(f"{name}_{k}", np.array(v)) for k, v in (numbers | {"mean": i.mean, "std": i.std}).items()
    }
    if "one" in held:
        given = graph.node("Log", [graph.node("Add", [given, held["one"]], f"{name}_more")], f"{name}_log")
    return graph.node("Div", [graph.node("Sub", [given, held["mean"]], f"{name}_centred"), held["std"]], f"{name}_unit")
