"""A model of somebody's own is the one teacher of a study: quantized by every method, or refused with the reason."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from onnx import helper
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, OrdinalEncoder, PolynomialFeatures, StandardScaler
from torch import nn

from cfq_core import Setting, audit, load, prepare, promise, training_recourse
from cfq_core.base.errors import BadInput
from cfq_core.cli import cli
from cfq_core.datasets.card import parse_card
from cfq_core.export.audit import AuditOptions, audit_pair
from cfq_core.export.stored import stored_run
from cfq_core.models.objects import teacher_from
from cfq_core.models.read import read_model
from cfq_core.nets.stack import score
from cfq_core.study.plan import TeacherSpec, read_plan_file
from cfq_core.study.revision import REVISION
from cfq_core.study.store import Store
from cfq_core.tables.schema import Table

from . import loans

NUMBERS = ["income", "debt", "age"]
SETTING = Setting(people=30, n_reaudited=10, n_training_recourse=100)


@pytest.fixture(scope="module")
def table() -> Table:
    return loans.table()


def _scaled(*rest: Any) -> Any:
    return make_pipeline(make_column_transformer((StandardScaler(), NUMBERS), *rest), _mlp())


def _mlp() -> Any:
    return MLPClassifier((8,), max_iter=200, random_state=0)


SKLEARN: dict[str, Callable[[], Any]] = {
    "logistic regression": lambda: make_pipeline(
        make_column_transformer((StandardScaler(), NUMBERS), (OneHotEncoder(), ["housing"])), LogisticRegression()
    ),
    "a network": lambda: _scaled((OneHotEncoder(), ["housing"])),
    "without the first level": lambda: _scaled((OneHotEncoder(drop="first"), ["housing"])),
    "levels as numbers": lambda: _scaled((OrdinalEncoder(), ["housing"])),
    "another scaler and activation": lambda: make_pipeline(
        make_column_transformer((MinMaxScaler(), NUMBERS), (OneHotEncoder(), ["housing"]), remainder="drop"),
        MLPClassifier((8, 4), activation="tanh", max_iter=200, random_state=0),
    ),
}


@pytest.mark.parametrize("make", SKLEARN.values(), ids=SKLEARN)
def test_a_fitted_scikit_learn_model_is_the_teacher(make: Callable[[], Any], table: Table) -> None:
    x, y = table.frame(), np.where(table.outcome, "repaid", "defaulted")
    model = make().fit(x, y)
    design = prepare(table, 0)
    (p,) = promise([design], SETTING, teacher=model)
    due = model.predict_proba(x)[:, list(model.classes_).index("repaid")]
    found = score(p.teacher.to(torch.float64), torch.tensor(design.encoding.encode(table.values))[None])[0].numpy()
    clear = np.abs(due - 0.5) > 1e-5
    assert ((found > 0) == (due > 0.5))[clear].all()
    after = Table(table.schema, p.recourse.after, np.zeros(len(p.recourse.after), bool)).frame()
    assert (model.predict(after[p.recourse.has_recourse]) == "repaid").all(), "what is told flips the model itself"


def test_what_is_no_list_of_layers_is_refused_with_the_step_that_is_none(table: Table) -> None:
    model = make_pipeline(make_column_transformer((PolynomialFeatures(), NUMBERS)), LogisticRegression(max_iter=2000))
    model.fit(table.frame(), table.outcome)
    with pytest.raises(BadInput, match="PolynomialFeatures is no affine map"):
        teacher_from(model, table)
    with pytest.raises(BadInput, match="teacher is a int"):
        teacher_from(3, table)


def _module(table: Table) -> nn.Module:
    design = prepare(table, 0)
    x, y = torch.tensor(design.encoding.encode(table.values)).float(), torch.tensor(table.outcome).float()
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 12), nn.BatchNorm1d(12), nn.GELU(), nn.Linear(12, 6), nn.SiLU(), nn.Linear(6, 1))
    steps = torch.optim.Adam(net.parameters(), 1e-2)
    for _ in range(120):
        loss = nn.functional.binary_cross_entropy_with_logits(net(x)[:, 0], y)
        steps.zero_grad()
        loss.backward()
        steps.step()
    return net.eval()


def test_every_method_quantizes_a_torch_module_whose_splits_are_the_seeds(table: Table) -> None:
    net, designs = _module(table), [prepare(table, s) for s in (0, 1)]
    promises = training_recourse(promise(designs, SETTING, teacher=net), SETTING)
    points = table.values[:100]
    both = [
        score(p.teacher.to(torch.float64), torch.tensor(p.design.encoding.encode(points))[None])[0].numpy()
        for p in promises
    ]
    np.testing.assert_allclose(both[0], both[1], rtol=1e-4, atol=1e-4)
    assert [x.activation for x in promises[0].teacher.architecture] == ["gelu", "silu", "none"]
    methods = {name: load("methods", name) for name in ("ptq", "cf_ptq", "cfq_anchored")}
    found = audit(promises, methods, [3.0], SETTING)
    assert {(a.method, a.seed) for a in found} == {(m, s) for m in methods for s in (0, 1)}
    assert all(a.raw.has_recourse.any() for a in found)


# ---------------------------------------------------------------------- a file, by the command and in a plan
def _folder(tmp_path: Path, content: bytes) -> Path:
    (tmp_path / "loans.toml").write_text(loans.CARD.format(log=""))
    (tmp_path / "loans.csv").write_text(loans.csv())
    (tmp_path / "model.onnx").write_bytes(content)
    return tmp_path


def _run(folder: Path, *more: str) -> Any:
    command = ["run", "--dataset", str(folder / "loans.toml"), "--teacher", str(folder / "model.onnx")]
    few = ["--methods", "ptq", "--bits", "3", "--seeds", "2", "--people", "20", "--workers", "0"]
    return CliRunner().invoke(cli, [*command, *few, "--store", str(folder / "store"), *more])


def test_the_command_takes_a_file_and_says_that_it_is_one_teacher(tmp_path: Path) -> None:
    folder = _folder(tmp_path, loans.linear(("Sigmoid", [])))
    said = _run(folder)
    assert said.exit_code == 0, said.output
    assert "2 FP32 splits of one teacher logistic regression" in said.output
    assert "One teacher: model.onnx" in said.output and "over 2 seeds of one teacher" in said.output
    first = json.loads(_run(folder, "--json").stdout)
    plan = folder / "plan.toml"
    head = 'datasets = ["loans.toml"]\nmethods = ["ptq"]\nbits = [3]\nseeds = 2\npeople = 20\n'
    plan.write_text(head + 'teacher = "model.onnx"\n')
    assert read_plan_file(plan).teacher.path == str(folder / "model.onnx")  # type: ignore[union-attr]
    study = ["study", str(plan), "--workers", "0", "--store", str(folder / "store"), "--json"]
    again = json.loads(CliRunner().invoke(cli, study).stdout)
    assert [r["id"] for r in again["runs"]] == [r["id"] for r in first["runs"]], "the same file, the same runs"
    (folder / "model.onnx").write_bytes(loans.linear(("Sigmoid", []), bias=loans.BIAS + np.float32(0.1)))
    other = json.loads(_run(folder, "--json").stdout)
    assert not {r["id"] for r in other["runs"]} & {r["id"] for r in first["runs"]}


def test_a_run_of_an_own_teacher_is_exported_from_any_folder(tmp_path: Path) -> None:
    folder = _folder(tmp_path, loans.linear(("Sigmoid", [])))
    run = json.loads(_run(folder, "--json").stdout)["runs"][0]["id"]
    out = folder / "student.onnx"
    said = CliRunner().invoke(cli, ["export", run, "--onnx", str(out), "--store", str(folder / "store")])
    assert said.exit_code == 0 and out.is_file(), said.output


def test_every_student_of_an_own_teacher_decides_about_the_rows_of_a_large_table(tmp_path: Path) -> None:
    folder = _folder(tmp_path, loans.linear(("Sigmoid", [])))
    large = folder / "large.csv"
    head, *rows = loans.csv().splitlines()
    large.write_text("\n".join([head, *rows, *rows]))
    found = json.loads(_run(folder, "--stream", str(large), "--json").stdout)
    assert [s["id"] for s in found["stream"]] == [r["id"] for r in found["runs"]] and len(found["runs"]) == 2
    true = 2 * (loans.table().outcome.size)
    for s in found["stream"]:
        assert s["rows"] == true and s["everybody"]["asked"] == 20 and s["kappa"] == 0.2
    store = Store(folder / "store")
    run = stored_run(store, found["stream"][0]["id"])
    inputs = torch.tensor(run.design.encoding.encode(run.design.table.values))[None]
    teacher, student = ((score(m.to(torch.float64), inputs)[0] > 0).numpy() for m in (run.teacher, run.student))
    due = {
        "teacher": 2 * teacher.sum(),
        "gained": 2 * (student & ~teacher).sum(),
        "lost": 2 * (teacher & ~student).sum(),
    }
    assert {k: found["stream"][0]["everybody"][k] for k in due} == due
    said = _run(folder, "--stream", str(large)).output
    refused = f"of {true - due['teacher']:,} people whom the teacher refuses 20 (drawn with seed 0) asked"
    assert "ptq at 3 bits, seed 1: large.csv:" in said and refused in said


@pytest.mark.parametrize(
    ("given", "why"),
    [(["--stream", "none.csv"], "no such file"), (["--dataset", "toy", "--stream", "x.csv"], "is none")],
)
def test_what_cannot_be_streamed_is_one_line_before_anything_is_made(
    given: list[str], why: str, tmp_path: Path
) -> None:
    folder = _folder(tmp_path, loans.linear(("Sigmoid", [])))
    said = _run(folder, *given)
    assert isinstance(said.exception, BadInput) and why in str(said.exception) and not (folder / "store").exists()


def test_a_tree_is_refused_with_what_it_can_be(tmp_path: Path) -> None:
    attributes = {
        "nodes_treeids": [0, 0, 0], "nodes_nodeids": [0, 1, 2], "nodes_featureids": [0, 0, 0],
        "nodes_values": [2500.0, 0.0, 0.0], "nodes_modes": ["BRANCH_LEQ", "LEAF", "LEAF"],
        "nodes_truenodeids": [1, 0, 0], "nodes_falsenodeids": [2, 0, 0], "class_treeids": [0, 0, 0, 0],
        "class_nodeids": [1, 1, 2, 2], "class_ids": [0, 1, 0, 1], "class_weights": [0.7, 0.3, 0.2, 0.8],
        "classlabels_int64s": [0, 1], "post_transform": "NONE",
    }  # fmt: skip
    node = helper.make_node("TreeEnsembleClassifier", ["x"], ["label", "y"], domain="ai.onnx.ml", **attributes)
    content = loans.made([node], {}, [loans.tensor("x", 4)], [loans.tensor("label", None, 7), loans.tensor("y", 2)])
    said = _run(_folder(tmp_path, content))
    assert said.exit_code != 0 and said.exception is not None
    line = str(said.exception)
    assert "is no list of layers (TreeEnsembleClassifier), so it cannot be quantized here" in line
    assert "cfq audit" in line


def test_what_is_said_of_an_own_model_needs_one(tmp_path: Path) -> None:
    said = CliRunner().invoke(cli, ["run", "--dataset", "toy", "--favourable", "low"])
    assert said.exit_code != 0 and "--teacher" in str(said.exception)


def test_a_teacher_that_is_trained_here_has_the_id_it_had() -> None:
    spec = TeacherSpec(REVISION, "0" * 12, 0, Setting(), "x")
    assert spec.own is None and "own" not in json.dumps(_canonical(spec))


def _canonical(spec: TeacherSpec) -> Any:
    from cfq_core.base.identity import canonical

    return canonical(spec)


# ---------------------------------------------------------------------- her own split
def test_a_card_names_its_own_split_and_test_rows_are_nothing_else(tmp_path: Path) -> None:
    lines = loans.csv().splitlines()
    part = ["part", *(("train", "valid", "test", "train")[i % 4] for i in range(len(lines) - 1))]
    csv = "\n".join(f"{line},{p}" for line, p in zip(lines, part, strict=True))
    card = loans.CARD.format(log="").replace('favourable = "repaid"', 'favourable = "repaid"\nsplit = "part"')
    table = parse_card(card, csv, "loans.toml", "loans.csv")
    assert table.part is not None and table.fingerprint() != loans.table().fingerprint()
    for seed in (0, 1):
        found = prepare(table, seed).split
        for rows, name in ((found.train, "train"), (found.valid, "valid"), (found.test, "test")):
            assert [part[1 + r] for r in rows] == [name] * len(rows) and len(rows) == part.count(name)
    without = prepare(parse_card(card, csv.replace(",valid", ",train"), "loans.toml", "loans.csv"), 0).split
    assert len(without.valid) and not set(without.valid) & {*without.train, *without.test}
    (tmp_path / "loans.toml").write_text(card)
    (tmp_path / "loans.csv").write_text(csv)
    (tmp_path / "model.onnx").write_bytes(loans.linear())
    assert "own split keeps the people it is judged on apart" in _run(tmp_path).output
    audited = audit_pair(table, *[read_model(tmp_path / "model.onnx")] * 2, AuditOptions(people=20, n_reaudited=5))
    assert audited.rows == part.count("test") and "the card's own split" in audited.notes[0]
    for cells, why in ((",test", ",exam"), "is no part of a split"), ((",test", ",train"), "test has fewer than"):
        with pytest.raises(BadInput, match=why):
            parse_card(card, csv.replace(*cells), "loans.toml", "loans.csv")


# ---------------------------------------------------------------------- another cut for teachers that are trained
@pytest.mark.parametrize(("setting", "share"), [({"approve": 0.3}, 0.3), ({"threshold": 0.9}, None)])
def test_trained_teachers_may_cut_elsewhere(setting: dict[str, Any], share: float | None, table: Table) -> None:
    from dataclasses import replace

    from cfq_core.pipeline import teachers
    from cfq_core.training.loop import TeacherTraining

    short = replace(SETTING, hidden=(8,), teacher_training=TeacherTraining(epochs=8, rows_per_step=32))
    design = prepare(table, 0)
    usual, moved = teachers([design], short), teachers([design], replace(short, **setting))
    x = torch.tensor(design.inputs(design.split.train))[None]
    a, b = (score(m.to(torch.float64), x)[0].numpy() for m in (usual, moved))
    np.testing.assert_allclose(a - b, (a - b)[0], atol=1e-5)
    if share is None:
        np.testing.assert_allclose(a - b, np.log(9), atol=1e-5)
    else:
        assert abs((b > 0).mean() - share) < 0.01
