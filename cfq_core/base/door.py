"""Checks at the door of public functions: what was given, what is needed, and how to get it, in one line.

A function says of its arguments what they must be; a caller who passes something else (a DataFrame where a table is
needed) reads that, instead of an AttributeError from somewhere below.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from cfq_core.base.errors import BadInput

P = ParamSpec("P")
R = TypeVar("R")

#: How an object of ours is got, by the name of its class.
HOW = {
    "Table": 'read a card and its table with cfq_core.read_card("card.toml"), of a DataFrame cfq_core.read_card(card, '
    'frame), or load one with cfq_core.load("datasets", NAME).load()',
    "Design": "cfq_core.prepare(table, seed) makes one a seed",
    "TeacherRecourse": "cfq_core.promise(designs, setting) gives them",
    "Setting": "cfq_core.Setting(hidden=(64, 64, 32), kappa=0.2)",
    "Method": '{"ptq": cfq_core.load("methods", "ptq")}',
}
SHOWN = 40  # characters of a value in a message


@dataclass(frozen=True)
class Needs:
    """What an argument must be: of a class, named so that it need not be imported here, once or several of them."""

    kind: str
    several: type = object  # `Sequence` or `Mapping` of such
    optional: bool = False

    def check(self, value: Any, function: str, name: str) -> None:
        """Raises `BadInput` where ``value`` is something else."""
        if self.optional and value is None:
            return
        if self.several is object:
            if not _is(value, self.kind):
                raise BadInput(f"{function}: {name} is {shown(value)}; a {self.kind} is needed: {HOW[self.kind]}")
            return
        held = self._held(value)
        what = "dict of names and methods" if self.several is Mapping else f"list of {self.kind}"
        if held is None:
            raise BadInput(f"{function}: {name} is {shown(value)}; a {what} is needed: {HOW[self.kind]}")
        for one in held:
            if not _is(one, self.kind):
                raise BadInput(f"{function}: {name} holds {shown(one)}; a {what} is needed: {HOW[self.kind]}")
        if not held:
            raise BadInput(f"{function}: {name} is empty; at least one {self.kind}: {HOW[self.kind]}")

    def _held(self, value: Any) -> list[Any] | None:
        if self.several is Mapping:
            return list(value.values()) if isinstance(value, Mapping) else None
        return list(value) if isinstance(value, Sequence) and not isinstance(value, str | bytes) else None


@dataclass(frozen=True)
class Numbers:
    """What an argument must be: a number from ``low`` to ``high``, a whole one, or a list of them."""

    low: float
    high: float
    what: str
    whole: bool = False
    several: bool = False

    def check(self, value: Any, function: str, name: str) -> None:
        """Raises `BadInput` where ``value`` is something else."""
        listed = isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping)
        held = list(value) if self.several and listed else [value]
        if (self.several and not listed) or not held or not all(map(self._fits, held)):
            seen = next((v for v in held if not self._fits(v)), value)
            kind = "a list of numbers" if self.several else "a whole number" if self.whole else "a number"
            said = f"{'holds' if listed else 'is'} {shown(seen)}"
            raise BadInput(
                f"{function}: {name} {said}; {kind} from {self.low:.10g} to {self.high:.10g} is needed: {self.what}"
            )

    def _fits(self, value: Any) -> bool:
        kind = Integral if self.whole else Real
        return isinstance(value, kind) and not isinstance(value, bool) and self.low <= float(value) <= self.high


#: What a door looks at.
Check = Needs | Numbers


def _is(value: Any, kind: str) -> bool:
    """Whether a value is of a class, or of one that inherits from it, by name; a method is what makes students."""
    if kind == "Method":
        return callable(getattr(value, "students", None))
    return any(c.__name__ == kind and c.__module__.startswith("cfq_core.") for c in type(value).__mro__)


def door(**needs: Check) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """A function whose arguments are looked at before it starts; raises `BadInput` in one line."""

    def made(function: Callable[P, R]) -> Callable[P, R]:
        signature = inspect.signature(function)

        @functools.wraps(function)
        def checked(*args: P.args, **kwargs: P.kwargs) -> R:
            try:
                given = signature.bind(*args, **kwargs).arguments
            except TypeError as problem:
                raise TypeError(f"{function.__name__}: {problem}; it takes {signature}") from None
            for name, need in needs.items():
                if name in given:
                    need.check(given[name], function.__name__, name)
            return function(*args, **kwargs)

        return checked

    return made


def shown(value: Any) -> str:
    """A value in a message: what it is, and its text where that is short."""
    kind = type(value).__name__
    if value is None or isinstance(value, bool | int | float):
        return repr(value)
    if isinstance(value, str):
        return f'"{value[:SHOWN]}"' + ("..." if len(value) > SHOWN else "")
    return f"an {kind}" if kind[0] in "aeiouAEIOU" else f"a {kind}"


def path_of(value: Any, function: str, name: str) -> Path:
    """A path given as text or as `Path`; raises `BadInput` for anything else."""
    if not isinstance(value, str | Path) or not str(value):
        raise BadInput(f"{function}: {name} is {shown(value)}; a path as text or pathlib.Path is needed")
    return Path(value).expanduser()


def one_of(value: Any, allowed: Iterable[Any], function: str, name: str) -> None:
    """Raises `BadInput` where a value is none of those there are."""
    known = list(allowed)
    if value not in known:
        listed = ", ".join(f"{k:g}" if isinstance(k, float) else str(k) for k in known)
        raise BadInput(f"{function}: {name} = {shown(value)}; one of {listed}")
