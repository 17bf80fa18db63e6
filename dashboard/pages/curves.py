"""Curves: any measure against the bit budget, methods toggled; a click selects that model everywhere."""

from __future__ import annotations

import streamlit as st

from cfq_core.report import fmt
from dashboard.lib import state, ui
from dashboard.lib.page import Page

MEASURES = ("vd", "crg_abs", "crg_median", "direction", "accuracy", "approval_shift", "flip_rate", "recourse_lost")
MOST = 5  # methods shown at first: more lines than that are not told apart
FIRST = ("ptq", "qat_lsq", "cfq", "cfq_anchored", "ptq_measured")
TERMS = (
    "VD, validity drop",
    "CRG, recourse gap",
    "direction",
    "approval shift",
    "matched approval",
    "interval",
    "seed",
)


def body() -> None:
    """One large picture; the measure and the methods above it."""
    sel = state.selected()
    if sel is None:
        return ui.nothing_stored()
    top = st.container()
    measure, methods = _controls(sel)
    mine = fmt.line_of(sel.study.lines, sel.dataset, sel.method, sel.budget)
    measured = fmt.measured(measure)
    value = measured.format(mine["mean"].get(measure)) if not mine.empty else "–"
    sure = f" ({fmt.how_sure(mine.loc[measure], measured.scale)})" if measure in mine.index else ""
    with top:
        ui.head(
            "Curves",
            f"{sel.method} at {fmt.bits(sel.budget)}: **{measured.title} {value}**{sure} on {sel.dataset}.",
            TERMS,
        )
    if not methods:
        return ui.empty("No method is switched on: choose at least one above.")
    st.caption("Click a point to select that model on every page.")
    ui.picture("curves", sel, on_pick=_pick, dataset=sel.dataset, measure=measure, methods=",".join(methods))


def _controls(sel: state.Selection) -> tuple[str, list[str]]:
    known = set(sel.study.lines.measure)
    options = [m for m in MEASURES if sel.at(m) in known or m in known]
    all_methods = list(dict.fromkeys(sel.study.lines[sel.study.lines.dataset == sel.dataset].method))
    first = all_methods if len(all_methods) <= MOST else [m for m in FIRST if m in all_methods][:MOST]
    left, right = st.columns([1, 2])
    name = left.selectbox("Measure", options, format_func=lambda m: fmt.measured(m).title, key="measure",
                          **state.IN_LINK)  # fmt: skip
    state.forget("methods", all_methods)
    methods = right.pills("Methods", all_methods, default=first, selection_mode="multi", wrap=True, key="methods",
                          format_func=ui.escape, **state.IN_LINK)  # fmt: skip
    measure = sel.at(name) if sel.at(name) in known else name
    return measure, list(methods)


def _pick(key: str) -> None:
    if point := ui.picked(key):
        state.choose(method=point["method"], budget=point["budget"])


PAGE = Page(order=2, title="Curves", question="What breaks?", icon="show_chart", body=body)
PAGE.draw(__name__)
