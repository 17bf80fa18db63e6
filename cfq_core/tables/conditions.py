"""What constraints are made of: sums and ratios of columns, and conditions on what somebody was and may become.

Everything is judged on a `Span`, a box of people: a single person is the box whose ends agree. An expression gives
the ends of its values over the box (interval arithmetic, Moore 1966), a condition whether it holds for all of the
box and whether it can hold for any of it. So one evaluator judges actions and prunes boxes of them.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Int

from cfq_core.tables.schema import Schema

Values = Int[np.ndarray, "n f"]

NEARLY = 1e-9  # relative; decimals such as 0.1 + 0.2 are not exact in float64


class Ends(NamedTuple):
    """Least and greatest value of each row."""

    low: Float[np.ndarray, "n"]
    high: Float[np.ndarray, "n"]


class Verdicts(NamedTuple):
    """Of each row: holds for everybody in the box; can hold for somebody in it."""

    certain: Bool[np.ndarray, "n"]
    possible: Bool[np.ndarray, "n"]


@dataclass(frozen=True)
class Span:
    """Boxes of people, one a row, beside who they were: grid counts and levels, in the columns of the schema.

    ``open``: of a category, the levels that are in the box; where a category is not listed, ``low`` is its level.
    """

    schema: Schema
    before: Values
    low: Values
    high: Values
    open: dict[int, Bool[np.ndarray, "n levels"]]

    @staticmethod
    def at(schema: Schema, before: Values, after: Values) -> Span:
        """Single people."""
        return Span(schema, before, after, after, {})

    def ends(self, i: int, own: bool) -> Ends:
        """Raw units of a number, now or then."""
        f = self.schema.features[i]
        return Ends(*(f.raw(t[:, i]) for t in ((self.before,) * 2 if own else (self.low, self.high))))

    def levels(self, i: int, own: bool) -> Bool[np.ndarray, "n levels"]:
        """Levels of a category or ordinal that are in the box."""
        count = np.arange(len(self.schema.features[i].levels))
        if own:
            return np.asarray(count == self.before[:, i, None])
        if i in self.open:
            return self.open[i]
        return np.asarray((count >= self.low[:, i, None]) & (count <= self.high[:, i, None]))

    def unchanged(self, i: int) -> Verdicts:
        """Whether column ``i`` is as it was."""
        own = self.before[:, i]
        if i in self.open:
            rows = np.arange(len(own))
            may = self.open[i][rows, own]
            return Verdicts(may & (self.open[i].sum(1) == 1), may)
        low, high = self.low[:, i], self.high[:, i]
        return Verdicts((low == own) & (high == own), (low <= own) & (own <= high))


@runtime_checkable
class Expression(Protocol):
    """A number computed from columns."""

    def ends(self, span: Span) -> Ends:
        """Least and greatest value over each box."""
        ...

    def columns(self) -> frozenset[int]:
        """Columns whose later value counts."""
        ...

    def words(self, schema: Schema) -> str:
        """For a reader."""
        ...


@dataclass(frozen=True)
class Constant:
    """A number."""

    value: float

    def ends(self, span: Span) -> Ends:
        """The number, of everybody."""
        whole = np.full(len(span.before), self.value)
        return Ends(whole, whole)

    def columns(self) -> frozenset[int]:
        """None."""
        return frozenset()

    def words(self, schema: Schema) -> str:
        """Its digits."""
        return f"{self.value:,.10g}"


@dataclass(frozen=True)
class Of:
    """A column, as it is now (``own``) or afterwards."""

    column: int
    own: bool = False

    def ends(self, span: Span) -> Ends:
        """Raw units."""
        return span.ends(self.column, self.own)

    def columns(self) -> frozenset[int]:
        """Itself, unless its value now is meant."""
        return frozenset() if self.own else frozenset({self.column})

    def words(self, schema: Schema) -> str:
        """Its label."""
        return schema.features[self.column].words + " now" * self.own


@dataclass(frozen=True)
class Rise:
    """By how much a number has risen, in raw units, or an ordinal, in levels; 0 where it has not."""

    column: int

    def ends(self, span: Span) -> Ends:
        """From 0 up."""
        f, i = span.schema.features[self.column], self.column
        unit = 1.0 if f.levels else f.step
        return Ends(*(np.maximum(0, t[:, i] - span.before[:, i]) * unit for t in (span.low, span.high)))

    def columns(self) -> frozenset[int]:
        """Itself."""
        return frozenset({self.column})

    def words(self, schema: Schema) -> str:
        """Its label."""
        return f"rise of {schema.features[self.column].words}"


@dataclass(frozen=True)
class Arithmetic:
    """Two expressions with +, -, * or / between them."""

    sign: str
    left: Expression
    right: Expression

    def ends(self, span: Span) -> Ends:
        """Interval arithmetic; a ratio whose divisor may be 0 can be anything."""
        a, b = self.left.ends(span), self.right.ends(span)
        if self.sign == "+":
            return Ends(a.low + b.low, a.high + b.high)
        if self.sign == "-":
            return Ends(a.low - b.high, a.high - b.low)
        if self.sign == "*":
            return _corners(operator.mul, a, b)
        zero = (b.low <= 0) & (b.high >= 0)
        safe = Ends(*(np.where(zero, 1.0, end) for end in b))
        ratio = _corners(operator.truediv, a, safe)
        return Ends(np.where(zero, -np.inf, ratio.low), np.where(zero, np.inf, ratio.high))

    def columns(self) -> frozenset[int]:
        """Of both."""
        return self.left.columns() | self.right.columns()

    def words(self, schema: Schema) -> str:
        """With brackets where they are needed."""
        left, right = (_bracketed(e, schema) if self.sign in "*/" else e.words(schema) for e in (self.left, self.right))
        if self.sign == "-":
            right = _bracketed(self.right, schema)
        if self.sign == "/" and isinstance(self.right, Arithmetic) and not right.startswith("("):
            right = f"({right})"
        return f"{left} {self.sign} {right}"


def _corners(of: Callable[[np.ndarray, np.ndarray], np.ndarray], a: Ends, b: Ends) -> Ends:
    with np.errstate(invalid="ignore", over="ignore"):
        each = [np.nan_to_num(of(x, y), nan=0.0, posinf=np.inf, neginf=-np.inf) for x in a for y in b]
    return Ends(np.minimum.reduce(each), np.maximum.reduce(each))


def _bracketed(e: Expression, schema: Schema) -> str:
    return f"({e.words(schema)})" if isinstance(e, Arithmetic) and e.sign in "+-" else e.words(schema)


# ---------------------------------------------------------------------- conditions
@runtime_checkable
class Condition(Protocol):
    """Something that holds of a person's move, or does not."""

    def judge(self, span: Span) -> Verdicts:
        """For all, and for any, of each box."""
        ...

    def columns(self) -> frozenset[int]:
        """Columns whose later value counts."""
        ...

    def words(self, schema: Schema) -> str:
        """For a reader."""
        ...


@dataclass(frozen=True)
class AtMost:
    """``left <= right``, or ``left < right`` where it is ``strict``."""

    left: Expression
    right: Expression
    strict: bool = False

    def judge(self, span: Span) -> Verdicts:
        """Whether it holds."""
        return self.within(span, np.zeros(len(span.before)))

    def within(self, span: Span, excess: Float[np.ndarray, "n"]) -> Verdicts:
        """Whether left is at most right plus ``excess``."""
        a, b = self.left.ends(span), self.right.ends(span)
        size = np.maximum.reduce([np.abs(np.where(np.isfinite(t), t, 1.0)) for t in (*a, *b)]).clip(1.0)
        single = (a.low == a.high) & (b.low == b.high)
        wide, tight = NEARLY * size, NEARLY * np.where(single, size, 1.0)  # a box is never told more than its people
        strict = self.strict & (excess <= 0)  # who breaks it may break it as much
        certain, possible = np.where(strict, -wide, tight), np.where(strict, -tight, wide)
        with np.errstate(invalid="ignore"):
            return Verdicts(a.high - b.low <= certain + excess, a.low - b.high <= possible + excess)

    def excess(self, span: Span) -> Float[np.ndarray, "n"]:
        """By how much people break it as they are; 0 where they do not, or where it cannot be computed."""
        here = Span.at(span.schema, span.before, span.before)
        over = self.left.ends(here).low - self.right.ends(here).high
        return np.where(np.isfinite(over) & ~self.judge(here).certain, np.maximum(over, 0.0), 0.0)

    def columns(self) -> frozenset[int]:
        """Of both sides."""
        return self.left.columns() | self.right.columns()

    def words(self, schema: Schema) -> str:
        """The simpler side first."""
        left, right = self.left.words(schema), self.right.words(schema)
        if isinstance(self.right, Of) and not isinstance(self.left, Of):
            return f"{right} is {'over' if self.strict else 'at least'} {left}"
        return f"{left} is {'under' if self.strict else 'at most'} {right}"


@dataclass(frozen=True)
class Is:
    """A category or ordinal is at one of some levels, now (``own``) or afterwards."""

    column: int
    levels: tuple[int, ...]
    own: bool = False

    def judge(self, span: Span) -> Verdicts:
        """Whether it is."""
        there = span.levels(self.column, self.own)
        inside = np.isin(np.arange(there.shape[1]), self.levels)
        return Verdicts(np.asarray(~(there & ~inside).any(1)), np.asarray((there & inside).any(1)))

    def columns(self) -> frozenset[int]:
        """Itself, unless its level now is meant."""
        return frozenset() if self.own else frozenset({self.column})

    def words(self, schema: Schema) -> str:
        """With its levels."""
        f = schema.features[self.column]
        return f"{f.words} is {'now ' * self.own}{' or '.join(f.levels[k] for k in self.levels)}"


@dataclass(frozen=True)
class Changes:
    """A column is not as it was: in any way, up or down, or to one of some levels."""

    column: int
    way: str = ""  # "up", "down" or either
    levels: tuple[int, ...] = ()  # empty: any

    def judge(self, span: Span) -> Verdicts:
        """Whether it has changed."""
        i, same = self.column, span.unchanged(self.column)
        certain, possible = ~same.possible, ~same.certain
        if self.way:
            own, ends = span.before[:, i], (span.low[:, i], span.high[:, i])
            least, most = ends if self.way == "up" else (own - ends[1] + own, own - ends[0] + own)
            certain, possible = least > own, most > own
        if self.levels:
            there = Is(i, self.levels).judge(span)
            certain, possible = certain & there.certain, possible & there.possible
        return Verdicts(certain, possible)

    def columns(self) -> frozenset[int]:
        """Itself."""
        return frozenset({self.column})

    def words(self, schema: Schema) -> str:
        """With its levels."""
        f = schema.features[self.column]
        if self.levels:
            return f"{f.words} changes to {' or '.join(f.levels[k] for k in self.levels)}"
        return f"{f.words} {({'up': 'rises', 'down': 'falls'}).get(self.way, 'changes')}"


@dataclass(frozen=True)
class All:
    """Several conditions together."""

    parts: tuple[Condition, ...]

    def judge(self, span: Span) -> Verdicts:
        """Whether every one holds."""
        each = [part.judge(span) for part in self.parts]
        return Verdicts(*(np.logical_and.reduce([v[k] for v in each]) for k in (0, 1)))

    def columns(self) -> frozenset[int]:
        """Of all."""
        return frozenset().union(*(part.columns() for part in self.parts))

    def words(self, schema: Schema) -> str:
        """One after the other."""
        return " and ".join(part.words(schema) for part in self.parts)


@dataclass(frozen=True)
class Implies:
    """If one condition holds, another does."""

    given: Condition
    then: Condition

    def judge(self, span: Span) -> Verdicts:
        """Whether it does."""
        given, then = self.given.judge(span), self.then.judge(span)
        return Verdicts(~given.possible | then.certain, ~given.certain | then.possible)

    def columns(self) -> frozenset[int]:
        """Of both."""
        return self.given.columns() | self.then.columns()

    def words(self, schema: Schema) -> str:
        """If ..., then ..."""
        return f"if {self.given.words(schema)}, then {self.then.words(schema)}"


@dataclass(frozen=True)
class AtMostOne:
    """Of several conditions no two hold together."""

    parts: tuple[Condition, ...]

    def judge(self, span: Span) -> Verdicts:
        """Whether at most one holds."""
        each = [part.judge(span) for part in self.parts]
        certain, possible = (np.sum([v[k] for v in each], axis=0) for k in (0, 1))
        return Verdicts(possible <= 1, certain <= 1)

    def columns(self) -> frozenset[int]:
        """Of all."""
        return frozenset().union(*(part.columns() for part in self.parts))

    def words(self, schema: Schema) -> str:
        """A list."""
        return f"at most one of these: {'; '.join(part.words(schema) for part in self.parts)}"
