"""Advice from elsewhere, pasted or uploaded on the page Person: legal, its cost, and which stored models approve."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from cfq_core.base.errors import BadInput
from dashboard.lib import state, ui

if TYPE_CHECKING:
    from cfq_core.report.advice import Checked

HOW = (
    "A CSV (commas, semicolons or tabs) with two rows a person: `before`, and `after`, in which an empty cell says “as "
    "before”. It is filled in with what FP32 told this person: change it, paste a letter's or another tool's advice "
    "over it, or upload a file."
)
LONGEST = 100_000  # characters of a pasted text; a file may be longer


def panel(sel: state.Selection, person: int) -> None:
    """Closed until asked for: it needs every stored model of the study."""
    with st.expander("Check advice from elsewhere", icon=":material/rule:", on_change="rerun", key="advice") as opened:
        if opened.open:
            _panel(sel, person)


def _panel(sel: state.Selection, person: int) -> None:
    from cfq_core.report import advice  # torch: not before somebody asks

    st.caption(HOW)
    left, right = st.columns([3, 1])
    example = advice.example(sel.study, sel.teacher, person)
    key = f"advice-{sel.teacher}-{person}"
    typed = left.text_area("Advice (CSV)", example, max_chars=LONGEST, height=130, key=key)
    file = right.file_uploader("or a CSV file", type="csv", key=f"{key}-file", max_upload_size=10)
    try:
        with st.spinner("Asking every stored model"):
            text, where = (typed, "advice") if file is None else (_text(file.getvalue(), file.name), file.name)
            verdicts = advice.checked(sel.study, sel.teacher, text, where)
    except BadInput as problem:
        return ui.failed(str(problem))
    _show(sel, _one(verdicts, key), key)


def _text(content: bytes, name: str) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise BadInput(f"{name}: cannot be read as UTF-8 text") from None


def _one(verdicts: list[Checked], key: str) -> Checked:
    """Whom to look at, where the file is about several."""
    if len(verdicts) == 1:
        return verdicts[0]
    legal = sum(v.own.legal for v in verdicts)
    st.markdown(f"{len(verdicts):,} people, {legal:,} of them told something that the card allows.")
    known = {f"{i}: {v.own.person}": v for i, v in enumerate(verdicts, 1)}
    return known[st.selectbox("Person of the file", list(known), key=f"{key}-who")]


def _show(sel: state.Selection, found: Checked, key: str) -> None:
    from cfq_core.report import advice

    verdict = found.own
    st.markdown(ui.marked(advice.sentence(found)))
    for line in verdict.changes or ("nothing changes",):
        st.markdown(f"- {ui.escape(line)}")
    for line in verdict.objections:
        st.warning(ui.escape(line), icon=":material/block:")
    if other := advice.elsewhere(found):
        st.caption(other)
    ui.show(advice.drawn(verdict), key, f"advice-{sel.study.id}")
