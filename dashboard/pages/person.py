"""People: who was refused, what they were told, what came of it, and what they could do instead."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import streamlit as st

from cfq_core.actions.action_set import objections
from cfq_core.report import fmt
from cfq_core.report import person as people
from cfq_core.tables.constraints import sentences
from dashboard.lib import advice, cards, state, ui
from dashboard.lib import people as parts
from dashboard.lib.page import Page

TERMS = ("teacher", "student", "recourse", "cost", "promise margin κ", "matched approval", "CRG, recourse gap")


def body() -> None:
    """Who, what they were told, where it holds, what if."""
    sel = state.selected()
    if sel is None:
        return ui.nothing_stored()
    if sel.run is None or sel.teacher is None:
        ui.head("People", "", TERMS)
        return ui.empty(f"{sel.method} at {fmt.bits(sel.budget)}, seed {sel.seed}, is not stored (yet).")
    ui.head("People", cards.sentence(sel), TERMS)
    chosen = parts.choose(sel)
    if chosen is None:
        return ui.empty("Nobody is left by these filters.")
    sel, person = replace(sel, seed=chosen.seed), chosen.person
    ui.section(f"Person {person}, seed {sel.seed}")
    test_people = people.test_people(sel.study, sel.teacher or "")
    if isinstance(test_people, str):
        ui.empty(f"Who this is cannot be shown here: {test_people}. Costs, scores and validity are stored and shown.")
        cards.happened(sel, person)
    else:
        cards.show(sel, test_people, person)
    ui.picture("person_holds", sel, teacher=sel.teacher, person=person, matched=sel.matched)
    if isinstance(test_people, str) or people.only_computed(sel.study, sel.teacher or "", sel.run or ""):
        return
    _what_if(sel, test_people, person)
    if isinstance(cards.told(sel, person), str):
        return
    with ui.fold("On the way to the promised action", "way") as opened:
        if opened:
            ui.picture("person_path", sel, teacher=sel.teacher, person=person, budget=sel.budget)
    if not people.is_of_files(sel.study):
        advice.panel(sel, person)


def _what_if(sel: state.Selection, test_people: people.TestPeople, person: int) -> None:
    ui.section("What if")
    found = cards.told(sel, person)
    action = None if isinstance(found, str) else found
    before = tuple(int(v) for v in test_people.values[person])
    starts = {"as they are": before} | ({"as FP32 told them": action.after} if action else {})
    start = st.segmented_control("Start", list(starts), default="as they are", key="start") or "as they are"
    left, right = ui.side_by_side()
    with left:
        values = parts.what_if(test_people, starts.get(start, before), before, f"if-{sel.teacher}-{person}-{start}")
    packed = people.packed(values)
    teacher, _ = people.logits(sel.study, sel.teacher, people.unpacked(packed))
    cost = test_people.actions.cost(people.unpacked(people.packed(before)), people.unpacked(packed))[0]
    decision = "approves" if teacher[0] > 0 else "refuses"
    with right:
        st.markdown(f"FP32 **{decision}** at logit {teacher[0]:+.3f}; this change costs {cost:.2f} units.")
        for why in objections(test_people.actions, np.array(before), np.array(values)):
            st.warning(f"They cannot do this: {ui.escape(why)}")
        if told := sentences(test_people.actions.schema):
            with st.expander("Constraints that every action keeps"):
                st.markdown("\n".join(f"- {ui.escape(line)}" for line in told))
        ui.picture("person_decides", sel, teacher=sel.teacher, values=packed, matched=sel.matched)


PAGE = Page(order=4, title="People", question="Who?", icon="person", body=body)
PAGE.draw(__name__)
