"""The part What if of the page Person: other values of somebody, and what the teacher and every student decide then."""

from __future__ import annotations

import numpy as np
import streamlit as st

from cfq_core.actions.action_set import objections
from cfq_core.base.errors import CfqError
from cfq_core.report import person as people
from cfq_core.tables.constraints import sentences
from dashboard.lib import cards, state, ui
from dashboard.lib import people as parts


def panel(sel: state.Selection, test_people: people.TestPeople, person: int) -> None:
    """The widgets, and beside them the decisions; where the models cannot be asked, why, and what to do."""
    ui.section("What if")
    teacher = sel.teacher or ""
    if why := people.not_kept(sel.study, teacher):
        return ui.empty(why)
    found = cards.told(sel, person)
    action = None if isinstance(found, str) else found
    before = tuple(int(v) for v in test_people.values[person])
    starts = {"as they are": before} | ({"as FP32 told them": action.after} if action else {})
    start = st.segmented_control("Start", list(starts), default="as they are", key="start") or "as they are"
    left, right = ui.side_by_side()
    with left:
        values = parts.what_if(test_people, starts.get(start, before), before, f"if-{teacher}-{person}-{start}")
    with right:
        try:
            _decisions(sel, test_people, before, values)
        except CfqError as problem:  # a file that is asked may fail, or take too long
            ui.failed(problem.line())


def _decisions(
    sel: state.Selection, test_people: people.TestPeople, before: tuple[int, ...], values: tuple[int, ...]
) -> None:
    teacher, packed = sel.teacher or "", people.packed(values)
    if people.only_computed(sel.study, teacher, sel.run or ""):
        with st.spinner("The files' processes start"):  # once; then they stay up
            otherwise = people.decided_otherwise(sel.study, teacher)
        if otherwise:
            st.warning(ui.escape(otherwise))
    logit, _ = people.logits(sel.study, teacher, people.unpacked(packed))
    cost = test_people.actions.cost(people.unpacked(people.packed(before)), people.unpacked(packed))[0]
    decision = "approves" if logit[0] > 0 else "refuses"
    st.markdown(f"FP32 **{decision}** at logit {logit[0]:+.3f}; this change costs {cost:.2f} units.")
    for why in objections(test_people.actions, np.array(before), np.array(values)):
        st.warning(f"They cannot do this: {ui.escape(why)}")
    if told := sentences(test_people.actions.schema):
        with st.expander("Constraints that every action keeps"):
            st.markdown("\n".join(f"- {ui.escape(line)}" for line in told))
    ui.picture("person_decides", sel, teacher=teacher, values=packed, matched=sel.matched)
