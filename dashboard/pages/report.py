"""Report: the study as one file to send, print or archive, and every table behind it."""

from __future__ import annotations

import re

import streamlit as st

from cfq_core.report import facts, files, html
from dashboard.lib import state, ui
from dashboard.lib.page import Page

TERMS = ("teacher", "student", "interval", "seed", "matched approval", "worst group", "regime")
HEIGHT = 900  # pixels of the preview


def body() -> None:
    """Downloads first, then what they hold."""
    sel = state.selected()
    if sel is None:
        return ui.nothing_stored()
    with st.spinner("Drawing every picture of this study"):
        page = html.page(sel.study, sel.dataset, sel.method, sel.budget, sel.seed, sel.matched)
    row = sel.study.row
    ui.head(
        "Report",
        f"**{row['name']}** as one file of {len(page.encode()) / 1024:,.0f} KiB: {row['finished']} of {row['runs']} "
        "runs, every verdict, picture and allocation, what it was made with, and what it does not say. It needs no "
        "network and prints to PDF from any browser.",
        TERMS,
    )
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", f"cfq-{sel.dataset}-{sel.study.id}")
    with st.container(horizontal=True):
        _download("Report (HTML)", page.encode(), f"{name}.html", "text/html", "description")
        tables = lambda: files.zipped(facts.every_table(sel.study))  # noqa: E731  (made on the click only)
        _download("Every table (CSV and Parquet, zip)", tables, f"{name}-tables.zip", "application/zip", "folder_zip")
    st.caption(f"The same from a terminal: `cfq report {sel.study.id} --html report.html`")
    _limits(sel)
    ui.section("Preview")
    st.iframe(page, height=HEIGHT, alt=f"Preview of the report on {row['name']}")


def _limits(sel: state.Selection) -> None:
    with st.expander("Limits, in plain words", icon=":material/info:"):
        for limit in facts.limits(sel.study, [sel.dataset]):
            st.markdown(f"- {ui.escape(limit)}")


def _download(label: str, content: object, file: str, mime: str, icon: str) -> None:
    st.download_button(label, content, file, mime, on_click="ignore", icon=f":material/{icon}:", key=f"get-{icon}")


PAGE = Page(order=10, title="Report", icon="description", body=body)
PAGE.draw(__name__)
