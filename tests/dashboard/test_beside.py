"""What stands beside every page: another method, a guided tour, named views with notes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from cfq_core.report import decision, fmt, sentences, tour
from cfq_core.report.escape import sentence as marked
from cfq_core.report.figures import chosen
from cfq_core.report.frames import Stored
from dashboard.lib import views

Open = Callable[..., AppTest]


@pytest.mark.parametrize("page", ["answer", "groups", "margins"])
def test_method_b_stands_beside_with_the_paired_difference(
    page: str, on_store: Callable[[str], None], open_page: Open
) -> None:
    on_store("own")
    at = open_page(page, b="ptq_minmax", budget="2")
    sel = at.session_state["_selection"]
    assert not at.exception and sel.against == "ptq_minmax" and sel.query()["b"] == "ptq_minmax"
    said = sentences.beside(sel.study, sel.dataset, 2.0, "vd", "ptq", "ptq_minmax")
    assert any(i.value == marked(said) for i in at.info)
    d = sel.study.paired(sel.dataset, 2.0, "vd", "ptq_minmax", "ptq")
    assert d.mean is not None and f"{100 * d.mean:+.1f}".lstrip("+-") in said and "approvals shift by" in said


def test_tour_is_about_somebody_whose_promise_breaks_and_is_mended(study: Stored) -> None:
    told = tour.of(study, study.runs.dataset.iloc[0], "ptq")
    if told is None:
        return
    assert told.steps[0][0] == "Refused" and len(told.steps) == 6
    assert all(text and "nan" not in text for _, text in told.steps)
    assert "person=" in told.link and "fate=broken" in told.link


def test_tour_goes_step_by_step_and_ends(on_store: Callable[[str], None], open_page: Open) -> None:
    on_store("gallery")
    at = open_page("answer", study="84a326a26ff6", budget="2")
    at.session_state["tour-step"] = 0
    at.run()
    assert not at.exception and any("1. Refused" in m.value for m in at.markdown)
    at.session_state["tour-step"] = 5
    at.run()
    assert not at.exception and any("6. Mended" in m.value for m in at.markdown)


def test_a_named_view_is_kept_and_its_note_is_in_the_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, study: Stored
) -> None:
    monkeypatch.setenv("CFQ_STORE", str(tmp_path / "mine"))
    assert views.saved() == []
    (tmp_path / "mine").mkdir()
    kept = [{"name": "<b>", "note": "look", "address": "groups?study=x", "study": study.id, "saved": "2026-11-26"},
            {"name": "bad", "note": "", "address": "javascript:alert(1)", "study": study.id, "saved": ""}]  # fmt: skip
    (tmp_path / "mine" / views.FILE).write_text(json.dumps(kept))
    assert [v.name for v in views.saved()] == ["<b>"], "only pages of this dashboard are opened"
    assert views.notes(study.id) == ("<b> (2026-11-26): look",)
    assert views._relative("http://h/groups?a=1") == "groups?a=1" and views._relative("http://h/?a=1") == "./?a=1"
    (tmp_path / "mine" / views.FILE).write_text("{")
    assert views.saved() == []


@pytest.mark.parametrize(("at_most", "verdicts"), [(0.999, {"PASS", "NOT SHOWN"}), (1e-6, {"FAIL", "NOT SHOWN"})])
def test_decision_is_made_at_the_readers_limit(study: Stored, at_most: float, verdicts: set[str]) -> None:
    of = chosen(study, study.runs.dataset.iloc[0])
    found = decision.decided(study, of, at_most)
    safe = next(a for a in study.safe(of.dataset, at_most, 0.95) if a.method == of.method)
    line = fmt.line_of(study.lines, of.dataset, of.method, of.budget).loc["vd_matched" if of.matched else "vd"]
    shown = any(t.budget == of.budget and t.safe for t in safe.tried) and not line["lenient"]
    assert (
        (found.verdict == "PASS") == shown
        and found.verdict in verdicts
        and "promised actions fail" in found.says
        and "points" in found.approvals
    )
    page = decision.page(study, of, at_most)
    assert found.verdict in page and of.run in page and "Signature" in page
