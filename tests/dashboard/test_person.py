"""The page Person: the one in the link, what they were told, and every model's decision about what they try."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from cfq_core.base.errors import BadStore
from cfq_core.report import person as people
from cfq_core.study import tables
from dashboard.lib import proofs

Open = Callable[..., AppTest]


def said(at: AppTest) -> str:
    return " ".join(str(m.value) for m in (*at.markdown, *at.caption, *at.info, *at.warning))


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A browser comes back for a proof; a test waits for it."""
    monkeypatch.setattr(proofs, "PATIENCE", 120.0)


def test_link_opens_its_person_with_action_and_sliders(on_store: Callable[[str], None], open_page: Open) -> None:
    on_store("own")
    first = open_page("person")
    sel = first.session_state["_selection"]
    told = sel.study.people(sel.run)
    person = int(told[told.has_recourse].person.iloc[3])
    at = open_page("person", **{**sel.query(), "person": str(person)})
    assert not at.exception and f"## Person {person}" in said(at)
    assert "FP32 told them" in said(at) and "; stored" in said(at)
    assert "FP32 **refuses** at logit" in said(at)
    at.segmented_control(key="start").set_value("as FP32 told them").run()
    assert not at.exception and "FP32 **approves** at logit" in said(at)


def test_slider_moves_every_decision(on_store: Callable[[str], None], open_page: Open) -> None:
    on_store("own")
    at = open_page("person")
    before = next(m.value for m in at.markdown if "FP32 **" in m.value)
    slider = next(s for s in at.slider if s.key and s.key.startswith("if-"))
    slider.set_value(slider.max if slider.value < slider.max else slider.min).run()
    assert not at.exception and next(m.value for m in at.markdown if "FP32 **" in m.value) != before


def test_person_who_is_not_there_is_told(on_store: Callable[[str], None], open_page: Open) -> None:
    on_store("own")
    at = open_page("person", person="99999")
    assert not at.exception and "Person 99999 was not denied" in said(at)


def test_without_the_table_costs_and_validity_stay(
    on_store: Callable[[str], None], open_page: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(_: Any) -> None:
        return None

    monkeypatch.setattr(tables, "on_disk", gone)
    on_store("gallery")
    at = open_page("person")
    assert not at.exception and "cfq data fetch" in said(at)
    assert len(at.get("vega_lite_chart")) == 1, "whether it holds is stored"


def test_filters_that_leave_nobody_say_so(on_store: Callable[[str], None], open_page: Open) -> None:
    on_store("own")
    at = open_page("person", method="ptq_minmax", budget="8")
    at.segmented_control(key="fate").set_value("none").run()
    assert not at.exception
    sel = at.session_state["_selection"]
    if sel.study.people(sel.run).has_recourse.all():
        assert "Nobody is left" in said(at)


def test_every_recommendation_says_whether_it_is_proved_cheapest(
    on_store: Callable[[str], None], open_page: Open
) -> None:
    on_store("own")
    at = open_page("person")
    sure = [m.value for m in at.markdown if m.value.startswith((":material/verified:", ":material/info:"))]
    assert len(sure) == 2 and all("roved" in s or "cheapest" in s for s in sure), sure


def test_a_proof_says_how_far_it_is_until_it_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    told, go_on = threading.Event(), threading.Event()

    def slow(*args: Any) -> people.Cheapest:
        for lower in (0.2, 0.9):
            args[-1](people.SoFar(1.0, lower))
        told.set()
        go_on.wait(20)
        return people.Cheapest(None, np.inf)

    monkeypatch.setattr(people, "proof", slow)
    monkeypatch.setattr(proofs, "PATIENCE", 0.01)
    worker = ThreadPoolExecutor(1)
    monkeypatch.setattr(proofs, "_worker", lambda: worker)
    going = proofs.proof.__wrapped__(None, "", "", 0, 1.0)
    try:
        assert told.wait(20) and going.found is None
        assert going.so_far is not None and "at most 10.0% or 0.10 units" in going.so_far.of(1.0)
    finally:
        go_on.set()
    assert going.whole.result(20).sure.startswith("Proved") and going.found is not None


def test_pasted_advice_is_judged_by_the_models_of_their_own_teacher(
    on_store: Callable[[str], None], open_page: Open
) -> None:
    on_store("own")
    at = open_page("person")
    at.session_state["advice"] = True  # the expander, opened
    at.run()
    assert not at.exception
    line = next(m.value for m in at.markdown if "under the card" in m.value)
    assert line.startswith("Legal under the card; costs **") and "of 6** compressed models made from it" in line
    assert "; approved by the original model that refused this person" in line, "its own promise is no broken one"
    assert any("Other seeds' models promised this person nothing" in c.value for c in at.caption)
    line = line.replace("\\", "")
    (promised,) = (c.value for c in at.caption if "; stored" in c.value)
    assert f"costs **{promised.split()[1]} units**" in line, "one action has one cost"
    text = at.text_area[0]
    text.set_value(text.value.replace(",", ";")).run()
    assert not at.exception and not at.error and any(m.value.replace("\\", "") == line for m in at.markdown), (
        "semicolons are read too"
    )
    text = at.text_area[0]
    text.set_value(text.value.replace(";", ",")).run()
    text = at.text_area[0]
    header, before, after = text.value.strip().split("\n")
    fixed = header.split(",").index("age")
    cells = after.split(",")
    cells[fixed] = "20"
    text.set_value("\n".join((header, before, ",".join(cells)))).run()
    assert not at.exception and any(m.value.startswith("**Not legal**") for m in at.markdown)
    assert any("age" in w.value and "cannot be changed" in w.value for w in at.warning)


@pytest.mark.parametrize(
    ("text", "said"),
    [("what is this", "no feature"), ("", "is empty"), ('"', "not a CSV"), ("=cmd()|a,b", "no feature")],
)
def test_advice_that_is_none_is_one_line(
    text: str, said: str, on_store: Callable[[str], None], open_page: Open
) -> None:
    on_store("own")
    at = open_page("person")
    at.session_state["advice"] = True
    at.run().text_area[0].set_value(text).run()
    assert not at.exception and [said in e.value and "\n" not in e.value for e in at.error] == [True]


def test_advice_about_a_crowd_is_refused_in_one_line_and_about_a_few_is_told_one_by_one(
    on_store: Callable[[str], None], open_page: Open
) -> None:
    on_store("own")
    at = open_page("person")
    at.session_state["advice"] = True
    text = at.run().text_area[0]
    header, *rows = text.value.strip().split("\n")
    few = "\n".join([header, *rows, *rows])
    many = "\n".join([header, *(rows * 300)]).encode()
    text.set_value(few).run()
    assert not at.exception and any("2 people, 2 of them told something" in m.value for m in at.markdown)
    at.file_uploader[0].upload("test_people.csv", many).run()
    assert [e.value for e in at.error] == [
        "test_people.csv: is about 300 people; at most 200 here, any number with cfq check"
    ]


def test_a_study_whose_search_is_another_one_today_says_so_and_shows_the_rest(
    on_store: Callable[[str], None], open_page: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: Any) -> None:
        raise BadStore("the study's recourse solver had other settings")

    on_store("own")
    monkeypatch.setattr(people, "promised", gone)
    at = open_page("person")
    assert not at.exception and "had other settings" in said(at).replace("\\", "")
    assert "What happened on" in said(at) and "FP32 **refuses** at logit" in said(at)
