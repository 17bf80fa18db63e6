"""Which side is good, where the cut is, how inputs are made: said, or found and told, or asked about."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from cfq_core.base.errors import BadInput
from cfq_core.datasets.card import parse_card
from cfq_core.export.audit import AuditOptions, PairAudit, audit_pair
from cfq_core.models.contract import Contract
from cfq_core.models.provenance import BadModel
from cfq_core.models.read import ModelFile, read_model
from cfq_core.models.reading import Reading, running_of, settle
from cfq_core.tables.schema import Table

from . import loans

FEW = AuditOptions(people=30, n_reaudited=10)


def _read(file: ModelFile, table: Table, **said: Any) -> tuple[Reading, np.ndarray, str]:
    """How it is read, its logits of everybody, and what is told."""
    with running_of(file, table, 60) as running:
        reading, notes = settle(running, Contract(**said), table, np.arange(len(table)), True)
        return reading, reading.logits(table.values), " ".join(notes)


def _audited(table: Table, *contents: bytes, **said: Any) -> PairAudit:
    files = [loans.file(c, f"{k}.onnx") for k, c in zip("ab", contents, strict=True)]
    return audit_pair(table, *files, AuditOptions(people=30, n_reaudited=10, **said))


# ---------------------------------------------------------------------- which side, and the cut
def test_the_probability_of_default_is_asked_about_and_low_is_the_same_as_its_complement() -> None:
    table = loans.table()
    pd = [
        loans.linear(("Sigmoid", []), weight=-w, bias=-loans.BIAS)
        for w in (loans.WEIGHT, loans.WEIGHT * np.float32(0.9))
    ]
    repaid = [loans.linear(("Sigmoid", []), weight=w) for w in (loans.WEIGHT, loans.WEIGHT * np.float32(0.9))]
    with pytest.raises(BadModel, match=r"a.onnx: ranks the outcomes backwards \(AUC 0\.[01].* --favourable low"):
        _audited(table, *pd)
    low, high = _audited(table, *pd, favourable="low"), _audited(table, *repaid)
    for name in ("after", "before", "why"):
        assert (getattr(low.promise.recourse, name) == getattr(high.promise.recourse, name)).all()
    np.testing.assert_allclose(low.promise.logits, high.promise.logits, rtol=1e-6)
    assert (low.seen.raw.student_at > 0).tolist() == (high.seen.raw.student_at > 0).tolist()


@pytest.mark.parametrize("said", [{}, {"layout": "raw"}])
def test_a_score_is_cut_where_it_is_said_and_not_without(said: dict[str, Any]) -> None:
    table = loans.table()
    content = loans.linear(("Mul", ["k"]), ("Add", ["c"]), ("Round", []), k=100.0, c=600.0)
    file = loans.file(content)
    with pytest.raises(BadModel, match=r"score, not a logit: its output runs from .* --threshold"):
        _read(file, table, **said)
    with pytest.raises(BadModel, match="a score needs --threshold; its output runs from"):
        _read(file, table, output="score", **said)
    score = loans.computed(content, {"x": loans.raw(table).astype(np.float32)})[:, 0]
    cut = float(np.sort(score)[len(score) // 2])
    assert (score == cut).any(), "somebody stands at the cut"
    _, z, told = _read(file, table, output="score", threshold=cut, **said)
    assert ((z > 0) == (score >= cut)).all() and "logits a unit" in told
    _, z, _ = _read(file, table, favourable="low", output="score", threshold=cut, **said)
    assert ((z > 0) == (score <= cut)).all()


def test_another_cut_of_a_probability() -> None:
    table, content = loans.table(), loans.linear(("Sigmoid", []))
    p = loans.computed(content, {"x": loans.raw(table).astype(np.float32)})[:, 0]
    for cut in (0.2, 0.8):
        _, z, _ = _read(loans.file(content), table, threshold=cut)
        assert ((z > 0) == (p >= cut)).all()
    with pytest.raises(BadModel, match="between 0 and 1"):
        _read(loans.file(content), table, threshold=2.0)
    for said in ({"threshold": float("nan")}, {"output": "odds"}, {"layout": "wide"}):
        with pytest.raises(BadInput):
            Contract(**said)


def test_a_probability_that_is_quantized_still_is_one() -> None:
    table = loans.table()
    content = loans.linear(("Sigmoid", []), ("QuantizeLinear", ["s"]), ("DequantizeLinear", ["s"]), s=1 / 255)
    p = loans.computed(content, {"x": loans.raw(table).astype(np.float32)})[:, 0]
    _, z, told = _read(loans.file(content), table)
    assert ((z > 0) == (p > 0.5)).all() and "a probability" in told


@pytest.mark.parametrize(("shift", "whom"), [(60.0, "everybody"), (-60.0, "nobody")])
def test_who_approves_everybody_or_nobody_is_asked_for_the_cut(shift: float, whom: str) -> None:
    content = loans.linear(("Add", ["c"]), c=shift)
    with pytest.raises(BadModel, match=rf"approves {whom} of 400 people at the cut 0; its output runs .* --threshold"):
        _read(loans.file(content), loans.table(), layout="raw")


def test_a_file_that_knows_nothing_of_the_outcomes_is_asked_about() -> None:
    weight = np.zeros_like(loans.WEIGHT)
    weight[5] = 1.0  # age alone, which says nothing here
    content = loans.linear(weight=weight, bias=np.float32([-45.0]))
    with pytest.raises(BadModel, match="no better than chance"):
        _read(loans.file(content), loans.table(), layout="raw")
    assert "favourable" in _read(loans.file(content), loans.table(), layout="raw", favourable="high")[2]


# ---------------------------------------------------------------------- classes
def _classifier(labels: list[Any], post: str = "SOFTMAX", zipmap: bool = False) -> bytes:
    good = labels.index("repaid") if "repaid" in labels else 1
    sign = 1.0 if good == 1 else -1.0
    w = sign * loans.WEIGHT[:, 0] / (2 if post == "SOFTMAX" else 1)
    b = sign * float(loans.BIAS[0]) / (2 if post == "SOFTMAX" else 1)
    kind = {"classlabels_strings" if isinstance(labels[0], str) else "classlabels_ints": labels}
    nodes = [
        helper.make_node(
            "LinearClassifier", ["x"], ["label", "scores"], domain="ai.onnx.ml", post_transform=post,
            coefficients=[*(-w).tolist(), *w.tolist()], intercepts=[-b, b], **kind,
        )
    ]  # fmt: skip
    ends = [tensor_of_label(labels), loans.tensor("scores", 2)]
    if zipmap:
        names = {k.replace("ints", "int64s"): v for k, v in kind.items()}
        nodes.append(helper.make_node("ZipMap", ["scores"], ["maps"], domain="ai.onnx.ml", **names))
        key = TensorProto.STRING if isinstance(labels[0], str) else TensorProto.INT64
        value = helper.make_tensor_type_proto(TensorProto.FLOAT, None)
        maps = helper.make_sequence_type_proto(helper.make_map_type_proto(key, value))
        ends[1] = helper.make_value_info("maps", maps)
    return loans.made(nodes, {}, [loans.tensor("x", 6)], ends)


def tensor_of_label(labels: list[Any]) -> Any:
    kind = TensorProto.STRING if isinstance(labels[0], str) else TensorProto.INT64
    return loans.tensor("label", None, kind)


@pytest.mark.parametrize("zipmap", [False, True])
@pytest.mark.parametrize("post", ["SOFTMAX", "LOGISTIC"])
@pytest.mark.parametrize("labels", [["defaulted", "repaid"], ["repaid", "defaulted"], [0, 1]])
def test_class_labels_in_the_file_say_which_is_favourable(labels: list[Any], post: str, zipmap: bool) -> None:
    table = loans.table()
    reading, z, _ = _read(loans.file(_classifier(labels, post, zipmap)), table)
    np.testing.assert_allclose(z, loans.logits(table), rtol=1e-3, atol=1e-3)
    other = labels[0] if labels[1] in ("repaid", 1) else labels[1]
    with pytest.raises(BadModel, match='favourable = "gone", but the file names no such class; one of high, low'):
        _read(reading.file, table, favourable="gone")
    _, turned, _ = _read(reading.file, table, favourable=str(other))
    assert ((turned > 0) == (z < 0)).all()


def test_a_file_that_gives_the_class_alone_is_read_by_its_label() -> None:
    table = loans.table()
    nodes = [
        helper.make_node("Gemm", ["x", "W", "b"], ["t"]),
        helper.make_node("Greater", ["t", "zero"], ["is"]),
        helper.make_node("Cast", ["is"], ["y"], to=TensorProto.INT64),
    ]
    held = {"W": loans.WEIGHT, "b": loans.BIAS, "zero": np.float32(0)}
    content = loans.made(nodes, held, [loans.tensor("x", 6)], [loans.tensor("y", 1, TensorProto.INT64)])
    _, z, _ = _read(loans.file(content), table)
    assert ((z > 0) == (loans.logits(table) > 0)).all()


@pytest.mark.parametrize("labels", [["defaulted", "repaid"], ["repaid", "defaulted"], ["0", "1"]])
def test_a_file_that_gives_the_class_in_words_alone_is_read_by_them(labels: list[str]) -> None:
    table, model = loans.table(), onnx.load_from_string(_classifier(labels))
    del model.graph.output[1]
    file = loans.file(model.SerializeToString())
    _, z, _ = _read(file, table)
    assert ((z > 0) == (loans.logits(table) > 0)).all()
    _, turned, _ = _read(file, table, favourable=labels[1 - labels.index("repaid" if "repaid" in labels else "1")])
    assert ((turned > 0) == (z < 0)).all()


# ---------------------------------------------------------------------- inputs
@pytest.mark.parametrize("said", [{}, {"layout": "raw"}])
def test_a_category_without_its_first_level_is_one_column_less(said: dict[str, Any]) -> None:
    table, rest = loans.table(), [0, 1, 3, 4, 5]
    content = loans.linear(weight=loans.WEIGHT[rest])
    reading, z, told = _read(loans.file(content), table, **said)
    np.testing.assert_allclose(z, loans.logits(table), rtol=1e-4, atol=1e-4)
    assert "raw without each category's first level" in told
    found = _audited(table, content, content, **said)
    assert found.teacher.how.startswith("dense network") and found.teacher.differing == 0
    assert len(reading.columns.groups) == len(rest)
    with pytest.raises(BadModel, match=r"makes 6 .*, 5 without the first level of each, or 4 with the layout levels"):
        _read(loans.file(loans.linear(weight=loans.WEIGHT[:2])), table)


def test_the_layout_is_the_one_under_which_the_file_predicts_and_the_numbers_are_told() -> None:
    table = loans.table()
    reading, z, told = _read(loans.file(loans.linear()), table)
    assert reading.columns.layout == "raw" and "AUC raw 0." in told and "standardised 0." in told
    np.testing.assert_allclose(z, loans.logits(table), rtol=1e-4, atol=1e-4)
    mean, std = loans.raw(table).mean(0), loans.raw(table).std(0)
    mean[2:5], std[2:5] = 0.0, 1.0
    weight = loans.WEIGHT * std[:, None].astype(np.float32)
    bias = np.float32(loans.BIAS + mean @ loans.WEIGHT)
    reading, z, _ = _read(loans.file(loans.linear(weight=weight, bias=bias)), table)
    assert reading.columns.layout == "standardised"
    np.testing.assert_allclose(z, loans.logits(table), rtol=1e-3, atol=1e-3)


def test_a_layout_that_was_said_wrongly_is_refused_with_the_better_one() -> None:
    table = loans.table()
    wrong = r"said to be standardised, but it ranks the outcomes better .* people otherwise as raw: say --layout raw"
    file = loans.file(loans.linear(bias=np.float32([0.0])))
    with pytest.raises(BadModel, match=wrong):
        _read(file, table, layout="standardised")
    reading, _, _ = _read(file, table, layout="raw")
    assert reading.columns.layout == "raw"
    reading, _, _ = _read(file, table, layout="standardised", favourable="high")
    assert reading.columns.layout == "standardised", "it is meant so"


def test_a_student_is_read_as_its_teacher_unless_it_knows_as_much_otherwise() -> None:
    """One that quantization has ruined may by chance rank better by a layout that is not its own."""
    table = loans.table()
    mean, std = loans.raw(table).mean(0), loans.raw(table).std(0)
    mean[2:5], std[2:5] = 0.0, 1.0
    scaled = loans.linear(
        weight=loans.WEIGHT * std[:, None].astype(np.float32), bias=np.float32(loans.BIAS + mean @ loans.WEIGHT)
    )
    found = _audited(table, loans.linear(), scaled)
    assert found.student.accuracy == found.teacher.accuracy and found.seen.measures.overall["vd"].value == 0
    ruined = loans.linear(("Clip", ["low", "high"]), weight=loans.WEIGHT * np.float32(0.2), low=-0.3, high=-0.2)
    for said in ({}, {"layout": "raw"}):
        try:
            found = _audited(table, loans.linear(), ruined, **said)
        except BadModel as problem:
            assert not said and "--layout" in str(problem)
        else:
            assert found.student.approval_rate == 0 and "inputs raw" in " ".join(found.notes)


def test_two_layouts_that_fit_alike_and_decide_otherwise_are_asked_about() -> None:
    weight = np.zeros_like(loans.WEIGHT)
    weight[0] = 1e-3  # income alone ranks alike however it is scaled
    content = loans.linear(weight=weight, bias=np.float32([-1e-4]))
    with pytest.raises(BadModel, match=r"may be \w+ or \w+: .* decides \d+ of 400 people otherwise; .* --layout"):
        _read(loans.file(content), loans.table(), threshold=0.5, output="logit")


def test_raw_is_raw_also_where_a_logarithm_prices_the_feature() -> None:
    """log = true prices an action; a file that takes raw numbers gets raw numbers."""
    table = loans.table(log=True)
    _, z, _ = _read(loans.file(loans.linear()), table, layout="raw")
    np.testing.assert_allclose(z, loans.logits(table), rtol=1e-4, atol=1e-4)
    found = _audited(table, loans.linear(), loans.linear(), layout="raw")
    recourse = found.promise.recourse
    assert recourse.has_recourse.all() and found.teacher.differing == 0
    frame = Table(table.schema, recourse.after, np.zeros(len(recourse.after), bool))
    assert (loans.logits(frame) >= 0.199).all(), "the promise holds on the raw numbers"


def _pipeline(kinds: dict[str, int]) -> bytes:
    """One input a column, as scikit-learn pipelines are exported."""
    inputs = [loans.tensor(n, 1, kinds.get(n, TensorProto.FLOAT)) for n in loans.NAMES]
    nodes = [helper.make_node("Cast", [n], [f"{n}_f"], to=TensorProto.FLOAT) for n in ("income", "debt", "age")]
    words = {"cats_strings": ["family", "own", "rent"]} if "housing" in kinds else {"cats_int64s": [0, 1, 2]}
    given = "housing"
    if "housing" not in kinds:
        nodes.append(helper.make_node("Cast", ["housing"], ["code"], to=TensorProto.INT64))
        given = "code"
    nodes += [
        helper.make_node("OneHotEncoder", [given], ["hot3"], domain="ai.onnx.ml", zeros=1, **words),
        helper.make_node("Reshape", ["hot3", "shape"], ["hot"]),
        helper.make_node("Concat", ["income_f", "debt_f", "hot", "age_f"], ["all"], axis=1),
        helper.make_node("Gemm", ["all", "W", "b"], ["y"]),
    ]
    held = {"shape": np.array([-1, 3], np.int64), "W": loans.WEIGHT, "b": loans.BIAS}
    return loans.made(nodes, held, inputs, [loans.tensor("y", 1)])


@pytest.mark.parametrize(
    "kinds",
    [
        {"housing": TensorProto.STRING},
        {"housing": TensorProto.STRING, "income": TensorProto.INT64, "age": TensorProto.INT64},
        {"income": TensorProto.DOUBLE, "debt": TensorProto.DOUBLE},
    ],
)
def test_named_inputs_are_joined_by_the_cards_names(kinds: dict[str, int]) -> None:
    table, content = loans.table(), _pipeline(kinds)
    reading, z, _ = _read(loans.file(content), table)
    assert reading.columns.layout == "named"
    np.testing.assert_allclose(z, loans.logits(table), rtol=1e-4, atol=1e-4)
    found = _audited(table, content, content)
    assert "logistic regression" in found.teacher.how and found.teacher.differing == 0
    wrong = onnx.ModelProto.FromString(content)
    wrong.graph.input[0].name = "salary"
    wrong.graph.node[0].input[0] = "salary"
    with pytest.raises(BadModel, match='input "salary" is no feature of the card'):
        _read(loans.file(wrong.SerializeToString()), table)


@pytest.mark.parametrize("kind", [TensorProto.FLOAT16, TensorProto.DOUBLE])
def test_other_precisions_and_one_person_at_a_time(kind: int) -> None:
    table, number = loans.table(), np.float16 if kind == TensorProto.FLOAT16 else np.float64
    nodes = [helper.make_node("Gemm", ["x", "W", "b"], ["y"])]
    held = {"W": loans.WEIGHT.astype(number), "b": loans.BIAS.astype(number)}
    for rows in ("n", 1):
        content = loans.made(nodes, held, [loans.tensor("x", 6, kind, rows)], [loans.tensor("y", 1, kind, rows)])
        feed = [loans.raw(table)[[i]].astype(number) for i in range(50)]
        due = np.array([loans.computed(content, {"x": x})[0, 0] for x in feed], float)
        _, z, _ = _read(loans.file(content), table)
        np.testing.assert_allclose(z[:50], due, rtol=1e-6, atol=2e-2 if kind == TensorProto.FLOAT16 else 1e-9)


def test_weights_beside_the_graph_are_read_from_the_same_folder_only(tmp_path: Path) -> None:
    table, path = loans.table(), tmp_path / "beside.onnx"
    model = onnx.ModelProto.FromString(loans.linear())
    onnx.save_model(model, str(path), save_as_external_data=True, location="beside.onnx.data", size_threshold=0)
    _, z, _ = _read(read_model(path), table)
    np.testing.assert_allclose(z, loans.logits(table), rtol=1e-4, atol=1e-4)
    with pytest.raises(BadModel, match="keeps its weights in another file; export one self-contained file"):
        loans.file(path.read_bytes())
    (tmp_path / "elsewhere").write_bytes(b"0" * 1000)
    (tmp_path / "inner").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    for location in (
        "../elsewhere",
        str(tmp_path / "elsewhere"),
        "inner/../elsewhere",
        "link",
        "gone",
        "inner",
        "",
        "..",
    ):
        hostile = onnx.ModelProto.FromString(path.read_bytes())
        for entry in (e for t in hostile.graph.initializer for e in t.external_data if e.key == "location"):
            entry.value = location
        path.write_bytes(hostile.SerializeToString())
        with pytest.raises(BadModel) as refused:
            read_model(path)
        assert "\n" not in refused.value.line()
    sized = onnx.ModelProto.FromString(path.read_bytes())
    for t in sized.graph.initializer:
        for e in t.external_data:
            e.value = {"location": "elsewhere", "length": str(10**12)}.get(e.key, "0")
    path.write_bytes(sized.SerializeToString())
    with pytest.raises(BadModel, match="lie outside"):
        read_model(path)


# ---------------------------------------------------------------------- the card, and each file apart
def test_a_card_says_it_for_every_file_and_options_say_it_over() -> None:
    table = loans.table(more='\n[model]\nfavourable = "low"\nthreshold = 0.4\n')
    pd = loans.linear(("Sigmoid", []), weight=-loans.WEIGHT, bias=-loans.BIAS)
    found = _audited(table, pd, pd)
    p = loans.computed(pd, {"x": loans.raw(table).astype(np.float32)})[:, 0]
    assert ((found.promise.logits > 0) == (p <= 0.4)).all()
    mixed = _audited(
        table, pd, loans.linear(), student_favourable="high", student_threshold=0.0, student_output="logit"
    )
    assert ((mixed.seen.raw.student > 0) == (loans.logits(table) >= 0)).all()
    with pytest.raises(BadInput, match='unknown key "side"'):
        _audited(loans.table(more='\n[model]\nside = "low"\n'), pd, pd)
    with pytest.raises(BadInput, match="one table of plain values"):
        parse_card(loans.CARD.format(log="") + "\n[[model]]\na = 1\n", loans.csv(), "loans.toml", "loans.csv")
