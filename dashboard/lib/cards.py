"""One person as four cards: who they are, what they were told, what happened, and the cheapest way now."""

from __future__ import annotations

import math
from typing import Any

import streamlit as st

from cfq_core.base.errors import CfqError
from cfq_core.report import fmt, pair
from cfq_core.report import names as names_of
from cfq_core.report import person as people
from dashboard.lib import proofs, state, ui

CARD = 455  # pixels
NOW = "Cheapest way now"
PROVING = ":material/hourglass_top: being proved"


def sentence(sel: state.Selection) -> str:
    """How many promises of the selected model's teacher break."""
    who = sel.study.people(sel.run or "")
    asked = who[who.has_recourse]
    broken = int((~(asked.holds_matched if sel.matched else asked.holds)).sum())
    return (
        f"The original model (seed {sel.seed}) told {len(asked):,} of {len(who):,} refused people what to do. On "
        f"{names_of.both(sel.method)} at {fmt.bits(sel.budget)} **{broken:,} of these promises break**"
        f"{' (matched approval)' if sel.matched else ''}."
    )


def told(sel: state.Selection, person: int) -> people.Action | str | None:
    """What the teacher told them; a line that says why where that cannot be looked up any more."""
    try:
        return people.promised(sel.study, sel.teacher or "", person)
    except CfqError as problem:  # an older study keeps no actions, and its search is another one today
        return problem.line()


def show(sel: state.Selection, who: people.TestPeople, person: int) -> None:
    """The cards; what is stored stands at once, proofs follow."""
    teacher, run = sel.teacher or "", sel.run or ""
    if computed := people.only_computed(sel.study, teacher, run):
        st.caption(computed)
    seconds = 0.0 if computed else _seconds()
    with st.container(horizontal=True):
        with st.container(border=True, width=CARD):
            st.markdown("**Who they are**")
            st.markdown(_who(who, person))
        with st.container(border=True, width=CARD):
            found = told(sel, person)
            action = None if isinstance(found, str) else found
            nothing = found if isinstance(found, str) else "No action was found on the teacher."
            _action("FP32 told them", action, nothing)
            if not computed:
                of = proofs.proof(sel.study, teacher, teacher, person, seconds)
                proofs.followed(lambda: of.found is not None, lambda: _sure(of, action))
        with st.container(border=True, width=CARD):
            happened(sel, person)
        with st.container(border=True, width=CARD):
            if computed:
                _stored_cost(sel, person)
                return
            own = proofs.proof(sel.study, teacher, run, person, seconds)
            proofs.followed(lambda: own.found is not None, lambda: _cheapest(sel, own, person))


def happened(sel: state.Selection, person: int) -> None:
    """What became of the promise on the selected model, in words."""
    seen = sel.study.people(sel.run or "").set_index("person").loc[person]
    st.markdown(f"**What happened on {names_of.both(sel.method)} at {fmt.bits(sel.budget)}**")
    if not bool(seen.has_recourse):
        st.markdown("Nothing could be promised: no allowed action was found.")
        return
    holds = bool(seen.holds_matched if sel.matched else seen.holds)
    if holds:
        st.markdown(":material/check_circle: They did it, and **are approved**: the promise holds.")
    else:
        st.markdown(":material/cancel: They did it, and **are refused again**: the promise breaks.")
    for line in pair.ways(sel.study, sel.run or "", person):
        st.caption(ui.escape(line))
    st.caption(f"score {seen.student_at:+.2f} now, {seen.teacher_at:+.2f} promised; above 0 is approved")


def _who(who: people.TestPeople, person: int) -> str:
    features = who.actions.schema.features
    each = zip(features, who.values[person], strict=True)
    return "  \n".join(ui.escape(f"{f.words}: {f.format_cell(int(v))}") for f, v in each)


def _action(title: str, action: people.Action | None, nothing: str) -> None:
    st.markdown(f"**{title}**")
    if action is None:
        st.markdown(ui.escape(nothing))
        return
    for line in action.lines or ("nothing: approved as they are",):
        st.markdown(f"- {ui.escape(line)}")
    st.caption(f"cost {action.cost:.2f} units, score {action.margin:+.2f} there; {action.origin}")


def _seconds() -> float:
    """How long a proof may take; it ends sooner where everything is proved."""
    chosen = st.segmented_control(
        "Prove for at most",
        people.SECONDS,
        default=people.SECONDS[0],
        format_func="{:g} s".format,
        key="proof_seconds",
        help="CPU seconds of each of the two proofs. Most people need less than one; what is left open then is told.",
    )
    return float(chosen or people.SECONDS[0])


def _proving(going: proofs.Going, cost: float) -> None:
    """How far a proof is: the gap that it has left."""
    known = going.so_far
    st.caption(PROVING if known is None else f"{PROVING}: so far {known.of(cost)}")


def _sure(going: proofs.Going, action: people.Action | None) -> None:
    found = going.found
    if found is None:
        return _proving(going, action.cost if action else math.inf)
    sure = found.of(action.cost) if action else found.sure
    st.markdown(f":material/{'verified' if sure.startswith('Proved') else 'info'}: {sure}")


def _stored_cost(sel: state.Selection, person: int) -> float:
    """What the study's own search found on the model; infinite where it found or sought nothing."""
    cost: Any = sel.study.people(sel.run or "").set_index("person").loc[person].student_cost
    st.markdown(f"**{NOW}**")
    st.markdown(f"{cost:.2f} units, by the stored search." if cost == cost else "Not searched for in the study.")
    return float(cost) if cost == cost else math.inf


def _cheapest(sel: state.Selection, going: proofs.Going, person: int) -> None:
    found = going.found
    if found is None:
        return _proving(going, _stored_cost(sel, person))
    _action(NOW, found.action, "No action was found on it.")
    st.markdown(f":material/{'verified' if found.sure.startswith('Proved') else 'info'}: {found.sure}")
