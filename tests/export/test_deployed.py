"""A file somebody deploys: given raw rows, checked where it runs, written from any folder, read by our own audit."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from click.testing import CliRunner
from onnx import numpy_helper

from cfq_core.base.errors import BadInput, BadStore
from cfq_core.cli import cli
from cfq_core.export import stored as exporting
from cfq_core.export.parity import ParityFailure
from cfq_core.export.stored import StoredRun, export_student, export_teacher, stored_run
from cfq_core.models import verify
from cfq_core.models.provenance import BadModel, Input
from cfq_core.models.read import parse_model
from cfq_core.models.target import FORMS, Target
from cfq_core.models.write import student_model
from cfq_core.study.store import Store

from .conftest import CARD
from .made import made_student, told

RAW = Target(inputs="raw")


@pytest.fixture(scope="module")
def run(stored: Store) -> StoredRun:
    """A 2-bit student of the example card, which has numbers, categories and strings."""
    rows = stored.runs(stored.study("latest")["id"])
    return stored_run(stored, next(r["id"] for r in rows if r["dataset"] == "example" and r["budget"] == 2.0))


def of_csv() -> dict[str, np.ndarray]:
    """The columns of the example's CSV as they stand in it, without our own reader."""
    with (CARD.parent / "example.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return {name: np.array([r[name].strip() for r in rows], object)[:, None] for name in rows[0]}


# ---------------------------------------------------------------------- raw rows in, the decision out
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("target", [RAW, Target(13, "int8", "raw")], ids=["int4", "int8"])
def test_rows_as_they_stand_in_the_csv_are_decided_as_audited(
    run: StoredRun, tmp_path: Path, form: Any, target: Target
) -> None:
    written = [
        export_student(run, tmp_path / "s.onnx", form, target),
        export_teacher(run, tmp_path / "t.onnx", form, target),
    ]
    assert all(w.parity.differing == 0 for w in written)
    cells, test = of_csv(), run.design.split.test
    for file, due in (("s.onnx", run.logits["student"]), ("t.onnx", run.logits["teacher"])):
        running = onnxruntime.InferenceSession(tmp_path / file)
        entries = {i.name: i.type for i in running.get_inputs()}
        assert set(entries) == {f.name for f in run.design.table.schema.features}
        assert set(entries.values()) == {"tensor(double)", "tensor(string)"}
        fed = {n: cells[n][test] if t == "tensor(string)" else cells[n][test].astype(float) for n, t in entries.items()}
        logit, approved = running.run(["logit", "approved"], fed)
        np.testing.assert_array_equal(approved[:, 0], due["test rows"] > 0)
        np.testing.assert_array_equal(approved, logit > 0)


def test_a_word_that_is_no_level_stops_the_runtime(run: StoredRun, tmp_path: Path) -> None:
    export_student(run, tmp_path / "s.onnx", None, RAW)
    running = onnxruntime.InferenceSession(tmp_path / "s.onnx")
    row = {n: v[:1] for n, v in of_csv().items()}
    fed = {i.name: row[i.name] if "string" in i.type else row[i.name].astype(float) for i in running.get_inputs()}
    assert running.run(None, fed)
    word = next(i.name for i in running.get_inputs() if "string" in i.type)
    with pytest.raises(Exception, match="Unknown Category"):
        running.run(None, fed | {word: np.array([["no such level"]], object)})


@pytest.mark.parametrize("name", ["logit", "people", "W0", "approved"])
def test_a_feature_called_as_a_tensor_of_the_graph_is_refused_in_a_line(name: str) -> None:
    inputs = (Input(name, "number", 0), *(Input(f"f{i}", "number", i) for i in range(1, 12)))
    with pytest.raises(BadInput, match=f'the feature "{name}" is called as a tensor'):
        student_model(made_student((4, 4)), replace(told((4, 4)), inputs=inputs), "standard", RAW)


CHANGES = {
    "another mean": lambda m: _constant(m, "column0_mean", lambda a: a + 1),
    "another level": lambda m: _hot(m).attribute[0].strings.__setitem__(0, b"other"),
    "a decision the other way round": lambda m: setattr(m.graph.node[-1], "op_type", "Less"),
    "a cut elsewhere": lambda m: _constant(m, "nothing", lambda a: a + 1),
    "a node more in front": lambda m: m.graph.node.insert(0, onnx.helper.make_node("Identity", ["a"], ["b"])),
    "a node less in front": lambda m: m.graph.node.__delitem__(0),
    "no decision": lambda m: m.graph.output.__delitem__(1),
    "nothing but the encoding": lambda m: m.graph.node.__delitem__(slice(20, None)),
}


def _constant(model: onnx.ModelProto, name: str, change: Any) -> None:
    held = next(c for c in model.graph.initializer if c.name == name)
    held.CopyFrom(numpy_helper.from_array(change(numpy_helper.to_array(held)), name))


def _hot(model: onnx.ModelProto) -> onnx.NodeProto:
    return next(n for n in model.graph.node if n.op_type == "OneHotEncoder")


@pytest.mark.parametrize("kind", CHANGES)
def test_a_raw_file_is_read_as_ours_only_where_its_encoding_is_the_one_it_describes(
    run: StoredRun, tmp_path: Path, kind: str
) -> None:
    """What is audited of it is what stands behind the encoding, so the encoding must be that of the audit."""
    path = tmp_path / "s.onnx"
    export_student(run, path, "exact", RAW)
    model = onnx.load(path)
    assert parse_model(model.SerializeToString(), "s.onnx").given == "people"
    CHANGES[kind](model)
    with pytest.raises(BadModel, match="takes raw columns, but"):
        parse_model(model.SerializeToString(), "s.onnx")


# ---------------------------------------------------------------------- which form
def test_the_standard_form_is_written_where_it_decides_alike(run: StoredRun, tmp_path: Path) -> None:
    found = export_student(run, tmp_path / "s.onnx")
    assert (found.form, found.why, found.opset, found.ir) == ("standard", "", 21, 10)
    given = onnxruntime.InferenceSession(tmp_path / "s.onnx").get_inputs()
    assert [(i.name, i.type) for i in given] == [("people", "tensor(float)")]


def test_the_exact_form_is_written_with_the_reason_where_the_standard_one_differs(
    run: StoredRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lenient(student: Any, told: Any, form: str, target: Any) -> onnx.ModelProto:
        model = student_model(student, told, form, target)  # type: ignore[arg-type]
        if form == "standard":
            last = next(c for c in model.graph.initializer if c.name == "B2")
            last.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(last) + 100_000, "B2"))
        return model

    monkeypatch.setattr(exporting, "student_model", lenient)
    found = export_student(run, tmp_path / "s.onnx")
    assert found.form == "exact" and "decisions differ" in found.why and "exact form: " in found.words
    assert found.parity.differing == 0 and [p.name for p in tmp_path.iterdir()] == ["s.onnx"]
    with pytest.raises(ParityFailure, match="is not written"):
        export_student(run, tmp_path / "t.onnx", "standard")


# ---------------------------------------------------------------------- people a file carries
@pytest.mark.parametrize("target", [Target(), RAW], ids=["encoded", "raw"])
def test_a_file_is_verified_with_nothing_but_numpy_and_onnxruntime(
    run: StoredRun, tmp_path: Path, target: Target
) -> None:
    path = tmp_path / "s.onnx"
    export_student(run, path, None, target)
    alone = "import sys; sys.argv = ['verify.py', {!r}]; import runpy\ntry: runpy.run_path({!r}, run_name='__main__')\n"
    alone += (
        "except SystemExit as e: code = e.code\nprint(code, sorted({{m.split('.')[0] for m in sys.modules}} & {!r}))"
    )
    heavy = {"torch", "onnx", "cfq_core", "pandas", "click"}
    code = alone.format(str(path), str(Path(verify.__file__)), heavy)
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=True).stdout
    assert "32 of 32 decisions are as audited" in said and said.endswith("0 []\n")
    as_json = CliRunner().invoke(cli, ["verify", str(path), "--json"], catch_exceptions=False)
    found = json.loads(as_json.output)
    assert (found["people"], found["differing"]) == (32, 0) and len(found["each"]) == 5 * 3
    assert found["runtime"] == f"onnxruntime {onnxruntime.__version__}" and "extensions" in found


def test_the_people_are_near_the_boundary_on_both_sides_and_nobodys_row(run: StoredRun, tmp_path: Path) -> None:
    export_student(run, tmp_path / "s.onnx")
    metadata = onnxruntime.InferenceSession(tmp_path / "s.onnx").get_modelmeta().custom_metadata_map
    columns, due = verify.carried(metadata)
    assert len(due) == 32 and 8 <= (due > 0).sum() <= 24
    drawn = np.abs(run.logits["student"][exporting.MADE])
    assert np.isin(np.sort(drawn)[:4], np.abs(due)).all()
    features = run.design.table.schema.features
    rows = {tuple(r) for r in run.design.table.values.tolist()}
    made = [[f.levels.index(c) if f.levels else int(f.counts(np.array(c))) for c in columns[f.name]] for f in features]
    assert not rows & set(zip(*made, strict=True))


def test_a_file_that_decides_otherwise_fails_and_others_are_refused(run: StoredRun, tmp_path: Path) -> None:
    path = tmp_path / "s.onnx"
    export_student(run, path)
    changed = onnx.load(path)
    last = next(c for c in changed.graph.initializer if c.name == "B2")
    last.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(last) + 100_000, "B2"))
    onnx.save(changed, path)
    said = CliRunner().invoke(cli, ["verify", str(path)], catch_exceptions=False)
    assert said.exit_code == 1 and "32 of 32" not in said.output
    del changed.metadata_props[1:]
    onnx.save(changed, path)
    (tmp_path / "none.onnx").write_bytes(b"x")
    for name, why in (("s.onnx", "carries no people"), ("none.onnx", "refuses it"), ("gone.onnx", "cannot be read")):
        with pytest.raises(verify.BadFile, match=why):
            verify.verified(tmp_path / name)
        refused = CliRunner().invoke(cli, ["verify", str(tmp_path / name)])
        assert refused.exit_code != 0 and why in str(refused.exception)


# ---------------------------------------------------------------------- from any folder
def test_a_study_of_a_relative_card_is_exported_from_another_folder_and_audited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, away = tmp_path / "home", tmp_path / "away"
    home.mkdir()
    away.mkdir()
    for name in ("example.toml", "example.csv"):
        (home / name).write_bytes((CARD.parent / name).read_bytes())
    monkeypatch.chdir(home)
    command = "run --dataset example.toml --methods ptq --bits 3 --seeds 1 --hidden 4 --people 20 --workers 0"
    CliRunner().invoke(cli, command.split(), catch_exceptions=False)
    made = json.loads(CliRunner().invoke(cli, ["show", "--json"], catch_exceptions=False).output)
    monkeypatch.chdir(away)
    files = ["export", made["runs"][0]["id"], "--onnx", "s.onnx", "--teacher", "t.onnx", "--store", str(home / ".cfq")]
    pair = ["--teacher", "t.onnx", "--student", "s.onnx", "--people", "20", "--json"]
    for more in ([], ["--inputs", "raw"], ["--form", "exact", "--containers", "native", "--inputs", "raw"]):
        assert CliRunner().invoke(cli, [*files, *more], catch_exceptions=False).exit_code == 0
        asked = ["audit", "--card", str(home / "example.toml"), *pair]
        audited = json.loads(CliRunner().invoke(cli, asked, catch_exceptions=False).output)
        assert audited["measures"]["vd"] == made["runs"][0]["measures"]["vd"]
        assert "our own quantized file" in audited["student"]["how"]
    (home / "example.toml").rename(away / "moved.toml")
    (home / "example.csv").rename(away / "example.csv")
    refused = CliRunner().invoke(cli, files)
    assert "name its card with --card" in str(refused.exception)
    assert CliRunner().invoke(cli, [*files, "--card", "moved.toml"], catch_exceptions=False).exit_code == 0


def test_a_card_of_an_older_study_is_looked_for_beside_its_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A path that a store holds as it was typed, from before whole paths were kept."""
    from cfq_core.datasets.card import read_card
    from cfq_core.study.tables import found_table

    for name in ("example.toml", "example.csv"):
        (tmp_path / name).write_bytes((CARD.parent / name).read_bytes())
    table, plans = read_card(CARD), [{"datasets": ["example.toml"]}]
    (tmp_path / "away").mkdir()
    monkeypatch.chdir(tmp_path / "away")
    assert found_table("example", table.fingerprint(), plans).table is None
    assert found_table("example", table.fingerprint(), plans, tmp_path / ".cfq").table is not None


@pytest.mark.parametrize("command", [["export", "--onnx", "a.onnx"], ["papers"]], ids=["export", "papers"])
def test_a_run_of_a_gallery_says_what_it_lacks(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gallery = Path(__file__).parents[2] / "data" / "gallery"
    monkeypatch.chdir(tmp_path)
    store = Store.for_reading(gallery)
    run = next(r for s in store.studies() for r in store.runs(s["id"]) if r["dataset"] == "diabetes")["id"]
    store.close()
    with pytest.raises(BadStore, match="keeps no decisions of all test people, as in a gallery; run its study"):
        CliRunner().invoke(
            cli, [command[0], run, *command[1:], "--store", str(gallery)], catch_exceptions=False, standalone_mode=False
        )
