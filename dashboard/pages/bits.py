"""Bits: what each layer gets, why, and how good a plan is among all plans."""

from __future__ import annotations

import streamlit as st

from cfq_core.report import sentences
from dashboard.lib import state, ui
from dashboard.lib.page import Page

TERMS = ("bit budget", "factual sensitivity", "recourse sensitivity", "VD, validity drop", "matched approval", "seed")
LEVELS = (2, 3, 4, 8)  # bits that profiles are measured at


def body() -> None:
    """Plans and profiles side by side, then the landscape."""
    sel = state.selected()
    if sel is None:
        return ui.nothing_stored()
    teacher = sel.teacher or ""
    ui.head("Bits", sentences.bits(sel.study, sel.dataset, teacher, sel.budget, sel.matched), TERMS)
    usual = max((b for b in LEVELS if b <= sel.budget), default=LEVELS[0])
    # the key holds the budget: another budget starts at its own bits again
    chosen = st.segmented_control("Sensitivity when rounded to (bits)", LEVELS, default=usual,
                                  key=f"rounded-{sel.budget:g}", **state.IN_LINK)  # fmt: skip
    left, right = ui.side_by_side()
    with left:
        ui.picture("allocations", sel, dataset=sel.dataset, budget=sel.budget)
    with right:
        ui.picture("profiles", sel, dataset=sel.dataset, bits=int(chosen or usual))
    missing = "they are judged for nets of up to four layers; older studies get them when run again."
    ui.picture("landscape", sel, missing=missing, teacher=teacher, budget=sel.budget, matched=sel.matched)


PAGE = Page(order=6, title="Layers", question="Why?", icon="stacked_bar_chart", body=body)
PAGE.draw(__name__)
