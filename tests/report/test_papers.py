"""Papers of a run: every number can be made again from the CSV files and the exported model, every word is escaped."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pandas as pd
import pytest
from click.testing import CliRunner

from cfq_core.api import filed as filed_papers
from cfq_core.base.errors import BadInput
from cfq_core.cli import cli
from cfq_core.commands import papers as command
from cfq_core.report import papers as engine
from cfq_core.report import papers_files
from cfq_core.report.frames import Stored
from cfq_core.study.store import Store

from .conftest import EVIL
from .test_report import LOADS, Page

FORMULA = "=HYPERLINK(1)"


def run_of(study: Stored, bits: float = 4.0) -> str:
    return next(r["id"] for r in study.run_rows if r["budget"] == bits)


def ask(study: Stored, folder: Path, *more: str) -> dict[str, Any]:
    words = ["papers", run_of(study), "-o", str(folder), "--store", study.folder, "--json", *more]
    said = CliRunner().invoke(cli, words, catch_exceptions=False)
    assert said.exit_code == 0, said.output
    found: dict[str, Any] = json.loads(said.output)
    return found


@pytest.fixture(scope="module")
def filed(evil: Stored, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """The papers of a run of a card whose every word tries to be markup, and what the command printed."""
    folder = tmp_path_factory.mktemp("papers") / "out"
    return folder, ask(evil, folder, "--owner", FORMULA, "--purpose", EVIL, "--expires", "2099-12-31")


# ---------------------------------------------------------------------- made again, with numpy and onnxruntime alone
def encoded(inputs: list[dict[str, Any]], rows: list[dict[str, Any]]) -> np.ndarray:
    """People in raw units and words as the file says that they become its inputs."""
    parts = []
    for i in inputs:
        cells = [r[i["name"]] for r in rows]
        if i["kind"] == "category":
            parts.append(np.array([[float(c == level) for level in i["levels"]] for c in cells]))
            continue
        x = np.array([i["levels"].index(c) if i["levels"] else float(c) for c in cells], float)
        parts.append(((np.log1p(x) if i["log"] else x) - i["mean"])[:, None] / i["std"])
    return np.concatenate(parts, axis=1)


class File:
    """The exported model beside its papers."""

    def __init__(self, folder: Path) -> None:
        self.session = onnxruntime.InferenceSession((folder / "model.onnx").read_bytes())
        self.inputs = json.loads(self.session.get_modelmeta().custom_metadata_map["cfq"])["inputs"]
        self.type = np.float64 if self.session.get_inputs()[0].type == "tensor(double)" else np.float32

    def approves(self, rows: list[dict[str, Any]]) -> np.ndarray:
        given = {self.session.get_inputs()[0].name: encoded(self.inputs, rows).astype(self.type)}
        return np.asarray(self.session.run(None, given)[0]).reshape(-1) > 0


def people_of(folder: Path) -> dict[int, dict[str, Any]]:
    rows = pd.read_csv(folder / "people.csv", keep_default_na=False).to_dict("records")
    start = papers_files.VALUE
    return {int(r["person"]): {str(k)[len(start) :]: v for k, v in r.items() if str(k).startswith(start)} for r in rows}


def test_every_reason_changes_the_decision_of_the_exported_file(filed: tuple[Path, dict[str, Any]]) -> None:
    folder, told = filed
    file, people = File(folder), people_of(folder)
    assert len(people) == told["denied"] > 0 and not file.approves(list(people.values())).any()
    reasons = pd.read_csv(folder / "reasons.csv", keep_default_na=False)
    assert reasons.groupby("person")["rank"].max().max() <= 4
    alone = reasons[reasons.kind == "alone"]
    changed = [people[int(p)] | {str(f): to} for p, f, to in zip(alone.person, alone.feature, alone.to, strict=True)]
    assert len(changed) and file.approves(changed).all()
    for person, several in reasons[reasons.kind == "together"].groupby("person"):
        moves = dict(zip(several.feature, several.to, strict=True))
        assert file.approves([people[int(str(person))] | moves]).all() and len(moves) > 1
        less = [people[int(str(person))] | {k: v for k, v in moves.items() if k != f} for f in moves]
        assert not file.approves(less).any()
    kinds = {k: int((reasons.drop_duplicates("person").kind == k).sum()) for k in ("alone", "together")}
    assert kinds == {k: told[k] for k in kinds} and sum(kinds.values()) + told["none"] == told["denied"]


def test_no_reason_is_a_fact_and_every_change_is_one_the_card_allows(
    filed: tuple[Path, dict[str, Any]], evil: Stored
) -> None:
    store = Store.for_reading(evil.folder)
    run = engine.stored(store, run_of(evil))
    store.close()
    actions, test = run.design.actions, run.test
    found = json.loads((filed[0] / "papers.json").read_text(encoding="utf-8"))
    names = [f.name for f in actions.schema.features]
    for person in found["people"]:
        for reason in person["reasons"]:
            f = actions.schema[reason["feature"]]
            assert not f.protected and not f.immutable and f.move != "fixed"
            after = test[person["person"]].copy()
            to = f.levels.index(reason["to"]) if f.levels else int(f.counts(np.array([reason["to"]]))[0])
            after[names.index(f.name)] = to
            assert person["kind"] != "alone" or actions.legal(test[[person["person"]]], after[None])[0]
    assert found["for_reviewers"] == sum(bool(p["for_reviewers"]) for p in found["people"])


# ---------------------------------------------------------------------- files
def test_the_page_runs_and_loads_nothing_and_escapes_every_word(filed: tuple[Path, dict[str, Any]]) -> None:
    text = (filed[0] / "papers.html").read_text(encoding="utf-8")
    page = Page(text)
    assert not {"script", "img", "b", "iframe", "link"} & {tag for tag, _ in page.elements}
    for _, attributes in page.elements:
        assert not LOADS & set(attributes) and not any(a.startswith("on") for a in attributes)
        assert (attributes.get("href") or "#").startswith("#")
    words = "".join(page.words)
    assert EVIL in words and FORMULA in words and "Not stated: tier." in words and "expire on 2099-12-31" in words
    assert "prefers-color-scheme: dark" in text and len(text) < 200_000


def test_hashes_are_of_the_files_and_formulas_are_quoted(filed: tuple[Path, dict[str, Any]]) -> None:
    folder, told = filed
    assert told["files"] == {f.name: hashlib.sha256(f.read_bytes()).hexdigest() for f in folder.iterdir()}
    found = json.loads((folder / "papers.json").read_text(encoding="utf-8"))
    assert found["files"] == {k: v for k, v in told["files"].items() if k != "papers.json"}
    assert found["sha256"]["model.onnx"] == told["files"]["model.onnx"] and "onnxruntime" in found["verified"]
    assert f"owner,'{FORMULA}" in (folder / "inventory.csv").read_text(encoding="utf-8")


def test_small_groups_are_counted_and_not_judged(filed: tuple[Path, dict[str, Any]]) -> None:
    rows = pd.read_csv(filed[0] / "impact.csv")
    small = rows[rows.people < 30]
    assert len(rows) and (rows.people > 0).all() and rows[rows.people >= 30].approved.notna().all()
    told = ["approved_fp32", "approved", "approval_shift", "ratio", "vd", "others", "vd_others", "approved_low"]
    assert small[told].isna().all().all()
    judged = rows[rows.people >= 30]
    for name in ("approved", "approval_shift", "others", "vd", "vd_others"):
        known = judged[judged[name].notna()]
        assert ((known[f"{name}_low"] <= known[name]) & (known[name] <= known[f"{name}_high"])).all(), name
    assert judged.others.notna().any(), "of two levels of a column both are large enough"
    assert rows[rows.promised < 30].vd.isna().all()
    people = pd.read_csv(filed[0] / "people.csv")
    for column, of in rows[rows.judged & ~rows.crossing].groupby("column"):
        if f"value of {column}" in people and people[f"value of {column}"].dtype == object:
            denied = people[f"value of {column}"].value_counts()
            for r in of.itertuples():
                assert round(float(str(r.approved)) * int(str(r.people))) == int(str(r.people)) - denied.get(r.group, 0)


def test_challengers_are_the_study_at_the_runs_budget(filed: tuple[Path, dict[str, Any]], evil: Stored) -> None:
    rows = pd.read_csv(filed[0] / "challengers.csv").set_index("method")
    assert list(rows.family) == ["FP32", "PTQ"] and filed[1]["not_in_the_study"] == ["QAT", "CFQ"]
    line = evil.lines[(evil.lines.budget == 4.0) & (evil.lines.measure == "vd")].iloc[0]
    assert rows.vd["ptq"] == pytest.approx(line["mean"]) and rows["this model"]["ptq"]
    assert [engine.family(m) for m in ("adaround", "qat_lsq", "qat_lenient", "cf_ptq", "cfq", "gone")] == [
        "PTQ", "QAT", "QAT", "CFQ", "CFQ", "other"]  # fmt: skip


def test_a_file_that_fails_leaves_no_papers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, tried = papers_files.write_whole, []

    def full(path: Path, content: bytes) -> None:
        tried.append(path)
        if len(tried) == 2:
            raise OSError(28, "No space left on device", str(path))
        real(path, content)

    monkeypatch.setattr(papers_files, "write_whole", full)
    with pytest.raises(OSError):
        papers_files.write(tmp_path / "out", {"a": b"1", "b": b"2"})
    assert not list(tmp_path.iterdir())
    with pytest.raises(BadInput):
        papers_files.write(tmp_path / "no" / "out", {})


def test_without_a_runtime_the_stored_integers_verify(
    evil: Stored, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "_shipped", lambda *_: None)
    told = ask(evil, tmp_path / "out")
    assert told["verified"].startswith("the stored integers alone") and "model.onnx" not in told["files"]


@pytest.mark.parametrize("wrong", [("--expires", "soon"), ("--expires", "2001-01-01"), ("--owner", "a\nb")])
def test_what_no_paper_should_carry_is_refused(evil: Stored, wrong: tuple[str, str]) -> None:
    said = CliRunner().invoke(cli, ["papers", run_of(evil), "--store", evil.folder, *wrong])
    assert isinstance(said.exception, BadInput) and wrong[0] in str(said.exception)


def test_a_zip_holds_the_papers_or_why_there_are_none(evil: Stored, german: Stored) -> None:
    """A gallery keeps no test people of a run, so its file cannot be proved."""
    for view, due in ((evil, "papers.json"), (german, "why-there-are-none.txt")):
        with zipfile.ZipFile(io.BytesIO(filed_papers.zipped(view, view.run_rows[0]["id"]))) as found:
            assert due in found.namelist()
