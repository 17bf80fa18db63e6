"""A network as an ONNX graph: quantize/dequantize nodes, real integer weights, int32 biases.

Two forms of the same integers and steps:

- ``exact`` computes every rescaling as the audit does, in float64 and in the same order, around integer products that
  float64 holds exactly. Every decision equals the audited one on every input, whatever a runtime optimises, because
  no result depends on the order of a sum.
- ``standard`` is the pattern compilers look for (float32 scales inside the quantize/dequantize nodes). There a value
  on a rounding tie may get the neighbouring 8-bit code (benchmarks/parity.py counts how often that changes a decision).
  Weights whose products with 8-bit codes exceed 16 bits in pairs lie in UINT8 around 128: an x86 processor without VNNI
  adds signed ones in pairs and cuts the sum off.

In both, a curved activation is the model's own table, read by `Gather`, so that no runtime computes it anew; the codes
of sums are signed, on steps that leave no sum on a tie. There is no container of 3, 5 or 6 bits: those weights go
into INT4 and INT8; `Target` says which containers a file may use. The input is the encoded design, one row a person,
its columns in the order that the metadata lists; or (`raw.py`) one named column a feature.
"""

from __future__ import annotations

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper
from torch import Tensor

from cfq_core.models import raw
from cfq_core.models.graph import Graph
from cfq_core.models.integer_nodes import exceeds_16_bits
from cfq_core.models.provenance import KEY, Provenance
from cfq_core.models.raw import INPUT
from cfq_core.models.target import FORMS, OPSET, OPSETS, Form, Target
from cfq_core.nets.forward import Interpreter, logit
from cfq_core.nets.layers import ALPHA, BENT, branch_range, code_range, signed_output, taken
from cfq_core.nets.stack import Stack
from cfq_core.quant.quantized import QuantStack

__all__ = ["FORMS", "INPUT", "OUTPUT", "Form", "student_model", "teacher_model", "written_for"]

TYPE = {2: TensorProto.INT2, 4: TensorProto.INT4, 8: TensorProto.INT8}
OUTPUT = "logit"
UNSIGNED = 128  # zero point of 8-bit weights that are held without a sign


class _Graph(Graph):
    """The graph of a model."""

    def encode(self, target: Target, provenance: Provenance) -> None:
        """The encoding in front of everything else, where a file is given raw columns."""
        if target.inputs == "raw":
            raw.encode(self, provenance.inputs)

    def model(self, width: int, opset: int, target: Target, provenance: Provenance) -> onnx.ModelProto:
        ends = [
            helper.make_tensor_value_info(name, self.floating, ["n", size])
            for name, size in ((INPUT, width), (OUTPUT, 1))
        ]
        given, gives, imports = ends[:1], ends[1:], [helper.make_opsetid("", opset)]
        if target.inputs == "raw":
            given, imports = raw.entries(provenance.inputs), [*imports, helper.make_opsetid(raw.ML, raw.ML_OPSET)]
            gives.append(raw.decide(self, OUTPUT))
            raw.check_names(provenance.inputs, self)
        graph = helper.make_graph(self.nodes, "cfq", given, gives, self.constants)
        made = helper.make_model(graph, opset_imports=imports, producer_name="cfq")
        made.ir_version = helper.find_min_ir_version_for(imports)
        helper.set_model_props(made, {KEY: provenance.text()})
        onnx.checker.check_model(made, full_check=True)
        return made


def student_model(
    student: QuantStack, provenance: Provenance, form: Form = "exact", target: Target | None = None
) -> onnx.ModelProto:
    """The file of one quantized model (R = 1); weights, biases and steps are the audited integers and float32 steps."""
    target = target or Target()
    containers = [target.container(b) for b in provenance.bits]
    how: _Student = (_Exact if form == "exact" else _Standard)(student, containers)
    how.graph.encode(target, provenance)
    logit(student.architecture, how, how.linear(0, how.input()))
    return how.graph.model(student.weights[0].shape[2], target.opset, target, provenance)


def teacher_model(
    teacher: Stack, provenance: Provenance, form: Form = "exact", target: Target | None = None
) -> onnx.ModelProto:
    """The file of one full-precision model (R = 1): FP32 weights, computed in float64 or (standard) in float32.

    Its operator set is 13: it needs no later one, and so loads anywhere.
    """
    target, how = target or Target(), _Teacher(teacher, form == "exact")
    how.graph.encode(target, provenance)
    logit(teacher.architecture, how, how.linear(0, INPUT))
    return how.graph.model(teacher.weights[0].shape[2], OPSET[8], target, provenance)


def written_for(file: onnx.ModelProto) -> Target:
    """What a file of ours was written for, as far as its graph depends on it."""
    held = {c.data_type for c in file.graph.initializer}
    containers = next((c for c, bits in (("native", 2), ("int4", 4)) if TYPE[bits] in held), "int8")
    inputs = "encoded" if [i.name for i in file.graph.input] == [INPUT] else "raw"
    return Target(OPSETS[-1], containers, inputs)  # type: ignore[arg-type]


class _Student(Interpreter[str]):
    """A student's layers as nodes: an interpreter of their names."""

    floating: int

    def __init__(self, student: QuantStack, containers: list[int]) -> None:
        self.student, self.containers = student, containers
        self.layers, self.bits = student.architecture, student.activations.bits
        self.last = len(containers) - 1
        self.graph = _Graph(self.floating)
        self.graph.constant("unit", np.ones((), np.float32))

    def input(self) -> str:
        """What the first layer is given."""
        raise NotImplementedError

    def clipped(self, name: str, to: str, codes: tuple[float, float], unit: float = 1.0) -> str:
        """Codes, or float32 values in steps, cut to a narrower range than that of their type; else as they are."""
        if codes in ((-128.0, 127.0), (0.0, 255.0)):
            return name
        ends = [np.array(np.float32(end) * np.float32(unit), np.float32) for end in codes]
        names = [self.graph.constant(f"{to}_{k}", end) for k, end in zip(("low", "high"), ends, strict=True)]
        return self.graph.node("Clip", [name, *names], to)

    def code(self, kind: str, signed: bool, given: str, step: str, back: str) -> str:
        """8-bit codes and back; unsigned behind a ReLU, whose range they are; ``back``: the scale they get."""
        zero = self.graph.constant(f"zero{kind}", np.zeros((), np.int8 if signed else np.uint8))
        code = self.graph.node("QuantizeLinear", [given, step, zero], f"code{kind}")
        return self.graph.node("DequantizeLinear", [code, back, zero], f"seen{kind}")

    def looked_up(self, layer: int, code: str) -> str:
        """Output codes of a curved layer, from its pre-activation's codes in float32."""
        low, _ = code_range(self.bits, signed=True)
        place = self.graph.node(
            "Sub", [code, self.graph.constant(f"first{layer}", np.array(low, np.float32))], f"place{layer}"
        )
        index = self.graph.node("Cast", [place], f"index{layer}", to=TensorProto.INT32)
        held = np.int8 if self.signed(layer) else np.uint8
        table = self.graph.constant(f"table{layer}", _array(self.student.activations.tables[layer], held))
        return self.graph.node("Gather", [table, index], f"entry{layer}")

    def signed(self, layer: int) -> bool:
        """Whether the codes behind a hidden layer's activation are signed; behind -1 are the inputs'."""
        return layer < 0 or signed_output(self.layers, layer)

    def range(self, layer: int) -> tuple[float, float]:
        """Codes of what a layer gives on."""
        if layer < 0 or self.layers[layer].skip is not None:
            return code_range(self.bits, signed=True)
        return branch_range(self.layers, layer, self.bits)


class _Exact(_Student):
    """Rescalings in float64; values are codes in float32, or a layer's accumulators."""

    floating = TensorProto.DOUBLE

    def input(self) -> str:
        return self._quantized(INPUT, 0, self.student.input_steps[0], self.range(-1), self.signed(-1))

    def linear(self, layer: int, given: str) -> str:
        """``codes @ W + B``: whole numbers under 2^53, so any order of summation."""
        graph, held = self.graph, _weight(self.graph, self.student, layer, self.containers[layer])
        weight = graph.node("DequantizeLinear", [held, "unit"], f"weight{layer}")
        bias = graph.constant(f"B{layer}", _array(self.student.biases[layer], np.int32))
        wide = [graph.wide(name, f"{name}_wide") for name in (given, weight, bias)]
        return graph.node("Gemm", wide, f"sum{layer}", transB=1)

    def activate(self, layer: int, total: str) -> str:
        """``total * (weight step * input step)``, then its code, or the entry of the table at its code."""
        graph, student, each = self.graph, self.student, self.layers[layer]
        unit = student.weight_steps[layer][0].double() * student.input_steps[layer][0].double()
        scale = graph.constant(f"scale{layer}", _array(unit, np.float64))
        real = graph.node("Mul", [total, scale], OUTPUT if layer == self.last else f"layer{layer}")
        if layer == self.last:
            return real
        if each.curved:
            whole = self._whole(real, f"_total{layer}", student.activations.total_steps[layer])
            within = self.clipped(whole, f"within{layer}", code_range(self.bits, signed=True))
            code = self.code(f"_total{layer}", True, within, "unit", "unit")
            return graph.node("Cast", [self.looked_up(layer, code)], f"seen_curve{layer}", to=TensorProto.FLOAT)
        range_ = branch_range(self.layers, layer, self.bits)
        if each.skip is None:
            return self._quantized(real, layer + 1, student.input_steps[layer + 1], range_, self.signed(layer))
        return self._quantized(real, f"_branch{layer}", student.activations.branch_steps[layer], range_, True)

    def add(self, layer: int, branch: str, skip: str) -> str:
        """``(a * step of a + b * step of b) / step``, rounded."""
        graph, other = self.graph, self.layers[layer].skip
        assert other is not None
        steps = self.student.activations.branch_steps[layer], self.student.input_steps[other + 1]
        real = []
        for name, step, side in zip((branch, skip), steps, "ab", strict=True):
            wide = graph.wide(name, f"{side}{layer}_wide")
            unit = graph.constant(f"step_{side}{layer}", _array(step[0], np.float64))
            real.append(graph.node("Mul", [wide, unit], f"{side}{layer}_real"))
        total = graph.node("Add", real, f"both{layer}")
        return self._quantized(total, layer + 1, self.student.input_steps[layer + 1], self.range(layer), True)

    def _whole(self, real: str, kind: str | int, step: Tensor) -> str:
        graph = self.graph
        ratio = graph.node(
            "Div", [real, graph.constant(f"step{kind}", _array(step[0].double(), np.float64))], f"ratio{kind}"
        )
        whole = graph.node("Round", [ratio], f"whole{kind}")
        return graph.node("Cast", [whole], f"narrow{kind}", to=TensorProto.FLOAT)  # exact, or clipped below

    def _quantized(self, real: str, kind: str | int, step: Tensor, codes: tuple[float, float], signed: bool) -> str:
        """Codes as `QuantStack` rounds them, in float32."""
        narrow = self.clipped(self._whole(real, kind, step), f"within_{kind}", codes)
        return self.code(str(kind), signed, narrow, "unit", "unit")


class _Standard(_Student):
    """Quantize, dequantize, Gemm with dequantized int weights and int32 bias, activation; values are float32."""

    floating = TensorProto.FLOAT

    def input(self) -> str:
        return INPUT

    def linear(self, layer: int, given: str) -> str:
        graph, student = self.graph, self.student
        step = graph.constant(f"step{layer}", _array(student.input_steps[layer][0], np.float32))
        scale = graph.constant(f"scale{layer}", _array(student.weight_steps[layer], np.float32))
        held = _weight(graph, student, layer, self.containers[layer], self._moved(layer))
        whole = graph.constant(f"B{layer}", _array(student.biases[layer], np.int32))
        unit = student.weight_steps[layer][0].float() * student.input_steps[layer][0].float()
        scale_of_bias = graph.constant(f"scaleB{layer}", _array(unit, np.float32))
        signed, codes = self.signed(layer - 1), self.range(layer - 1)
        if layer == self.last:  # summed as whole numbers, so that a logit of exactly 0 is one in float32 too
            given = self.clipped(given, f"within_{layer}", codes, float(student.input_steps[layer][0]))
            names = [self.code(str(layer), signed, given, step, "unit")]
            for name, zero in ((held, self._zero(layer, ()) if self._moved(layer) else []), (whole, [])):
                names.append(graph.node("DequantizeLinear", [name, "unit", *zero], f"{name}_whole"))
            return graph.node("Mul", [graph.node("Gemm", names, f"sum{layer}", transB=1), scale_of_bias], OUTPUT)
        weight = graph.node("DequantizeLinear", [held, scale, *self._zero_a_row(layer)], f"weight{layer}", axis=0)
        bias = graph.node("DequantizeLinear", [whole, scale_of_bias], f"bias{layer}", axis=0)
        given = self.clipped(given, f"within_{layer}", codes, float(student.input_steps[layer][0]))
        seen = self.code(str(layer), signed, given, step, step)
        return graph.node("Gemm", [seen, weight, bias], f"sum{layer}", transB=1)

    def _zero_a_row(self, layer: int) -> list[str]:
        """Zero points: onnxruntime 1.19 runs a fused layer only with one a row; with one, later ones refuse INT2."""
        return [] if self.containers[layer] == 2 else self._zero(layer, (len(self.student.biases[layer][0]),))

    def _zero(self, layer: int, shape: tuple[int, ...]) -> list[str]:
        moved = self._moved(layer)
        held = np.dtype(np.uint8) if moved else helper.tensor_dtype_to_np_dtype(TYPE[self.containers[layer]])
        return [self.graph.constant(f"zeroW{layer}", np.full(shape, moved, np.uint8).astype(held))]

    def _moved(self, layer: int) -> int:
        """What is added to a layer's codes: signed ones would be cut off by processors that add products in pairs."""
        weight = self.student.weights[layer][0].numpy()
        return UNSIGNED if self.containers[layer] == 8 and exceeds_16_bits(weight.T).any() else 0

    def activate(self, layer: int, total: str) -> str:
        graph, of, each = self.graph, self.student.activations, self.layers[layer]
        if layer == self.last or (each.activation == "none" and each.skip is None):
            return total
        if each.activation == "relu":
            total = graph.node("Relu", [total], f"layer{layer}")
        if not each.curved:
            return total if each.skip is None else self._branch(layer, total)
        step = graph.constant(f"step_total{layer}", _array(of.total_steps[layer][0], np.float32))
        range_ = code_range(self.bits, signed=True)
        within = self.clipped(total, f"within{layer}", range_, float(of.total_steps[layer][0]))
        entry = self.looked_up(layer, self.code(f"_total{layer}", True, within, step, "unit"))
        out = self.student.input_steps[layer + 1] if each.skip is None else of.branch_steps[layer]
        back = graph.constant(f"step_entry{layer}", _array(out[0], np.float32))
        zero = graph.constant(f"zero_entry{layer}", np.zeros((), np.int8 if self.signed(layer) else np.uint8))
        return graph.node("DequantizeLinear", [entry, back, zero], f"layer{layer}")

    def add(self, layer: int, branch: str, skip: str) -> str:
        other = self.layers[layer].skip
        assert other is not None
        return self.graph.node("Add", [branch, f"seen{other + 1}"], f"both{layer}")  # as the next layer was given it

    def _branch(self, layer: int, total: str) -> str:
        step = self.student.activations.branch_steps[layer]
        name = self.graph.constant(f"step_branch{layer}", _array(step[0], np.float32))
        within = self.clipped(
            total, f"within_branch{layer}", branch_range(self.layers, layer, self.bits), float(step[0])
        )
        return self.code(f"_branch{layer}", True, within, name, name)


class _Teacher(Interpreter[str]):
    """A teacher's layers as nodes: its activations' operators, or simpler ones in float64, where they are few."""

    def __init__(self, teacher: Stack, exact: bool) -> None:
        self.teacher, self.exact = teacher, exact
        self.graph = _Graph(TensorProto.DOUBLE if exact else TensorProto.FLOAT)
        self.last = len(teacher.weights) - 1

    def linear(self, layer: int, given: str) -> str:
        pair = (("W", self.teacher.weights[layer]), ("B", self.teacher.biases[layer]))
        names = [self.graph.constant(f"{kind}{layer}", _array(t, np.float32)) for kind, t in pair]
        if self.exact:
            names = [self.graph.wide(n, f"{n}_wide") for n in names]
        output = OUTPUT if layer == self.last else f"sum{layer}"
        return self.graph.node("Gemm", [given, *names], output, transB=1)

    def activate(self, layer: int, total: str) -> str:
        kind, number = taken(self.teacher.architecture[layer].activation)
        if kind == "none":
            return total
        more = () if number is None else (number,)
        return getattr(self, f"_{kind}")(total, f"layer{layer}", *more)

    def add(self, layer: int, branch: str, skip: str) -> str:
        return self.graph.node("Add", [branch, skip], f"both{layer}")

    def _relu(self, x: str, to: str) -> str:
        return self.graph.node("Relu", [x], to)

    def _tanh(self, x: str, to: str) -> str:
        return self.graph.node("Tanh", [x], to)

    def _sigmoid(self, x: str, to: str) -> str:
        return self.graph.node("Sigmoid", [x], to)

    def _silu(self, x: str, to: str) -> str:
        if not self.exact:
            return self.graph.node("Mul", [x, self._sigmoid(x, f"{to}_gate")], to)
        grown = self.graph.node("Exp", [self.graph.node("Neg", [x], f"{to}_minus")], f"{to}_exp")
        below = self.graph.node("Add", [grown, self.graph.number(f"{to}_one", 1.0)], f"{to}_below")
        return self.graph.node("Div", [x, below], to)  # onnxruntime 1.19 fuses the product, and has none in float64

    def _leaky_relu(self, x: str, to: str, alpha: float = ALPHA) -> str:
        if not self.exact:
            return self.graph.node("LeakyRelu", [x], to, alpha=alpha)
        low = self.graph.node("Mul", [x, self.graph.number(f"{to}_alpha", alpha)], f"{to}_low")
        return self.graph.node("Max" if alpha <= 1 else "Min", [x, low], to)

    def _elu(self, x: str, to: str, alpha: float = 1.0) -> str:
        if not self.exact:
            return self.graph.node("Elu", [x], to, alpha=alpha)
        below = self.graph.node("Min", [x, self.graph.number(f"{to}_zero", 0.0)], f"{to}_below")
        grown = self.graph.node(
            "Sub", [self.graph.node("Exp", [below], f"{to}_exp"), self.graph.number(f"{to}_one", 1.0)], f"{to}_low"
        )
        if alpha != 1:
            grown = self.graph.node("Mul", [grown, self.graph.number(f"{to}_alpha", alpha)], f"{to}_scaled")
        return self.graph.node("Add", [self._relu(x, f"{to}_high"), grown], to)

    def _gelu_tanh(self, x: str, to: str) -> str:
        def number(name: str, value: float) -> str:
            return self.graph.number(f"{to}_{name}", value)

        cube = self.graph.node("Mul", [self.graph.node("Mul", [x, x], f"{to}_square"), x], f"{to}_cube")
        bent = self.graph.node(
            "Add", [x, self.graph.node("Mul", [cube, number("bend", BENT[1])], f"{to}_part")], f"{to}_sum"
        )
        gate = self.graph.node(
            "Tanh", [self.graph.node("Mul", [bent, number("root", BENT[0])], f"{to}_in")], f"{to}_tanh"
        )
        half = self.graph.node("Mul", [x, number("half", 0.5)], f"{to}_half_x")
        return self.graph.node("Mul", [half, self.graph.node("Add", [gate, number("one", 1.0)], f"{to}_gate")], to)

    def _hard_swish(self, x: str, to: str) -> str:
        if not self.exact:
            gate = self.graph.node("HardSigmoid", [x], f"{to}_gate", alpha=1 / 6, beta=0.5)
            return self.graph.node("Mul", [x, gate], to)
        names = [self.graph.number(f"{to}_{k}", v) for k, v in (("three", 3.0), ("zero", 0.0), ("six", 6.0))]
        gate = self.graph.node("Clip", [self.graph.node("Add", [x, names[0]], f"{to}_up"), *names[1:]], f"{to}_gate")
        return self.graph.node("Div", [self.graph.node("Mul", [x, gate], f"{to}_times"), names[2]], to)

    def _gelu(self, x: str, to: str) -> str:
        """With the error function in float32, the only one that runtimes have."""
        graph = self.graph
        ratio = graph.node("Div", [x, graph.number(f"{to}_root", 2**0.5)], f"{to}_ratio")
        narrow = graph.node("Cast", [ratio], f"{to}_narrow", to=TensorProto.FLOAT) if self.exact else ratio
        erf = graph.node("Erf", [narrow], f"{to}_erf")
        erf = graph.wide(erf, f"{to}_wide") if self.exact else erf
        more = graph.node("Add", [erf, graph.number(f"{to}_one", 1.0)], f"{to}_more")
        twice = graph.node("Mul", [x, more], f"{to}_twice")
        return graph.node("Mul", [twice, graph.number(f"{to}_half", 0.5)], to)


def _weight(graph: _Graph, student: QuantStack, layer: int, container: int, moved: int = 0) -> str:
    codes = student.weights[layer][0].numpy()
    if moved:
        return graph.constant(f"W{layer}", (codes + moved).astype(np.uint8))
    held = helper.tensor_dtype_to_np_dtype(TYPE[container])
    return graph.constant(f"W{layer}", codes.astype(np.int8).astype(held))


def _array(value: Tensor, dtype: type) -> np.ndarray:
    """A tensor of one run as an array, its run axis removed."""
    squeezed = value[0] if value.dim() > 1 else value
    return torch.as_tensor(squeezed).detach().cpu().numpy().astype(dtype)
