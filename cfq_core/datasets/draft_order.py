"""Whether the words of a column have an order: those of a common scale, or numbers and ranges written as words."""

from __future__ import annotations

import re
from collections.abc import Sequence
from math import inf

FEWEST, MOST = 3, 30  # levels: of two, an order says nothing; very many are no scale

#: Common scales, lowest first, as `plain` writes their words.
SCALES = tuple(
    tuple(scale.split())
    for scale in (
        "none very_low low medium moderate good high very_high excellent outstanding",
        "very_bad bad very_poor poor fair average good better very_good best excellent outstanding",
        "never rarely seldom sometimes often usually always",
        "strongly_disagree disagree neutral agree strongly_agree",
        "very_dissatisfied dissatisfied neutral satisfied very_satisfied",
        "extra_small xs small s medium m large l extra_large xl xxl",
        "none no_schooling primary elementary below_high_school secondary high_school below_college some_college "
        "associate college bachelor bachelors master masters doctor doctorate phd",
        "unemployed unskilled semi_skilled skilled highly_skilled",
    )
)
NOTHING = {"none", "no", "nothing", "zero", "never"}  # beside numbers: below all of them
BELOW = "<=|<|under|below|less than|fewer than|up to|at most"
ABOVE = ">=|>|over|above|more than|at least"
#: A word that begins with a number: what stands before it, the number, and the rest. Inside brackets, as statistics
#: programs write ranges, a comma parts two numbers; elsewhere it may part thousands.
RANGE = re.compile(
    rf"(?P<sign>{BELOW}|{ABOVE})?\s*"
    r"(?:[\[(]\s*(?P<inside>-?\d+(?:\.\d+)?)|[$€£]?\s*(?P<low>-?\d+(?:[,' ]\d{3})*(?:\.\d+)?))(?P<rest>.*)"
)
JOINING = {"to", "or", "and", "more", "less", "plus", "over", "up", "than", "inf", "bis", "under", "below", "above"}


def in_order(words: Sequence[str]) -> list[str] | None:
    """The words, lowest first, where every one of them has a place in one order and no two have the same; else None."""
    if not FEWEST <= len(words) <= MOST:
        return None
    for scale in SCALES:
        if {plain(w) for w in words} <= {*scale}:
            return _sorted(words, [scale.index(plain(w)) for w in words])
    return _by_number(words)


def plain(word: str) -> str:
    """A word in small letters, its parts joined by underscores: Very High is very_high."""
    return re.sub(r"[\W_]+", "_", word.casefold().replace("'", "")).strip("_")


def _by_number(words: Sequence[str]) -> list[str] | None:
    """Ordered by the number that each word begins with, where they speak of the same unit."""
    found = [None if plain(w) in NOTHING else RANGE.fullmatch(w.strip().casefold()) for w in words]
    numbers = [m for m in found if m is not None]
    if len(numbers) < len(words) - 1 or all(not m["sign"] and not m["rest"].strip() for m in numbers):
        return None  # plain numbers are a number column, or codes
    places, units = [], set()
    for m, word in zip(found, words, strict=True):
        if m is None:
            if plain(word) not in NOTHING:
                return None
            places.append((-inf, 0))
            continue
        low = float(re.sub(r"[,' ]", "", m["inside"] or m["low"]))
        sign, rest = m["sign"] or "", m["rest"]
        side = -1 if re.fullmatch(BELOW, sign) else 1 if sign or rest.strip().startswith("+") else 0
        places.append((low, side))
        unit = {t.rstrip("s") for t in re.findall(r"[^\W\d_]+", rest)} - JOINING
        units.add(frozenset(unit))
    return _sorted(words, places) if len(units - {frozenset()}) <= 1 else None


def _sorted(words: Sequence[str], places: Sequence[object]) -> list[str] | None:
    if len(set(places)) < len(places):
        return None
    return [w for _, w in sorted(zip(places, words, strict=True))]
