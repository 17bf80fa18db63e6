"""An audit of two files sees what the study saw, whoever wrote them, with gradients or without."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from onnx import helper

from cfq_core.api.audits import report_of
from cfq_core.base.errors import BadInput
from cfq_core.cli import cli
from cfq_core.datasets.card import read_card
from cfq_core.export import audit as auditing
from cfq_core.export import audit_text as telling
from cfq_core.export.audit import AuditOptions, PairAudit, audit_pair
from cfq_core.export.parity import computed
from cfq_core.export.stored import StoredRun, export_student, export_teacher, stored_run
from cfq_core.models import imported as importing
from cfq_core.models.blackbox import BlackBox
from cfq_core.models.contract import Contract
from cfq_core.models.provenance import KEY, BadModel
from cfq_core.models.read import ModelFile, parse_model, read_model
from cfq_core.models.reading import running_of, settle
from cfq_core.study.store import Store
from cfq_core.tables.encode import Encoding
from cfq_core.tables.schema import Table

from .conftest import CARD
from .made import graph, network

FEW = AuditOptions(people=60, n_reaudited=30)
#: Random networks know nothing of outcomes: everything is said of them.
SAID = replace(FEW, layout="standardised", favourable="high")


@pytest.fixture(scope="module")
def table() -> Table:
    return read_card(CARD)


@pytest.fixture(scope="module")
def run(stored: Store) -> StoredRun:
    """A 2-bit student of the example card."""
    rows = stored.runs(stored.study("latest")["id"])
    return stored_run(stored, next(r["id"] for r in rows if r["dataset"] == "example" and r["budget"] == 2.0))


@pytest.fixture(scope="module")
def pair(run: StoredRun, tmp_path_factory: pytest.TempPathFactory) -> tuple[ModelFile, ModelFile]:
    """The files of that run: teacher, student."""
    folder = tmp_path_factory.mktemp("pair")
    export_student(run, folder / "student.onnx")
    export_teacher(run, folder / "teacher.onnx")
    return read_model(folder / "teacher.onnx"), read_model(folder / "student.onnx")


def _foreign(table: Table, name: str, hidden: str = "Relu", seed: int = 0, end: str = "") -> ModelFile:
    return parse_model(network(Encoding.fit(table.schema, table.values).width, hidden, end, seed=seed), name)


def test_a_file_of_ours_is_read_as_it_says_itself_whatever_is_said_of_the_other(
    table: Table, pair: tuple[ModelFile, ModelFile]
) -> None:
    """Its output is the logit of the good decision: neither the card's words nor its teacher's turn it round."""
    due = audit_pair(table, *pair, AuditOptions(people=20, n_reaudited=5))
    turned = replace(table, model={"favourable": "low", "layout": "raw"})
    found = audit_pair(turned, *pair, AuditOptions(people=20, n_reaudited=5))
    assert found.teacher.approval_rate == due.teacher.approval_rate
    assert found.seen.measures.overall["vd"] == due.seen.measures.overall["vd"]
    said = AuditOptions(favourable="low", layout="standardised")
    assert said.of_student == Contract() and said.contract(False) == said.both


def test_files_of_a_run_measure_what_the_run_measured(
    table: Table, run: StoredRun, pair: tuple[ModelFile, ModelFile], stored: Store
) -> None:
    """The same people, encoding, search and metrics: every number of the study comes back from two files and a card."""
    found = audit_pair(table, *pair, AuditOptions(people=40, n_reaudited=10))
    measured = stored.measures(run.row["id"])
    for name, m in found.seen.measures.overall.items():
        assert (m.value, m.count) == (measured[name]["value"], measured[name]["count"]), name
    assert found.seen.threshold == run.row["threshold"] and found.kappa == 0.2
    assert found.teacher.differing == found.student.differing == 0
    assert "test rows of seed 0" in found.notes[0]


def test_all_rows_keep_the_encoding_the_files_were_trained_with(
    table: Table, run: StoredRun, pair: tuple[ModelFile, ModelFile]
) -> None:
    found = audit_pair(table, *pair, replace(FEW, rows="all"))
    assert found.rows == len(table)
    assert run.design is not None and found.promise.design.encoding.mean == run.design.encoding.mean
    half = Table(table.schema, table.values[::2], table.outcome[::2])
    assert audit_pair(half, *pair, FEW).promise.design.encoding.mean == run.design.encoding.mean


def test_a_graph_that_is_only_computed_gets_recourse_as_good(
    table: Table, pair: tuple[ModelFile, ModelFile], monkeypatch: pytest.MonkeyPatch
) -> None:
    with_gradients = audit_pair(table, *pair, FEW)
    monkeypatch.setattr(importing, "dense", lambda *_: None)
    without = audit_pair(table, *pair, FEW)
    assert "without gradients" in without.teacher.how and "without gradients" in without.student.how
    a, b = with_gradients.promise.recourse, without.promise.recourse
    assert (a.has_recourse == b.has_recourse).all()
    assert b.cost[b.has_recourse].mean() <= 1.05 * a.cost[a.has_recourse].mean()
    assert without.promise.design.actions.legal(b.before, b.after).all()
    logits = computed(pair[0].content, "all")(without.promise.design.encoding.encode(b.after[b.has_recourse]))
    assert (logits >= 0.2).all(), "what is promised holds on the very file"
    assert abs(_vd(with_gradients) - _vd(without)) <= 0.1


def _vd(found: PairAudit) -> float:
    value = found.seen.measures.overall["vd"].value
    assert value is not None
    return value


@pytest.mark.parametrize(("hidden", "end"), [("Tanh", ""), ("Sigmoid", "Sigmoid"), ("Relu", "Sigmoid")])
def test_dense_networks_of_other_tools_are_searched_with_gradients(table: Table, hidden: str, end: str) -> None:
    found = audit_pair(
        table, _foreign(table, "a.onnx", hidden, end=end), _foreign(table, "b.onnx", hidden, 1, end), SAID
    )
    assert hidden.lower() in found.teacher.how and "with gradients" in found.teacher.how
    assert found.teacher.differing == found.student.differing == 0 and found.rows == len(table)
    assert any("high is favourable" in n and "inputs standardised" in n for n in found.notes)
    model = found.promise.teacher
    assert {layer.activation for layer in model.architecture[:-1]} == {hidden.lower()}
    recourse = found.promise.recourse
    assert recourse.has_recourse.any() and (recourse.margin[recourse.has_recourse] >= 0.2).all()
    assert 0.05 < _vd(found) < 1, "an unrelated network breaks some promises"
    same = audit_pair(
        table, _foreign(table, "a.onnx", hidden, end=end), _foreign(table, "a.onnx", hidden, end=end), SAID
    )
    assert _vd(same) == 0.0 and same.seen.measures.overall["crg_abs"].value == 0.0


def _tree(table: Table) -> ModelFile:
    """One split on months (feature 4 of the card): two classes, one column a feature."""
    attributes = {
        "nodes_treeids": [0, 0, 0], "nodes_nodeids": [0, 1, 2], "nodes_featureids": [4, 0, 0],
        "nodes_values": [24.0, 0.0, 0.0], "nodes_modes": ["BRANCH_LEQ", "LEAF", "LEAF"],
        "nodes_truenodeids": [1, 0, 0], "nodes_falsenodeids": [2, 0, 0], "class_treeids": [0, 0, 0, 0],
        "class_nodeids": [1, 1, 2, 2], "class_ids": [0, 1, 0, 1], "class_weights": [0.2, 0.8, 0.7, 0.3],
        "classlabels_int64s": [0, 1], "post_transform": "NONE",
    }  # fmt: skip
    node = helper.make_node("TreeEnsembleClassifier", ["x"], ["label", "y"], domain="ai.onnx.ml", **attributes)
    return parse_model(graph([node], {}, len(table.schema.features), 2), "tree.onnx")


def test_a_tree_is_audited_on_one_column_a_feature(table: Table) -> None:
    found = audit_pair(table, _tree(table), _tree(table), replace(FEW, favourable="high"))
    assert any("inputs levels" in n for n in found.notes) and _vd(found) == 0.0
    months = [f.name for f in table.schema.features].index("months")
    recourse = found.promise.recourse
    assert recourse.has_recourse.all() and (recourse.before[:, months] > 24).all()
    changed = recourse.after != recourse.before
    assert (recourse.after[:, months] == 24).all() and changed.sum() == len(changed), "only what has to change"


def test_a_black_box_without_gradient_is_a_scorer(table: Table) -> None:
    import torch

    file, encoding = _foreign(table, "a.onnx"), Encoding.fit(table.schema, table.values)
    with running_of(file, table, 30) as running:
        reading, _ = settle(running, Contract("high", layout="standardised"), table, np.arange(len(table)), True)
        model = BlackBox(reading, encoding)
        points = torch.tensor(encoding.encode(table.values[:20]))[None]
        alone = auditing.score(model, points)
        both = auditing.score(model.take([0, 0]), points.expand(2, -1, -1))
        assert torch.equal(both[0], both[1]) and torch.equal(both[0], alone[0])
        assert model.highest(points, points).isinf().all()
        single = auditing.score(model.to(torch.float32), points.float())
        assert torch.equal(single.double(), alone.float().double()), "a person is the same person in float32"


# ---------------------------------------------------------------------- refused
def test_a_model_of_another_width_is_told_what_the_card_makes(table: Table, pair: tuple[ModelFile, ModelFile]) -> None:
    other = parse_model(network(5), "five.onnx")
    with pytest.raises(
        BadModel, match=r"five.onnx: takes 5 columns; this card makes 11 .* or 8 with the layout levels"
    ):
        audit_pair(table, pair[0], other)
    with pytest.raises(BadModel, match="takes 5 columns"):
        audit_pair(table, other, other, AuditOptions(layout="raw"))


def test_files_of_two_trainings_are_no_teacher_and_student(table: Table, pair: tuple[ModelFile, ModelFile]) -> None:
    assert pair[1].provenance is not None
    inputs = tuple(replace(i, mean=i.mean + 1) if i.kind != "category" else i for i in pair[1].provenance.inputs)
    other = replace(pair[1], provenance=replace(pair[1].provenance, inputs=inputs))
    with pytest.raises(BadModel, match="different standardisations"):
        audit_pair(table, pair[0], other)
    with pytest.raises(BadModel, match="ask for all rows"):
        audit_pair(table, _foreign(table, "a.onnx"), _foreign(table, "b.onnx"), replace(SAID, rows="test"))


def test_outputs_between_0_and_1_are_asked_about(table: Table) -> None:
    width = Encoding.fit(table.schema, table.values).width
    nodes = [
        helper.make_node("Gemm", ["x", "W"], ["a"]),
        helper.make_node("Sigmoid", ["a"], ["b"]),
        helper.make_node("Clip", ["b", "low", "high"], ["y"]),
    ]
    weight = np.random.default_rng(0).standard_normal((width, 1)).astype(np.float32)
    constants = {"W": weight, "low": np.float32(0), "high": np.float32(1)}
    file = parse_model(graph(nodes, constants, width), "p.onnx")  # type: ignore[arg-type]
    with pytest.raises(BadModel, match="--output probability"):
        audit_pair(table, file, file, SAID)
    found = audit_pair(table, file, file, replace(SAID, output="probability"))
    assert _vd(found) == 0.0 and 0.1 < found.teacher.approval_rate < 0.9


def test_what_the_runtime_computes_is_audited_where_the_import_differs(
    table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = importing.dense(_foreign(table, "other.onnx", seed=9))
    monkeypatch.setattr(importing, "dense", lambda *_: other)
    found = audit_pair(table, _foreign(table, "a.onnx"), _foreign(table, "b.onnx", seed=1), SAID)
    assert "without gradients" in found.teacher.how and any("decides" in n for n in found.notes)
    assert found.teacher.differing == 0


def _always(logit: float, width: int = 11) -> ModelFile:
    constants = {"W": np.full((width, 1), 1e-3, np.float32), "B": np.array([logit], np.float32)}
    return parse_model(graph([helper.make_node("Gemm", ["x", "W", "B"], ["y"])], constants, width), f"{logit:g}.onnx")


@pytest.mark.parametrize("logit", [5.0, -5.0])
def test_a_teacher_that_says_one_thing_to_everybody_is_refused_with_what_to_change(table: Table, logit: float) -> None:
    whom = "everybody" if logit > 0 else "nobody"
    with pytest.raises(BadModel, match=rf"approves {whom} of .* runs from .* --threshold .* --output"):
        audit_pair(table, _always(logit), _always(-logit), SAID)


def test_a_student_that_says_one_thing_to_everybody_is_told(table: Table) -> None:
    found = audit_pair(table, _foreign(table, "a.onnx"), _always(-5.0), SAID)
    assert _vd(found) == 1.0 and any("approves nobody" in n and "--threshold" in n for n in found.notes)
    assert telling.text(found) and report_of(found, str(CARD)) and json.dumps(telling.as_json(found), allow_nan=False)


def test_nobody_to_ask_is_refused() -> None:
    with pytest.raises(BadInput, match="people = 0"):
        AuditOptions(people=0)


# ---------------------------------------------------------------------- the command
def _command(pair: tuple[ModelFile, ModelFile], folder: Path, *more: str) -> list[str]:
    for file in pair:
        (folder / file.name).write_bytes(file.content)
    files = [str(folder / f.name) for f in pair]
    return ["audit", "--card", str(CARD), "--teacher", files[0], "--student", files[1], *more]


def test_the_command_prints_writes_and_exits(pair: tuple[ModelFile, ModelFile], tmp_path: Path) -> None:
    page = tmp_path / "audit.html"
    command = _command(pair, tmp_path, "--people", "40", "--html", str(page))
    said = CliRunner().invoke(cli, command, catch_exceptions=False)
    assert said.exit_code == 0 and "would be refused again by student.onnx" in said.output
    assert "http" not in page.read_text().replace("http-equiv", "") and "<script" not in page.read_text()
    as_json = json.loads(CliRunner().invoke(cli, [*command, "--json"], catch_exceptions=False).output)
    assert as_json["measures"].keys() >= {"vd", "vd_matched", "crg_median", "approval_shift", "worst_group_vd"}
    assert as_json["groups"]["gender"]["woman"]["vd"].keys() == {"value", "low", "high", "count"}
    assert as_json["student"]["bits"] == [2, 2, 2] and as_json["teacher"]["sha256"] == pair[0].sha256


def test_words_of_a_card_cannot_break_out_of_the_report(table: Table, pair: tuple[ModelFile, ModelFile]) -> None:
    found = audit_pair(table, *pair, FEW)
    evil = replace(found.schema, title="<script>alert(1)</script>", favourable="<img src=x>", note="</html><b>")
    text = report_of(replace(found, schema=evil, notes=("<i>",)), str(CARD))
    assert "<script" not in text and "<img" not in text and "<b>" not in text and "<i>" not in text


def test_a_file_of_ours_with_broken_metadata_is_refused(pair: tuple[ModelFile, ModelFile]) -> None:
    changed = pair[1].proto.__class__.FromString(pair[1].content)
    helper.set_model_props(changed, {KEY: '{"format": 1}'})
    with pytest.raises(BadModel, match="metadata without"):
        parse_model(changed.SerializeToString(), "s.onnx")
