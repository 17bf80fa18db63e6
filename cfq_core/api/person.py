"""One denied person as a notebook shows them: their row, their promise, and what every stored student makes of it."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from cfq_core.api import shown
from cfq_core.base.errors import BadInput
from cfq_core.report import person as people
from cfq_core.report.figures import Chosen
from cfq_core.report.frames import Stored

SOME = 8  # ids of other people in a message


@dataclass(frozen=True)
class Person:
    """What was promised to one person, and whether it holds."""

    person: int
    dataset: str
    seed: int
    features: pd.DataFrame  # feature, before, after: in words; empty where the table is not here
    told: tuple[str, ...]  # the promised changes, a sentence each; empty: none was found, or the table is not here
    cost: float  # of the promise, in scale units; NaN where there is none
    students: pd.DataFrame  # one row a (method, budget): logits before and after, and whether the promise holds
    note: str = ""  # why something cannot be shown here, and what to do about it

    def __repr__(self) -> str:
        kept = int(self.students.holds.sum())
        told = "; ".join(self.told) or self.note or "no action was found"
        return (
            f"person {self.person} ({self.dataset}, seed {self.seed}): {told}. Holds on {kept} of {len(self.students)}."
        )

    def _repr_html_(self) -> str:
        head = shown.heading(f"Person {self.person} ({self.dataset}, seed {self.seed})")
        told = shown.listed(f"Told, at cost {self.cost:.2f}:", self.told) if self.told else ""
        rows = shown.table(self.features) if len(self.features) else ""
        return shown.block(head, shown.line(self.note), rows, told, shown.table(self.students))


def person_of(study: Stored, of: Chosen, person: int) -> Person:
    """A person among the denied test people of a teacher; raises `BadInput` for somebody who is not."""
    runs = study.runs[study.runs.teacher == of.teacher]
    rows = []
    for r in runs.itertuples():
        seen = study.people(str(r.run))
        mine = seen[seen.person == person]
        if mine.empty:
            some = ", ".join(map(str, seen.person.head(SOME)))
            raise BadInput(
                f"person {person}: not among the {len(seen)} denied test people of {of.dataset}, seed {of.seed}; "
                f"such as {some}"
            )
        rows.append({"method": r.method, "budget": r.budget, **mine.iloc[0].to_dict()})
    told = pd.DataFrame(rows)
    cost = float(told.cost.iloc[0])
    kept = ["method", "budget", "student_logit", "student_at", "holds", "holds_matched", "student_cost"]
    who, note, action = people.test_people(study, of.teacher), "", None
    if isinstance(who, str):
        note, features = who, pd.DataFrame(columns=["feature", "before", "after"])
    else:
        action = people.promised(study, of.teacher, person)
        before = [int(c) for c in who.values[person]]
        after = before if action is None else action.after
        each = zip(who.encoding.schema.features, before, after, strict=True)
        features = pd.DataFrame(
            [{"feature": f.words, "before": f.format_cell(b), "after": f.format_cell(a)} for f, b, a in each]
        )
        note = "" if action else "No allowed action was found for them."
    return Person(person, of.dataset, of.seed, features, action.lines if action else (), cost, told[kept], note)
