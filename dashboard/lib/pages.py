"""The page list, found in ``dashboard/pages/``: a file that ends in ``PAGE = Page(...)`` is a page."""

from __future__ import annotations

import importlib
from functools import cache
from pathlib import Path

import streamlit as st
from streamlit.navigation.page import StreamlitPage

from dashboard.lib.page import Page

FOLDER = Path(__file__).parents[1] / "pages"


@cache
def found() -> dict[str, Page]:
    """Every page by its address, in the order of the navigation."""
    names = [p.stem for p in FOLDER.glob("*.py") if not p.stem.startswith("_")]
    pages = {name: importlib.import_module(f"dashboard.pages.{name}").PAGE for name in names}
    return dict(sorted(pages.items(), key=lambda item: (item[1].order, item[0])))


def navigation() -> list[StreamlitPage]:
    """What `st.navigation` takes."""
    return [page(name) for name in found()]


def link(name: str, label: str, icon: str | None = None) -> None:
    """A link to another page of the dashboard, the selection kept."""
    st.page_link(page(name), label=label, icon=icon)


def page(name: str) -> StreamlitPage:
    """A page as streamlit knows it, by its address."""
    p = found()[name]
    return st.Page(FOLDER / f"{name}.py", title=p.title, icon=f":material/{p.icon}:", url_path=name, default=p.default)
