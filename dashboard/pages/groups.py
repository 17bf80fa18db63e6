"""Groups: who is hit, how sure that is, and what the full-precision model did to them before."""

from __future__ import annotations

import streamlit as st

from cfq_core.report import by_group, fmt, sentences
from dashboard.lib import state, targets, ui
from dashboard.lib.page import Page

TERMS = ("VD, validity drop", "CRG, recourse gap", "approval shift", "matched approval", "worst group", "interval")


def body() -> None:
    """Groups, then gaps with their p, then the baseline."""
    sel = state.selected()
    if sel is None:
        return ui.nothing_stored()
    chosen = {"dataset": sel.dataset, "method": sel.method}
    if sel.study.groups.empty:
        ui.head("Groups", "", TERMS)
        return ui.empty(f"{sel.dataset} names no protected column: nothing is told by group.")
    top = st.container()
    line = st.container(horizontal=True, vertical_alignment="bottom", gap="large")  # wraps where the page is narrow
    known = set(sel.study.groups.measure)
    options = [m for m in by_group.MEASURES if m in known]
    name = line.segmented_control(
        "Measure", options, default=options[0], format_func=lambda m: fmt.measured(m).short, key="group-measure",
        **state.IN_LINK,
    )  # fmt: skip
    crossing = line.toggle("Crossings of two", key="group-crossing", **state.IN_LINK)
    asked = name or options[0]
    measure = sel.at(asked) if sel.at(asked) in known and asked != "approval_shift" else asked
    with top:
        head = sentences.groups(sel.study, sel.dataset, sel.method, sel.budget, measure, crossing)
        ui.head("Groups", head, TERMS)
    ui.picture("groups", sel, people=targets.GROUP, **chosen, budget=sel.budget, measure=measure, crossing=crossing)
    missing = "needs two groups of at least 30 people on one seed."
    if asked == "approval_shift" and sel.listed.gallery:
        missing = "needs every test person's decision, which a gallery leaves out; own studies hold it."
    ui.picture("group_gaps", sel, missing=missing, **chosen, measure=measure, crossing=crossing)
    ui.picture("group_baseline", sel, **chosen, budget=sel.budget)


PAGE = Page(order=3, title="Groups", question="Who?", icon="groups", body=body)
PAGE.draw(__name__)
