"""Dates of a user's table as whole days before a day that the card chooses, so that advice can be said in dates.

ISO dates (2024-03-31, a time behind it is not looked at) need nothing. Any other way of writing them is named by the
card, ``format = "%d.%m.%Y"``: whether 03/04/2024 is in March or April is not guessed, the rows say what they can.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime

import numpy as np

from cfq_core.datasets.card_rows import Column, PerWord, quoted
from cfq_core.tables.schema import Feature

ISO = re.compile(r"(\d{4}-\d{2}-\d{2})(?:[T ].*)?", re.ASCII)
PARTS = re.compile(r"(\d{1,4})([./-])(\d{1,2})\2(\d{1,4})(?:[T ].*)?", re.ASCII)
DAY_FIRST, MONTH_FIRST = "%d{0}%m{0}", "%m{0}%d{0}"
WORDS = {DAY_FIRST: "day before month", MONTH_FIRST: "month before day"}


def as_days(feature: Feature, column: Column, reference: str) -> tuple[Feature, PerWord]:
    """The feature as whole days, and those of each distinct cell; ``reference``: the card's day."""
    reference = feature.reference or reference
    days = np.array([_day(column, k, feature.format) for k in range(len(column.words))], np.int64)
    if not reference:
        latest = date.fromordinal(int(days.max())).isoformat()
        raise column.place.bad(
            f'kind = "date" needs a day to count from: say reference = "{latest}" (the latest of this column) above '
            "the first [[feature]]"
        )
    day = parsed(reference, "")
    if day is None:
        raise column.place.bad(f"reference = {quoted(reference)}; an ISO date such as 2024-12-31")
    unit = f"days before {day.isoformat()}"
    return replace(feature, kind="integer", unit=unit, reference=day.isoformat()), day.toordinal() - days


def _day(column: Column, k: int, format_: str) -> int:
    word = column.words[k]
    day = parsed(word, format_)
    if day is None:
        said = f"format = {quoted(format_)}" if format_ else "an ISO date such as 2024-12-31"
        raise column.bad(k, f"is not {said}; {_cure(column.words, format_)}")
    return day.toordinal()


def parsed(word: str, format_: str) -> date | None:
    """The day that a cell names; None where it names none in this format."""
    try:
        if format_:
            return datetime.strptime(word, format_).date()
        match = ISO.fullmatch(word)
        return date.fromisoformat(match[1]) if match else None
    except (ValueError, re.error):
        return None


def formats_of(words: Sequence[str]) -> list[str]:
    """The formats in which every cell is a date, most usual first; ISO is the empty one. None: they are no dates."""
    if not words or not all(PARTS.fullmatch(w) for w in words):
        return []
    match = PARTS.fullmatch(words[0])
    assert match is not None
    mark = match[2]
    years = {len(m[4]) for w in words if (m := PARTS.fullmatch(w))}
    year = "%Y" if years == {4} else "%y"
    tried = ["", *(part.format(mark) + year for part in (DAY_FIRST, MONTH_FIRST)), f"%Y{mark}%m{mark}%d"]
    return [t for t in dict.fromkeys(tried) if all(parsed(w, t) is not None for w in words)]


def _cure(words: Sequence[str], format_: str) -> str:
    """How the cells can be read, with the evidence of the rows."""
    found = [f for f in formats_of([w for w in words if w]) if f != format_]
    if not found:
        return 'mend it, or say how dates are written: format = "%d.%m.%Y"'
    if len(found) == 1:
        return f"every cell of the column is one with format = {quoted(found[0])}" if found[0] else "leave format out"
    example = next(w for w in words if w)
    each = [f"{quoted(f)} ({d.day} {d:%B} {d.year})" for f in found if (d := parsed(example, f))]
    ways = " or ".join(each)
    return f"every cell of the column can be read in {len(found)} ways, {quoted(example)} as {ways}: say which format"
