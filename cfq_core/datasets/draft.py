"""A card drafted from a table as it is: what each column seems to be, and what only a person can answer.

What is found: encoding, delimiter, how numbers are written, kinds, grids, levels, dates, missing cells, identifiers,
constants, a split, protected and immutable columns by name (see `draft_columns`). What is unsure stands as a question
above the card; what has to be mended first is listed as a problem with its cure, all at once.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import dropwhile, islice, takewhile
from typing import Any

import numpy as np

from cfq_core.datasets.card_outcome import cell_is
from cfq_core.datasets.card_rows import (
    FROM_ROWS,
    LISTED,
    UNSAFE,
    Column,
    Place,
    column_names,
    counted,
    one_of,
    quoted,
    read_columns,
    spellings,
)  # fmt: skip
from cfq_core.datasets.dialect import Dialect, delimiter_of, number_marks, sniffed
from cfq_core.datasets.draft_columns import (
    NO_NUMBER,
    UNKNOWN,
    Guess,
    bare,
    guessed,
    missing_cells,
    plain_name,
    spelled,
)  # fmt: skip
from cfq_core.datasets.table_files import as_text
from cfq_core.tables.schema import PARTS

HEADING = "Drafted. Please answer, and mend below:"  # a comment, above the questions


@dataclass(frozen=True)
class Draft:
    """A card's text, what is asked of a person, and what must be mended first."""

    card: str
    questions: tuple[str, ...]
    problems: tuple[str, ...]
    rows: int
    columns: int
    left_out: tuple[str, ...] = ()  # columns that the card does not describe


def draft(
    data: bytes | str, file: str, target: str, favourable: Sequence[str] = (), orders: Mapping[str, Sequence[str]] = {}
) -> Draft:
    """The draft of a table's card; ``orders``: the words of columns that are known to be ordered, lowest first.

    Raises `BadCard` where the table cannot be read or has no such column.
    """
    asked = Place(file)
    data = as_text(data, asked, Dialect())
    read = sniffed(data) if isinstance(data, bytes) else Dialect(delimiter=delimiter_of(data))
    names = column_names(data, file, read)
    columns = read_columns(data, file, {target: asked} | {n: Place(file, f'column "{n}"') for n in names}, read)
    outcome, others = columns[target], [n for n in names if n != target]
    split = next((n for n in others if _is_split(n, columns[n])), "")
    others = [n for n in others if n != split]
    comma = any(_decimal_comma(columns[n].words) for n in others)
    guesses = [guessed(n, columns[n], "," if comma else "", orders.get(n, ())) for n in others]
    guesses = [_with_shared_gaps(g, columns[g.name], guesses) for g in guesses]
    marks, clash = _marks([g for g in guesses if g.dialect is not None])
    written = Dialect(read.delimiter, marks.decimal, marks.thousands, marks.strip, read.encoding)
    head = _head(file, target, favourable or _two(outcome)[:1], written)
    head |= _about_rows(outcome, guesses, split)
    questions = [*_about_outcome(target, outcome, favourable), *_about_table(head, guesses)]
    questions += [q for g in guesses for q in g.questions]
    questions += [f"{g.name} is left out: {g.why_not}" for g in guesses if not g.use]
    problems = [*clash, *(p for g in guesses for p in g.problems), *_spelled_outcome(target, outcome, favourable)]
    card, left_out = _text(head, [g for g in guesses if g.use], questions), tuple(g.name for g in guesses if not g.use)
    return Draft(card, tuple(questions), tuple(problems), len(outcome.cells), len(names), left_out)


def open_questions(card: str) -> tuple[str, ...]:
    """The questions of a draft that still stand above its card: who has answered one removes its line."""
    comments = takewhile(lambda line: line.startswith("#"), card.splitlines())
    below = dropwhile(lambda line: line != f"# {HEADING}", comments)
    return tuple(line.removeprefix("#").strip() for line in islice(below, 1, None))


def outcomes(data: bytes | str, file: str, most: int = 1000) -> dict[str, dict[str, float]]:
    """Of every column, in the table's order, each cell with its share of rows, the most frequent first.

    Of a column with more than ``most`` different cells only so many. Raises `BadCard` where the table cannot be read.
    """
    data = as_text(data, Place(file), Dialect())
    read = sniffed(data) if isinstance(data, bytes) else Dialect(delimiter=delimiter_of(data))
    names = column_names(data, file, read)
    columns = read_columns(data, file, {n: Place(file, f'column "{n}"') for n in names}, read)
    return {n: _shares(columns[n], most) for n in names}


def _shares(column: Column, most: int) -> dict[str, float]:
    count = np.bincount(column.cells, minlength=len(column.words)) / len(column.cells)
    return {column.words[k]: float(count[k]) for k in np.argsort(-count, kind="stable")[:most]}


def _is_split(name: str, column: Column) -> bool:
    """Whether a column says of each row whether it is of train, valid or test."""
    parts = {w.casefold() for w in column.words}
    return {"train", "test"} <= parts <= {*PARTS, "validation"}


def _decimal_comma(words: Sequence[str]) -> bool:
    """Whether a column's numbers can only be read with a decimal comma."""
    cells = [w for w in words if bare(w) not in (*UNKNOWN, *NO_NUMBER)]
    seen = number_marks(cells) if cells else None
    return seen is not None and seen.sure and seen.dialect.decimal == "," and any("," in c for c in cells)


def _with_shared_gaps(g: Guess, column: Column, all_: Sequence[Guess]) -> Guess:
    """A column some of whose words mean missing elsewhere: the card says it once for all columns."""
    shared = {cell for other in all_ if other.use for cell in other.gaps} & set(column.words)
    if not g.use or not shared or "missing" in g.keys:
        return g
    asked = f"{g.name}: {', '.join(map(quoted, sorted(shared)))} means missing in other columns, so here too; right?"
    keys = g.keys | {"missing": "level"}
    if keys["kind"] == "ordinal":  # a place among them is filled in, as of a number
        keys |= {"missing": "indicator", "levels": [w for w in keys["levels"] if w not in shared]}
    return replace(g, keys=keys, questions=(*g.questions, asked))


def _about_rows(outcome: Column, guesses: Sequence[Guess], split: str) -> dict[str, Any]:
    """Keys of the card that say which cells mean missing, which outcomes are open, and how days are counted."""
    used = [g for g in guesses if g.use]
    cells = dict.fromkeys(cell for g in used for cell in g.gaps)
    latest = max((g.latest for g in used if g.latest), default="")
    gaps = [outcome.words[k] for k in missing_cells(outcome)]
    keys = {"missing": list(cells), "ignore": gaps, "reference": latest, "split": split}
    return {key: value for key, value in keys.items() if value}


def _about_table(head: Mapping[str, Any], guesses: Sequence[Guess]) -> Iterator[str]:
    if "split" in head:
        yield f"{head['split']}: taken as the split into train, valid and test; is it?"
    if "reference" in head:
        yield f"dates are counted back from {head['reference']}, the latest there is; from which day should they be?"
    if "ignore" in head:
        yield f"{head['target']}: rows without an outcome are left out (ignore); right?"
    if protected := [g.name for g in guesses if g.use and g.keys.get("protected")]:
        yield (
            f"{', '.join(protected)}: models see protected columns; where they must not, give the column aside = true, "
            "and it stays a group of every fairness table"
        )


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
    return sorted((w for w in outcome.words if bare(w) not in UNKNOWN), key=lambda w: int((_codes(outcome, w)).sum()))


def _codes(column: Column, word: str) -> np.ndarray:
    return column.cells == column.words.index(word)


def _about_outcome(target: str, outcome: Column, favourable: Sequence[str]) -> Iterator[str]:
    sides = counted(outcome, range(len(outcome.words)))
    if not favourable:
        yield f"{target}: which cells are the favourable outcome, the one people hope for? It has {sides}"
    elif len(outcome.words) > 2:
        good = ", ".join(map(quoted, favourable))
        yield f"{target}: favourable is {good}; of {sides} every other cell is not. Right?"


def _spelled_outcome(target: str, outcome: Column, favourable: Sequence[str]) -> Iterator[str]:
    for cell in favourable:
        if not any(cell_is(word, cell) for word in outcome.words):
            yield f"{target}: no cell is {quoted(cell)}; {one_of(sorted(outcome.words), cell)}"
    for several in spellings([w for w in outcome.words if bare(w) not in UNKNOWN]):
        if not 0 < len({*several} & {*favourable}) < len(several) and favourable:
            continue  # all of one side
        yield f"{target}: {spelled(outcome, several)} are spellings of one word; name every favourable cell"


def _head(file: str, target: str, favourable: Sequence[str], written: Dialect) -> dict[str, Any]:
    """The card above its features."""
    name = re.sub(r"\W+", "_", plain_name(file.rsplit("/", 1)[-1].rsplit(".", 1)[0])).strip("_") or "table"
    good: Any = list(favourable) if len(favourable) > 1 else favourable[0] if favourable else ""
    head: dict[str, Any] = {"name": name, "title": name, "csv": file, "target": target, "favourable": good}
    usual = Dialect()
    return head | {
        k: list(v) if isinstance(v, tuple) else v for k, v in vars(written).items() if v != getattr(usual, k)
    }


def _text(head: Mapping[str, Any], features: Sequence[Guess], asked: Sequence[str]) -> str:
    """The card, its questions on top as comments."""
    lines = [f"# {UNSAFE.sub(' ', question)}" for question in (HEADING, *asked)]
    lines += ["", *(f"{k} = {_toml(v)}" for k, v in head.items())]
    for g in features:
        lines += ["", "[[feature]]", f"name = {_toml(g.name)}"]
        lines += [f"{k} = {_toml(v)}" for k, v in g.keys.items() if v != FROM_ROWS]
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    """Text as JSON writes it, which TOML reads alike but for one character."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
