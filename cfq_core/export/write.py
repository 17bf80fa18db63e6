"""A network as an ONNX graph: quantize/dequantize nodes, real integer weights, int32 biases.

Two forms of the same integers and steps:

- ``exact`` computes every rescaling as the audit does, in float64 and in the same order, around integer products that
  float64 holds exactly. Every decision equals the audited one on every input, whatever a runtime optimises, because
  no result depends on the order of a sum.
- ``standard`` is the pattern compilers look for (float32 scales inside the quantize/dequantize nodes). There a value
  on a rounding tie may get the neighbouring 8-bit code (benchmarks/parity.py counts how often that changes a decision).

There is no container of 3, 5 or 6 bits: those weights are stored in INT4 and INT8. The input is the encoded design,
one row a person, its columns in the order that the metadata lists.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor

from cfq_core.export.provenance import KEY, Provenance
from cfq_core.nets.stack import Stack
from cfq_core.quant.bits import CONTAINER
from cfq_core.quant.quantized import QuantStack

Form = Literal["exact", "standard"]
FORMS: tuple[Form, ...] = ("exact", "standard")

TYPE = {2: TensorProto.INT2, 4: TensorProto.INT4, 8: TensorProto.INT8}
#: First ONNX operator set whose DequantizeLinear takes the type.
OPSET = {2: 25, 4: 21, 8: 13}
INPUT, OUTPUT = "people", "logit"


class _Graph:
    """Nodes and constants in the order they were added; every name is unique."""

    def __init__(self, floating: int) -> None:
        self.floating = floating
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, name: str, value: np.ndarray) -> str:
        self.constants.append(numpy_helper.from_array(np.array(value, order="C"), name))
        return name

    def node(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output

    def wide(self, name: str, to: str) -> str:
        return self.node("Cast", [name], to, to=TensorProto.DOUBLE)

    def model(self, width: int, opset: int, provenance: Provenance) -> onnx.ModelProto:
        ends = [
            helper.make_tensor_value_info(name, self.floating, ["n", size])
            for name, size in ((INPUT, width), (OUTPUT, 1))
        ]
        graph = helper.make_graph(self.nodes, "cfq", ends[:1], ends[1:], self.constants)
        imports = [helper.make_opsetid("", opset)]
        made = helper.make_model(graph, opset_imports=imports, producer_name="cfq")
        made.ir_version = helper.find_min_ir_version_for(imports)
        helper.set_model_props(made, {KEY: provenance.text()})
        onnx.checker.check_model(made, full_check=True)
        return made


def student_model(student: QuantStack, provenance: Provenance, form: Form = "exact") -> onnx.ModelProto:
    """The file of one quantized model (R = 1); weights, biases and steps are the audited integers and float32 steps."""
    containers = [CONTAINER[b] for b in provenance.bits]
    add, floating = (_exact_layer, TensorProto.DOUBLE) if form == "exact" else (_standard_layer, TensorProto.FLOAT)
    graph, given, last = _Graph(floating), INPUT, len(containers) - 1
    graph.constant("unit", np.ones((), np.float32))
    for layer, container in enumerate(containers):
        given = add(graph, student, layer, container, given, OUTPUT if layer == last else f"layer{layer}")
    return graph.model(student.weights[0].shape[2], max(OPSET[c] for c in containers), provenance)


def teacher_model(teacher: Stack, provenance: Provenance, form: Form = "exact") -> onnx.ModelProto:
    """The file of one full-precision model (R = 1): FP32 weights, computed in float64 or (standard) in float32."""
    exact = form == "exact"
    graph, given = _Graph(TensorProto.DOUBLE if exact else TensorProto.FLOAT), INPUT
    for layer, (weight, bias) in enumerate(zip(teacher.weights, teacher.biases, strict=True)):
        names = [graph.constant(f"{kind}{layer}", _array(t, np.float32)) for kind, t in (("W", weight), ("B", bias))]
        if exact:
            names = [graph.wide(n, f"{n}_wide") for n in names]
        last = layer == len(teacher.weights) - 1
        given = graph.node("Gemm", [given, *names], OUTPUT if last else f"sum{layer}", transB=1)
        if not last:
            given = graph.node("Relu", [given], f"layer{layer}")
    return graph.model(teacher.weights[0].shape[2], OPSET[8], provenance)


def _exact_layer(graph: _Graph, student: QuantStack, layer: int, container: int, given: str, output: str) -> str:
    """``(codes @ W + B) * (weight step * input step)``, with codes as `QuantStack` rounds them, all in float64."""
    step = student.input_steps[layer][0].double()
    ratio = graph.node("Div", [given, graph.constant(f"step{layer}", _array(step, np.float64))], f"ratio{layer}")
    whole = graph.node("Round", [ratio], f"whole{layer}")
    narrow = graph.node(
        "Cast", [whole], f"narrow{layer}", to=TensorProto.FLOAT
    )  # whole numbers: exact, or clipped below
    code = _codes(graph, layer, narrow, "unit", "unit")
    weight = graph.node("DequantizeLinear", [_weight(graph, student, layer, container), "unit"], f"weight{layer}")
    bias = graph.constant(f"B{layer}", _array(student.biases[layer], np.int32))
    wide = [graph.wide(name, f"{name}_wide") for name in (code, weight, bias)]
    total = graph.node("Gemm", wide, f"sum{layer}", transB=1)  # whole numbers under 2^53: any order of summation
    unit = student.weight_steps[layer][0].double() * step
    return graph.node("Mul", [total, graph.constant(f"scale{layer}", _array(unit, np.float64))], output)


def _standard_layer(graph: _Graph, student: QuantStack, layer: int, container: int, given: str, output: str) -> str:
    """Quantize, dequantize, Gemm with dequantized int weights and int32 bias, ReLU."""
    step = graph.constant(f"step{layer}", _array(student.input_steps[layer][0], np.float32))
    scale = graph.constant(f"scale{layer}", _array(student.weight_steps[layer], np.float32))
    held = _weight(graph, student, layer, container)
    whole = graph.constant(f"B{layer}", _array(student.biases[layer], np.int32))
    unit = student.weight_steps[layer][0].float() * student.input_steps[layer][0].float()
    scale_of_bias = graph.constant(f"scaleB{layer}", _array(unit, np.float32))
    if output == OUTPUT:  # summed as whole numbers, so that a logit of exactly 0 is one in float32 too
        names = [_codes(graph, layer, given, step, "unit")]
        names += [graph.node("DequantizeLinear", [n, "unit"], f"{n}_whole") for n in (held, whole)]
        return graph.node("Mul", [graph.node("Gemm", names, f"sum{layer}", transB=1), scale_of_bias], output)
    weight = graph.node("DequantizeLinear", [held, scale], f"weight{layer}", axis=0)
    bias = graph.node("DequantizeLinear", [whole, scale_of_bias], f"bias{layer}", axis=0)
    total = graph.node("Gemm", [_codes(graph, layer, given, step, step), weight, bias], f"sum{layer}", transB=1)
    return graph.node("Relu", [total], output)


def _codes(graph: _Graph, layer: int, given: str, step: str, back: str) -> str:
    """8-bit codes and back: signed at the input, unsigned (and so the ReLU) behind it; ``back``: the scale they get."""
    zero = graph.constant(f"zero{layer}", np.zeros((), np.int8 if layer == 0 else np.uint8))
    code = graph.node("QuantizeLinear", [given, step, zero], f"code{layer}")
    return graph.node("DequantizeLinear", [code, back, zero], f"seen{layer}")


def _weight(graph: _Graph, student: QuantStack, layer: int, container: int) -> str:
    held = helper.tensor_dtype_to_np_dtype(TYPE[container])
    return graph.constant(f"W{layer}", student.weights[layer][0].numpy().astype(np.int8).astype(held))


def _array(value: Tensor, dtype: type) -> np.ndarray:
    """A tensor of one run as an array, its run axis removed."""
    squeezed = value[0] if value.dim() > 1 else value
    return torch.as_tensor(squeezed).detach().cpu().numpy().astype(dtype)
