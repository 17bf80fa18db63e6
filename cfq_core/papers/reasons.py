"""Principal reasons of every denied test person: changes, each shown to be able to change this decision.

A reason is a feature whose change alone, within what the card allows, approves the person on the file that ships. At
most four are told, those first whose change is priced least: weighted L1 over the median absolute deviation, the cost
of the audit's own actions (Wachter, Mittelstadt and Russell 2018, section III; prices and scales: `actions/cost.py`).
Where no feature alone is enough, the smallest set is told in which every change is needed. Where nothing is found,
that is the answer. No reason is about a protected column or a fact about a person; which of these would alone decide
otherwise is told apart, for reviewers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from jaxtyping import Float, Int

from cfq_core.actions.action_set import ActionSet
from cfq_core.papers.alone import AT_ONCE, TRIED, Alone, Question, alone
from cfq_core.papers.shipped import Shipped
from cfq_core.papers.together import MOST, changed, parts, together
from cfq_core.tables.encode import Values

PEOPLE = 1000  # judged together

How = Literal["alone", "together", "more", "none"]
RULE = (
    "A reason is a feature whose change alone, within what the card allows, approves the person on the shipped model. "
    f"At most {MOST} are told, the cheapest change first, by the audit's cost: each number's change over its scale "
    "(median absolute deviation), a fixed price per switched category (Wachter, Mittelstadt and Russell 2018). "
    f"Of a number up to {TRIED} values on either side were run and the distance to the nearest that approves halved; "
    "of a category every level allowed. Where no feature alone is enough, a smallest set that was found is told, "
    "in which every change is needed. Protected columns and facts about a person are never reasons."
)
#: What is said of a person who has no reasons.
WORDS: dict[How, str] = {
    "alone": "each change alone approves",
    "together": "approves only together; every change is needed",
    "more": f"no reasons told: approval needs more than {MOST} changes at once",
    "none": "no reasons told: no change that was tried approves",
}


@dataclass(frozen=True)
class Reason:
    """One change, and the whole row at which the model approves."""

    feature: int
    after: Int[np.ndarray, "f"]
    cost: float  # of this change, in scale units


@dataclass(frozen=True)
class Denied:
    """What is told about one denied person."""

    person: int  # position among the test rows
    before: Int[np.ndarray, "f"]
    how: How
    reasons: tuple[Reason, ...]
    decides: Mapping[int, int]  # protected column, or fact -> another value that alone would approve


def reasons_of(
    test: Values, denied: Int[np.ndarray, "n"], actions: ActionSet, shipped: Shipped, training: Values,
    known: Mapping[int, Int[np.ndarray, "f"]],
) -> list[Denied]:  # fmt: skip
    """Reasons of the denied among the test rows; ``known``: an action that the audit found on this student, by row."""
    question, out = Question(actions, shipped.decide), []
    for start in range(0, len(denied), PEOPLE):
        out += _block(question, test, denied[start : start + PEOPLE], training, known)
    return _confirmed(question, out, shipped)


def _block(
    question: Question, test: Values, denied: Int[np.ndarray, "n"], training: Values,
    known: Mapping[int, Int[np.ndarray, "f"]],
) -> list[Denied]:  # fmt: skip
    """Some of the denied at once, so that memory does not grow with how many there are."""
    before, actions = test[denied], question.actions
    each = [alone(question, i, before) for i in question.movable]
    unchanging = [i for i in range(test.shape[1]) if i not in question.movable and i not in actions.followers]
    decides = {i: _other_value(question, i, before, training) for i in unchanging}
    out = []
    for k, person in enumerate(denied.tolist()):
        how, reasons = _told(question, before[k], each, k, known.get(person))
        told = {i: int(v[k]) for i, v in decides.items() if v[k] != before[k, i]}
        out.append(Denied(person, before[k], how, reasons, told))
    return out


def _told(
    question: Question, before: Int[np.ndarray, "f"], each: list[Alone], k: int, known: Int[np.ndarray, "f"] | None
) -> tuple[How, tuple[Reason, ...]]:
    """How many changes it takes for one person, and which."""
    enough = sorted((a.cost[k], a.feature, a.after[k]) for a in each if np.isfinite(a.cost[k]))[:MOST]
    if enough:
        return "alone", tuple(Reason(i, after, float(cost)) for cost, i, after in enough)
    row = together(question, before, each, k, known)
    if row is None:
        beyond = known is not None and bool(question.approved(before[None], known[None])[0])
        return ("more" if beyond else "none"), ()
    members, reasons = changed(question, before, row), []
    for i in members:
        one = before.copy()
        one[i] = row[i]
        reasons.append(Reason(i, row, float(question.actions.cost(before[None], one[None])[0])))
    return "alone" if len(members) == 1 else "together", tuple(sorted(reasons, key=lambda r: r.cost))


def _other_value(question: Question, i: int, before: Values, training: Values) -> Int[np.ndarray, "n"]:
    """A value of a column that nobody changes at which each person is approved, the nearest; their own where none is.

    Levels of a category or ordinal, else up to twice `TRIED` values of the training rows, evenly spaced in rank.
    """
    f = question.actions.schema.features[i]
    seen = np.arange(len(f.levels)) if f.levels else np.unique(training[:, i])
    tried = seen[np.unique(np.linspace(0, len(seen) - 1, min(len(seen), 2 * TRIED)).round().astype(int))]
    rows = np.repeat(before, len(tried), axis=0)
    rows[:, i] = np.tile(tried, len(before))
    approves = (question.logits(rows) > 0).reshape(len(before), len(tried))
    far = np.where(approves, np.abs(tried[None] - before[:, [i]]), np.iinfo(np.int64).max)
    at = far.argmin(1)
    return np.where(approves[np.arange(len(before)), at], tried[at], before[:, i])


def _confirmed(question: Question, found: list[Denied], shipped: Shipped) -> list[Denied]:
    """The same without what does not hold at every way to run the model: too few is said, too much is not."""
    claims = [_claims(question, d) for d in found]
    logits = _every(shipped, np.concatenate(claims)) if found else np.zeros((1, 0))
    out, start = [], 0
    for d, rows in zip(found, claims, strict=True):
        of = logits[:, start : start + len(rows)]
        start += len(rows)
        if d.how == "together" and not ((of[:, 0] > 0).all() and (of[:, 1:] <= 0).all()):
            d = replace(d, how="none", reasons=())
        elif d.how == "alone":
            kept = tuple(r for r, good in zip(d.reasons, np.all(of > 0, axis=0).tolist(), strict=True) if good)
            d = replace(d, how="alone" if kept else "none", reasons=kept)
        out.append(d)
    return out


def _claims(question: Question, d: Denied) -> Values:
    """Rows that are said to be approved; of a set of changes the whole one, then its allowed parts, which are not."""
    rows = np.array([r.after for r in d.reasons], np.int64).reshape(-1, len(d.before))
    if d.how != "together":
        return rows
    some = parts(question, d.before, rows[0])
    return np.concatenate([rows[:1], some[question.allowed(np.repeat(d.before[None], len(some), axis=0), some)]])


def _every(shipped: Shipped, rows: Values) -> Float[np.ndarray, "ways n"]:
    return np.concatenate([shipped.every(rows[i : i + AT_ONCE]) for i in range(0, max(len(rows), 1), AT_ONCE)], axis=1)
