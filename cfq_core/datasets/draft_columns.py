"""What one column of a table seems to be, from its name and its cells, for a drafted card.

A guess says what was found, what of it is unsure and has to be asked, and what has to be mended first. Nothing is
decided that changes numbers without a question that says so.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from cfq_core.datasets.card_dates import formats_of, parsed
from cfq_core.datasets.card_rows import (
    DISTINCT,
    MAX_COUNT,
    MAX_LEVELS,
    STEPS,
    Column,
    counted,
    level_mistake,
    quoted,
    spellings,
)  # fmt: skip
from cfq_core.datasets.card_values import on_grid
from cfq_core.datasets.dialect import Dialect, number_marks
from cfq_core.datasets.draft_order import in_order
from cfq_core.tables.schema import Feature

#: Words in names of columns, in several languages, that make a column protected: nobody is told to change it.
PROTECTED = (
    "sex", "gender", "geschlecht", "sexe", "sexo", "genere", "race", "ethnic", "ethnie", "rasse", "hautfarbe", "colour",
    "nationality", "nationalitaet", "nationalite", "nacionalidad", "foreign", "citizen", "country_of_birth", "native",
    "age", "alter", "edad", "eta", "birth", "geburt", "naissance", "dob", "religion", "disab", "behinder", "handicap",
    "pregnan", "orientation", "veteran",
)  # fmt: skip
#: The same of facts about the past, which no action changes.
IMMUTABLE = (
    "marital", "familienstand", "married", "children", "dependents", "history", "past", "previous", "prior", "since",
    "zip", "postal", "plz", "state", "region", "county", "city", "parent", "relationship", "default", "delinq",
)  # fmt: skip
#: Cells that mean in any column that a value is not known, and those that do so among numbers and dates only.
UNKNOWN = ("", "na", "n/a", "nan", "null", "?", "#n/a", "nat", "missing", "<na>")
NO_NUMBER = ("none", "-", "--", ".", "unknown", "k.a.", "s/o", "n.a.", "not available", "inf", "-inf")
#: Names of columns that say how many people a row stands for, without what parts their words. One called weight may
#: as well be of a body: either is asked, and neither is a feature before the answer.
SAMPLING = re.compile(
    r"(sampl(e|ing)|survey|person|people|population|household|hh|per|final|design|case|row|obs(ervation)?|post|stratum|"
    r"asec|marsup|[afip])?(weights?|wgt|wght|wt)(f(in(a)?l)?|fin|pers|final)?|fnlwgt|gewichtung|hochrechnungsfaktor|"
    r"ponderation|ponderacion|factorexpansion"
)
#: Names of columns of money, which people weigh by shares.
MONEY = ("income", "salary", "amount", "loan", "price", "savings", "balance", "debt", "wage", "einkommen", "betrag")
WIDE = 50.0  # largest over median, of numbers from 0 up, from which money is priced on a log scale
EMPTY = 0.95  # of the cells missing: such a column says nothing of most people
RARE = 30  # rows of a level, below which it is joined to others where there are many levels
#: Beginnings of names of columns that number rows or people.
IDENTIFIERS = (
    "id", "nr", "no", "number", "key", "index", "row", "rownames", "rownumber", "kundennummer", "unnamed",
)  # fmt: skip
MANY = 20  # levels from which rare ones are joined
GRID = 1000  # steps between the ends of a computed number that fits no grid, about


@dataclass(frozen=True)
class Guess:
    """What a column seems to be."""

    name: str
    use: bool
    keys: dict[str, Any]  # of its [[feature]]
    why_not: str = ""  # why it is left out
    questions: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    dialect: Dialect | None = None  # how its numbers are written, where that is not plain
    gaps: tuple[str, ...] = ()  # its cells that mean missing, besides the empty one
    latest: str = ""  # of dates, the last day
    may_weigh: bool = False  # whether it may be a column of sampling weights


def guessed(name: str, column: Column, decimal: str = "", order: Sequence[str] = ()) -> Guess:
    """What a column seems to be, from its name and its cells.

    ``decimal``: the mark that others of the file show; ``order``: the column's words, lowest first, where it says so.
    """
    words, numeric = _known_words(column), False
    if len(words) < 2:
        return Guess(name, False, {}, "every row is the same" if words else "it is empty")
    said = set(words)  # of a number column nearly every row has another
    missing = [k for k, w in enumerate(column.words) if w not in said]
    n_gaps = int(np.isin(column.cells, missing).sum())
    if n_gaps > EMPTY * len(column.cells):
        return Guess(name, False, {}, f"{n_gaps:,} of {len(column.cells):,} cells are missing")
    known = column.of_rows(~np.isin(column.cells, missing))
    if formats := formats_of(words):
        found = _dates(name, words, formats)
    else:
        seen = number_marks(words, decimal)
        numeric = seen is not None and not _few_codes(name, words)
        found = _number(name, known, decimal) if numeric else _category(name, known, order)
    if found.use and numeric and _may_weigh(name, known):
        return replace(found, use=False, why_not=_ASKED_OF_WEIGHTS.format(quoted(name)), may_weigh=True)
    filled = found.keys.get("kind") != "category"
    return _with_gaps(found, column, missing, n_gaps, filled) if found.use else found


_ASKED_OF_WEIGHTS = (
    "is it a sampling weight, how many people a row stands for? Then say weights = {} above the features (it acts on "
    "training, no share is weighted); if it is something about the person, describe it as a feature"
)


def _may_weigh(name: str, known: Column) -> bool:
    """Whether numbers may be sampling weights, by their name and because none is below 0."""
    named = SAMPLING.fullmatch(plain_name(name).replace("_", ""))
    return named is not None and not any(w.lstrip().startswith("-") for w in known.words)


def _known_words(column: Column) -> list[str]:
    """Cells that say something: all, or without those that mean missing among numbers and dates."""
    words = [w for w in column.words if bare(w) not in UNKNOWN]
    values = [w for w in words if bare(w) not in NO_NUMBER]
    if len(values) < len(words) and values and (formats_of(values) or number_marks(values) is not None):
        return values
    return words


def bare(word: str) -> str:
    """A cell without what people write in different ways."""
    return word.strip().casefold()


def missing_cells(column: Column) -> list[int]:
    """Which distinct cells of any column mean that nothing is known."""
    return [k for k, w in enumerate(column.words) if bare(w) in UNKNOWN]


def _with_gaps(found: Guess, column: Column, missing: list[int], n_gaps: int, filled: bool) -> Guess:
    """The same, with a proposal of what becomes of missing cells."""
    if not n_gaps:
        return found
    policy = "indicator" if filled else "level"
    means = "the training median, and models see where" if filled else 'a level "missing"'
    other = '"median", "drop"' if filled else '"drop"'
    asked = (
        f"{found.name}: {n_gaps:,} of {len(column.cells):,} cells are missing ({counted(column, missing)}); they "
        f"become {means} (missing = {quoted(policy)}; else {other}). Right?"
    )
    cells = tuple(column.words[k] for k in missing if column.words[k])
    return replace(found, keys=found.keys | {"missing": policy}, questions=(*found.questions, asked), gaps=cells)


# ---------------------------------------------------------------------- kinds of columns
def _dates(name: str, words: Sequence[str], formats: Sequence[str]) -> Guess:
    keys, asked = _moves(name)
    days = [d for w in words if (d := parsed(w, formats[0]))]
    keys = {"kind": "date"} | ({"format": formats[0]} if formats[0] else {}) | keys
    if not keys.get("protected"):
        keys["immutable"] = True
        asked = [f"{name}: dates, taken as facts that no action changes, as days before the reference; are they?"]
    if len(formats) > 1:
        ways = " or ".join(map(quoted, formats))
        asked.append(f"{name}: {quoted(words[0])} can be read as {ways}; which is it? (format)")
    return Guess(name, True, keys, "", tuple(asked), latest=max(days).isoformat())


def _number(name: str, known: Column, decimal: str) -> Guess:
    seen = number_marks(known.words, decimal)
    assert seen is not None
    if _identifier(name, known.words, known):
        return Guess(name, False, {}, "every row has another whole number, an identifier by its name")
    cells = np.array([float(seen.dialect.number(w)) for w in known.words])
    if len(cells) == len(known.cells) and np.ptp(cells) == len(cells) - 1 and np.all(cells == np.rint(cells)):
        return Guess(name, False, {}, "every row has the next whole number, a count of rows")
    if not np.isfinite(cells).all() or np.abs(cells).max() > MAX_COUNT / GRID:
        return Guess(name, False, {}, f"numbers of up to {np.abs(cells).max():.3g}, a code or an error")
    keys, asked = _moves(name)
    grid, told = _grid(name, cells)
    if _named(name, MONEY) and cells.min() >= 0 and cells.max() > WIDE * max(1.0, float(np.median(cells))):
        grid["log"] = True
    if not seen.sure and not decimal:
        asked.append(f"{name}: is {quoted(known.words[0])} a number with three decimals, or thousands?")
    return Guess(name, True, grid | keys, "", (*asked, *told), dialect=None if seen.dialect.plain else seen.dialect)


def _grid(name: str, cells: np.ndarray) -> tuple[dict[str, Any], list[str]]:
    """Kind and step of a number; a computed one is rounded to a thousandth of its range, which is asked."""
    if np.all(cells == np.rint(cells)):
        return {"kind": "integer"}, []
    for step in STEPS:
        if on_grid(Feature(name, "number", step=step), cells).all():
            return {"kind": "number", "step": step}, []
    step = float(10.0 ** np.floor(np.log10(max(np.ptp(cells), 1e-6) / GRID)))
    asked = f"{name}: computed numbers, rounded to multiples of {step:g} (step, round = true); fine enough?"
    return {"kind": "number", "step": step, "round": True}, [asked]


def _category(name: str, known: Column, order: Sequence[str]) -> Guess:
    words, rows = known.words, len(known.cells)
    often = int((np.bincount(known.cells) >= RARE).sum())
    joined = len(words) > MANY and often >= 1
    if not joined and len(words) > min(MAX_LEVELS, DISTINCT * rows):
        return Guess(name, False, {}, f"{len(words)} different texts in {rows} rows, an identifier or prose")
    if wrong := next((w for w in words if level_mistake(w)), ""):
        return Guess(name, False, {}, f"{quoted(wrong)} {level_mistake(wrong)}")
    keys, asked = _moves(name)
    keys = {"kind": "category"} | keys
    scale = [w for w in order if w in words] if {*words} <= {*order} else None if joined else in_order(words)
    if scale:
        levels = ", ".join(map(quoted, scale))
        asked.append(f"{name}: taken as ordered, lowest first: {levels}; is it? (else kind = category, no levels)")
        return Guess(name, True, keys | {"kind": "ordinal", "levels": scale}, "", tuple(asked))
    told = known.of_rows(np.bincount(known.cells)[known.cells] >= RARE) if joined else known  # others become one
    cure = "make them one, or keep them apart as the card's levels do"
    problems = [
        f"{name}: {spelled(told, several)} are spellings of one word; {cure}" for several in spellings(told.words)
    ]
    if problems and len(words) <= MAX_LEVELS:
        keys["levels"] = sorted(words)
    elif joined:
        keys["other_below"] = RARE
        few = len(words) - often
        asked.append(f'{name}: {few} of {len(words)} levels have under {RARE} rows and become "other"; right?')
    return Guess(name, True, keys, "", tuple(asked), tuple(problems))


def spelled(column: Column, several: Sequence[str]) -> str:
    """Some cells with their counts."""
    return counted(column, [column.words.index(w) for w in several])


# ---------------------------------------------------------------------- names
def plain_name(name: str) -> str:
    """A name in plain small letters, its parts apart: ApplicantAge2 is applicant_age_2."""
    text = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    apart = r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|(?<=[A-Za-z])(?=\d)|[\W_]+"
    return re.sub(apart, "_", text).casefold()


def _named(name: str, words: Sequence[str]) -> bool:
    """Whether a name holds one of the words, at the beginning of one of its parts."""
    parts = plain_name(name).split("_")
    return any(part == w or (len(w) > 3 and part.startswith(w)) for part in (*parts, plain_name(name)) for w in words)


def _few_codes(name: str, words: Sequence[str]) -> bool:
    """Whole numbers that are codes: 0/1 flags, or codes of a protected column."""
    return set(words) <= {"0", "1"} or (
        len(words) <= 3 and _named(name, PROTECTED) and not _named(name, ("age", "alter"))
    )


def _identifier(name: str, words: Sequence[str], column: Column) -> bool:
    unique = len(words) == len(column.cells)
    return unique and _named(name, IDENTIFIERS)


def _moves(name: str) -> tuple[dict[str, Any], list[str]]:
    if _named(name, PROTECTED):
        return {"protected": True}, [f"{name}: taken as protected by its name; is it?"]
    if _named(name, IMMUTABLE):
        return {"immutable": True}, [f"{name}: taken as a fact that no action changes; is it?"]
    return {}, [f"{name}: can a person change it, and which way? (move = up, down, any or fixed)"]
