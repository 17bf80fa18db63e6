"""Advice from anywhere on every stored model: the sentence, the table, and the picture of it."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pandas as pd

from cfq_core.base.errors import BadInput, CfqError
from cfq_core.report import fmt
from cfq_core.report import person as people
from cfq_core.report.charts import _decided
from cfq_core.report.frames import Stored
from cfq_core.report.picture import Drawn
from cfq_core.study.check import TEACHER, Advice, Judge, Verdict, advice_of, advice_text, check, judges_on
from cfq_core.study.tables import found_table

MOST = 200  # people whom somebody waits for: each is judged by every stored model
TITLE = "On which models it holds"
NOTE = "✓ where every seed's model approves. Number: the least logit over the seeds. 32 bits: the teachers."


def example(study: Stored, teacher: str, person: int) -> str:
    """What a teacher told somebody, as the file that `checked` reads; their own cells alone where it told nothing."""
    who, action = people.test_people(study, teacher), people.promised(study, teacher, person)
    if isinstance(who, str):
        raise CfqError(who)
    before = who.values[[person]]
    after = before if action is None else np.array([action.after])
    return advice_text(Advice((str(person),), before, after), who.actions.schema)


def checked(study: Stored, teacher: str, text: str, where: str) -> list[Verdict]:
    """One verdict a piece of advice in a CSV's text; raises `BadInput` in one line. Needs the table."""
    judges = _judges(study, teacher)
    advice = advice_of(text, judges[0].design.table.schema, where)
    if len(advice.person) > MOST:
        raise BadInput(
            f"{where}: is about {len(advice.person):,} people; at most {MOST} here, any number with cfq check"
        )
    return check(advice, judges)


@lru_cache(maxsize=4)
def _judges(study: Stored, teacher: str) -> list[Judge]:
    """Every stored model of the study that is about the teacher's table."""
    with study.store() as store:
        row = store.teacher(teacher)
        found = found_table(row["dataset"], row["spec"]["data"], [study.row["plan"]])
        if found.table is None:
            raise CfqError(found.missing)
        return judges_on(store, study.id, found.table)


def rows(verdict: Verdict) -> pd.DataFrame:
    """One row a (method, budget): how many seeds' models approve, and the least logit among them."""
    each = pd.DataFrame(
        [(m.method if m.method != TEACHER else _decided.FP32, m.bits, m.logit) for m in verdict.models],
        columns=["method", "budget", "logit"],
    )
    by = each.groupby(["method", "budget"], sort=False).logit
    found = by.agg(seeds="count", approved=lambda z: int((z > 0).sum()), logit="min").reset_index()
    return found.assign(approves=found.approved == found.seeds)


def sentence(verdict: Verdict) -> str:
    """Legal or not, what it costs, and on how many stored models it holds."""
    legal = "Legal under the card" if verdict.legal else "**Not legal** under the card"
    teachers = [m.approved for m in verdict.models if m.method == TEACHER]
    students = [m.approved for m in verdict.models if m.method != TEACHER]
    return (
        f"{legal}; costs **{verdict.cost:.2f} units**; approved by {sum(teachers)} of "
        f"{fmt.counted(len(teachers), 'teacher')} and by **{sum(students)} of {len(students)}** stored students."
    )


def drawn(verdict: Verdict) -> Drawn:
    """Every stored model's decision about one piece of advice."""
    found = rows(verdict)
    no = _decided.refusing(found)
    yes = f"{len(found) - len(no)} of {len(found)} kinds of model approve with every seed"
    alt = f"{yes}; not all of {fmt.listed(no)}." if no else f"{yes}."
    return Drawn(TITLE, found, _decided.cells(found), alt, NOTE)
