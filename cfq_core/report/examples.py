"""A few denied people for a report: what they were told, whether it holds, and what is proved of each action."""

from __future__ import annotations

from dataclasses import dataclass

from cfq_core.report import person as people
from cfq_core.report.figures import Chosen
from cfq_core.report.frames import Stored

MOST = 3


@dataclass(frozen=True)
class Example:
    """One person, their promise, and the cheapest action on the student."""

    person: int
    promised: people.Action
    sure: str  # what is proved of the promise
    holds: bool
    logit: float  # of the student after the promised action
    own: people.Cheapest


def examples(study: Stored, of: Chosen) -> list[Example] | str:
    """The people whose promise fares worst on the chosen student; or why they cannot be shown here."""
    who = people.test_people(study, of.teacher)
    if isinstance(who, str):
        return who
    seen = study.people(of.run)
    level = study.runs.set_index("run").threshold[of.run] if of.matched else 0.0
    worst = seen[seen.has_recourse].nsmallest(MOST, "student_at")
    out = []
    for person, logit in zip(worst.person.astype(int), worst.student_at.astype(float), strict=True):
        action, best = (
            people.promised(study, of.teacher, person),
            people.cheapest(study, of.teacher, of.teacher, person),
        )
        if action is not None:
            own = people.cheapest(study, of.teacher, of.run, person)
            out.append(Example(person, action, best.of(action.cost), bool(logit > level), logit, own))
    return out
