"""Advice from anywhere on every stored model: the sentence, the table, and the picture of it."""

from __future__ import annotations

from dataclasses import dataclass
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
NOTE = "✓ approves, ✗ refuses; number: the model's score. 32 bits: the original model that refused this person."


def example(study: Stored, teacher: str, person: int) -> str:
    """What a teacher told somebody, as the file that `checked` reads; their own cells alone where it told nothing."""
    who, action = people.test_people(study, teacher), people.promised(study, teacher, person)
    if isinstance(who, str):
        raise CfqError(who)
    before = who.values[[person]]
    after = before if action is None else np.array([action.after])
    return advice_text(Advice((str(person),), before, after), who.actions.schema)


@dataclass(frozen=True)
class Checked:
    """One piece of advice on the models of the teacher that refused this person, and on those of every other seed."""

    own: Verdict  # legal, cost and models of that teacher alone: another seed measures costs on other people
    others: Verdict | None  # of teachers that promised this person nothing; None in a study of one seed


def checked(study: Stored, teacher: str, text: str, where: str) -> list[Checked]:
    """What is said of each piece of advice in a CSV's text; raises `BadInput` in one line. Needs the table."""
    judges = _judges(study, teacher)
    seed = int(study.teachers.set_index("id").seed[teacher])
    advice = advice_of(text, judges[0].design.table.schema, where)
    if len(advice.person) > MOST:
        raise BadInput(
            f"{where}: is about {len(advice.person):,} people; at most {MOST} here, any number with cfq check"
        )
    mine, rest = ([j for j in judges if (j.design.seed == seed) == of] for of in (True, False))
    others = check(advice, rest) if rest else [None] * len(advice.person)
    return [Checked(a, b) for a, b in zip(check(advice, mine), others, strict=True)]


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


def sentence(checked: Checked) -> str:
    """Legal or not, what it costs, and on how many of the models of their own teacher it holds."""
    own = checked.own
    legal = "Legal under the card" if own.legal else "**Not legal** under the card"
    told = "approved" if all(m.approved for m in own.models if m.method == TEACHER) else "refused"
    students = [m.approved for m in own.models if m.method != TEACHER]
    return (
        f"{legal}; costs **{own.cost:.2f} units**; {told} by the original model that refused this person, and approved "
        f"by **{sum(students)} of {len(students)}** compressed models made from it."
    )


def elsewhere(checked: Checked) -> str:
    """What models of other seeds say, which promised this person nothing; empty where there are none."""
    if checked.others is None:
        return ""
    teachers = [m.approved for m in checked.others.models if m.method == TEACHER]
    students = [m.approved for m in checked.others.models if m.method != TEACHER]
    return (
        f"Other seeds' models promised this person nothing. Of them {sum(teachers)} of "
        f"{fmt.counted(len(teachers), 'original model')} and {sum(students)} of {len(students)} compressed "
        "ones approve."
    )


def drawn(verdict: Verdict) -> Drawn:
    """Every judging model's decision about one piece of advice."""
    found = rows(verdict)
    no = _decided.refusing(found)
    yes = f"{len(found) - len(no)} of {len(found)} models approve"
    alt = f"{yes}; {fmt.listed(no)} refuse{'s' if len(no) == 1 else ''}." if no else f"{yes}."
    return Drawn(TITLE, found, _decided.cells(found), alt, NOTE)
