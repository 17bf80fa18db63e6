"""The page Person of an audit of files that are no layers: other values are tried, and what needs layers is said."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from cfq_core.datasets.card import read_card
from cfq_core.export import pairs
from cfq_core.export.audit import AuditOptions, audit_pair
from cfq_core.models import rerun
from cfq_core.models.provenance import BadModel
from cfq_core.models.read import parse_model
from cfq_core.report import by_file
from cfq_core.report.escape import JOINER
from cfq_core.study.pair import KEPT_FILE
from cfq_core.study.store import FILE
from tests.dashboard import hostile
from tests.dashboard.test_hostile import shown
from tests.export.conftest import CARD
from tests.report.test_by_file import SAID, files_of

Open = Callable[..., AppTest]
TOO_LONG = "teacher.onnx: took longer than it may; refused"


@pytest.fixture
def blind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A store with one audit of two ensembles of trees."""
    name, table = next(iter(SAID)), read_card(CARD)
    files = (parse_model(u.content, u.name) for u in files_of(name, table))
    pairs.keep_of(tmp_path, str(CARD), audit_pair(table, *files, AuditOptions(people=40, n_reaudited=5, **SAID[name])))
    monkeypatch.setenv("CFQ_STORE", str(tmp_path))
    monkeypatch.setenv("CFQ_GALLERY", str(tmp_path / "empty"))
    yield tmp_path
    by_file.close()


def said(at: AppTest) -> str:
    return " ".join(str(m.value) for m in (*at.markdown, *at.caption, *at.info, *at.warning, *at.error))


def test_other_values_are_tried_and_what_needs_layers_is_said(blind: Path, open_page: Open) -> None:
    first = open_page("person")
    sel = first.session_state["_selection"]
    told = sel.study.people(sel.run)
    broken = told[told.has_recourse & ~told.holds]
    person = int(broken.person.iloc[0])
    at = open_page("person", **{**sel.query(), "person": str(person)})
    assert not at.exception and not at.error and "FP32 **refuses** at logit" in said(at)
    assert "The cheapest way with proof, and the picture on the way to an action, need the layers" in said(at)
    assert "Prove for at most" not in said(at) and not at.get("expander_way")
    at.segmented_control(key="start").set_value("as FP32 told them").run()
    seen = sel.study.arrays(sel.teacher, "people")
    margin = float(seen["margin"][np.flatnonzero(seen["person"] == person)[0]])
    assert not at.exception and f"FP32 **approves** at logit {margin:+.3f}" in said(at), "what was promised"
    assert "0 of 1 stored students approve" in said(at), "and the student refuses, as the audit says"
    before = next(m.value for m in at.markdown if "FP32 **" in m.value)
    for slider in [s for s in at.slider if s.key and s.key.startswith("if-")]:
        at.slider(key=slider.key).set_value(slider.min if slider.value != slider.min else slider.max)
    at.run()
    assert not at.exception and next(m.value for m in at.markdown if "FP32 **" in m.value) != before


def test_a_file_that_is_not_kept_is_named_in_one_line(blind: Path, open_page: Open) -> None:
    for path in blind.rglob(f"*-{KEPT_FILE}.npz"):
        path.unlink()
    at = open_page("person")
    (line,) = (i.value for i in at.info if "does not hold the file" in i.value)
    assert not at.exception and "\n" not in line and line.startswith("teacher.onnx") and "cfq audit" in line
    assert "What happened on" in said(at) and not [s for s in at.slider if str(s.key).startswith("if-")]


def test_a_file_that_fails_is_one_line_and_the_page_stays(
    blind: Path, open_page: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise BadModel(TOO_LONG)

    monkeypatch.setattr(rerun.Rerun, "logits", fails)
    at = open_page("person")
    assert not at.exception and [shown(e.value) for e in at.error] == [f"BadModel: {TOO_LONG}"]
    assert [s for s in at.slider if str(s.key).startswith("if-")], "other values can still be tried"


def test_the_name_of_a_file_is_a_word(blind: Path, open_page: Open) -> None:
    name = " ".join(hostile.names()[:12])
    with sqlite3.connect(blind / FILE) as db:
        plan = json.loads(db.execute("SELECT plan FROM study").fetchone()[0])
        plan["pair"]["teacher"]["file"] = name
        db.execute("UPDATE study SET plan = ?", [json.dumps(plan)])
    for path in blind.rglob(f"*-{KEPT_FILE}.npz"):
        path.unlink()
    at = open_page("person")
    (line,) = (i.value for i in at.info if "does not hold the file" in i.value)
    assert not at.exception and name in shown(line).replace(JOINER, "")
