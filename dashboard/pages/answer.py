"""Answer: does recourse survive, for the chosen study and budget, in a sentence and three pictures."""

from __future__ import annotations

import streamlit as st

from cfq_core.report import fmt, safe_text, sentences
from dashboard.lib import state, ui
from dashboard.lib.page import Page

TERMS = (
    "VD, validity drop",
    "approval shift",
    "matched approval",
    "unmatched",
    "bit budget",
    "promise margin κ",
    "lenient",
    "interval",
)
SHOWN = ("vd", "accuracy_drop", "approval_shift", "crg_abs", "worst_group_vd")


def body() -> None:
    """The verdict first."""
    sel = state.selected()
    if sel is None:
        return ui.nothing_stored()
    lines, chosen = sel.study.lines, (sel.dataset, sel.method, sel.budget)
    ui.head(
        "Does the recourse survive?",
        fmt.answer(sel.study, *chosen, matched=sel.matched),
        TERMS,
        fmt.caution(lines, *chosen),
    )
    _numbers(sel)
    measure = sel.at("vd")
    ui.picture("verdicts", sel, dataset=sel.dataset, measure=measure)
    left, right = ui.side_by_side()
    with left:
        ui.picture("curves", sel, on_pick=_pick, dataset=sel.dataset, measure=measure)
    with right:
        ui.picture("faithful", sel, on_pick=_pick, dataset=sel.dataset, budget=sel.budget)
    _safe(sel)


def _numbers(sel: state.Selection) -> None:
    mine = fmt.line_of(sel.study.lines, sel.dataset, sel.method, sel.budget)
    items = []
    for name in SHOWN:
        measure = sel.at(name) if sel.at(name) in mine.index else name
        if measure in mine.index:
            measured, m = fmt.measured(measure), mine.loc[measure]
            spread = (
                f"± {measured.scale * m['sd']:.1f} over {m['seeds']:.0f} seeds" if m["sd"] == m["sd"] else "one seed"
            )
            if name == "worst_group_vd":
                spread += sentences.by_chance(mine, measure)
            items.append((measured.short.rsplit(" (", 1)[0], measured.format(m["mean"]), spread))
    if items:
        ui.metrics(items)


def _safe(sel: state.Selection) -> None:
    answers = sel.study.safe(sel.dataset, safe_text.AT_MOST, safe_text.CONFIDENCE, sel.matched)
    ui.section(safe_text.TITLE)
    ui.frame(safe_text.rows(answers), "safe", f"safe-{sel.study.id}")
    st.caption(f"{safe_text.claim(answers, sel.matched)} Other limits: cfq safe {sel.study.id} --at-most 5%")


def _pick(key: str) -> None:
    if point := ui.picked(key):
        state.choose(method=point["method"], budget=point["budget"])


PAGE = Page(order=2, title="Answer", icon="gavel", body=body, default=True)
PAGE.draw(__name__)
