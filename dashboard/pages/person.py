"""People: who was refused, what they were told, what came of it, and what they could do instead."""

from __future__ import annotations

from dataclasses import replace

from cfq_core.report import fmt
from cfq_core.report import person as people
from dashboard.lib import advice, cards, state, ui, what_if
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
    if isinstance(test_people, str):
        return
    what_if.panel(sel, test_people, person)
    needs_layers = people.only_computed(sel.study, sel.teacher or "", sel.run or "")
    if needs_layers or isinstance(cards.told(sel, person), str):
        return
    with ui.fold("On the way to the promised action", "way") as opened:
        if opened:
            ui.picture("person_path", sel, teacher=sel.teacher, person=person, budget=sel.budget)
    if not people.is_of_files(sel.study):
        advice.panel(sel, person)


PAGE = Page(order=4, title="People", question="Who?", icon="person", body=body)
PAGE.draw(__name__)
