"""What is made of a teacher file before it ships: quantized, halved, pruned, or a smaller model of another kind."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper
from onnxruntime import InferenceSession
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)

from benchmarks.corpus import judge
from benchmarks.corpus.people import Truth, people, training
from benchmarks.corpus.torch_files import Made

DENSE = frozenset({"Gemm", "MatMul"})
#: Students of each teacher that an optimizer is asked for; the kinds come in turn.
TURNS = 1


@dataclass(frozen=True)
class Student:
    """A student file, and what has to be said of it where that differs from its teacher."""

    name: str
    kind: str
    truth: Truth
    options: tuple[str, ...] = ()


class Rows(CalibrationDataReader):
    """Training rows, as a file takes them."""

    def __init__(self, made: Made) -> None:
        import dataclasses

        feed = judge.feed(dataclasses.asdict(made.truth), people()[training()])
        size = made.truth.batch or 60
        count = len(next(iter(feed.values())))
        self.batches = iter([{k: v[i : i + size] for k, v in feed.items()} for i in range(0, count, size)][:60])

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self.batches, None)


def _static(form: QuantFormat, given: QuantType, weights: QuantType, **more: Any) -> Callable[[Path, Path, Made], None]:
    def write(teacher: Path, out: Path, made: Made) -> None:
        quantize_static(
            str(teacher), str(out), Rows(made), quant_format=form, activation_type=given, weight_type=weights, **more
        )

    return write


def _dynamic(teacher: Path, out: Path, made: Made) -> None:
    quantize_dynamic(str(teacher), str(out), weight_type=QuantType.QInt8)


def _half(teacher: Path, out: Path, made: Made) -> None:
    from onnxconverter_common import float16

    onnx.save(float16.convert_float_to_float16(onnx.load(str(teacher))), str(out))


def _half_inside(teacher: Path, out: Path, made: Made) -> None:
    from onnxconverter_common import float16

    onnx.save(float16.convert_float_to_float16(onnx.load(str(teacher)), keep_io_types=True), str(out))


def _pruned(teacher: Path, out: Path, made: Made) -> None:
    """The smaller half of every layer's weights is 0."""
    _weights(teacher, out, lambda w: np.where(np.abs(w) < np.quantile(np.abs(w), 0.5), 0, w))


def _rounded(teacher: Path, out: Path, made: Made) -> None:
    """Three bits a weight, kept in float."""
    _weights(teacher, out, lambda w: np.clip(np.rint(w / (np.abs(w).max() / 3)), -4, 3) * (np.abs(w).max() / 3))


def _weights(teacher: Path, out: Path, of: Callable[[np.ndarray], np.ndarray]) -> None:
    model = onnx.load(str(teacher))
    used = {i for n in model.graph.node if n.op_type in DENSE for i in n.input}
    done = 0
    for held in model.graph.initializer:
        if held.name in used and len(held.dims) == 2:
            array = numpy_helper.to_array(held)
            held.CopyFrom(numpy_helper.from_array(of(array).astype(array.dtype), held.name))
            done += 1
    if not done:
        raise ValueError("no weights of layers")
    onnx.save(model, str(out))


def _int4(form: QuantFormat) -> Callable[[Path, Path, Made], None]:
    """Blocks of 16 weights on a scale each."""

    def write(teacher: Path, out: Path, made: Made) -> None:
        from onnxruntime.quantization.matmul_nbits_quantizer import DefaultWeightOnlyQuantConfig, MatMulNBitsQuantizer

        config = DefaultWeightOnlyQuantConfig(block_size=16, is_symmetric=True, quant_format=form)
        quantizer = MatMulNBitsQuantizer(_as_products(onnx.load(str(teacher))), algo_config=config)
        quantizer.process()
        quantizer.model.save_model_to_file(str(out))

    return write


def _as_products(model: onnx.ModelProto) -> onnx.ModelProto:
    """Every Gemm as MatMul and Add, which is what the block-wise quantizer knows."""
    held = {c.name: c for c in model.graph.initializer}
    nodes = []
    for n in model.graph.node:
        if n.op_type != "Gemm" or n.input[1] not in held:
            nodes.append(n)
            continue
        at = {a.name: helper.get_attribute_value(a) for a in n.attribute}
        weight = numpy_helper.to_array(held[n.input[1]])
        name = f"{n.output[0]}_weight"
        model.graph.initializer.append(
            numpy_helper.from_array(np.ascontiguousarray(weight.T if at.get("transB") else weight), name)
        )
        product = f"{n.output[0]}_product" if len(n.input) > 2 else n.output[0]
        nodes.append(helper.make_node("MatMul", [n.input[0], name], [product], name=product))
        if len(n.input) > 2:
            nodes.append(helper.make_node("Add", [product, n.input[2]], [n.output[0]]))
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    for opset in model.opset_import:
        if not opset.domain and opset.version < 21:
            opset.version = 21
    model.ir_version = max(model.ir_version, 10)
    return model


U8, S8 = QuantType.QUInt8, QuantType.QInt8
QUANTIZERS: dict[str, Callable[[Path, Path, Made], None]] = {
    "static QDQ": _static(QuantFormat.QDQ, U8, S8),
    "static QOperator": _static(QuantFormat.QOperator, U8, S8),
    "dynamic": _dynamic,
    "static QDQ, a scale a channel": _static(QuantFormat.QDQ, U8, S8, per_channel=True),
    "static QDQ, signed": _static(QuantFormat.QDQ, S8, S8, extra_options={"ActivationSymmetric": True}),
    "static QOperator, signed": _static(QuantFormat.QOperator, S8, S8),
    "static QDQ, 7 bits": _static(QuantFormat.QDQ, U8, S8, reduce_range=True),
    "static QDQ, unsigned weights": _static(QuantFormat.QDQ, U8, U8),
    "INT4 blocks": _int4(QuantFormat.QOperator),
    "INT4 blocks, QDQ": _int4(QuantFormat.QDQ),
    "float16": _half,
    "float16 inside": _half_inside,
    "pruned": _pruned,
    "3 bits in float": _rounded,
}


def students(teachers: list[Made], folder: Path) -> Iterator[tuple[Made, Student]]:
    """Pairs: every teacher with the next students in turn that can be made of it."""
    logging.getLogger().setLevel(logging.ERROR)
    kinds = list(QUANTIZERS)
    at = 0
    for teacher in teachers:
        model = onnx.load(str(folder / f"{teacher.name}.onnx"), load_external_data=False)
        dense = any(n.op_type in DENSE for n in model.graph.node)
        got, tried = 0, 0
        while dense and got < (1 if teacher.refuse else TURNS) and tried < len(kinds):
            kind = kinds[at % len(kinds)]
            at, tried = at + 1, tried + 1
            found = _student(teacher, kind, folder)
            if found is not None:
                got += 1
                yield teacher, found


def _student(teacher: Made, kind: str, folder: Path) -> Student | None:
    name = f"{teacher.name}__{kind.replace(' ', '_').replace(',', '')}"
    try:
        QUANTIZERS[kind](folder / f"{teacher.name}.onnx", folder / f"{name}.onnx", teacher)
        InferenceSession(str(folder / f"{name}.onnx"))  # some tools write what no runtime loads
    except Exception:  # whatever another tool says of a graph that it cannot quantize
        return None
    truth = teacher.truth
    if kind == "dynamic":
        truth = replace(truth, batch=1)
    if kind == "float16":
        truth = replace(truth, inputs=tuple(
            replace(i, kind="float16") if i.kind == "float32" else i for i in truth.inputs))  # fmt: skip
    return Student(name, kind, truth)


def halves(teachers: list[Made], folder: Path) -> Iterator[tuple[Made, Student]]:
    """Trees and linear classifiers whose numbers are kept in half precision; what takes no quantizer."""
    kinds = {"TreeEnsembleClassifier": "trees in half precision", "LinearClassifier": "coefficients in half precision"}
    for teacher in teachers:
        model = onnx.load(str(folder / f"{teacher.name}.onnx"), load_external_data=False)
        nodes = [n for n in model.graph.node if n.op_type in kinds]
        if len(nodes) != 1 or teacher.refuse:
            continue
        for a in nodes[0].attribute:
            if a.name in ("class_weights", "nodes_values", "coefficients", "intercepts"):
                values = np.array(a.floats, np.float32)
                a.floats[:] = values.astype(np.float16).astype(np.float32).tolist()
        name = f"{teacher.name}__half"
        onnx.save(model, str(folder / f"{name}.onnx"))
        yield teacher, Student(name, kinds[nodes[0].op_type], teacher.truth)


def across(teachers: list[Made]) -> Iterator[tuple[Made, Student]]:
    """Pairs of different kinds: another library, other inputs, another kind of output."""
    by_name = {t.name: t for t in teachers}
    pairs = (
        ("act_relu", "xgb_2"), ("sk_forest", "sk_mlp_relu"), ("sk_svc", "sk_lr"), ("old_attention", "act_gelu"),
        ("xgb_4", "xgb_2"), ("lgb_15", "lgb_4"), ("sk_named_lr", "sk_named_lr_drop"), ("sk_named_mlp", "old_embedding"),
        ("dyn_embedding", "sk_named_forest"), ("p_sigmoid", "softmax"), ("sk_mlp_tanh", "sk_tree"),
        ("old_named", "dyn_named"), ("float64", "batch_of_one"), ("two_logits", "log_softmax"),
        ("dyn_scaler", "sk_lr_words"), ("sk_boosted", "sk_hist"), ("sk_extra", "sk_bayes"), ("dyn_relu", "wide"),
        ("old_residual", "logreg"), ("sk_forest_zipmap", "sk_forest_words"), ("sk_bagged", "sk_lr_minmax"),
        ("sk_svc_linear", "sk_lr_robust"), ("hot_equal", "old_embedding"), ("hot_op", "dyn_embedding"),
        ("sk_bayes", "sk_extra"),
        ("whole_relu", "sk_lr"), ("raw_log", "xgb_2"), ("sk_neighbours", "sk_lr"), ("sk_hist", "lgb_4"),
    )  # fmt: skip
    for a, b in pairs:
        if a in by_name and b in by_name:
            s = by_name[b]
            yield by_name[a], Student(s.name, "another model", s.truth, _student_options(s.options))
    wrong = ("old_scaler", "scaler_said")
    if all(n in by_name for n in wrong):
        s = by_name[wrong[1]]
        yield by_name[wrong[0]], Student(s.name, "layout said wrongly", s.truth, ("--student-layout", "standardised"))


def _student_options(options: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(o.replace("--", "--student-") if o.startswith("--") else o for o in options)
