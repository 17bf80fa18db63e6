"""What people are told whom one file refuses, and whether another keeps it: whole numbers that can be added up."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cfq_core.actions.action_set import ActionSet
from cfq_core.base.seeds import repeatable
from cfq_core.export.spread import Counts, of_groups
from cfq_core.models.blackbox import BlackBox
from cfq_core.models.reading import Reading
from cfq_core.nets.stack import Scorer
from cfq_core.recourse.find import Solver, find_recourse
from cfq_core.recourse.problem import RecourseQuery
from cfq_core.tables.encode import Encoding, Values
from cfq_core.tables.schema import Schema, Table

#: Of those who ask: how many, with an action that the teacher's file approves, and of these refused by the student.
ASKED = ("asked", "promised", "broken")


@dataclass(frozen=True)
class Asking:
    """How people ask the teacher for recourse. It can be sent to another process."""

    schema: Schema  # whose groups are counted
    layers: Scorer | None  # of the teacher; None: it is computed by its file, and searched without gradients
    encoding: Encoding
    actions: ActionSet
    solver: Solver
    kappa: float  # logits

    def counts(self, people: Values, teacher: Reading, student: Reading) -> Counts:
        """`ASKED` of people whom the teacher refuses; each file judges the actions as it runs."""
        model = self.layers or BlackBox(teacher, self.encoding)
        with repeatable():
            ask = RecourseQuery(people, self.encoding, self.actions)
            found = find_recourse(model, [ask], self.solver, self.kappa, [True])
        promised, broken = found.has_recourse.copy(), np.zeros(len(people), bool)
        if promised.any():
            promised[promised] = teacher.logits(found.after[promised]) > 0
        if promised.any():
            broken[promised] = student.logits(found.after[promised]) <= 0
        who = Table(self.schema, people, np.zeros(len(people), bool))
        return of_groups(who, np.ones(len(people), bool), promised, broken)
