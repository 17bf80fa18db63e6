"""Person: what one denied person was told, on which models it holds, and what they could do instead."""

from __future__ import annotations

import numpy as np
import streamlit as st

from cfq_core.actions.action_set import objections
from cfq_core.report import fmt
from cfq_core.report import person as people
from cfq_core.tables.constraints import sentences
from dashboard.lib import advice, state, ui
from dashboard.lib import people as parts
from dashboard.lib.page import Page

TERMS = ("teacher", "student", "recourse", "cost", "promise margin κ", "matched approval", "CRG, recourse gap")


def body() -> None:
    """Who, what they were told, where it holds, what if."""
    sel = state.selected()
    if sel is None:
        return ui.nothing_stored()
    if sel.run is None or sel.teacher is None:
        ui.head("Person", "", TERMS)
        return ui.empty(f"{sel.method} at {fmt.bits(sel.budget)}, seed {sel.seed}, is not stored (yet).")
    who = sel.study.people(sel.run)
    asked = who[who.has_recourse]
    broken = int((~(asked.holds_matched if sel.matched else asked.holds)).sum())
    ui.head(
        "Person",
        f"Teacher {sel.seed} told {len(asked):,} of {len(who):,} denied people what to do; on {sel.method} at "
        f"{fmt.bits(sel.budget)} **{broken:,} of these promises break**"
        f"{' (matched approval)' if sel.matched else ''}.",
        TERMS,
    )
    person = parts.choose(sel, who)
    if person is None:
        return ui.empty("Nobody is left by these filters.")
    ui.section(f"Person {person}")
    test_people = people.test_people(sel.study, sel.teacher)
    if isinstance(test_people, str):
        ui.empty(f"Who this is cannot be shown here: {test_people}. Costs, logits and validity are stored and shown.")
    else:
        _action(sel, person)
    ui.picture("person_holds", sel, teacher=sel.teacher, person=person, matched=sel.matched)
    if not isinstance(test_people, str):
        ui.picture("person_path", sel, teacher=sel.teacher, person=person, budget=sel.budget)
        _what_if(sel, test_people, person)
        advice.panel(sel, person)


def _action(sel: state.Selection, person: int) -> None:
    left, right = st.columns(2)
    with left, st.spinner("Looking up what the teacher told them, and proving it"):
        action = people.promised(sel.study, sel.teacher, person)
        best = people.cheapest(sel.study, sel.teacher, sel.teacher, person)
        sure = best.of(action.cost) if action else best.sure
        parts.show_action("FP32 told them", action, "No action was found on the teacher.", sure)
    with right, st.spinner(f"Proving the cheapest action on {sel.method}"):
        own = people.cheapest(sel.study, sel.teacher, sel.run, person)
        parts.show_action(f"Cheapest on {sel.method} at {fmt.bits(sel.budget)}", own.action,
            "No action was found on it.",
                   own.sure)  # fmt: skip


def _what_if(sel: state.Selection, test_people: people.TestPeople, person: int) -> None:
    ui.section("What if")
    action = people.promised(sel.study, sel.teacher, person)
    before = tuple(int(v) for v in test_people.values[person])
    starts = {"as they are": before} | ({"as FP32 told them": action.after} if action else {})
    start = st.segmented_control("Start", list(starts), default="as they are", key="start") or "as they are"
    values = parts.what_if(test_people, starts.get(start, before), before, f"if-{sel.teacher}-{person}-{start}")
    packed = people.packed(values)
    teacher, _ = people.logits(sel.study, sel.teacher, people.unpacked(packed))
    cost = test_people.actions.cost(people.unpacked(people.packed(before)), people.unpacked(packed))[0]
    decision = "approves" if teacher[0] > 0 else "refuses"
    st.markdown(f"FP32 **{decision}** at logit {teacher[0]:+.3f}; this change costs {cost:.2f} units.")
    for why in objections(test_people.actions, np.array(before), np.array(values)):
        st.warning(f"They cannot do this: {ui.escape(why)}")
    if told := sentences(test_people.actions.schema):
        with st.expander("Constraints that every action keeps"):
            st.markdown("\n".join(f"- {ui.escape(line)}" for line in told))
    ui.picture("person_decides", sel, teacher=sel.teacher, values=packed, matched=sel.matched)


PAGE = Page(order=7, title="Person", icon="person", body=body)
PAGE.draw(__name__)
