"""Errors a user can act on: one line that says what, where and what is allowed."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class CfqError(Exception):
    """Anything this package refuses or fails at, told in one line."""

    exit_code = 1

    def line(self) -> str:
        """The one line a user sees: the class name, then what, where and what is allowed."""
        return f"{type(self).__name__}: {' '.join(str(self).split())}"


class BadInput(CfqError):
    """The request cannot be met as written; the user can mend it (exit code 2)."""

    exit_code = 2


class UnknownName(BadInput):
    """A name that no plug-in, data set or study carries."""


class BadCard(BadInput):
    """A mistake in a user's card or in the CSV it describes."""


class BadPlan(BadInput):
    """A mistake in a study plan or in command-line options."""


class BadTable(BadInput):
    """A table that cannot be used: a wrong file, too few rows, one class only."""


class DataUnavailable(CfqError):
    """A table that is neither on disk nor reachable."""


class BadStore(CfqError):
    """A store that cannot be opened or whose artifacts do not match their sha256."""


def did_you_mean(name: str, allowed: Iterable[str]) -> str:
    """``' (did you mean "up"?)'`` where an allowed name is close, else an empty string."""
    close = difflib.get_close_matches(str(name), list(allowed), n=1, cutoff=0.6)
    return f' (did you mean "{close[0]}"?)' if close else ""


def unknown(what: str, name: object, allowed: Iterable[str]) -> str:
    """``'data set "grman"; one of adult, german (did you mean "german"?)'``."""
    names = list(allowed)
    shown = ", ".join(names) if names else "none"
    return f'{what} "{name}"; one of {shown}{did_you_mean(str(name), names)}'
