"""Every page there is, on every store there may be: found by themselves, held to the same rules."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from cfq_core.report import picture
from dashboard.lib import data, pages

STORES = ("gallery", "own", "nothing")  # see `on_store`
Open = Callable[..., AppTest]
NAMES = sorted(pages.found())
FILES = sorted(p for p in pages.FOLDER.glob("*.py") if p.stem != "__init__")
LONGEST = 80  # lines of a page


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("which", STORES)
def test_page_opens_without_an_error(which: str, name: str, on_store: Callable[[str], None], open_page: Open) -> None:
    on_store(which)
    at = open_page(name)
    assert not at.exception, at.exception
    assert not at.error, [e.value for e in at.error]
    assert at.title, "a page says what it is"
    for chart in at.get("vega_lite_chart"):
        assert chart.proto.alt, "every picture has a text alternative"


def test_bad_link_is_told_and_opens_the_default(on_store: Callable[[str], None], open_page: Open) -> None:
    on_store("own")
    at = open_page("answer", method="nonsense", study="zzzz", person="-1; drop", seed="99", approval="x", budget="inf")
    assert not at.exception
    said = " ".join(w.value for w in at.warning)
    for asked in ("nonsense", "zzzz", "-1; drop", "99", "x", "inf"):
        assert f'"{asked}"' in said
    sel = at.session_state["_selection"]
    assert (sel.method, sel.budget, sel.seed, sel.matched, sel.person) == ("ptq", 3.0, 0, False, None)


def test_nothing_stored_says_which_button_makes_a_study(on_store: Callable[[str], None], open_page: Open) -> None:
    on_store("nothing")
    at = open_page("answer")
    assert at.title[0].value == "No study yet"
    assert "Make a study" in [link.label for link in at.page_link]


def test_link_opens_the_view_it_names(on_store: Callable[[str], None], open_page: Open) -> None:
    on_store("own")
    at = open_page("answer", method="ptq_minmax", budget="8", seed="1", approval="matched", person="3")
    sel = at.session_state["_selection"]
    assert (sel.method, sel.budget, sel.seed, sel.matched, sel.person) == ("ptq_minmax", 8.0, 1, True, 3)
    assert at.query_params["study"] == sel.study.id, "the study stands in the address"
    again = open_page("curves", **sel.query())
    assert again.session_state["_selection"] == sel


def test_answer_says_how_few_bits_are_safe(on_store: Callable[[str], None], open_page: Open) -> None:
    on_store("own")
    at = open_page("answer")
    assert not at.dataframe, "what is folded costs a visitor nothing"
    at.session_state["safe"] = True  # the expander, opened
    at.run()
    sel = at.session_state["_selection"]
    (table,) = (d.value for d in at.dataframe if "least bits" in d.value)
    answers = sel.study.safe(sel.dataset, 0.02, 0.95)
    assert list(table.method) == [a.method for a in answers]
    assert list(table["least bits"]) == [f"{a.answer.budget:g}" if a.answer else "none of these" for a in answers]
    assert any("cfq safe" in c.value and "seeds are the unit" in c.value for c in at.caption)


def test_own_study_is_opened_before_the_gallery(
    on_store: Callable[[str], None], open_page: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_store("own")
    monkeypatch.delenv("CFQ_GALLERY")
    at = open_page("answer")
    assert not at.session_state["_selection"].listed.gallery
    assert any("Gallery" in option for option in at.selectbox(key="study").options)


@pytest.mark.parametrize("file", FILES, ids=lambda p: p.stem)
def test_page_is_thin(file: Path) -> None:
    text = file.read_text()
    assert len(text.splitlines()) <= LONGEST
    assert "st.cache" not in text, "caches stand in dashboard.lib.data"
    assert "query_params" not in text, "the URL is touched in dashboard.lib.state"
    imported = {n.name for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Import) for n in node.names}
    assert not imported & {"torch", "sqlite3"}, "a page reads, draws and explains; it does not compute"
    orders = [p.order for p in pages.found().values()]
    assert len(set(orders)) == len(orders), "two pages claim one place"


def test_caches_are_keyed_by_ids_and_plain_values() -> None:
    cached = [f.__wrapped__ for f in vars(data).values() if hasattr(f, "clear") and hasattr(f, "__wrapped__")]
    assert len(cached) >= 3
    for function in cached:
        keys = {n: p.annotation for n, p in inspect.signature(function).parameters.items() if not n.startswith("_")}
        assert set(keys.values()) <= {"str", "int", "float", "bool", "Plain"}, function.__name__


@pytest.mark.parametrize("name", picture.names())
def test_picture_is_whole(name: str) -> None:
    found = picture.load(name)
    rows, chart, words = (inspect.signature(f).parameters for f in (found.rows, found.chart, found.alt))
    assert found.title and list(rows)[1:] == list(chart)[1:] == list(words)[1:]
