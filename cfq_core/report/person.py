"""One denied person: who they are, what the teacher told them, and what every stored model decides about any values.

The table is read where it is on disk (see `test_people`); torch is loaded when a model is asked for the first time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from cfq_core.actions.action_set import ActionSet
from cfq_core.base.errors import CfqError
from cfq_core.datasets import slices
from cfq_core.datasets.fetch import FILES
from cfq_core.report import by_file
from cfq_core.report.frames import Stored
from cfq_core.study.pair import pair_of
from cfq_core.study.store import Row
from cfq_core.study.tables import found_table
from cfq_core.tables.encode import Encoding, Values
from cfq_core.tables.fitted import fitted
from cfq_core.tables.split import split

if TYPE_CHECKING:
    from cfq_core.nets.stack import Scorer, Stack
    from cfq_core.report.figures import Chosen

SAME = 1e-4  # relative: a stored cost is single precision in a gallery
LEAST = 1e-6  # relative: a cost this near to the proved least is the least
#: Boxes of actions that branch and bound may take for one person of a report: a second or two.
BOXES = 4_000
CHECKED = 500  # of an audit's people, whom its files are asked about before anybody tries other values
#: CPU seconds that somebody who looks at one person may give a proof; the first is the usual.
SECONDS = (5.0, 20.0, 120.0)


@dataclass(frozen=True)
class TestPeople:
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
class Cheapest:
    """What exact recourse knows of one person on one model."""

    action: Action | None  # the cheapest found; None: there is none, or none was found
    lower: float  # no allowed action that reaches the margin costs less; infinite: there is none

    @property
    def sure(self) -> str:
        """What is proved of its own action, or of there being none."""
        if self.action is not None:
            return self.of(self.action.cost)
        return "Proved: no allowed change is enough." if np.isinf(self.lower) else "Not proved that there is none."

    def of(self, cost: float) -> str:
        """What is proved of an action at this cost: that it is the cheapest, or by how much it may be too dear."""
        if self.lower >= cost * (1 - LEAST):
            return "Proved cheapest: no allowed change costs less."
        best = min(cost, self.action.cost) if self.action is not None else cost
        if self.lower >= best * (1 - LEAST):
            return f"Not the cheapest: {best:.2f} units are enough, proved the least ({1 - best / cost:.1%} less)."
        if best < cost * (1 - LEAST):
            return (
                f"Not the cheapest: {best:.2f} units are enough; a still cheaper one is not ruled out (none costs less "
                f"than {self.lower:.2f}: {saved(best, self.lower)})."
            )
        return (
            f"No cheaper action was found; it is not proved that there is none (none costs less than {self.lower:.2f}: "
            f"{saved(cost, self.lower)})."
        )


@dataclass(frozen=True)
class SoFar:
    """What a proof that goes on knows."""

    cost: float  # of the cheapest action found; infinite: none
    lower: float

    def of(self, cost: float) -> str:
        """What that says of an action at this cost; infinite: of no action."""
        none_below = f"none costs less than {self.lower:.2f} units"
        if math.isinf(best := min(cost, self.cost)):
            return f"no action is known; {none_below}"
        cheaper = f"{best:.2f} units are enough; " if best < cost * (1 - LEAST) else ""
        return f"{cheaper}{none_below}: {saved(best, self.lower)}"


def saved(cost: float, lower: float) -> str:
    """By how much an action may be too dear: as a share, and in units of cost."""
    left = max(0.0, cost - lower)
    return f"at most {left / cost if cost else 0.0:.1%} or {left:.2f} units could be saved"


@dataclass(frozen=True)
class Models:
    """One teacher and all its stored students, in float64."""

    runs: tuple[str, ...]
    teacher: Stack
    students: tuple[Scorer, ...]  # of several models each, where they are of one shape


def test_people(study: Stored, teacher: str) -> TestPeople | str:
    """Who the denied are; or why that cannot be told here, and what to do about it."""
    row = _teacher(study, teacher)
    found = found_table(row["dataset"], row["spec"]["data"], [study.row["plan"]])
    if found.table is not None:
        return _crowd(study, teacher)
    base = slices.base_of(row["dataset"])
    fetch = f" Fetch it with: cfq data fetch {base}" if base in FILES else ""
    return f"{found.missing}.{fetch}"


@lru_cache(maxsize=16)
def _crowd(study: Stored, teacher: str) -> TestPeople:
    row = _teacher(study, teacher)
    table = found_table(row["dataset"], row["spec"]["data"], [study.row["plan"]]).table
    if table is None:
        raise CfqError(f"the table of {row['dataset']} went away")
    file, regime = row["spec"].get("own") or {}, row["spec"]["setting"]["regime"]
    parts, everybody = split(table, row["seed"]), np.arange(len(table))
    of_all = file.get("rows") == "all"  # an audit of files that do not say whom they were trained on
    training, test = (everybody, everybody) if of_all else (parts.train, parts.test)
    table = fitted(table, training)
    encoding = Encoding.fit(table.schema, table.values[training])
    if constants := file.get("encoding"):
        encoding = replace(encoding, mean=tuple(constants["mean"]), std=tuple(constants["std"]))
    return TestPeople(encoding, ActionSet.fit(table.schema, table.values[training], regime), table.values[test])


@lru_cache(maxsize=64)
def models(study: Stored, teacher: str) -> Models:
    """The teacher and its students, in the study's order."""
    import torch

    from cfq_core.quant.quantized import QuantStack
    from cfq_core.study.models import model_of, student_of, teacher_of

    runs = tuple(study.runs[study.runs.teacher == teacher].run)
    if is_of_files(study):
        students: tuple[Scorer, ...] = tuple(model_of(study.arrays(r, "weights")).to(torch.float64) for r in runs)
    else:
        students = (QuantStack.join([student_of(study.arrays(r, "weights")) for r in runs]),)
    return Models(runs, teacher_of(study.arrays(teacher, "weights")).to(torch.float64), students)


def is_of_files(study: Stored) -> bool:
    """Whether it is an audit of two files, which need not be lists of layers."""
    return pair_of(study.row["plan"]) is not None


def only_computed(study: Stored, *owners: str) -> str:
    """Why nothing is proved of some of these models: a file that is no list of layers is only asked; else empty."""
    if not is_of_files(study) or all(by_file.has_layers(study, o) for o in owners):
        return ""
    return (
        "The cheapest way with proof, and the picture on the way to an action, need the layers of both files. One of "
        "these is no list of layers, only computed by onnxruntime: what its audit found is stored and shown."
    )


def not_kept(study: Stored, teacher: str) -> str:
    """Why a teacher and its students cannot be asked about other values, and what to do; empty where they can."""
    owners = _owners(study, teacher) if is_of_files(study) else ()
    return next(filter(None, (by_file.not_kept(study, o) for o in owners)), "")


def logits(study: Stored, teacher: str, values: Values) -> tuple[Float[np.ndarray, "n"], Float[np.ndarray, "m n"]]:
    """Of the teacher and of each of its students, for people in exact integer form; needs the table.

    A file that is no list of layers is asked in a process that stays up; an answer is kept.
    """
    who, owners = _known(study, teacher), _owners(study, teacher)
    if not only_computed(study, *owners):
        return logits_at(study, teacher, who.encoding.encode(values))
    first, *students = (_of_one(study, teacher, o, np.ascontiguousarray(values, np.int64).tobytes()) for o in owners)
    return first, np.stack(students)


def _owners(study: Stored, teacher: str) -> tuple[str, ...]:
    return teacher, *study.runs[study.runs.teacher == teacher].run


@lru_cache(maxsize=4096)
def _of_one(study: Stored, teacher: str, owner: str, values: bytes) -> Float[np.ndarray, "n"]:
    """Logits of one model of an audit of files, by its weights or by the file itself. The table is there: `logits`."""
    who = _crowd(study, teacher)
    each = np.frombuffer(values, np.int64).reshape(-1, len(who.encoding.schema.features))
    if by_file.has_layers(study, owner):
        from cfq_core.recourse.find import logits64
        from cfq_core.study.models import model_of

        return logits64(model_of(study.arrays(owner, "weights")), 0, who.encoding, each)
    return by_file.logits(study, owner, who.encoding.schema, each)


@lru_cache(maxsize=64)
def decided_otherwise(study: Stored, teacher: str) -> str:
    """How many of the audit's own people its files decide otherwise here than when they were audited; else empty."""
    who, kept = _known(study, teacher), [study.arrays(o, "people") for o in _owners(study, teacher)]
    due = [kept[0]["logits"], *(k["student"] for k in kept[1:])]
    here = logits(study, teacher, who.values[:CHECKED])
    differ = sum(((a > 0) != (b[:CHECKED] > 0)).sum() for a, b in zip((here[0], *here[1]), due, strict=True))
    if not differ:
        return ""
    return (
        f"onnxruntime makes {differ} of {len(due) * len(here[0]):,} of the audit's own decisions otherwise here than "
        "then (another version, or processor). What if tells what is decided here."
    )


def logits_at(
    study: Stored, teacher: str, inputs: Float[np.ndarray, "n d"]
) -> tuple[Float[np.ndarray, "n"], Float[np.ndarray, "m n"]]:
    """The same for encoded points, which need not be anybody."""
    import torch

    from cfq_core.nets.stack import score

    m, each = models(study, teacher), torch.tensor(inputs, dtype=torch.float64)[None]
    with torch.no_grad():
        students = torch.cat([score(s, each.expand(s.runs, -1, -1)) for s in m.students])
        return score(m.teacher, each)[0].numpy(), students.numpy()


@lru_cache(maxsize=4096)
def promised(study: Stored, teacher: str, person: int) -> Action | None:
    """What the teacher told somebody; None where it found nothing. Needs the table."""
    who, told = _known(study, teacher), study.arrays(teacher, "people")
    at = int(np.flatnonzero(told["person"] == person)[0])
    if told["why"][at] != 0:
        return None
    if "after" in told:
        return _spoken(who, told["before"][at], told["after"][at], float(told["margin"][at]), "stored")
    return _again(study, who, teacher, person, float(told["cost"][at]))


@lru_cache(maxsize=4096)
def cheapest(study: Stored, teacher: str, owner: str, person: int) -> Cheapest:
    """The cheapest action there is on a teacher or student, with its proof; what is proved already is not sought anew.

    Needs the table, and torch. Within `BOXES`: beyond, a lower bound is left and nothing is claimed.
    """
    return proof(study, teacher, owner, person, BOXES)


def proof(
    study: Stored,
    teacher: str,
    owner: str,
    person: int,
    limit: int | float,
    tell: Callable[[SoFar], None] | None = None,
) -> Cheapest:
    """The same within boxes, or CPU seconds where ``limit`` is a float; ``tell`` hears of it as it goes on."""
    who, told = _known(study, teacher), study.arrays(owner, "people")
    if owner == teacher and "after" in told and "proved" in told:
        at = int(np.flatnonzero(told["person"] == person)[0])
        if told["proved"][at] and told["why"][at] == 0:
            return Cheapest(promised(study, teacher, person), float(told["lower"][at]))

    from cfq_core.recourse.problem import RecourseQuery
    from cfq_core.study.models import proved

    x = who.values[[person]]
    ask, heard = RecourseQuery(x, who.encoding, who.actions), None
    if tell is not None:
        heard = lambda cost, lower: tell(SoFar(cost, lower))  # noqa: E731
    found = proved(study.arrays(owner, "weights"), ask, study.kappa(teacher), limit, heard)
    if not found.has_recourse[0]:
        return Cheapest(None, float(found.lower[0]))
    action = _spoken(who, x[0], found.after[0], float(found.margin[0]), "branch and bound")
    return Cheapest(action, float(found.lower[0]))


def _known(study: Stored, teacher: str) -> TestPeople:
    who = test_people(study, teacher)
    if isinstance(who, str):
        raise CfqError(who)
    return who


def _again(study: Stored, who: TestPeople, owner: str, person: int, stored: float) -> Action | None:
    """Searched for now; ``stored`` is the cost that the audit's own search had."""
    from cfq_core.recourse.problem import RecourseQuery
    from cfq_core.study.models import searched

    x = who.values[[person]]
    ask = RecourseQuery(x, who.encoding, who.actions)
    found = searched(study.arrays(owner, "weights"), ask, study.setting, study.kappa(owner))
    if not found.has_recourse[0]:
        return None
    same = np.isclose(found.cost[0], stored, rtol=SAME, atol=SAME)
    if same:
        origin = "searched anew, at the stored cost"
    else:
        of_audit = "does not hold one" if np.isnan(stored) else f"has one of cost {stored:.2f}"
        origin = f"searched anew; the store {of_audit}"
    return _spoken(who, x[0], found.after[0], float(found.margin[0]), origin)


def _spoken(who: TestPeople, before: np.ndarray, after: np.ndarray, margin: float, origin: str) -> Action:
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


# ---------------------------------------------------------------------- a few of them for a report
#: People in a report.
MOST = 3


@dataclass(frozen=True)
class Example:
    """One person, their promise, and the cheapest action on the student."""

    person: int
    promised: Action
    sure: str  # what is proved of the promise
    holds: bool
    logit: float  # of the student after the promised action
    own: Cheapest


def examples(study: Stored, of: Chosen) -> list[Example] | str:
    """The people whose promise fares worst on the chosen student; or why they cannot be shown here."""
    who = test_people(study, of.teacher)
    if isinstance(who, str) or (who := only_computed(study, of.teacher, of.run)):
        return who
    seen = study.people(of.run)
    level = study.runs.set_index("run").threshold[of.run] if of.matched else 0.0
    worst = seen[seen.has_recourse].nsmallest(MOST, "student_at")
    out = []
    for person, logit in zip(worst.person.astype(int), worst.student_at.astype(float), strict=True):
        action, best = promised(study, of.teacher, person), cheapest(study, of.teacher, of.teacher, person)
        if action is not None:
            own = cheapest(study, of.teacher, of.run, person)
            out.append(Example(person, action, best.of(action.cost), bool(logit > level), logit, own))
    return out
