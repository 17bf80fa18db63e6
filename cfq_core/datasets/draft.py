"""A card drafted from a table as it is: what each column seems to be, and what only a person can answer.

What is found: encoding, delimiter, how numbers are written, kinds, grids, levels, identifiers, constants, columns that
follow from the outcome, protected and immutable columns by name. What is unsure stands as a question above the card;
what stops a study is listed as a problem with its cure, all at once.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cfq_core.datasets.card_rows import (
    DISTINCT,
    FROM_ROWS,
    LISTED,
    MAX_LEVELS,
    STEPS,
    UNSAFE,
    Column,
    Place,
    column_names,
    counted,
    quoted,
    read_columns,
    spellings,
)
from cfq_core.datasets.dialect import Dialect, delimiter_of, number_marks, sniffed
from cfq_core.datasets.table_files import as_text

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
#: Cells that usually mean that a value is not known.
MISSING = ("", "na", "n/a", "nan", "null", "none", "?", "-", "--", ".", "unknown", "missing", "#n/a", "k.a.", "s/o")
#: Names of columns of money, which people weigh by shares.
MONEY = ("income", "salary", "amount", "loan", "price", "savings", "balance", "debt", "wage", "einkommen", "betrag")
WIDE = 50.0  # largest over median, of numbers from 0 up, from which money is priced on a log scale
DATE = re.compile(r"\d{4}-\d{1,2}-\d{1,2}([ T].*)?|\d{1,2}[./]\d{1,2}[./]\d{2,4}")


@dataclass(frozen=True)
class Draft:
    """A card's text, what is asked of a person, and what must be mended first."""

    card: str
    questions: tuple[str, ...]
    problems: tuple[str, ...]
    rows: int
    columns: int


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


def draft(data: bytes | str, file: str, target: str, favourable: Sequence[str] = ()) -> Draft:
    """The draft of a table's card; raises `BadCard` where the table cannot be read or has no such column."""
    asked = Place(file)
    data = as_text(data, asked, Dialect())
    read = sniffed(data) if isinstance(data, bytes) else Dialect(delimiter=delimiter_of(data))
    names = column_names(data, file, read)
    columns = read_columns(data, file, {target: asked} | {n: Place(file, f'column "{n}"') for n in names}, read)
    comma = any(_decimal_comma(columns[n].words) for n in names if n != target)
    guesses = [guessed(n, columns[n], "," if comma else "") for n in names if n != target]
    marks, clash = _marks([g for g in guesses if g.dialect is not None])
    written = Dialect(read.delimiter, marks.decimal, marks.thousands, marks.strip, read.encoding)
    outcome = columns[target]
    questions = [*_about_outcome(target, outcome, favourable), *(q for g in guesses for q in g.questions)]
    questions += [f"{g.name} is left out: {g.why_not}" for g in guesses if not g.use]
    problems = [*clash, *(p for g in guesses for p in g.problems), *_missing_outcome(target, outcome)]
    card = _text(file, target, favourable or _two(outcome)[:1], written, [g for g in guesses if g.use], questions)
    return Draft(card, tuple(questions), tuple(problems), len(outcome.cells), len(names))


def _decimal_comma(words: Sequence[str]) -> bool:
    """Whether a column's numbers can only be read with a decimal comma."""
    cells = [w for w in words if _bare(w) not in MISSING]
    seen = number_marks(cells) if cells else None
    return seen is not None and seen.sure and seen.dialect.decimal == "," and any("," in c for c in cells)


def guessed(name: str, column: Column, decimal: str = "") -> Guess:
    """What a column seems to be, from its name and its cells; ``decimal``: the mark that others of the file show."""
    words = [w for w in column.words if _bare(w) not in MISSING]
    gaps = [k for k, w in enumerate(column.words) if _bare(w) in MISSING]
    n_gaps = int(np.isin(column.cells, gaps).sum())
    if len(words) < 2:
        return Guess(name, False, {}, "every row is the same" if words else "it is empty")
    if all(DATE.fullmatch(w) for w in words):
        return Guess(name, False, {}, "dates; make them numbers (days before a day you choose) to use them")
    seen = number_marks(words, decimal)
    numeric = seen is not None and not _few_codes(name, words)
    if not numeric and len(words) > min(MAX_LEVELS, DISTINCT * len(column.cells)):
        return Guess(
            name, False, {}, f"{len(words)} different texts in {len(column.cells)} rows, an identifier or prose"
        )
    if numeric and _identifier(name, words, column):
        return Guess(name, False, {}, "every row has another whole number, an identifier by its name")
    keys, questions = _moves(name)
    problems = [f"{name}: {n_gaps} of {len(column.cells)} cells are missing ({counted(column, gaps)}); {CURE[numeric]}"]
    dialect = None
    if numeric:
        assert seen is not None
        keys = _number(name, [float(seen.dialect.number(w)) for w in words]) | keys
        dialect = None if seen.dialect.plain else seen.dialect
        if not seen.sure and not decimal:
            questions.append(f"{name}: is {quoted(words[0])} a number with three decimals, or thousands?")
    else:
        keys = {"kind": "category"} | keys
        problems += [f"{name}: {_spelled(column, several)}; make them one" for several in spellings(words)]
    return Guess(name, True, keys, "", tuple(questions), tuple(problems if n_gaps else problems[1:]), dialect)


CURE = {
    True: "fill them in, or drop those rows",
    False: 'fill them in, drop those rows, or write a level such as "not told"',
}


def _spelled(column: Column, several: Sequence[str]) -> str:
    return f"{counted(column, [column.words.index(w) for w in several])} are spellings of one word"


def _bare(word: str) -> str:
    return word.strip().casefold()


def _plain_name(name: str) -> str:
    text = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().casefold()
    return re.sub(r"(?<=[a-z])(?=[A-Z])|[\W_]+", "_", text)


def _named(name: str, words: Sequence[str]) -> bool:
    """Whether a name holds one of the words, at the beginning of one of its parts."""
    parts = _plain_name(name).split("_")
    return any(part == w or (len(w) > 3 and part.startswith(w)) for part in (*parts, _plain_name(name)) for w in words)


def _few_codes(name: str, words: Sequence[str]) -> bool:
    """Whole numbers that are codes: 0/1 flags, or codes of a protected column."""
    return set(words) <= {"0", "1"} or (
        len(words) <= 3 and _named(name, PROTECTED) and not _named(name, ("age", "alter"))
    )


def _identifier(name: str, words: Sequence[str], column: Column) -> bool:
    unique = len(words) == len(column.cells)
    return unique and _named(name, ("id", "nr", "no", "number", "key", "index", "row", "kundennummer", "unnamed"))


def _moves(name: str) -> tuple[dict[str, Any], list[str]]:
    if _named(name, PROTECTED):
        return {"protected": True}, [f"{name}: taken as protected by its name; is it?"]
    if _named(name, IMMUTABLE):
        return {"immutable": True}, [f"{name}: taken as a fact that no action changes; is it?"]
    return {}, [f"{name}: can a person change it, and which way? (move = up, down, any or fixed)"]


def _number(name: str, values: Sequence[float]) -> dict[str, Any]:
    cells = np.array(values)
    if np.all(cells == np.rint(cells)):
        out: dict[str, Any] = {"kind": "integer"}
    else:
        out = {
            "kind": "number",
            "step": next((s for s in STEPS if np.allclose(cells / s, np.rint(cells / s))), STEPS[-1]),
        }
    if _named(name, MONEY) and cells.min() >= 0 and cells.max() > WIDE * max(1.0, float(np.median(cells))):
        out["log"] = True
    return out


def _marks(guesses: Sequence[Guess]) -> tuple[Dialect, list[str]]:
    """How all numbers of the file are written; columns that are written otherwise are a problem."""
    seen = [g.dialect for g in guesses if g.dialect is not None]
    strip = tuple(dict.fromkeys(m for d in seen for m in d.strip))
    decimal = {d.decimal for d in seen if d.decimal != "."} or {"."}
    thousands = {d.thousands for d in seen if d.thousands} or {""}
    if len(decimal) > 1 or len(thousands) > 1 or decimal == thousands:
        names = ", ".join(g.name for g in guesses[:LISTED])
        return Dialect(strip=strip), [f"numbers are written in different ways ({names}); make them alike"]
    return Dialect(decimal=decimal.pop(), thousands=thousands.pop(), strip=strip), []


def _two(outcome: Column) -> list[str]:
    return sorted((w for w in outcome.words if _bare(w) not in MISSING), key=lambda w: int((_codes(outcome, w)).sum()))


def _codes(column: Column, word: str) -> np.ndarray:
    return column.cells == column.words.index(word)


def _about_outcome(target: str, outcome: Column, favourable: Sequence[str]) -> Iterator[str]:
    sides = counted(outcome, range(len(outcome.words)))
    if not favourable:
        yield f"{target}: which cells are the favourable outcome, the one people hope for? It has {sides}"
    elif len(outcome.words) > 2:
        good = ", ".join(map(quoted, favourable))
        yield f"{target}: favourable is {good}; of {sides} every other cell is not. Right?"


def _missing_outcome(target: str, outcome: Column) -> Iterator[str]:
    gaps = [k for k, w in enumerate(outcome.words) if _bare(w) in MISSING]
    if gaps:
        yield f"{target}: {counted(outcome, gaps)} have no outcome; list them as ignore = [...] or drop those rows"
    for several in spellings([w for w in outcome.words if _bare(w) not in MISSING]):
        yield f"{target}: {_spelled(outcome, several)}"


def _text(
    file: str, target: str, favourable: Sequence[str], written: Dialect, features: Sequence[Guess], asked: Sequence[str]
) -> str:
    """The card, its questions on top as comments."""
    name = re.sub(r"\W+", "_", _plain_name(file.rsplit("/", 1)[-1].rsplit(".", 1)[0])).strip("_") or "table"
    good: Any = list(favourable) if len(favourable) > 1 else favourable[0] if favourable else ""
    head: dict[str, Any] = {"name": name, "title": name, "csv": file, "target": target, "favourable": good}
    usual = Dialect()
    head |= {k: list(v) if isinstance(v, tuple) else v for k, v in vars(written).items() if v != getattr(usual, k)}
    lines = [f"# {UNSAFE.sub(' ', question)}" for question in ("Drafted. Please answer, and mend below:", *asked)]
    lines += ["", *(f"{k} = {json.dumps(v, ensure_ascii=False)}" for k, v in head.items())]
    for g in features:
        lines += ["", "[[feature]]", f"name = {json.dumps(g.name, ensure_ascii=False)}"]
        lines += [f"{k} = {json.dumps(v)}" for k, v in g.keys.items() if v != FROM_ROWS]
    return "\n".join(lines) + "\n"


def keys_of(guess: Guess) -> Mapping[str, Any]:
    """What a card editor shows of a column."""
    return {"name": guess.name, **guess.keys}
