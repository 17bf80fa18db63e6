"""What a change of one feature alone does to each denied person's decision, on the file that ships.

Of a number up to `TRIED` values on either side are run, spread over all that the card allows this person (every one of
them where there are no more), then the distance to the nearest that is approved is halved; of a category every level
that they may move to. A change counts only where the card allows it whole, with the columns that follow from it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Int

from cfq_core.actions.action_set import ActionSet
from cfq_core.tables.encode import Values

TRIED = 32  # values of a number on either side
AT_ONCE = 50_000  # rows run together

#: People in exact integer form -> logits; approved above 0.
Decide = Callable[[Values], Float[np.ndarray, "n"]]


@dataclass(frozen=True)
class Question:
    """Which changes may be named as reasons, and what decides."""

    actions: ActionSet
    decide: Decide

    @cached_property
    def movable(self) -> tuple[int, ...]:
        """Features that a reason may be about: those a person may change; no protected one and no fact about them."""
        features, asked = self.actions.schema.features, (*self.actions.numbers, *self.actions.switches)
        return tuple(i for i in sorted(asked) if not (features[i].protected or features[i].immutable))

    @cached_property
    def kept(self) -> tuple[int, ...]:
        """Columns that no change may touch, not even as one that follows."""
        return tuple(i for i, f in enumerate(self.actions.schema.features) if f.protected or f.immutable)

    def logits(self, rows: Values) -> Float[np.ndarray, "n"]:
        """In parts, so that memory does not grow with how many there are."""
        parts = [self.decide(rows[i : i + AT_ONCE]) for i in range(0, len(rows), AT_ONCE)]
        return np.concatenate(parts) if parts else np.zeros(0)

    def allowed(self, before: Values, after: Values) -> Bool[np.ndarray, "n"]:
        """Whether each change is one, within the card, and leaves protected columns and facts alone."""
        kept, same = list(self.kept), (before == after).all(1)
        return self.actions.legal(before, after) & (before[:, kept] == after[:, kept]).all(1) & ~same

    def approved(self, before: Values, after: Values) -> Bool[np.ndarray, "n"]:
        """Whether each change is allowed and decides otherwise."""
        return self.allowed(before, after) & (self.logits(after) > 0)


@dataclass(frozen=True)
class Alone:
    """One feature by itself, for n denied people."""

    feature: int
    after: Values  # their row with the cheapest change that was found; as they are where none approves
    cost: Float[np.ndarray, "n"]  # infinite where none approves
    best: Int[np.ndarray, "n 2"]  # values tried that come nearest to approval, of a number one on either side
    gain: Float[np.ndarray, "n"]  # logits, of the better of them; -infinite where they cannot change it


def alone(question: Question, i: int, before: Values) -> Alone:
    """The cheapest change of feature ``i`` alone that approves each person."""
    tried = values(question.actions, i, before)
    people, each = tried.shape
    start = np.repeat(before, each, axis=0)
    rows = placed(question.actions, start, i, tried.reshape(-1))
    logits = question.logits(rows)
    approves = ((logits > 0) & question.allowed(start, rows)).reshape(people, each)
    cost = np.where(approves, question.actions.cost(start, rows).reshape(people, each), np.inf)
    at, everybody = cost.argmin(1), np.arange(people)
    found = np.isfinite(cost[everybody, at])
    there = np.where(found, tried[everybody, at], before[:, i])
    if not question.actions.schema.features[i].is_category:
        there = _halved(question, i, before, tried, there)
    after = placed(question.actions, before, i, there)
    after[~found] = before[~found]
    price = np.where(found, question.actions.cost(before, after), np.inf)
    of = np.where(tried == before[:, [i]], -np.inf, logits.reshape(people, each))
    best = _best(tried, of, question.actions.schema.features[i].is_category)
    return Alone(i, after, price, best, of.max(1) - question.logits(before))


def placed(actions: ActionSet, before: Values, i: int, there: Int[np.ndarray, "n"]) -> Values:
    """Everybody with another value of one feature, and what follows from it."""
    after = before.copy()
    after[:, i] = there
    return actions.completed(before, after)


def values(actions: ActionSet, i: int, before: Values) -> Int[np.ndarray, "n k"]:
    """Values of feature ``i`` to try for each person, nearest first on either side; their own where there are fewer."""
    own = before[:, i]
    if actions.schema.features[i].is_category:
        reach, levels = actions.reachable(i, before), np.arange(len(actions.schema.features[i].levels))
        return np.where(reach, levels[None, :], own[:, None])
    parts = np.arange(1, TRIED + 1) / TRIED
    ends = [np.rint(own[:, None] + (end - own)[:, None] * parts).astype(np.int64) for end in actions.box(i, before)]
    return np.concatenate(ends, axis=1)


def _best(tried: Int[np.ndarray, "n k"], logits: Float[np.ndarray, "n k"], category: bool) -> Int[np.ndarray, "n 2"]:
    """Two values of each person; of a number the furthest among equals, and its end where one side is shut."""
    everybody, half = np.arange(len(tried)), tried.shape[1] // 2
    if category:
        order = np.argsort(-logits, axis=1, kind="stable")[:, :2]
        return np.take_along_axis(tried, np.pad(order, ((0, 0), (0, 2 - order.shape[1])), mode="edge"), axis=1)
    sides = []
    for first, other in ((0, half), (half, 0)):
        of = logits[:, first : first + half]
        at = half - 1 - of[:, ::-1].argmax(1)
        shut = np.isneginf(of).all(1)
        sides.append(np.where(shut, tried[:, other + half - 1], tried[everybody, first + at]))
    return np.stack(sides, axis=1)


def _halved(
    question: Question, i: int, before: Values, tried: Int[np.ndarray, "n k"], there: Int[np.ndarray, "n"]
) -> Int[np.ndarray, "n"]:
    """Nearer values that approve too, between the one found and the last on the way to it that does not."""
    own = before[:, i]
    way, far = (there - own)[:, None], np.abs(tried - own[:, None])
    on_it = (np.sign(tried - own[:, None]) == np.sign(way)) & (far < np.abs(way))
    near = own + np.sign(there - own) * np.where(on_it, far, 0).max(1)
    while (rows := np.flatnonzero(np.abs(there - near) > 1)).size:
        middle = near[rows] + (there[rows] - near[rows]) // 2
        start = before[rows]
        good = question.approved(start, placed(question.actions, start, i, middle))
        there[rows[good]], near[rows[~good]] = middle[good], middle[~good]
    return there
