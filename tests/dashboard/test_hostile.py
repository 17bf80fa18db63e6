"""Words of users, files and addresses are words: on every page, whatever they look like."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from streamlit.testing.v1 import AppTest

from cfq_core.base.errors import BadCard
from cfq_core.datasets import draft
from cfq_core.report.escape import JOINER, plain, sentence
from dashboard.lib import pages
from tests.dashboard import hostile

GFM = MarkdownIt("commonmark").enable(["table", "strikethrough"])
#: What is no word: what Streamlit and GFM make of a text after CommonMark has read it.
DIRECTIVE = re.compile(r"(?<!\\):(?:[a-z-]+\[|material/|[a-z_]+:)|https?://|www\.|\w@\w|--|->|<-|[<>!~]=|(?<!\\)\$")
SPECIAL = "![]()<>{}*_`~#+-=.|\\:;&@/$\"'^%1 awzq\n\t\u202e\u2060"


def parts(tokens: Any) -> Iterator[tuple[str, str]]:
    for t in tokens:
        if t.children:
            yield from parts(t.children)
        elif t.type not in ("paragraph_open", "paragraph_close", "inline"):
            yield t.type, t.content


def shown(markdown: str) -> str:
    """What a reader sees of a text; fails where it is more than text."""
    found = list(parts(GFM.parse(markdown)))
    assert {kind for kind, _ in found} <= {"text", "text_special"}, (markdown, found)
    return "".join(content for _, content in found)


def folded(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text.replace(JOINER, "")).split())


def is_words(text: str) -> None:
    marked = plain(text)
    assert shown(marked).replace(JOINER, "") == folded(text)
    assert not DIRECTIVE.search(marked), marked


@pytest.mark.parametrize("name", hostile.names())
def test_a_name_is_shown_as_it_is(name: str) -> None:
    is_words(name)
    if "**" not in name:  # two stars in a sentence of ours are bold, and no more than that
        assert shown(sentence(f"with {name} more")).replace(JOINER, "") == f"with {name} more"


@given(st.text(st.sampled_from(SPECIAL), max_size=40))
def test_any_text_is_shown_as_it_is(text: str) -> None:
    is_words(text)


def test_a_sentence_of_ours_keeps_what_is_bold() -> None:
    assert sentence("At 4 bits **24 in 100** fail (± 1.2), with qat_lsq **1 in 100**.") == (
        "At 4 bits **24 in 100** fail (± 1.2), with qat_lsq **1 in 100**."
    )


# ---------------------------------------------------------------------- every page
#: Fields in which Streamlit reads Markdown, whatever the element.
READ = ("body", "label", "help", "caption", "delta", "text", "title")
NOT = ("code", "text", "html", "iframe", "arrow_data_frame", "vega_lite_chart", "plotly_chart")


def texts(at: AppTest) -> Iterator[str]:
    """Every text of a page that Streamlit reads as Markdown."""
    stack: list[Any] = [at._tree]
    while stack:
        node = stack.pop()
        stack += list(getattr(node, "children", {}).values())
        proto = getattr(node, "proto", None)
        if proto is None or getattr(node, "type", "") in NOT:
            continue
        for field, value in proto.ListFields():
            if field.name in READ and isinstance(value, str):
                yield value
            elif field.name == "options" and field.message_type is not None:  # of pills and segmented controls
                yield from (o.content for o in value)


def nothing_called(at: AppTest, names: list[str]) -> None:
    said = list(texts(at))
    assert not at.exception, at.exception
    for ours in at.get("html"):  # styles of ours, and no word of anybody's
        assert not any(name in ours.proto.body for name in names)
    for text in said:
        for kind, content in parts(GFM.parse(text)):
            assert kind not in ("image", "link_open", "html_inline", "html_block"), (text, content)
        for name in (n for n in names if DIRECTIVE.search(n)):
            assert not re.search(rf"(?<!\\){re.escape(name)}", text), (name, text)


CHUNKS = [hostile.names()[i : i + 6] for i in range(0, 60, 6)]


@pytest.fixture(scope="module", params=[0, *(pytest.param(i, marks=pytest.mark.gate) for i in range(1, 10))])
def chunk(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], Path]:
    names = CHUNKS[request.param]
    return names, hostile.study_of(tmp_path_factory.mktemp("hostile") / "own", names)


@pytest.mark.parametrize("page", sorted(pages.found()))
def test_no_page_takes_a_name_for_more(
    page: str, chunk: tuple[list[str], Path], open_page: Callable[..., AppTest], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names of columns, levels, units, the table and the study; then the same words in every part of the address."""
    names, store = chunk
    monkeypatch.setenv("CFQ_STORE", str(store))
    monkeypatch.setenv("CFQ_GALLERY", str(store.parent / "none"))
    nothing_called(open_page(page), names)
    keys = ("study", "dataset", "method", "budget", "seed", "approval", "person", "audit", "robust", "measure", "fate")
    nothing_called(open_page(page, **{k: names[i % 6] for i, k in enumerate(keys)}), names)


@pytest.mark.parametrize("name", ["a\x1bb", "a\u202eb", "a\x00b", "a\x85b"])
def test_control_characters_are_refused_in_names(name: str) -> None:
    from cfq_core.base.errors import BadPlan
    from cfq_core.study.plan import read_plan

    with pytest.raises(BadPlan, match="control character"):
        read_plan({"datasets": ["toy"], "name": name}, "plan")
    with pytest.raises(BadCard):
        draft.outcomes(f'"{name}",outcome\n1,yes\n2,no\n'.encode(), "table.csv")
