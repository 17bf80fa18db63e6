"""A user's CSV as exact integer cells; every mistake is one line with the file, the row and the value.

A column is kept as its distinct cells and one index a row, so a cell is judged once however often it
occurs, and a large file costs eight bytes a cell. Row 1 is the header, as a spreadsheet counts.
"""

from __future__ import annotations

import csv
import io
import json
import re
import unicodedata
from array import array
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from cfq_core.base.errors import BadCard, did_you_mean
from cfq_core.datasets.dialect import DELIMITERS, Dialect, delimiter_of, encoding_of, number_marks
from cfq_core.tables.schema import Feature

FIRST_ROW = 2  # the header is row 1
MAX_CSV = 200_000_000  # bytes; a larger table does not belong in one text file
MIN_ROWS = 50  # below, a 30 % test split says nothing about anyone
MIN_OUTCOMES = 5  # rows of either outcome; fewer cannot be split into three parts
MAX_LEVELS = 200  # a category with more is an identifier or free text
MAX_TEXT = 200  # characters of a name or level; longer ones break every picture
MAX_COUNT = 10**12  # grid steps from 0; float64 standardisation decodes exactly up to here
DISTINCT = 0.9  # of the rows: a category with more distinct values is no category
LISTED = 8  # names shown of a list that comes from the user's data
SHOWN = 60  # characters shown of a value
PLAIN = "save it as plain text in UTF-8"

#: Steps tried, coarsest first, for a number whose card gives none.
STEPS = (1.0, 0.1, 0.01, 0.001, 1e-4, 1e-5, 1e-6)
#: Stands in `Feature.step` for "find it in the rows"; a card may not say 0.
FROM_ROWS = 0.0
#: Cells may carry float noise such as 0.30000000000000004, a few units in the last place.
NOISE = 1e-14

#: Each part can match in one way only: an ambiguous pattern takes quadratic time on a long cell.
NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
#: Control characters, line separators, direction overrides, surrogates: they garble or split a line.
UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
#: Spreadsheets run such a cell as a formula when an exported table is opened.
FORMULA = re.compile(r"[=@]|\+[A-Za-z]")

Rows = Int[np.ndarray, "n"]
PerWord = Int[np.ndarray, "words"]  # one value a distinct cell
Numbers = Float[np.ndarray, "words"]
Wrong = Bool[np.ndarray, "words"]
Outcome = Bool[np.ndarray, "n"]


@dataclass(frozen=True)
class Place:
    """Where a mistake is: a file, and perhaps a part of it such as a feature."""

    file: str
    part: str = ""

    def at(self, what: str, name: str) -> Place:
        """The part ``what "name"`` of the same file."""
        return Place(self.file, f"{what} {quoted(name)}")

    def bad(self, text: str) -> BadCard:
        """The error to raise: one line, whatever the user's values contain."""
        line = ": ".join(t for t in (self.file, self.part, text) if t)
        return BadCard(UNSAFE.sub(lambda m: f"\\u{ord(m[0]):04x}", line))


def quoted(value: object) -> str:
    """A value as a card writes it, cut to a readable length."""
    try:
        text = json.dumps(value, ensure_ascii=False, default=str)
    except (ValueError, RecursionError):  # an integer of thousands of digits, lists without end
        return "a value too long to show"
    end = '..."' if isinstance(value, str) else "..."
    return text if len(text) <= SHOWN else text[:SHOWN] + end


def one_of(allowed: Iterable[str], word: str) -> str:
    """``'one of a, b, c and 12 more (did you mean "b"?)'`` for names that come from the data."""
    names = list(allowed)
    rest = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return f"one of {', '.join(n[:SHOWN] for n in names[:LISTED])}{rest}{did_you_mean(word[:SHOWN], names)}"


def decoded(data: bytes | str, place: Place, limit: int, encoding: str = "utf-8") -> str:
    """The text of a file; raises `BadCard` where it is too large, binary or not of its encoding."""
    if len(data) > limit:
        raise place.bad(f"has {len(data) / 1e6:.1f} MB; at most {limit / 1e6:g} MB")
    try:
        text = (data.decode(encoding) if isinstance(data, bytes) else data).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise place.bad(f"line {line}: {_not_of(encoding, error)}") from None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise place.bad(f"line {line}: has a NUL byte, so it is not a text file; {PLAIN}")
    return text


def _not_of(encoding: str, error: UnicodeDecodeError) -> str:
    """What is wrong with bytes, and which encoding the card might name instead."""
    seems = encoding_of(error.object)
    cure = f'{PLAIN}, or say encoding = "{seems}" in the card' if seems != encoding else PLAIN
    return f"not {encoding.upper()} text (byte 0x{error.object[error.start]:02x}); {cure}"


def level_mistake(level: str) -> str:
    """What is wrong with the words of a level; empty where nothing is."""
    if not level:
        return "is empty; a level needs a word"
    if len(level) > MAX_TEXT:
        return f"has {len(level)} characters; a level has at most {MAX_TEXT}"
    if UNSAFE.search(level):
        return "has a control character; a level is plain text"
    if FORMULA.match(level):
        return "starts like a spreadsheet formula; a level may not start with =, @ or + and a letter"
    return ""


@dataclass(frozen=True)
class Column:
    """One column: its distinct cells in order of appearance, and which of them each row has."""

    place: Place
    words: tuple[str, ...]
    cells: Rows
    dialect: Dialect = field(default_factory=Dialect)
    first_row: int = FIRST_ROW  # of the file; of a part of it another one

    def of_rows(self, kept: Outcome) -> Column:
        """The same column without some rows, and without the words that only they had."""
        if kept.all():
            return self
        there, cells = np.unique(self.cells[kept], return_inverse=True)
        return replace(self, words=tuple(self.words[k] for k in there), cells=cells.astype(np.int64))

    def written_with(self, thousands: str) -> Column:
        """The same column with its own mark between groups of three digits."""
        return replace(self, dialect=self.dialect.of_column(thousands)) if thousands else self

    def bad(self, word: int, text: str) -> BadCard:
        """The error for one distinct cell, with the first row that has it."""
        row = int(np.argmax(self.cells == word)) + self.first_row
        return self.place.bad(f"row {row}: {quoted(self.words[word])} {text}")


PLAIN_DIALECT = Dialect()


def column_names(data: bytes | str, file: str, dialect: Dialect = PLAIN_DIALECT) -> list[str]:
    """Names of the columns of a table with a header row, in order; raises `BadCard`."""
    return _opened(data, file, dialect)[0]


def read_columns(
    data: bytes | str, file: str, wanted: dict[str, Place], dialect: Dialect = PLAIN_DIALECT
) -> dict[str, Column]:
    """Columns of a table with a header row; ``wanted``: name -> where the card asks for it."""
    header, rows = _opened(data, file, dialect)
    for name, asked in wanted.items():
        if name not in header:
            raise asked.bad(f"not a column of {file}; {one_of(header, name)}")
    found = _columns(rows, header, [Place(file, asked.part) for asked in wanted.values()], list(wanted))
    return {name: replace(column, dialect=dialect) for name, column in found.items()}


def _opened(data: bytes | str, file: str, dialect: Dialect) -> tuple[list[str], Iterator[list[str]]]:
    """The header of a file, and the rows below it."""
    place = Place(file)
    text = decoded(data, place, MAX_CSV, dialect.encoding).rstrip()  # empty lines at the end are no rows
    text = re.sub(r"\Asep=.\r?\n", "", text)  # a hint of one spreadsheet to itself
    if not text:
        raise place.bad("is empty; the first row must name the columns")
    check_delimiter(text, place, dialect.delimiter)
    rows = rows_of(io.StringIO(text, newline=""), place, dialect.delimiter)
    return header_of(rows, place), rows


def header_of(rows: Iterator[list[str]], place: Place) -> list[str]:
    """The names of the columns, each its own; raises `BadCard`."""
    header = [unicodedata.normalize("NFC", cell.strip()) for cell in next(rows)]
    for name, count in Counter(header).items():
        if count > 1:
            raise place.bad(f"column {quoted(name)} is there {count} times; each column needs its own name")
    return header


def check_delimiter(text: str, place: Place, delimiter: str) -> None:
    """Raise `BadCard` where the first row has no delimiter: the file has another one, or a single column."""
    first = re.split(r"[\r\n]", text, maxsplit=1)[0].strip()
    if delimiter in first or not first:  # an empty first row is told as such
        return
    mark = delimiter_of(text) if delimiter_of(text) in first else max(DELIMITERS, key=first.count)
    seen, cure = "no delimiter is seen", f"save it with {DELIMITERS[delimiter]}"
    if mark in first:
        seen = f"separated by {DELIMITERS[mark]}, it seems"
        cure += f", or say delimiter = {quoted(mark)} in the card"
    raise place.bad(f"all in one column: {seen}; {cure}")


def rows_of(lines: Iterable[str], place: Place, delimiter: str) -> Iterator[list[str]]:
    """The rows of a file, its header first; empty ones at the end are none. Raises `BadCard`."""
    reader = csv.reader(lines, delimiter=delimiter, strict=True, skipinitialspace=True)
    number, empty = 0, 0
    while True:
        number += 1
        try:
            row = next(reader, None)
        except csv.Error as error:
            cure = "a cell with a delimiter or a quote stands in closed double quotes"
            raise place.bad(f"row {number}: {error}; {cure}") from None
        if row is None:
            return
        if not row:
            empty = empty or number
            continue
        if empty:
            raise place.bad(f"row {empty} is empty; remove it")
        yield row


def _columns(rows: Iterator[list[str]], header: list[str], places: list[Place], names: list[str]) -> dict[str, Column]:
    found = collected(rows, header, places, names)
    if len(found[names[0]].cells) < MIN_ROWS:
        told = f"has {len(found[names[0]].cells)} rows below the header; at least {MIN_ROWS}"
        raise Place(places[0].file).bad(told)
    return found


def collected(
    rows: Iterable[list[str]], header: list[str], places: list[Place], names: list[str], first_row: int = FIRST_ROW
) -> dict[str, Column]:
    """Some columns of some rows; ``first_row``: where the first of them stands in the file."""
    file = Place(places[0].file)
    picked = [header.index(name) for name in names]
    words: list[dict[str, int]] = [{} for _ in names]
    cells = [array("q") for _ in names]
    for number, row in enumerate(rows, first_row):
        if len(row) != len(header):
            raise file.bad(f"row {number} has {len(row)} cells; the header has {len(header)}")
        for i, known, column in zip(picked, words, cells, strict=True):
            column.append(known.setdefault(row[i].strip(), len(known)))
    parts = zip(names, places, words, cells, strict=True)
    return {
        name: Column(at, tuple(known), np.array(column, np.int64), first_row=first_row)
        for name, at, known, column in parts
    }


def check_present(columns: Collection[Column], missing: Collection[str]) -> None:
    """Refuse empty cells and the card's own words for missing, telling of all columns at once."""
    gaps = [(c, [k for k, word in enumerate(c.words) if not word or word in missing]) for c in columns]
    bad = [(c, k, int(np.isin(c.cells, k).sum())) for c, k in gaps if k]
    if not bad:
        return
    column, first, count = bad[0]
    also = ", ".join(f"{c.place.part} {n}" for c, _, n in bad[1 : LISTED + 1])
    more = f" and {len(bad) - 1 - LISTED} more" if len(bad) > LISTED + 1 else ""
    cure = 'fill them in or drop those rows (words may also have a level such as "unknown")'
    raise column.bad(
        first[0], f"is a missing value, {count} in this column{f' ({also}{more})' if also else ''}; {cure}"
    )


def spellings(words: Collection[str]) -> list[list[str]]:
    """Words that differ only in case, space or punctuation, together; only where there are several."""
    alike: dict[str, list[str]] = {}
    for word in words:
        bare = re.sub(r"[\W_]+", "", unicodedata.normalize("NFKC", word)).casefold()
        alike.setdefault(bare if bare and not NUMBER.fullmatch(word) else word, []).append(word)
    return [several for several in alike.values() if len(several) > 1]


def counted(column: Column, words: Collection[int]) -> str:
    """Some cells of a column with the number of rows that have each."""
    count = np.bincount(column.cells, minlength=len(column.words))
    shown = sorted(words, key=lambda k: -count[k])[:LISTED]
    more = f" and {len(words) - LISTED} more" if len(words) > LISTED else ""
    return ", ".join(f"{quoted(column.words[k])} ({count[k]})" for k in shown) + more


def as_counts(feature: Feature, column: Column) -> tuple[Feature, Rows]:
    """The feature with levels or step filled in from the rows, and every row as an integer."""
    feature, counts = counts_of(feature, column)
    if counts.min() == counts.max():
        cure = "a constant column tells nothing, leave it out of the card"
        raise column.place.bad(f"every row is {quoted(column.words[0])}; {cure}")
    return feature, counts[column.cells]


def counts_of(feature: Feature, column: Column) -> tuple[Feature, PerWord]:
    """The same of each distinct cell; a part of a table may well be constant."""
    judge = _levels if feature.kind in ("ordinal", "category") else _numbers
    return judge(feature, column)


def _levels(feature: Feature, column: Column) -> tuple[Feature, PerWord]:
    levels = feature.levels or _levels_seen(column)
    index = {level: i for i, level in enumerate(levels)}
    for k, word in enumerate(column.words):
        if word not in index:
            raise column.bad(k, f"is not a level; {one_of(levels, word)}")
    return replace(feature, levels=levels), np.array([index[word] for word in column.words], np.int64)


def _levels_seen(column: Column) -> tuple[str, ...]:
    if len(column.words) > MAX_LEVELS:
        doubt = "is it an identifier, or a number?"
        raise column.place.bad(f"has {len(column.words)} levels; at most {MAX_LEVELS} ({doubt})")
    for k, word in enumerate(column.words):
        if mistake := level_mistake(word):
            raise column.bad(k, mistake)
    if len(column.words) > DISTINCT * len(column.cells):
        raise column.place.bad(
            f"has {len(column.words)} levels in {len(column.cells)} rows: an identifier, or a number?"
        )
    for several in spellings(column.words):
        words = [column.words.index(w) for w in several]
        cure = "make them one, or list every level in the card, levels = [...]"
        raise column.place.bad(f"{len(several)} spellings of one level: {counted(column, words)}; {cure}")
    return tuple(sorted(column.words))


def _numbers(feature: Feature, column: Column) -> tuple[Feature, PerWord]:
    raw = _floats(column)
    _refuse(column, (raw < 0) & feature.log, "is below 0; log = true needs values of 0 or more")
    feature = _with_step(feature, raw)
    step = f"{feature.step:g}"
    _refuse(column, np.abs(raw) > MAX_COUNT * feature.step, f"is too large; at most {MAX_COUNT:g} steps of {step}")
    grid = f"is not a multiple of step = {step}; round the column, or give the card a finer step"
    whole = 'is not a whole number; kind = "integer" needs whole numbers, kind = "number" takes any'
    _refuse(column, ~_on_grid(feature, raw), whole if feature.kind == "integer" else grid)
    return feature, feature.counts(raw)


def _refuse(column: Column, wrong: Wrong, text: str) -> None:
    if wrong.any():
        raise column.bad(int(np.argmax(wrong)), text)


def _floats(column: Column) -> Numbers:
    words = [column.dialect.number(word) for word in column.words]
    for k, word in enumerate(words):
        if not NUMBER.fullmatch(word) or not np.isfinite(float(word)):
            raise column.bad(k, f"is not a finite number; {_cure(column)}")
    return np.array([float(word) for word in words])


def _cure(column: Column) -> str:
    """How a column of numbers can be read: by saying how they are written, where that can be seen."""
    seen = number_marks([w for w in column.words if w])
    says = card_keys(seen.dialect) if seen is not None else ""
    return f"say {says} in the card" if says else "write plain numbers such as 1200 or 12.5"


def card_keys(dialect: Dialect) -> str:
    """The keys with which a card says how numbers are written; empty where they stand as they are."""
    keys: tuple[tuple[str, Any, Any], ...] = (
        ("decimal", dialect.decimal, "."),
        ("thousands", dialect.thousands, ""),
        ("strip", [*dialect.strip], []),
    )
    return ", ".join(f"{key} = {json.dumps(v, ensure_ascii=False)}" for key, v, usual in keys if v != usual)


def doubt_about_numbers(column: Column) -> str:
    """Where every decimal point of a column has just three digits behind it: it may be a mark of thousands."""
    seen = number_marks(column.words)
    if seen is None or seen.sure or column.dialect.thousands:
        return ""
    example = next(w for w in column.words if column.dialect.decimal in w)
    mark = json.dumps(column.dialect.decimal)
    return (
        f"{column.place.part}: every value with a {mark} has three digits behind it, such as {quoted(example)}; it is "
        f"read as {column.dialect.number(example)}. If that is a mark of thousands, say thousands = {mark} under its "
        "[[feature]]"
    )


def _with_step(feature: Feature, raw: Numbers) -> Feature:
    if feature.step != FROM_ROWS:
        return feature
    candidates = [replace(feature, step=step) for step in STEPS]
    return next((f for f in candidates if _on_grid(f, raw).all()), candidates[-1])


def _on_grid(feature: Feature, raw: Numbers) -> Wrong:
    fits = np.abs(raw) <= MAX_COUNT * feature.step
    nearest = feature.raw(feature.counts(np.where(fits, raw, 0.0)))
    return fits & (np.abs(nearest - raw) <= NOISE * np.abs(raw))
