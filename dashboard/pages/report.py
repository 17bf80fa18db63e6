"""Report: the study as one file to send, print or archive, and every table behind it; made when it is asked for."""

from __future__ import annotations

import re
from collections.abc import Callable

import streamlit as st

from cfq_core.api import filed
from cfq_core.report import facts, files, html
from cfq_core.report import person as people
from dashboard.lib import audited, state, ui, views, work
from dashboard.lib.page import Page

TERMS = ("teacher", "student", "interval", "seed", "matched approval", "worst group", "regime")
HEIGHT = 900  # pixels of the preview


def body() -> None:
    """Downloads first; what they hold is drawn on the click."""
    sel = state.selected()
    if sel is None:
        return ui.nothing_stored()
    row = sel.study.row
    ui.head(
        "Report",
        f"**{row['name']}** as one file: {row['finished']} of {row['runs']} runs, the decision on its first "
        "page, then every verdict, picture and allocation, what it was made with, and what it does not say. It needs "
        "no network and prints to PDF from any browser.",
        TERMS,
    )
    limit = st.number_input(
        "Decide by: of 100 promises at most so many may fail", 0.1, 50.0, 2.0, 0.5, key="at-most", width=420,
        **state.IN_LINK,
    )  # fmt: skip
    about = (sel.study, sel.dataset, sel.method, sel.budget, sel.seed, sel.matched)
    page = lambda: html.page(*about, at_most=limit / 100, notes=views.notes(sel.study.id))  # noqa: E731
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", f"cfq-{sel.dataset}-{sel.study.id}")
    with st.container(horizontal=True):
        _download(sel.study.id, "Report (HTML)", lambda: page().encode(), f"{name}.html", "description")
        audited.download(sel)
        if (run := sel.run) is not None and not people.is_of_files(sel.study):
            papers = lambda: filed.zipped(sel.study, run)  # noqa: E731
            _download(sel.study.id, "Papers of this student (zip)", papers, f"{name}-papers.zip", "folder_open")
        tables = lambda: files.zipped(facts.every_table(sel.study))  # noqa: E731
        _download(sel.study.id, "Every table (CSV and Parquet, zip)", tables, f"{name}-tables.zip", "folder_zip")
    st.caption(f"Made on the click; it takes some seconds. From a terminal: `cfq report {sel.study.id} --html r.html`")
    _limits(sel)
    with ui.fold("Preview", "preview") as opened:
        if opened:
            with st.spinner("Drawing every picture of this study"):
                whole = page()
            st.iframe(whole, height=HEIGHT, alt=f"Preview of the report on {row['name']}")


def _limits(sel: state.Selection) -> None:
    with ui.fold("Limits, in plain words", "limits") as opened:
        if opened:
            for limit in facts.limits(sel.study, [sel.dataset]):
                st.markdown(f"- {ui.escape(limit)}")


def _download(study: str, label: str, made: Callable[[], bytes], file: str, icon: str) -> None:
    mime = "application/zip" if file.endswith(".zip") else "text/html"
    ways = {"on_click": "ignore", "icon": f":material/{icon}:", "key": f"get-{icon}"}
    st.download_button(label, work.exported(made, study=study), file, mime, **ways)


PAGE = Page(order=10, title="Report", question="Show it", icon="description", body=body)
PAGE.draw(__name__)
