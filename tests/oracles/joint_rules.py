"""The constraints of a card, read and judged a second time: on raw cells, by fractions, one person at a time.

No code is shared with `cfq_core.tables.constraints`. A sentence is cut by regular expressions, its arithmetic is
rewritten as Python and evaluated on fractions of the printed decimals.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cache, cached_property
from types import CodeType
from typing import Any

from cfq_core.tables.schema import Feature, Schema

Cells = Mapping[str, Any]
_WORD = re.compile(r'"[^"]*"|\'[^\']*\'|\d+(?:\.\d+)?|[^\W\d]\w*|<=|>=|[<>+\-*/()]')


def exact(cell: Any) -> Any:
    """A number as the fraction its digits say; a word as it is."""
    return cell if isinstance(cell, str | Fraction) else _fraction(float(cell))


@cache
def _fraction(number: float) -> Fraction:
    return Fraction(str(number))


@dataclass(frozen=True)
class Sentences:
    """All constraints of a schema, for one move at a time."""

    schema: Schema

    @cached_property
    def _sources(self) -> dict[str, list[str]]:
        return self.followers()

    def followers(self) -> dict[str, list[str]]:
        """Columns that follow, each with the columns it follows from."""
        out: dict[str, list[str]] = {}
        for text in self.schema.constraints:
            name = _bare(_WORD.match(text).group())  # type: ignore[union-attr]
            if f := _follow(text):
                out.setdefault(f[0], []).append(f[2])
            elif _derive(text):
                out[name] = self._names(_derive(text)[1])  # type: ignore[index]
        return out

    def completed(self, before: Cells, after: Cells) -> dict[str, Any] | None:
        """The move with what follows put in place; None where it follows to nowhere."""
        row, left = dict(after), dict(self._sources)
        while left:
            name = next(n for n, sources in left.items() if not set(sources) & left.keys())
            if (value := self._followed(name, left.pop(name), before, row)) is None:
                return None
            row[name] = value
        return row

    def broken(self, before: Cells, after: Cells) -> list[str]:
        """The sentences that a move breaks."""
        out = []
        before, after = ({n: exact(v) for n, v in row.items()} for row in (before, after))
        done = self.completed(before, after)
        for name in self._sources:
            if done is None or exact(done[name]) != exact(after[name]):
                out.append(f"{name} does not follow")
        return out + [text for text in self.schema.constraints if not self._kept(text, before, after)]

    # ------------------------------------------------------------------ what follows
    def _followed(self, name: str, sources: list[str], before: Cells, after: Cells) -> Any:
        if all(exact(before[s]) == exact(after[s]) for s in sources):
            return before[name]
        f, own = self.schema[name], exact(before[name])
        value = Fraction(0)
        for text in self.schema.constraints:
            if (told := _follow(text)) and told[0] == name:
                value += told[1] * max(Fraction(0), self._place(told[2], after) - self._place(told[2], before))
            elif (told2 := _derive(text)) and _bare(told2[0]) == name:
                try:
                    value = self._value(told2[1], before, after) - own
                except ZeroDivisionError:
                    return None
        steps = math.floor((own + value) / Fraction(str(f.step)) + Fraction(1, 2))
        low = None if f.low is None else math.ceil(Fraction(str(f.low)) / Fraction(str(f.step)))
        high = None if f.high is None else math.floor(Fraction(str(f.high)) / Fraction(str(f.step)))
        here = own / Fraction(str(f.step))
        low = max(low or 0, 0) if f.log else low
        if (low is not None and steps < min(low, here)) or (high is not None and steps > max(high, here)):
            return None
        return float(steps * Fraction(str(f.step)))

    def _place(self, name: str, row: Cells) -> Fraction:
        f = self.schema[name]
        return Fraction(f.levels.index(row[name])) if f.levels else exact(row[name])

    # ------------------------------------------------------------------ what is asked
    def _kept(self, text: str, before: Cells, after: Cells) -> bool:
        if _follow(text) or _derive(text):
            return True
        if told := re.fullmatch(r"(.+?) changes by at most ([\d.]+)(%?)", text):
            name, most = _bare(told[1]), Fraction(told[2])
            most *= abs(exact(before[name])) / 100 if told[3] else 1
            return bool(abs(exact(after[name]) - exact(before[name])) <= most)
        holds = self._sentence(text, before, after)
        if holds or not any(exact(before[n]) != exact(after[n]) for n in self._later(text)):
            return True
        if text.startswith(("if ", "at most one")) or self._verb(text):
            return False
        try:
            return bool(0 < self._over(text, before, before) >= self._over(text, before, after))
        except ZeroDivisionError:
            return False

    def _sentence(self, text: str, before: Cells, after: Cells) -> bool:
        if text.startswith("if "):
            given, then = re.split(r" then ", text[3:], maxsplit=1)
            return not self._all(given, before, after) or self._all(then, before, after)
        if text.startswith("at most one of "):
            parts = [p.strip() for p in text.removeprefix("at most one of ").split(",")]
            parts = [p if re.search(r" |<|>", p) else f"{p} > 0" for p in parts]
            return sum(self._one(p, before, after) for p in parts) <= 1
        return self._one(text, before, after)

    def _all(self, text: str, before: Cells, after: Cells) -> bool:
        return all(self._one(part, before, after) for part in re.split(r" and ", text))

    def _one(self, text: str, before: Cells, after: Cells) -> bool:
        if verb := self._verb(text):
            return verb(before, after)
        if comparison := self._levels_compared(text):
            return comparison(before, after)
        sign = re.search(r"<=|>=|<|>", text)[0]  # type: ignore[index]
        try:
            over = self._over(text, before, after)
        except ZeroDivisionError:
            return False
        return bool(over < 0 if len(sign) == 1 else over <= 0)

    def _verb(self, text: str) -> Callable[[Cells, Cells], bool] | None:
        name = r"(own )?(\"[^\"]*\"|'[^']*'|\w+)"
        if told := re.fullmatch(rf"{name} is (not )?(.+)", text):
            wanted = [_bare(w) for w in re.split(r" or ", told[4])]
            column, own, negated = _bare(told[2]), bool(told[1]), bool(told[3])
            return lambda b, a: ((b if own else a)[column] in wanted) != negated
        if told := re.fullmatch(rf"{name} changes to (.+)", text):
            wanted, column = [_bare(w) for w in re.split(r" or ", told[3])], _bare(told[2])
            return lambda b, a: a[column] in wanted and a[column] != b[column]
        if told := re.fullmatch(rf"{name} (changes|rises|falls)", text):
            column = _bare(told[2])
            sign = {"changes": lambda d: d != 0, "rises": lambda d: d > 0, "falls": lambda d: d < 0}[told[3]]
            return lambda b, a: sign(self._rank(column, a) - self._rank(column, b))
        return None

    def _rank(self, name: str, row: Cells) -> Fraction:
        f: Feature = self.schema[name]
        return Fraction(f.levels.index(row[name])) if f.levels else exact(row[name])

    def _levels_compared(self, text: str) -> Callable[[Cells, Cells], bool] | None:
        told = re.fullmatch(r"(own )?(\"[^\"]*\"|'[^']*'|\w+) (<=|>=|<|>) (.+)", text)
        if not told or _bare(told[2]) not in [f.name for f in self.schema.features]:
            return None
        f = self.schema[_bare(told[2])]
        if not f.levels:
            return None
        level = f.levels.index(_bare(told[4]))
        than: Callable[[int], bool] = {
            "<=": lambda k: k <= level, ">=": lambda k: k >= level, "<": lambda k: k < level, ">": lambda k: k > level,
        }[told[3]]  # fmt: skip
        return lambda b, a: than(f.levels.index((b if told[1] else a)[f.name]))

    def _over(self, text: str, before: Cells, after: Cells) -> Fraction:
        """By how much the side that must be smaller is larger."""
        left, sign, right = re.split(r"(<=|>=|<|>)", text, maxsplit=1)
        if right.strip().startswith("+"):
            right = f"own {left.strip()} {right.strip()}"
        a, b = self._value(left, before, after), self._value(right, before, after)
        return a - b if sign[0] == "<" else b - a

    # ------------------------------------------------------------------ arithmetic
    def _value(self, text: str, before: Cells, after: Cells) -> Fraction:
        names = [{n: exact(v) for n, v in row.items()} for row in (after, before)]
        return Fraction(eval(_python(text), {"F": Fraction, "a": names[0], "b": names[1]}))

    def _names(self, text: str) -> list[str]:
        words, known = _WORD.findall(text), {f.name for f in self.schema.features}
        return [_bare(w) for k, w in enumerate(words) if _bare(w) in known and (not k or words[k - 1] != "own")]

    def _later(self, text: str) -> list[str]:
        """Columns whose later value a sentence is about (a level of the same name as a column does no harm)."""
        return self._names(text)


@cache
def _python(text: str) -> CodeType:
    """An expression on the later cells ``a`` and the cells now, ``b``."""
    python, own = [], False
    for word in _WORD.findall(text):
        if word == "own":
            own = True
        elif word[0].isdigit():
            python.append(f"F({word!r})")
        elif word[0] in "\"'" or word[0].isalpha() or word[0] == "_":
            python.append(f"{'b' if own else 'a'}[{_bare(word)!r}]")
            own = False
        else:
            python.append(word)
    return compile(" ".join(python), text, "eval")


def _bare(word: str) -> str:
    word = word.strip()
    return word[1:-1] if word[:1] in "\"'" else word


@cache
def _follow(text: str) -> tuple[str, Fraction, str] | None:
    told = re.fullmatch(r"(.+) (rises|falls) by ([\d.]+) with (.+)", text)
    if not told:
        return None
    return _bare(told[1]), Fraction(told[3]) * (1 if told[2] == "rises" else -1), _bare(told[4])


@cache
def _derive(text: str) -> tuple[str, str] | None:
    told = re.fullmatch(r"(\"[^\"]*\"|'[^']*'|\w+) = (.+)", text)
    return (_bare(told[1]), told[2]) if told else None
