"""Answer: does recourse survive, in one line and a hundred people; everything else is folded."""

from __future__ import annotations

import streamlit as st

from cfq_core.report import fmt, safe_text, sentences
from dashboard.lib import audited, first_look, state, targets, ui
from dashboard.lib.page import Page

TERMS = (
    "VD, validity drop",
    "approval shift",
    "matched approval",
    "unmatched",
    "bit budget",
    "promise margin κ",
    "CRG, recourse gap",
    "lenient",
    "interval",
)
SHOWN = ("vd", "accuracy_drop", "approval_shift", "crg_abs", "worst_group_vd")


def body() -> None:
    """The verdict first."""
    sel = state.selected()
    if sel is None:
        return ui.nothing_stored()
    ui.small_head("Does the recourse survive?", TERMS)
    first_look.show(sel)
    chosen = (sel.dataset, sel.method, sel.budget)
    with st.container(key="small-print"):
        st.markdown(ui.marked(fmt.answer(sel.study, *chosen, matched=sel.matched)))
    if note := fmt.caution(sel.study.lines, *chosen):
        st.warning(ui.escape(note), icon=":material/warning:")
    audited.files(sel)
    with ui.fold("Five numbers of this model", "numbers") as opened:
        if opened:
            _numbers(sel)
    with ui.fold("Curves, and who is only lenient", "pictures") as opened:
        if opened:
            _pictures(sel)
    with ui.fold(safe_text.TITLE, "safe") as opened:
        if opened:  # its table needs a megabyte of script
            _safe(sel)


def _pictures(sel: state.Selection) -> None:
    measure = sel.at("vd")
    ui.picture("verdicts", sel, people=targets.MODEL, dataset=sel.dataset, measure=measure)
    left, right = ui.side_by_side()
    with left:
        ui.picture("curves", sel, on_pick=_pick, dataset=sel.dataset, measure=measure)
    with right:
        ui.picture("faithful", sel, on_pick=_pick, dataset=sel.dataset, budget=sel.budget)


def _numbers(sel: state.Selection) -> None:
    ui.metrics(sentences.numbers(sel.study, sel.dataset, sel.method, sel.budget, sel.matched, SHOWN))


def _safe(sel: state.Selection) -> None:
    answers = sel.study.safe(sel.dataset, safe_text.AT_MOST, safe_text.CONFIDENCE, sel.matched)
    ui.frame(safe_text.rows(answers), "safe", f"safe-{sel.study.id}")
    st.caption(f"{safe_text.claim(answers, sel.matched)} Other limits: cfq safe {sel.study.id} --at-most 5%")


def _pick(key: str) -> None:
    if point := ui.picked(key):
        state.choose(method=point["method"], budget=point["budget"])


PAGE = Page(order=1, title="Answer", question="What breaks?", icon="gavel", body=body, default=True)
PAGE.draw(__name__)
