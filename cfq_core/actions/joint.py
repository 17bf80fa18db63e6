"""The constraints of a card as an action set needs them: limits of one feature, columns that follow, and the rest.

A constraint on one movable feature alone only narrows what each person can reach there. Only what ties several
movable features together is judged on whole actions. A constraint that somebody breaks as they are does not shut
them in: an inequality may be broken by no more than now, any other constraint asks nothing until one of its columns
has changed. Every regime keeps all constraints.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Int

from cfq_core.tables.conditions import NEARLY, AtMost, Condition, Expression, Of, Span, Values, Verdicts
from cfq_core.tables.constraints import Constraint, Determined, Nearby, columns_of, constraints, sentence
from cfq_core.tables.schema import Schema

FAR = 10**12  # grid counts: where a ratio may be anything


@dataclass(frozen=True)
class Joint:
    """The constraints of a schema whose moves are as the regime allows."""

    schema: Schema

    @cached_property
    def found(self) -> tuple[Constraint, ...]:
        """All of them, in the card's order."""
        return constraints(self.schema)

    @cached_property
    def follows(self) -> dict[int, Expression]:
        """What each column is that follows from movable ones, sources first."""
        every = columns_of([c for c in self.found if isinstance(c, Determined)])
        movable = {i for i, f in enumerate(self.schema.features) if f.move != "fixed"}
        out: dict[int, Expression] = {}
        for i, value in every.items():
            if value.columns() & (movable | out.keys()):
                out[i] = value
        return out

    @cached_property
    def moving(self) -> frozenset[int]:
        """Columns that can change."""
        return frozenset({*(i for i, f in enumerate(self.schema.features) if f.move != "fixed"), *self.follows})

    @cached_property
    def conditions(self) -> tuple[Condition, ...]:
        """What is asked of whole actions."""
        asked = [c for c in self.found if not isinstance(c, Determined | Nearby)]
        return tuple(c for c in asked if self._tied(c) and not self._alone(c))

    @property
    def ties(self) -> bool:
        """Whether features depend on each other, so that no feature can be moved by itself."""
        return bool(self.follows or self.conditions)

    @cached_property
    def involved(self) -> frozenset[int]:
        """Columns whose exact value matters to another."""
        parts = [self._tied(c) for c in self.conditions] + [v.columns() & self.moving for v in self.follows.values()]
        return frozenset().union(*parts)

    def _tied(self, c: Condition) -> frozenset[int]:
        return c.columns() & self.moving

    def _alone(self, c: Condition) -> bool:
        """Whether a condition only narrows one feature: a bound of a number, or levels of a category."""
        if len(self._tied(c)) != 1:
            return False
        (i,) = self._tied(c)
        if i in self.follows:
            return False
        if self.schema.features[i].is_category:
            return True
        return isinstance(c, AtMost) and any(
            isinstance(side, Of) and side.columns() == {i} and not other.columns() & self.moving
            for side, other in ((c.left, c.right), (c.right, c.left))
        )

    # ------------------------------------------------------------------ one feature
    def narrowed(
        self, i: int, before: Values, low: Int[np.ndarray, "n"], high: Int[np.ndarray, "n"]
    ) -> tuple[Int[np.ndarray, "n"], Int[np.ndarray, "n"]]:
        """Ends of number ``i`` inside what constraints leave of them; each person's own value always."""
        own = before[:, i]
        for c in self.found:
            least, most = self._ends(c, i, before)
            low = np.maximum(low, np.minimum(own, least))
            high = np.minimum(high, np.maximum(own, most))
        return low, high

    def _ends(self, c: Constraint, i: int, before: Values) -> tuple[Int[np.ndarray, "n"], Int[np.ndarray, "n"]]:
        f, own = self.schema.features[i], before[:, i]
        least, most = np.full(len(own), -FAR), np.full(len(own), FAR)
        if isinstance(c, Nearby) and c.column == i:
            reach = np.abs(f.raw(own)) * c.most if c.share else np.full(len(own), c.most)
            steps = _floor(reach / f.step)
            return own - steps, own + steps
        if not isinstance(c, AtMost) or self._tied(c) != {i} or not self._alone(c):
            return least, most
        upper = isinstance(c.left, Of) and c.left.columns() == {i}
        value = (c.right if upper else c.left).ends(Span.at(self.schema, before, before))
        known = value.low == value.high
        counts = np.where(known, value.low, 0.0) / f.step
        if upper:
            most = -_floor(-counts) - 1 if c.strict else _floor(counts)
        else:
            least = _floor(counts) + 1 if c.strict else -_floor(-counts)
        return np.where(known, least, own), np.where(known, most, own)

    def open(self, i: int, before: Values) -> Bool[np.ndarray, "n levels"]:
        """Levels of category ``i`` that constraints leave each person; their own always."""
        levels = len(self.schema.features[i].levels)
        out = np.ones((len(before), levels), bool)
        for c in self.found:
            if isinstance(c, Determined | Nearby) or self._tied(c) != {i} or not self._alone(c):
                continue
            for k in range(levels):
                after = before.copy()
                after[:, i] = k
                out[:, k] &= c.judge(Span.at(self.schema, before, after)).certain
        out[np.arange(len(before)), before[:, i]] = True
        return out

    # ------------------------------------------------------------------ whole actions
    def completed(self, before: Values, after: Values) -> Values:
        """The same actions with every column that follows where it follows to; as it was where that is nowhere."""
        if not self.follows:
            return after
        after = after.copy()
        for i in self.follows:
            after[:, i] = before[:, i]
            counts, known = self._followed(i, before, after)
            after[:, i] = np.where(known, counts, before[:, i])
        return after

    def _followed(self, i: int, before: Values, after: Values) -> tuple[Int[np.ndarray, "n"], Bool[np.ndarray, "n"]]:
        value = self.follows[i]
        ends = value.ends(Span.at(self.schema, before, after))
        counts = self._counts(i, ends.low)
        least, most = self._limits(i, before[:, i])
        sources = sorted(value.columns())
        same = (before[:, sources] == after[:, sources]).all(1)
        known = (ends.low == ends.high) & (counts >= least) & (counts <= most)
        return np.where(same, before[:, i], counts), same | known

    def _counts(self, i: int, raw: Float[np.ndarray, "n"]) -> Int[np.ndarray, "n"]:
        """Grid counts of raw units, halves upwards."""
        return _floor(np.clip(raw / self.schema.features[i].step, -FAR, FAR) + 0.5)

    def _limits(self, i: int, own: Int[np.ndarray, "n"]) -> tuple[Int[np.ndarray, "n"], Int[np.ndarray, "n"]]:
        """The card's low and high of a column that follows, which never exclude the person's own value."""
        f = self.schema.features[i]
        low = -FAR if f.low is None else int(np.ceil(f.low / f.step - NEARLY))
        high = FAR if f.high is None else int(np.floor(f.high / f.step + NEARLY))
        return np.minimum(own, max(low, 0) if f.log else low), np.maximum(own, high)

    def holds(self, before: Values, after: Values) -> Bool[np.ndarray, "n"]:
        """Whether each action keeps what ties features together."""
        ok = np.ones(len(before), bool)
        for i in self.follows:
            counts, known = self._followed(i, before, after)
            ok &= known & (counts == after[:, i])
        return ok & self._judged(Span.at(self.schema, before, after)).certain

    def possible(self, span: Span) -> Bool[np.ndarray, "n"]:
        """Whether each box can hold an action that keeps all conditions."""
        return self._judged(span).possible

    def _judged(self, span: Span) -> Verdicts:
        certain, possible = np.ones(len(span.before), bool), np.ones(len(span.before), bool)
        for c in self.conditions:
            found = self.asked(c, span)
            certain, possible = certain & found.certain, possible & found.possible
        return Verdicts(certain, possible)

    def asked(self, c: Condition, span: Span) -> Verdicts:
        """One condition, as far as it binds somebody who may break it already."""
        found = c.within(span, c.excess(span)) if isinstance(c, AtMost) else c.judge(span)
        still = [span.unchanged(i) for i in self._tied(c)]
        certain, possible = (np.logical_and.reduce([v[k] for v in still]) for k in (0, 1))
        return Verdicts(found.certain | certain, found.possible | possible)

    def broken(self, before: Int[np.ndarray, "f"], after: Int[np.ndarray, "f"]) -> Iterator[str]:
        """The sentence of each constraint that one person's action breaks."""
        span = Span.at(self.schema, before[None], after[None])
        for i in self.follows:
            counts, known = self._followed(i, before[None], after[None])
            if not known[0] or counts[0] != after[i]:
                yield from (sentence(self.schema, c) for c in self.found if _of(c, i))
        yield from (sentence(self.schema, c) for c in self.conditions if not self.asked(c, span).certain[0])

    def followed_ends(self, span: Span) -> tuple[Values, Values, Bool[np.ndarray, "n"]]:
        """Ends of every column, those that follow where their sources lead, and which boxes hold any action."""
        low, high, alive = span.low.copy(), span.high.copy(), np.ones(len(span.before), bool)
        for i, value in self.follows.items():
            ends = value.ends(Span(self.schema, span.before, low, high, span.open))
            own, sources = span.before[:, i], sorted(value.columns())
            here = span.before[:, sources]
            may = ((low[:, sources] <= here) & (here <= high[:, sources])).all(1)
            only = may & (low[:, sources] == high[:, sources]).all(1)
            least, most = (self._counts(i, end) for end in ends)
            least, most = np.where(may, np.minimum(least, own), least), np.where(may, np.maximum(most, own), most)
            limits = self._limits(i, own)
            least, most = np.maximum(least, limits[0]), np.minimum(most, limits[1])
            low[:, i], high[:, i] = np.where(only, own, least), np.where(only, own, most)
            alive &= low[:, i] <= high[:, i]
        return low, np.maximum(low, high), alive


def _floor(counts: Float[np.ndarray, "n"]) -> Int[np.ndarray, "n"]:
    return np.floor(counts + NEARLY * np.maximum(1.0, np.abs(counts))).clip(-FAR, FAR).astype(np.int64)


def _of(c: Constraint, i: int) -> bool:
    return isinstance(c, Determined) and c.column == i
