"""Pieces that every page is made of: head, pictures with their table and text, metrics, states."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import streamlit as st

from cfq_core.report import files, fmt, sentences
from cfq_core.report.escape import plain as escape
from cfq_core.report.escape import sentence as marked
from dashboard.lib import chart, data, pages, targets
from dashboard.lib.state import Selection, selected

FILES = (("CSV", files.csv, "text/csv"), ("Parquet", files.parquet, "application/octet-stream"))
ONE_LINE = 170  # characters of a caption
METRIC, HALF = 170, 455  # pixels: of a metric, and of a picture beside another


def head(title: str, sentence: str, terms: Sequence[str] = (), caution: str | None = None) -> None:
    """A page's first words: its title, what it says in a sentence, and a glossary of its terms."""
    left, right = st.columns([6, 1], vertical_alignment="bottom")
    left.title(title, anchor=False)
    if terms:
        with right.popover("Terms", icon=":material/menu_book:", width="stretch"):
            glossary(terms)
    st.markdown(marked(sentence))
    if caution:
        st.warning(escape(caution), icon=":material/warning:")


def small_head(title: str, terms: Sequence[str] = ()) -> None:
    """The head of a page whose first line says more than its title."""
    with st.container(horizontal=True, vertical_alignment="center", key="small-head"):
        st.title(title, anchor=False)
        if terms:
            with st.popover("Terms", icon=":material/menu_book:"):
                glossary(terms)


@contextmanager
def fold(title: str, key: str) -> Iterator[bool]:
    """A closed part; gives whether it is open, so that a closed one costs nothing."""
    with st.expander(title, on_change="rerun", key=key) as opened:
        yield bool(opened.open)


def compared() -> None:
    """Method B beside the selected one, on every page, where one is chosen."""
    sel = selected()
    if sel is not None and sel.against:
        about = (sel.study, sel.dataset, sel.budget, sel.at("vd"), sel.method, sel.against)
        st.info(marked(sentences.beside(*about)), icon=":material/compare:")


def glossary(terms: Sequence[str]) -> None:
    """Definitions, in plain words."""
    for term in terms:
        st.markdown(f"**{term}**  \n{fmt.GLOSSARY[term]}")


def side_by_side() -> tuple[Any, Any]:
    """Places of two pictures: beside each other, or one below the other where the page is narrow."""
    both = st.container(horizontal=True, gap="large")
    return both.container(width=HALF), both.container(width=HALF)


def picture(
    name: str,
    sel: Selection,
    key: str = "",
    on_pick: Any = None,
    missing: str = "",
    people: tuple[str, str] | None = None,
    **options: data.Plain,
) -> Any:
    """A picture with its text alternative, note, table and downloads.

    ``people``: the fields of a mark whose people a click on it opens, see `dashboard.lib.targets`. ``on_pick``: called
    when a point is clicked, with the chart's key; the click is in `picked`. ``key``: tells apart two pictures of one
    name on a page. ``missing``: why a study may hold no rows for it.
    """
    drawn = data.drawn(name, sel.study, **options)
    if drawn.chart is None and missing:
        empty(f"{drawn.title}: {missing}")
        return drawn
    found = targets.of(sel, drawn.rows, people, _fate(options)) if people and drawn.chart is not None else []
    if people and found:
        drawn = replace(drawn, chart=targets.linked(drawn.chart, found, people))
    show(drawn, f"{name}{f'-{key}' if key else ''}", f"{name}-{sel.study.id}", on_pick, found)
    return drawn


def _fate(options: Mapping[str, data.Plain]) -> str:
    """Whose promise breaks, where a picture is about that; else everybody."""
    return "broken" if str(options.get("measure", "vd")).startswith("vd") else "all"


def section(title: str) -> None:
    """What stands under a page's title: a heading of the second level, as screen readers expect it there."""
    st.markdown(f"## {escape(title)}")


def show(drawn: Any, key: str, file: str, on_pick: Any = None, found: Sequence[targets.Target] = ()) -> None:
    """A drawn picture, its chart as `cfq_core.report.picture` or as `dashboard.lib.chart` gives it."""
    if drawn.chart is None:
        return empty(f"{drawn.title}: not stored in this study.")
    section(drawn.title)
    chosen = {"on_select": lambda: on_pick(key), "selection_mode": "pick"} if on_pick else {}
    spec = drawn.chart if isinstance(drawn.chart, dict) else chart.spec(drawn.chart)
    st.vega_lite_chart(spec=spec, key=key, alt=drawn.alt, width="stretch", **chosen)
    st.caption(escape(takeaway(drawn)))
    table(drawn, key, file, found)


def takeaway(drawn: Any) -> str:
    """One line under a chart: what it shows where that is short, else how to read it. All of it is in the fold."""
    if len(drawn.alt) <= ONE_LINE:
        return str(drawn.alt)
    first, _, rest = drawn.note.partition(". ")
    return f"{first}." if rest else str(drawn.note)


def picked(key: str) -> dict[str, Any]:
    """The clicked point of a picture, by its fields; empty where none is."""
    points = st.session_state.get(key, {}).get("selection", {}).get("pick") or [{}]
    return dict(points[0])


def table(drawn: Any, key: str, file: str, found: Sequence[targets.Target] = ()) -> None:
    """The rows behind a picture, closed until asked for, as CSV and Parquet."""
    with fold("In words, table and download", f"{key}-table") as opened:
        if opened:
            st.markdown(escape(drawn.alt))
            st.caption(escape(drawn.note))
            if found:
                st.markdown("The people behind each mark:")
                targets.listed(list(found), f"{key}-people")
            frame(drawn.rows, key, file)


def frame(rows: Any, key: str, file: str) -> None:
    """A table with its two downloads."""
    st.dataframe(rows, hide_index=True, width="stretch", key=f"{key}-rows")
    file = re.sub(r"[^A-Za-z0-9_-]+", "-", file)
    with st.container(horizontal=True):
        for kind, make, mime in (
            ("CSV", files.csv, "text/csv"),
            ("Parquet", files.parquet, "application/octet-stream"),
        ):
            name = f"{file}.{kind.lower()}"
            make_it = lambda m=make: m(rows)  # noqa: E731  (made on the click only)
            st.download_button(
                kind, make_it, name, mime, on_click="ignore", icon=":material/download:", key=f"{key}-{kind}"
            )


def metrics(items: Sequence[tuple[str, str, str]]) -> None:
    """A row of (title, value, help)."""
    with st.container(horizontal=True):  # wraps where the page is narrow
        for title, value, about in items:
            st.metric(escape(title), escape(value), help=escape(about) or None, width=METRIC)


def empty(text: str) -> None:
    """A picture that this study cannot show, and why."""
    st.info(escape(text), icon=":material/visibility_off:")


def failed(text: str) -> None:
    """Something that went wrong, in one line."""
    st.error(escape(text), icon=":material/error:")


def nothing_stored() -> None:
    """The state without any study: what would be here, and the one button that makes it."""
    st.title("No study yet", anchor=False)
    st.markdown(
        "Here stands whether the recourse a model promised survives its quantization: how many promises break, at how "
        "many bits, for whom. It needs one study. The embedded data set takes about a minute and no download."
    )
    pages.link("study", "Make a study", ":material/play_arrow:")
