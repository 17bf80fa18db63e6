"""Files are judged as they will run: each way that decides somebody otherwise is counted, and told before it is met."""

from __future__ import annotations

import html
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from cfq_core.api.audits import report_of
from cfq_core.datasets.card import read_card
from cfq_core.export import audit_text, people, ways
from cfq_core.export.audit import AuditOptions, PairAudit, audit_pair
from cfq_core.export.flags import flags, ties
from cfq_core.export.ways import Way, listed
from cfq_core.models import verify
from cfq_core.models.read import parse_model
from cfq_core.tables.encode import Encoding
from cfq_core.tables.schema import Table

from .conftest import CARD
from .made import graph, network

#: Random networks know nothing of outcomes, so all is said of them.
FEW = AuditOptions(people=40, n_reaudited=5, favourable="high", output="logit", layout="standardised")


@pytest.fixture(scope="module")
def table() -> Table:
    return read_card(CARD)


def everybody(table: Table) -> np.ndarray:
    return Encoding.fit(table.schema, table.values).encode(table.values)


def width(table: Table) -> int:
    return everybody(table).shape[1]


def blockwise(rows: np.ndarray, shift: float = 0.0) -> bytes:
    """A network whose hidden layer has block-wise INT4 weights."""
    random, inner, outer, width = np.random.default_rng(3), 32, 64, rows.shape[1]
    held = {
        "F": random.standard_normal((width, inner)).astype(np.float32),
        "s": random.uniform(0.05, 0.3, (inner // 16, outer)).astype(np.float32),
        "L": random.standard_normal((outer, 1)).astype(np.float32),
    }
    codes = random.integers(-8, 8, (inner, outer))
    held |= {"z": np.array([shift], np.float32), "two": np.float32(2)}
    packed = helper.make_tensor("C", TensorProto.INT4, (inner, outer), codes.flatten().tolist())
    nodes = [
        helper.make_node("MatMul", ["x", "F"], ["r"]),
        helper.make_node("DequantizeLinear", ["C", "s"], ["W"], axis=0, block_size=16),
        helper.make_node("MatMul", ["r", "W"], ["m"]), helper.make_node("Mul", ["m", "two"], ["e"]),
        helper.make_node("Relu", ["e"], ["h"]),
        helper.make_node("Gemm", ["h", "L", "z"], ["y"]),
    ]  # fmt: skip
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n", s]) for n, s in (("x", width), ("y", 1))]
    constants = [packed, *(numpy_helper.from_array(v, k) for k, v in held.items())]
    made = helper.make_graph(nodes, "g", ends[:1], ends[1:], constants)
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 21)], ir_version=10).SerializeToString()


def dynamic(rows: np.ndarray, shift: float = 0.0, most: int = 127) -> bytes:
    """A layer quantized anew in every batch, with weights up to ``most``."""
    weight = np.random.default_rng(1).integers(-most, most + 1, (rows.shape[1], 1)).astype(np.int8)
    nodes = [
        helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "qs", "qz"]),
        helper.make_node("MatMulInteger", ["q", "W", "qz"], ["a"]), helper.make_node("Cast", ["a"], ["f"], to=1),
        helper.make_node("Mul", ["f", "qs"], ["m"]), helper.make_node("Mul", ["m", "ws"], ["l"]),
        helper.make_node("Add", ["l", "b"], ["y"]),
    ]  # fmt: skip
    return graph(nodes, {"W": weight, "ws": np.float32(0.01), "b": np.float32(shift)}, rows.shape[1])


def recounted(content: bytes, rows: np.ndarray, level: str, batch: int, entries: dict[str, str]) -> np.ndarray:
    """Logits by onnxruntime alone."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, f"ORT_{level}")
    options.intra_op_num_threads = 1
    for k, v in entries.items():
        options.add_session_config_entry(k, v)
    running = onnxruntime.InferenceSession(content, options)
    parts = [running.run(None, {"x": rows[i : i + batch]})[0] for i in range(0, len(rows), batch)]
    return np.concatenate(parts).reshape(-1)


def points(found: PairAudit) -> tuple[np.ndarray, np.ndarray]:
    """Encoded people and promised points of an audit."""
    design, recourse = found.promise.design, found.promise.recourse
    after = design.encoding.encode(recourse.after[recourse.has_recourse])
    return design.inputs(design.split.test).astype(np.float32), after.astype(np.float32)


RECOUNTS = {
    "optimisation off": ("DISABLE_ALL", 10**6, {}),
    "optimisation basic": ("ENABLE_BASIC", 10**6, {}),
    "optimisation all": ("ENABLE_ALL", 10**6, {}),
    "optimisation extended, batches of 7": ("ENABLE_EXTENDED", 7, {}),
    "optimisation off, batches of 1": ("DISABLE_ALL", 1, {}),
    "optimisation all, batches of 1": ("ENABLE_ALL", 1, {}),
    "optimisation all, batches of 7": ("ENABLE_ALL", 7, {}),
    "session.qdq_matmulnbits_accuracy_level = 0": (
        "ENABLE_ALL",
        10**6,
        {"session.qdq_matmulnbits_accuracy_level": "0"},
    ),
}


@pytest.mark.parametrize("make", [blockwise, dynamic])
def test_whom_each_way_decides_otherwise_is_what_onnxruntime_alone_gives(table: Table, make: Any) -> None:
    people = everybody(table).astype(np.float32)
    ways = [("ENABLE_ALL", 10**6, {}), ("DISABLE_ALL", 10**6, {}) if make is blockwise else ("ENABLE_ALL", 1, {})]
    both = np.stack([recounted(make(people), people, *way) for way in ways])
    content = make(people, -both[:, np.argmax(np.ptp(both, axis=0))].mean())  # one person at least is decided otherwise
    teacher = parse_model(network(width(table)), "t.onnx")
    found = audit_pair(table, teacher, parse_model(content, "s.onnx"), FEW)
    rows, after = points(found)
    seen = {s.way.words: s for s in found.student.ways}
    assert ("session.qdq_matmulnbits_accuracy_level = 0" in seen) == (make is blockwise)
    audited = recounted(content, rows, "ENABLE_ALL", 10**6, {})
    if make is blockwise:  # steps of one batch do not depend on another there
        np.testing.assert_array_equal(audited > 0, found.seen.raw.student > 0)
    counted = 0
    for words, (level, batch, entries) in RECOUNTS.items():
        if words not in seen:
            continue
        s, k = seen[words], len(after)
        logits = recounted(content, np.concatenate([after, rows[: s.people]]), level, batch, entries)
        e = found.seen.raw
        due = np.concatenate([e.student_at[found.promise.recourse.has_recourse], e.student[: s.people]])
        wrong = (logits > 0) != (due > 0)
        assert (s.promises, s.differing_promises, s.differing) == (k, wrong[:k].sum(), wrong[k:].sum()), words
        assert s.vd == pytest.approx((logits[:k] <= 0).mean()), words
        np.testing.assert_array_equal(s.approved, logits[:k] > 0)
        counted += s.differing + s.differing_promises
    assert counted, "some way decides somebody otherwise, or nothing is tested"


def test_a_way_that_cannot_be_run_is_told_and_the_audit_stands(table: Table) -> None:
    """The reference evaluator knows no operators of a runtime's own."""
    model = onnx.load_model_from_string(network(width(table)))
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    gelu = next(n for n in model.graph.node if n.op_type == "Relu")
    gelu.op_type, gelu.domain = "Gelu", "com.microsoft"
    file = parse_model(model.SerializeToString(), "g.onnx")
    found = audit_pair(table, file, parse_model(network(width(table)), "s.onnx"), FEW)
    reference = found.teacher.ways[-1]
    assert reference.way.reference and reference.failed
    assert not any(s.failed for s in (*found.teacher.ways[:-1], *found.student.ways))
    assert "not computed so" in audit_text.text(found) and found.seen.measures.overall["vd"].value is not None


def test_ways_are_listed_together_where_only_the_batch_differs() -> None:
    off = [Way("off"), Way("off", 1), Way("off", 7)]
    every = [*off, Way("all"), Way("all", 1), Way("all", 7), Way(reference=True)]
    assert listed(off, every) == ["optimisation off"]
    assert listed([*off[:2], every[4], every[-1]], every) == [
        "optimisation off, all at once", "optimisation off, batches of 1", "optimisation all, batches of 1",
        "the ONNX reference evaluator",
    ]  # fmt: skip


def test_the_reference_evaluator_gets_seconds_and_its_share_is_told(
    table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ways, "REFERENCE_SECONDS", 0.0)
    file = parse_model(network(width(table)), "n.onnx")
    found = audit_pair(table, file, file, replace(FEW, people=100))
    reference = found.student.ways[-1]
    assert reference.way.reference and (reference.promises, reference.people) == (ways.CHUNK, 0)
    assert all(len(p["refused_when"]) == 0 for p in people.results(found)), "the file keeps what it promised itself"


def test_the_report_names_runtime_processor_levels_and_options(table: Table) -> None:
    file = parse_model(blockwise(everybody(table)), "s.onnx")
    found = audit_pair(table, file, file, FEW)
    told = audit_text.as_json(found)
    assert told["runtime"]["runtime"] == f"onnxruntime {onnxruntime.__version__}" and "extensions" in told["runtime"]
    ways = told["student"]["ways"]
    assert {w["level"] for w in ways} == set(verify.levels()) and {w["batch"] for w in ways} == {None, 1, 7}
    assert {"session.qdq_matmulnbits_accuracy_level": "0"} in [w["options"] for w in ways]
    for text in (audit_text.text(found), html.unescape(report_of(found, str(CARD)))):
        assert told["runtime"]["runtime"] in text and "session.qdq_matmulnbits_accuracy_level = 0" in text


# ---------------------------------------------------------------------- before it is run
def _pairwise(codes: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """What `vpmaddubsw` gives: products of u8 and s8 added in pairs into 16 bits, cut off there."""
    padded = len(weight) + len(weight) % 2
    products = np.zeros((len(codes), padded), np.int64)
    products[:, : len(weight)] = codes.astype(np.int64) * weight[:, 0]
    return products.reshape(len(codes), -1, 2).sum(2).clip(-(2**15), 2**15 - 1).sum(1)


@pytest.mark.parametrize(("most", "flagged"), [(127, True), (64, False)])
def test_sums_that_saturate_without_vnni_are_told_from_the_weights_alone(most: int, flagged: bool) -> None:
    width = 40
    file = parse_model(dynamic(np.zeros((3, width)), 0.0, most), "s.onnx")
    weight = numpy_helper.to_array(next(c for c in file.proto.graph.initializer if c.name == "W"))
    codes = np.random.default_rng(0).integers(0, 256, (500, width))
    codes[0], codes[1] = 255 * (weight[:, 0] > 0), 255 * (weight[:, 0] < 0)  # the worst there are
    cut = (_pairwise(codes, weight) != codes @ weight[:, 0].astype(np.int64)).any()
    assert cut == flagged == any("processors without VNNI" in f for f in flags(file))
    assert any("who else is asked" in f for f in flags(file))


def _qdq(width: int, bias: np.ndarray | None = None, scale: float = 0.25, weight: int = 5) -> bytes:
    """One layer as quantizers write it: quantize, dequantize, Gemm with dequantized weights."""
    held: dict[str, Any] = {
        "s": np.float32(scale), "z": np.int8(0), "W": np.full((width, 1), weight, np.int8), "ws": np.float32(0.1),
        "b": np.zeros(1, np.float32) if bias is None else bias,
    }  # fmt: skip
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"]),
        helper.make_node("DequantizeLinear", ["W", "ws"], ["w"]),
    ]
    if held["b"].dtype == np.int32:
        nodes.append(helper.make_node("DequantizeLinear", ["b", "ws"], ["bias"]))
    nodes.append(helper.make_node("Gemm", ["d", "w", "bias" if held["b"].dtype == np.int32 else "b"], ["y"]))
    return graph(nodes, held, width)


@pytest.mark.parametrize(
    ("bias", "flagged"),
    [
        (np.array([2**31 - 100], np.int32), True), (np.array([1000], np.int32), False),
        (np.array([1e8], np.float32), True), (np.array([3.0], np.float32), False),
    ],
)  # fmt: skip
def test_a_bias_that_needs_more_than_32_bits_is_told(bias: np.ndarray, flagged: bool) -> None:
    """In float it is rounded to int32 where the layer is fused: 1e8 / (0.25 * 0.1) are 4e9 units."""
    assert any("32 bits" in f for f in flags(parse_model(_qdq(6, bias), "s.onnx"))) == flagged


def test_ties_on_the_way_are_found_where_a_value_lies_between_two_codes() -> None:
    file = parse_model(_qdq(3, scale=0.25), "s.onnx")
    at = np.array([[0.25, 1.0, -2.5], [0.375, 0.0, 0.0], [0.3749, 0.0, 0.0], [0.0, 0.0, -1.125]])
    line, met = ties(file, at, 60.0)
    np.testing.assert_array_equal(met, [False, True, False, True])
    assert line.startswith("2 of 4 promised points meet a tie")
    assert ties(file, at[:1], 60.0) == ("", pytest.approx([False]))
    assert ties(parse_model(network(3), "n.onnx"), at, 60.0)[0] == "", "nothing is quantized there"


def test_odd_graphs_are_flagged_or_not_but_never_stop_an_audit() -> None:
    odd = [
        helper.make_node("QGemm", ["x"], ["y"], domain="com.microsoft"),
        helper.make_node("Gemm", ["x", "W"], ["y"]), helper.make_node("MatMulInteger", ["x", "W"], ["y"]),
    ]  # fmt: skip
    for node in odd:
        for weight in (np.zeros((0, 0), np.int8), np.zeros(3, np.int8), np.zeros((2, 3, 4), np.int8)):
            file = parse_model(graph([node], {"W": weight}, 3), "o.onnx")
            assert isinstance(flags(file), tuple) and ties(file, np.zeros((2, 3)), 30.0)[0] == ""
