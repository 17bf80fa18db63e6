"""One denied person: who they are, what the teacher told them, and what every stored model decides about any values.

The table is read where it is on disk (see `crowd`); models are numpy here, so that a page needs no torch. Only an
action that a store does not hold is searched for anew, which needs it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float

from cfq_core.actions.action_set import ActionSet
from cfq_core.base.errors import CfqError
from cfq_core.datasets.fetch import FILES
from cfq_core.report.frames import Stored
from cfq_core.report.numeric import FloatNet, IntegerNets
from cfq_core.study.found import found_table
from cfq_core.study.store import Row
from cfq_core.tables.encode import Encoding, Values
from cfq_core.tables.split import split

SAME = 1e-4  # relative: a stored cost is single precision in a gallery


@dataclass(frozen=True)
class Crowd:
    """The test people of one teacher, and what they may do: as that teacher was audited."""

    encoding: Encoding
    actions: ActionSet
    values: Values  # of all test rows


@dataclass(frozen=True)
class Action:
    """What somebody was told to do, in exact integer form and in words."""

    before: tuple[int, ...]
    after: tuple[int, ...]
    cost: float
    margin: float  # logit of the model that told it, at the new point
    lines: tuple[str, ...]
    origin: str  # "stored", or how it compares with what is stored


@dataclass(frozen=True)
class Models:
    """One teacher and all its stored students, as numpy."""

    runs: tuple[str, ...]
    teacher: FloatNet
    students: IntegerNets


def crowd(study: Stored, teacher: str) -> Crowd | str:
    """Who the denied are; or why that cannot be told here, and what to do about it."""
    row = _teacher(study, teacher)
    found = found_table(row["dataset"], row["spec"]["data"], [study.row["plan"]])
    if found.table is not None:
        return _crowd(study, teacher)
    fetch = f" Fetch it with: cfq data fetch {row['dataset']}" if row["dataset"] in FILES else ""
    return f"{found.missing}.{fetch}"


@lru_cache(maxsize=16)
def _crowd(study: Stored, teacher: str) -> Crowd:
    row = _teacher(study, teacher)
    table = found_table(row["dataset"], row["spec"]["data"], [study.row["plan"]]).table
    if table is None:
        raise CfqError(f"the table of {row['dataset']} went away")
    parts = split(table, row["seed"])
    training = table.values[parts.train]
    actions = ActionSet.fit(table.schema, training, row["spec"]["setting"]["regime"])
    return Crowd(Encoding.fit(table.schema, training), actions, table.values[parts.test])


@lru_cache(maxsize=64)
def models(study: Stored, teacher: str) -> Models:
    """The teacher and its students, in the study's order."""
    runs = tuple(study.runs[study.runs.teacher == teacher].run)
    students = IntegerNets.of([study.arrays(r, "weights") for r in runs])
    return Models(runs, FloatNet.of(study.arrays(teacher, "weights")), students)


def logits(study: Stored, teacher: str, values: Values) -> tuple[Float[np.ndarray, "n"], Float[np.ndarray, "m n"]]:
    """Of the teacher and of each of its students, for people in exact integer form; needs the table."""
    who = crowd(study, teacher)
    if isinstance(who, str):
        raise CfqError(who)
    return logits_at(study, teacher, who.encoding.encode(values))


def logits_at(
    study: Stored, teacher: str, inputs: Float[np.ndarray, "n d"]
) -> tuple[Float[np.ndarray, "n"], Float[np.ndarray, "m n"]]:
    """The same for encoded points, which need not be anybody."""
    m = models(study, teacher)
    return m.teacher.logits(inputs), m.students.logits(inputs)


def promised(study: Stored, teacher: str, person: int) -> Action | None:
    """What the teacher told somebody; None where it found nothing. Needs the table."""
    return _action(study, teacher, teacher, person)


def own_action(study: Stored, teacher: str, run: str, person: int) -> Action | None:
    """The cheapest action that the search finds on a student; stores keep its cost only, so it is searched anew."""
    return _action(study, teacher, run, person)


@lru_cache(maxsize=4096)
def _action(study: Stored, teacher: str, owner: str, person: int) -> Action | None:
    who = crowd(study, teacher)
    if isinstance(who, str):
        raise CfqError(who)
    if owner == teacher:
        told = study.arrays(teacher, "people")
        at = int(np.flatnonzero(told["person"] == person)[0])
        if told["why"][at] != 0:
            return None
        if "after" in told:
            return _spoken(who, told["before"][at], told["after"][at], float(told["margin"][at]), "stored")
        return _again(study, who, owner, person, float(told["cost"][at]))
    people = study.people(owner).set_index("person")
    return _again(study, who, owner, person, float(people.again_cost.get(person, np.nan)))


def _again(study: Stored, who: Crowd, owner: str, person: int, stored: float) -> Action | None:
    """Searched for now; ``stored`` is the cost that the audit's own search had."""
    from cfq_core.recourse.problem import Ask
    from cfq_core.study.models import searched

    x = who.values[[person]]
    found = searched(study.arrays(owner, "weights"), Ask(x, who.encoding, who.actions), study.setting)
    if not found.found[0]:
        return None
    same = np.isclose(found.cost[0], stored, rtol=SAME, atol=SAME)
    if same:
        origin = "searched anew, at the stored cost"
    else:
        of_audit = "does not hold one" if np.isnan(stored) else f"has one of cost {stored:.2f}"
        origin = f"searched anew; the store {of_audit}"
    return _spoken(who, x[0], found.after[0], float(found.margin[0]), origin)


def _spoken(who: Crowd, before: np.ndarray, after: np.ndarray, margin: float, origin: str) -> Action:
    lines, cost = who.actions.advice(before, after), float(who.actions.cost(before[None], after[None])[0])
    return Action(tuple(map(int, before)), tuple(map(int, after)), cost, margin, tuple(lines), origin)


@lru_cache(maxsize=64)
def _teacher(study: Stored, teacher: str) -> Row:
    with study.store() as store:
        return store.teacher(teacher)


def packed(values: Sequence[int]) -> str:
    """Somebody's values as the plain text that an option of a picture is."""
    return ",".join(map(str, map(int, values)))


def unpacked(values: str) -> Values:
    """Back again, as one row."""
    return np.array([[int(v) for v in values.split(",")]], np.int64)
