"""A model file from anywhere is read as untrusted: one line for whatever is wrong with it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from cfq_core.datasets import toy
from cfq_core.export.parity import computed
from cfq_core.models import read as reading
from cfq_core.models.dense import dense
from cfq_core.models.provenance import KEY, BadModel, encoding_of, read_provenance
from cfq_core.models.read import MOST_BYTES, parse_model, read_model
from cfq_core.models.runtime import Running
from cfq_core.models.scale import Scale
from cfq_core.models.write import FORMS, student_model
from cfq_core.nets.stack import Scorer, Stack, score
from cfq_core.quant.quantized import QuantStack

from .made import graph, made_student, network, rows, told


def _score(model: Scorer, points: np.ndarray) -> np.ndarray:
    return score(model.to(torch.float64), torch.tensor(points)[None])[0].numpy()


# ---------------------------------------------------------------------- import
@pytest.mark.parametrize("hidden", ["Relu", "Tanh", "Sigmoid"])
@pytest.mark.parametrize("end", ["", "Sigmoid"])
@pytest.mark.parametrize("scaled", [False, True])
def test_a_dense_network_is_imported_as_the_runtime_computes_it(hidden: str, end: str, scaled: bool) -> None:
    content, points = network(7, hidden, end, scaled=scaled), rows(200, 7)
    model = dense(parse_model(content, "a.onnx"))
    assert isinstance(model, Stack)
    assert {layer.activation for layer in model.architecture[:-1]} == {hidden.lower()}
    expected = computed(content, "off")(points)
    expected = np.log(expected) - np.log1p(-expected) if end else expected
    np.testing.assert_allclose(_score(model, points), expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("end", ["", "Softmax"])
def test_two_classes_become_the_difference_of_their_logits(end: str) -> None:
    content, points = network(5, end=end, outputs=2), rows(200, 5)
    model = dense(parse_model(content, "a.onnx"))
    assert isinstance(model, Stack)
    import onnxruntime

    raw = onnxruntime.InferenceSession(content).run(None, {"x": points.astype(np.float32)})[0].astype(np.float64)
    kind, cut = ("probability", 0.5) if end else ("logit", 0.0)
    expected = Scale(kind, 2, column=1, cut=cut).logits(raw, "a.onnx")
    np.testing.assert_allclose(_score(model, points), expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("plan", [(2, 3, 8), (4, 4)])
def test_our_own_quantized_files_are_read_back_as_the_audited_integers(form: str, plan: tuple[int, ...]) -> None:
    student = made_student(plan)
    model = dense(parse_model(student_model(student, told(plan), form).SerializeToString(), "s.onnx"))  # type: ignore[arg-type]
    assert isinstance(model, QuantStack)
    for kind in ("weights", "biases", "weight_steps", "input_steps"):
        for mine, theirs in zip(getattr(student, kind), getattr(model, kind), strict=True):
            assert torch.equal(mine, theirs), kind


def test_a_file_that_only_claims_to_be_ours_is_not_taken_for_it() -> None:
    plan = (4, 4)
    model = student_model(made_student(plan), told(plan))
    model.graph.node[0].op_type = "Mul"  # what divided by the input step multiplies now
    assert dense(parse_model(model.SerializeToString(), "s.onnx")) is None


NOT_DENSE = {
    "a branch": [
        helper.make_node("Gemm", ["x", "W"], ["a"]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Add", ["a", "b"], ["c"]),
        helper.make_node("ReduceSum", ["c"], ["y"]),
    ],
    "another activation": [
        helper.make_node("Gemm", ["x", "W"], ["a"]),
        helper.make_node("Selu", ["a"], ["b"]),
        helper.make_node("Gemm", ["b", "V"], ["y"]),
    ],
    "an activation of a negative parameter": [
        helper.make_node("Gemm", ["x", "W"], ["a"]),
        helper.make_node("Elu", ["a"], ["b"], alpha=-0.5),
        helper.make_node("Gemm", ["b", "V"], ["y"]),
    ],
    "something behind a softmax": [
        helper.make_node("Gemm", ["x", "U"], ["a"]),
        helper.make_node("Softmax", ["a"], ["b"]),
        helper.make_node("Gemm", ["b", "T"], ["y"]),
    ],
}


@pytest.mark.parametrize("nodes", NOT_DENSE.values(), ids=NOT_DENSE)
def test_another_graph_is_not_taken_for_a_dense_network(nodes: list[onnx.NodeProto]) -> None:
    f = np.float32
    constants = {"W": np.ones((4, 3), f), "V": np.ones((3, 1), f), "U": np.ones((4, 2), f), "T": np.ones((2, 1), f)}
    assert dense(parse_model(graph(nodes, constants, 4), "a.onnx")) is None


# ---------------------------------------------------------------------- refused
def _changed(change: Callable[[onnx.ModelProto], object]) -> bytes:
    model = onnx.ModelProto.FromString(network(4))
    change(model)
    return model.SerializeToString()


def _external(model: onnx.ModelProto) -> None:
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "../../etc/passwd"


def _nested(model: onnx.ModelProto) -> None:
    node = model.graph.node.add()
    node.op_type = "Identity"
    node.attribute.append(helper.make_attribute("body", model.graph))


def _wide(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 10**9


def _huge(model: onnx.ModelProto) -> None:
    tensor = model.graph.initializer.add()
    tensor.name, tensor.data_type = "bomb", TensorProto.FLOAT
    tensor.dims.extend([10**6, 10**6])


def _provenance(text: str) -> bytes:
    return _changed(lambda m: helper.set_model_props(m, {KEY: text}))


def _one_hot(depth: onnx.TensorProto | None) -> Callable[[onnx.ModelProto], None]:
    def change(model: onnx.ModelProto) -> None:
        model.graph.node.append(helper.make_node("OneHot", ["x", "depth", "ends"], ["hot"]))
        model.graph.initializer.extend([depth] if depth is not None else [])

    return change


def _depth(*of: float, kind: int = TensorProto.INT64) -> onnx.TensorProto:
    return helper.make_tensor("depth", kind, [len(of)] if len(of) != 1 else [], of)


TOLD = json.loads(told((4, 4), 4).text())
HOSTILE = {
    "empty": (b"", "not an ONNX file"),
    "text": (b"import os; os.system('true')", "not an ONNX file"),
    "a pickle": (b"\x80\x04\x95\x1a\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x8c\x06system\x93.", "not an ONNX file"),
    "cut short": (network(4)[:-40], "not an ONNX file"),
    "no graph": (onnx.ModelProto(ir_version=8).SerializeToString(), "without a graph"),
    "data in another file": (_changed(_external), "keeps its weights in another file"),
    "a loop": (_changed(_nested), "holds a graph of its own"),
    "an operator that reads files": (
        _changed(lambda m: setattr(m.graph.node[0], "op_type", "ImageDecoder")),
        '"ImageDecoder" is not one',
    ),
    "columns without end": (_changed(_one_hot(_depth(10**12))), "makes more than 10000 columns"),
    "columns of a number it computes": (_changed(_one_hot(None)), "or a number that it computes"),
    "columns of several numbers": (_changed(_one_hot(_depth(3, 4))), "makes more than 10000 columns"),
    "columns of no number": (
        _changed(_one_hot(_depth(float("nan"), kind=TensorProto.FLOAT))),
        "more than 10000 columns",
    ),
    "an operator of nobody": (_changed(lambda m: setattr(m.graph.node[0], "domain", "evil")), 'of "evil" is not one'),
    "a tensor of a million millions": (_changed(_huge), "more than 30000000 numbers"),
    "a negative shape": (_changed(lambda m: m.graph.initializer[0].dims.__setitem__(0, -4)), "impossible shape"),
    "too wide": (_changed(_wide), "stated width"),
    "no input": (_changed(lambda m: m.graph.ClearField("input")), "has 0 inputs"),
    "many nodes": (
        _changed(lambda m: m.graph.node.extend([helper.make_node("Relu", ["y"], ["z"])] * 6000)),
        "more than 5000 nodes",
    ),
    "two people at a time": (
        _changed(lambda m: m.graph.input[0].type.tensor_type.shape.dim.__getitem__(0).__setattr__("dim_value", 2)),
        "exactly 2 people",
    ),
    "complex numbers for input": (
        _changed(lambda m: setattr(m.graph.input[0].type.tensor_type, "elem_type", TensorProto.COMPLEX64)),
        "neither numbers nor words",
    ),
    "metadata that is no JSON": (_provenance("{"), "not JSON"),
    "metadata nested without end": (_provenance("[" * 100_000), "not JSON"),
    "metadata of another format": (_provenance('{"format": 99}'), "another format"),
    "metadata with a text for a number": (_provenance(json.dumps(TOLD | {"kappa": "0.2"})), '"kappa"'),
    "metadata with infinity": (_provenance(json.dumps(TOLD | {"threshold": float("inf")})), '"threshold"'),
    "metadata with a spread of zero": (
        _provenance(json.dumps(TOLD | {"inputs": [TOLD["inputs"][0] | {"std": 0.0}]})),
        'input "f0"',
    ),
    "metadata of nobody's role": (_provenance(json.dumps(TOLD | {"role": "x" * 10_000})), '"role"'),
}


@pytest.mark.parametrize(("content", "why"), HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_file_is_refused_in_one_line(content: bytes, why: str) -> None:
    with pytest.raises(BadModel) as refused:
        parse_model(content, "bad.onnx")
    line = refused.value.line()
    assert why in line and line.startswith("BadModel: bad.onnx: ") and "\n" not in line and len(line) < 300
    assert refused.value.exit_code == 2


def test_columns_of_a_small_constant_are_run() -> None:
    assert parse_model(_changed(_one_hot(_depth(3))), "good.onnx").width == 4


def test_a_file_beyond_the_limit_is_not_even_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "large.onnx"
    with path.open("wb") as file:
        file.truncate(MOST_BYTES + 1)
    monkeypatch.setattr(Path, "read_bytes", lambda _: pytest.fail("read"))
    with pytest.raises(BadModel, match="at most 64 MB"):
        read_model(path)
    with pytest.raises(BadModel, match="no such file"):
        read_model(tmp_path / "none.onnx")


def test_what_the_runtime_refuses_is_refused_in_one_line() -> None:
    wrong = _changed(
        lambda m: m.graph.initializer[0].dims.__setitem__(0, 2)
    )  # a weight of another shape than its bytes
    short = _changed(lambda m: setattr(m.graph.node[0], "input", None) if False else m.graph.node[0].input.pop())
    for content in (wrong, short):
        file = parse_model(content, "bad.onnx")
        assert dense(file) is None
        with pytest.raises(BadModel, match=r"onnxruntime refuses it|crashed"), Running(file, 30) as running:
            running.outputs(rows(3, 4))


def test_a_file_that_takes_too_long_is_ended() -> None:
    file = parse_model(network(4), "slow.onnx")
    with pytest.raises(BadModel, match="took longer"), Running(file, 0.0):
        pass
    with Running(file, 30) as running:
        process = running.process
        assert running.outputs(rows(3, 4)).shape == (3, 1)
    assert process.poll() is not None, "no process is left behind"


def test_the_worker_writes_no_file_and_ends_with_its_input() -> None:
    with Running(parse_model(network(4), "a.onnx"), 30) as running:
        limits = Path(f"/proc/{running.process.pid}/limits")
        if not limits.is_file():
            pytest.skip("no /proc here")
        lines = limits.read_text().splitlines()
        assert any(x.startswith("Max file size") and x.split()[3:5] == ["0", "0"] for x in lines)
        assert running.process.stdin is not None
        running.process.stdin.close()
        assert running.process.wait(10) == 0


# ---------------------------------------------------------------------- metadata
def test_metadata_comes_back_as_it_was_written() -> None:
    for one in (told((2, 8), 3), told((), 3)):
        assert read_provenance(one.text(), "a.onnx") == one


def test_a_card_of_other_features_is_refused_by_name() -> None:
    one = told((), 3)
    with pytest.raises(BadModel, match="trained on the features f0, f1, f2"):
        encoding_of(one, toy.SCHEMA, "a.onnx")


def test_every_operator_that_is_run_is_listed_once() -> None:
    assert not {"If", "Loop", "Scan", "RandomNormal", "Expand", "Tile", "ConstantOfShape"} & reading.OPERATORS[""]


def test_a_weight_that_was_quantized_for_storage_only_is_read() -> None:
    codes = np.arange(-6, 6, dtype=np.int8).reshape(4, 3)
    nodes = [
        helper.make_node("DequantizeLinear", ["Q", "s", "z"], ["W"], axis=1),
        helper.make_node("MatMul", ["x", "W"], ["a"]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("MatMul", ["b", "V"], ["y"]),
    ]
    f = np.float32
    constants = {"Q": codes, "s": np.array([0.1, 0.2, 0.3], f), "z": np.zeros(3, np.int8), "V": np.ones((3, 1), f)}
    content, points = graph(nodes, constants, 4), rows(50, 4)
    model = dense(parse_model(content, "a.onnx"))
    assert isinstance(model, Stack)
    np.testing.assert_allclose(_score(model, points), computed(content, "all")(points), rtol=1e-5, atol=1e-6)
    assert numpy_helper.to_array(parse_model(content, "a.onnx").proto.graph.initializer[0]).dtype == np.int8
