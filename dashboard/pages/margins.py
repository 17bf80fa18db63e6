"""Margins: how far inside the boundary promises land, and what the margin condition can say about them."""

from __future__ import annotations

import streamlit as st

from cfq_core.report import sentences
from dashboard.lib import state, ui
from dashboard.lib.page import Page

TERMS = ("margin condition", "promise margin κ", "VD, validity drop", "matched approval", "interval", "seed")


def body() -> None:
    """Distribution first, then each person, then every budget."""
    sel = state.selected()
    if sel is None:
        return ui.nothing_stored()
    ui.head("Margins", sentences.condition(sel.study, sel.dataset, sel.method, sel.budget), TERMS)
    chosen = {"dataset": sel.dataset, "method": sel.method, "budget": sel.budget, "matched": sel.matched}
    ui.picture("margins", sel, **chosen, beside=_beside(sel))
    left, right = ui.side_by_side()
    with left:
        ui.picture("condition", sel, on_pick=_pick, dataset=sel.dataset, run=sel.run or "")
    with right:
        ui.picture("condition_shares", sel, dataset=sel.dataset, method=sel.method)
    st.caption("The condition is about the student's own logit: it does not depend on the choice of approval.")


def _beside(sel: state.Selection) -> str:
    """Methods to draw beside the selected one."""
    runs = sel.study.runs
    here = runs[(runs.dataset == sel.dataset) & (runs.budget == sel.budget)]
    others = [m for m in dict.fromkeys(here.method) if m != sel.method]
    state.forget("beside", others)
    chosen = {"selection_mode": "multi", "key": "beside", "format_func": ui.escape, **state.IN_LINK}
    more = st.pills("Beside it", others, **chosen) if others else []
    return ",".join(m for m in more if m in others)


def _pick(key: str) -> None:
    if point := ui.picked(key):
        state.choose(person=point["person"])


PAGE = Page(order=5, title="Margins", question="Why?", icon="align_end", body=body)
PAGE.draw(__name__)
