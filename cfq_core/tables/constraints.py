"""The sentences of a card that tie columns together, read into conditions.

::

    ltv = loan / price                                  a column that follows from others, and is not moved itself
    age rises by 2 with education                       for every level, or unit, that education rises
    amount changes by at most 20%                       of the person's own value, or of the column's units
    savings_used <= savings                             also >=, <, >; sums, differences, products and ratios
    if degree changes to master then age >= +2          +2: the person's own value and 2
    if housing is own or free then savings >= 5000      also: is not, rises, falls, changes, and
    at most one of phone is yes, car is yes
    limit_used <= own limit                             own: as the person is now

Names and levels that are no plain words stand in quotes. An error is a `BadTable` that says which word is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from cfq_core.base.errors import BadTable, unknown
from cfq_core.tables.conditions import (
    All,
    Arithmetic,
    AtMost,
    AtMostOne,
    Changes,
    Condition,
    Constant,
    Expression,
    Implies,
    Is,
    Of,
    Rise,
)
from cfq_core.tables.schema import Feature, Schema

KEYWORDS = frozenset("if then and or not is own changes rises falls to by with at most one of".split())
COMPARISONS = ("<=", ">=", "<", ">")
LARGEST = 500  # characters of a sentence
DEEPEST = 20  # brackets
_TOKEN = re.compile(r'\s*(?:("[^"]*"|\'[^\']*\')|(\d+(?:\.\d+)?%?)|([^\W\d]\w*)|(<=|>=|[<>=+\-*/(),]))')


@dataclass(frozen=True)
class Determined:
    """A column that nobody moves: it follows from others, and stays as it is while they do."""

    column: int
    value: Expression
    by_rise: bool = False  # own value plus what others rose by

    def words(self, schema: Schema) -> str:
        """A sentence."""
        name = schema.features[self.column].words
        if not self.by_rise:
            return f"{name} follows from {self.value.words(schema)}"
        assert isinstance(self.value, Arithmetic) and isinstance(self.value.left, Constant)
        assert isinstance(self.value.right, Rise)
        source, amount = schema.features[self.value.right.column], self.value.left.value
        each = "level" if source.levels else "unit"
        way = "rises" if amount > 0 else "falls"
        return f"{name} {way} by {abs(amount):g} for every {each} that {source.words} rises"


@dataclass(frozen=True)
class Nearby:
    """A number changes by at most a share of the person's own value, or an amount."""

    column: int
    most: float
    share: bool

    def words(self, schema: Schema) -> str:
        """A sentence."""
        f = schema.features[self.column]
        most = f"{100 * self.most:.10g} % of its value" if self.share else f"{self.most:,.10g} {f.unit}".strip()
        return f"{f.words} changes by at most {most}"


Constraint = Determined | Nearby | Condition


def sentence(schema: Schema, constraint: Constraint) -> str:
    """A constraint for a reader, in the card's words."""
    text = constraint.words(schema)
    return f"{text[:1].upper()}{text[1:]}."


def sentences(schema: Schema) -> list[str]:
    """All constraints of a schema, one sentence each."""
    return [sentence(schema, c) for c in constraints(schema)]


def constraints(schema: Schema) -> tuple[Constraint, ...]:
    """The constraints of a schema, read; raises `BadTable`."""
    found = tuple(read(schema, text) for text in schema.constraints)
    _check_order(schema, [c for c in found if isinstance(c, Determined)])
    return found


def quoted_name(name: str) -> str:
    """A name or level as a sentence writes it."""
    if re.fullmatch(r"[^\W\d]\w*", name) and name not in KEYWORDS:
        return name
    return f"'{name}'" if '"' in name else f'"{name}"'


def mentioned(text: str) -> frozenset[str]:
    """Every name or level that a sentence holds."""
    return frozenset(m.group().strip().strip("\"'") for m in _TOKEN.finditer(text))


def determined(schema: Schema) -> frozenset[str]:
    """Names of the columns that follow from others."""
    if not schema.constraints:
        return frozenset()
    return frozenset(schema.features[c.column].name for c in constraints(schema) if isinstance(c, Determined))


def _check_order(schema: Schema, found: list[Determined]) -> None:
    """No column follows from itself, however far round; none has two sources that disagree."""
    sources: dict[int, set[int]] = {}
    for c in found:
        if c.column in sources and not (c.by_rise and all(d.by_rise for d in found if d.column == c.column)):
            raise BadTable(f'"{schema.features[c.column].name}" follows from two sentences; one is enough')
        sources.setdefault(c.column, set()).update(c.value.columns())
    for start in sources:
        seen, left = set[int](), [start]
        while left:
            for source in sources.get(left.pop(), set()) - seen:
                seen.add(source)
                left.append(source)
        if start in seen:
            raise BadTable(f'"{schema.features[start].name}" follows from itself')


def read(schema: Schema, text: str) -> Constraint:
    """One constraint; raises `BadTable` with the word that is wrong."""
    if len(text) > LARGEST:
        raise BadTable(f"a constraint of {len(text)} characters; at most {LARGEST}")
    return _Reader(schema, text).constraint()


class _Reader:
    """Recursive descent over the tokens of one sentence."""

    def __init__(self, schema: Schema, text: str) -> None:
        self.schema, self.text, self.place, self.depth = schema, text, 0, 0
        self.index = {f.name: i for i, f in enumerate(schema.features)}
        self.tokens: list[str] = []
        at, text = 0, text.rstrip()
        while at < len(text):
            match = _TOKEN.match(text, at)
            if match is None:
                raise self.wrong(f"cannot read {text[at : at + 20].strip()!r}; quote names that are no plain words")
            self.tokens.append(match.group().strip())
            at = match.end()

    def wrong(self, why: str) -> BadTable:
        return BadTable(f'constraint "{self.text}": {why}')

    def peek(self, ahead: int = 0) -> str:
        place = self.place + ahead
        return self.tokens[place] if place < len(self.tokens) else ""

    def take(self) -> str:
        self.place += 1
        return self.tokens[self.place - 1] if self.place <= len(self.tokens) else ""

    def accept(self, *words: str) -> bool:
        if [self.peek(k) for k in range(len(words))] == list(words):
            self.place += len(words)
            return True
        return False

    def expect(self, *words: str) -> None:
        if not self.accept(*words):
            raise self.wrong(f"{' '.join(words)!r} expected {self.here()}")

    def here(self) -> str:
        return f"at {self.peek()!r}" if self.peek() else "at its end"

    # ------------------------------------------------------------------ sentences
    def constraint(self) -> Constraint:
        found = self._special() or self._condition_sentence()
        if self.peek():
            raise self.wrong(f"{self.peek()!r} is too much")
        return found

    def _special(self) -> Constraint | None:
        start = self.place
        if not self._is_name():
            return None
        i = self.column()
        if self.accept("="):
            self._check_number(i, "follow from others")
            return Determined(i, self.expression())
        if self.peek() in ("rises", "falls") and self.peek(1) == "by":
            way = 1 if self.take() == "rises" else -1
            self.take()
            self._check_number(i, "follow from others")
            amount = self.number()
            self.expect("with")
            j = self.column()
            if self.schema.features[j].is_category:
                raise self.wrong(f'"{self.schema.features[j].name}" is a category, which cannot rise')
            return Determined(i, Arithmetic("*", Constant(way * amount), Rise(j)), by_rise=True)
        if self.accept("changes", "by", "at", "most"):
            self._check_number(i, "change by an amount")
            share = self.peek().endswith("%")
            return Nearby(i, self.number() / (100 if share else 1), share)
        self.place = start
        return None

    def _condition_sentence(self) -> Condition:
        if self.accept("if"):
            given = self.conditions()
            self.expect("then")
            return Implies(given, self.conditions())
        if self.accept("at", "most", "one", "of"):
            parts = [self.flag()]
            while self.accept(","):
                parts.append(self.flag())
            if len(parts) < 2:
                raise self.wrong("lists one condition; two or more, with commas between")
            return AtMostOne(tuple(parts))
        return self.condition()

    def conditions(self) -> Condition:
        parts = [self.condition()]
        while self.accept("and"):
            parts.append(self.condition())
        return parts[0] if len(parts) == 1 else All(tuple(parts))

    def flag(self) -> Condition:
        """A condition, or a number alone: whether it is over 0."""
        if self._is_name() and self.peek(1) in (",", ""):
            i = self.column()
            if self.schema.features[i].levels:
                name = self.schema.features[i].name
                raise self.wrong(f'"{name}" has levels; say which: {quoted_name(name)} is ...')
            return AtMost(Constant(0.0), Of(i), strict=True)
        return self.condition()

    def condition(self) -> Condition:
        own = self.peek() == "own" and self._is_name(1)
        if (own or self._is_name()) and (levelled := self._of_levels(own)) is not None:
            return levelled
        left = self.expression()
        sign = self.take()
        if sign not in COMPARISONS:
            self.place -= 1
            raise self.wrong(f"one of {', '.join(COMPARISONS)} or is, changes, rises, falls expected {self.here()}")
        if self.accept("+"):
            if not isinstance(left, Of) or left.own:
                raise self.wrong("a number after a + is beside the person's own value, so one column stands before it")
            right: Expression = Arithmetic("+", Of(left.column, own=True), self.expression())
        else:
            right = self.expression()
        if sign in (">", ">="):
            left, right = right, left
        return AtMost(left, right, strict=sign in ("<", ">"))

    def _of_levels(self, own: bool) -> Condition | None:
        """A condition that starts with a column and a verb, or compares an ordinal with a level."""
        start = self.place
        self.place += own
        i = self.column()
        f = self.schema.features[i]
        if self.accept("is"):
            negated = self.accept("not")
            levels = self.levels(f)
            kept = tuple(k for k in range(len(f.levels)) if (k in levels) != negated)
            return Is(i, kept, own)
        if not own and self.peek() in ("changes", "rises", "falls"):
            verb = self.take()
            if verb != "changes" and f.is_category:
                raise self.wrong(f'"{f.name}" is a category, which cannot rise or fall')
            levels = self.levels(f) if verb == "changes" and self.accept("to") else ()
            return Changes(i, {"rises": "up", "falls": "down"}.get(verb, ""), levels)
        if f.kind == "ordinal" and self.peek() in COMPARISONS:
            sign, level = self.take(), self.levels(f)[0]
            ends = {"<=": (0, level + 1), "<": (0, level), ">=": (level, None), ">": (level + 1, None)}[sign]
            return Is(i, tuple(range(len(f.levels)))[slice(*ends)], own)
        self.place = start
        return None

    def levels(self, f: Feature) -> tuple[int, ...]:
        if not f.levels:
            raise self.wrong(f'"{f.name}" is a number; compare it with <=, >=, < or >')
        found = []
        while True:
            if not self.peek():
                raise self.wrong(f'a level of "{f.name}" expected at its end')
            word = self.take()
            level = word[1:-1] if word[0] in "\"'" else word
            if level not in f.levels:
                raise self.wrong(unknown(f'level of "{f.name}"', level, f.levels))
            found.append(f.levels.index(level))
            if not self.accept("or"):
                return tuple(found)

    # ------------------------------------------------------------------ expressions
    def expression(self) -> Expression:
        out = self.product()
        while self.peek() in ("+", "-"):
            out = Arithmetic(self.take(), out, self.product())
        return out

    def product(self) -> Expression:
        out = self.factor()
        while self.peek() in ("*", "/"):
            out = Arithmetic(self.take(), out, self.factor())
        return out

    def factor(self) -> Expression:
        if self.accept("("):
            self.depth += 1
            if self.depth > DEEPEST:
                raise self.wrong(f"more than {DEEPEST} brackets")
            inner = self.expression()
            self.expect(")")
            self.depth -= 1
            return inner
        if self.accept("-"):
            return Constant(-self.number())
        own = self.peek() == "own" and self._is_name(1)
        self.place += own
        if self._is_name():
            i = self.column()
            self._check_number(i, "be computed with")
            return Of(i, own)
        if self.peek()[:1].isdigit():
            return Constant(self.number())
        raise self.wrong(f"a number or a column expected {self.here()}")

    def number(self) -> float:
        word = self.peek()
        if not word[:1].isdigit():
            raise self.wrong(f"a number expected {self.here()}")
        self.take()
        return float(word.rstrip("%"))

    def _is_name(self, ahead: int = 0) -> bool:
        word = self.peek(ahead)
        return bool(word) and (word[0] in "\"'" or (re.match(r"[^\W\d]", word) is not None and word not in KEYWORDS))

    def column(self) -> int:
        if not self._is_name():
            raise self.wrong(f"a column expected {self.here()}")
        word = self.take()
        name = word[1:-1] if word[0] in "\"'" else word
        if name not in self.index:
            raise self.wrong(unknown("feature", name, list(self.index)))
        return self.index[name]

    def _check_number(self, i: int, what: str) -> None:
        f: Feature = self.schema.features[i]
        if f.levels or f.is_category:
            raise self.wrong(f'"{f.name}" has levels and cannot {what}; only numbers can')


def columns_of(found: Sequence[Determined]) -> dict[int, Expression]:
    """What each determined column is, sources before what follows from them; rises of one column are added up."""
    value: dict[int, Expression] = {}
    for c in found:
        start: Expression = value.get(c.column, Of(c.column, own=True)) if c.by_rise else c.value
        value[c.column] = Arithmetic("+", start, c.value) if c.by_rise else start
    ordered: dict[int, Expression] = {}
    while len(ordered) < len(value):
        for i, of in value.items():
            if i not in ordered and not (of.columns() & (value.keys() - ordered.keys())):
                ordered[i] = of
    return ordered
