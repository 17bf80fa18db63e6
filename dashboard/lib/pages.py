"""The page list, read from ``dashboard/pages/``: a file that ends in ``PAGE = Page(...)`` is a page.

No page is imported for it: a visitor of one page does not pay for what the others stand on.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import streamlit as st
from streamlit.navigation.page import StreamlitPage

FOLDER = Path(__file__).parents[1] / "pages"
#: What the navigation asks, in its order; every page belongs to one.
QUESTIONS = ("What breaks?", "Who?", "Why?", "What to do?", "Show it", "Start")


@dataclass(frozen=True)
class Place:
    """What the navigation needs of a page: everything of `dashboard.lib.page.Page` but its body."""

    order: int
    title: str
    question: str
    icon: str
    default: bool = False


@cache
def found() -> dict[str, Place]:
    """Every page by its address, in the order of the navigation."""
    files = [p for p in FOLDER.glob("*.py") if not p.stem.startswith("_")]
    places = {p.stem: _place(p) for p in files}
    return dict(sorted(places.items(), key=lambda item: (QUESTIONS.index(item[1].question), item[1].order)))


def _place(file: Path) -> Place:
    """The plain values in ``PAGE = Page(order=..., title=..., ...)``."""
    for line in ast.parse(file.read_text(encoding="utf-8")).body:
        match line:
            case ast.Assign(targets=[ast.Name(id="PAGE")], value=ast.Call(keywords=given)):
                return Place(**{k.arg: ast.literal_eval(k.value) for k in given if k.arg != "body"})
    raise LookupError(f"{file}: a page ends in PAGE = Page(order=..., title=..., icon=..., body=...)")


def navigation() -> dict[str, list[StreamlitPage]]:
    """What `st.navigation` takes: the pages under the question that they answer."""
    return {q: [page(name) for name, p in found().items() if p.question == q] for q in QUESTIONS}


def beside(current: StreamlitPage) -> None:
    """Where one is, on a page of any width: the question, and the pages that answer it."""
    here = next((p for p in found().values() if p.title == current.title), None)
    if here is None:
        return
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="where"):
        st.markdown(f"**{here.question}**", width="content")
        for name, place in found().items():
            if place.question == here.question:
                link(name, place.title, f":material/{place.icon}:")


def link(name: str, label: str, icon: str | None = None) -> None:
    """A link to another page of the dashboard, the selection kept."""
    st.page_link(page(name), label=label, icon=icon)


def page(name: str) -> StreamlitPage:
    """A page as streamlit knows it, by its address."""
    p = found()[name]
    return st.Page(FOLDER / f"{name}.py", title=p.title, icon=f":material/{p.icon}:", url_path=name, default=p.default)
