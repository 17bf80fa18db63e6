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
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int

from cfq_core.base.errors import BadCard, did_you_mean
from cfq_core.datasets.dialect import DELIMITERS, Dialect, delimiter_of, encoding_of
from cfq_core.datasets.table_files import MAX_CSV, as_text

FIRST_ROW = 2  # the header is row 1
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


def inside(folder: Path, name: str, place: Place) -> Path:
    """A file that a card names, which lies beside it; raises `BadCard`."""
    try:
        path = (folder / name).resolve()
        inside = path.is_relative_to(folder.resolve())
    except (OSError, RuntimeError, ValueError) as error:  # links in a circle, a name the system refuses
        raise place.bad(f"not a usable path ({error})") from None
    if not inside or Path(name).is_absolute() or ".." in Path(name).parts:
        raise place.bad("leaves the card's folder; name a file beside the card")
    return path


def content_of(path: Path, place: Place, limit: int) -> bytes:
    """The bytes of a file, at most ``limit``; raises `BadCard`."""
    try:
        if not path.is_file():
            near = did_you_mean(path.name, [p.name for p in path.parent.iterdir() if p.suffix == path.suffix])
            raise place.bad(f"no such file in {path.parent}{near}")
        if (size := path.stat().st_size) > limit:
            raise place.bad(f"has {size / 1e6:.1f} MB; at most {limit / 1e6:g} MB")
        return path.read_bytes()
    except OSError as error:
        raise place.bad(f"cannot be read ({error.strerror})") from None


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
    lines: Rows | None = None  # rows of the file, where some were left out

    def of_rows(self, kept: Outcome) -> Column:
        """The same column without some rows, and without the words that only they had."""
        if kept.all():
            return self
        there, cells = np.unique(self.cells[kept], return_inverse=True)
        lines = (np.arange(len(kept)) if self.lines is None else self.lines)[kept]
        return replace(self, words=tuple(self.words[k] for k in there), cells=cells.astype(np.int64), lines=lines)

    def written_with(self, thousands: str) -> Column:
        """The same column with its own mark between groups of three digits."""
        return replace(self, dialect=self.dialect.of_column(thousands)) if thousands else self

    def bad(self, word: int, text: str) -> BadCard:
        """The error for one distinct cell, with the first row that has it."""
        row = int(np.argmax(self.cells == word))
        row = FIRST_ROW + (row if self.lines is None else int(self.lines[row]))
        return self.place.bad(f"row {row}: {quoted(self.words[word])} {text}")


PLAIN_DIALECT = Dialect()


def column_names(data: bytes | str, file: str, dialect: Dialect = PLAIN_DIALECT) -> list[str]:
    """Names of the columns of a table with a header row, in order; raises `BadCard`."""
    return opened(data, file, dialect)[0]


def read_columns(
    data: bytes | str, file: str, wanted: dict[str, Place], dialect: Dialect = PLAIN_DIALECT
) -> dict[str, Column]:
    """Columns of a table with a header row; ``wanted``: name -> where the card asks for it."""
    header, rows = opened(data, file, dialect)
    for name, asked in wanted.items():
        if name not in header:
            raise asked.bad(f"not a column of {file}; {one_of(header, name)}")
    found = _columns(rows, header, [Place(file, asked.part) for asked in wanted.values()], list(wanted))
    return {name: replace(column, dialect=dialect) for name, column in found.items()}


def opened(data: bytes | str, file: str, dialect: Dialect) -> tuple[list[str], Iterator[list[str]]]:
    """The header of a file, and the rows below it."""
    place = Place(file)
    text = decoded(
        as_text(data, place, dialect), place, MAX_CSV, dialect.encoding
    ).rstrip()  # empty lines at the end are no rows
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


def rows_of(
    text: Iterable[str], place: Place, delimiter: str, before: int = 0, wide: int = 0, ends: bool = True
) -> Iterator[list[str]]:
    """The rows of a file, its header first; empty ones at its end are none. Raises `BadCard`.

    Of rows further down ``before`` is how many are above, ``wide`` how many cells they have; ``ends``: none follow.
    """
    reader = csv.reader(text, delimiter=delimiter, strict=True, skipinitialspace=True)
    number, empty = before, 0
    while True:
        number, line = number + 1, reader.line_num
        try:
            row = next(reader, None)
        except csv.Error as error:
            cure = "a cell with a delimiter or a quote stands in closed double quotes"
            raise place.bad(f"row {number}: {error}; {cure}") from None
        if row is None and (ends or not empty):
            return
        if not row and row is not None:
            empty = empty or number
            continue
        if empty or row is None:
            raise place.bad(f"row {empty} is empty; remove it")
        wide = wide or len(row)
        if reader.line_num - line > 1 and (lines := _swallowed(row, delimiter, wide)):
            cure = "is a quote open there? Close it, or save the column without line breaks"
            raise place.bad(f"row {number}: a cell holds {lines} lines that look like rows of the table; {cure}")
        yield row


def _swallowed(row: list[str], delimiter: str, wide: int) -> int:
    """How many lines of a cell look like rows that an open quote has taken in; 0: none."""
    for cell in row:
        breaks = cell.replace("\r\n", "\n").count("\n")
        if breaks and wide > 1 and cell.count(delimiter) == breaks * (wide - 1):
            return breaks + 1
    return 0


def _columns(rows: Iterator[list[str]], header: list[str], places: list[Place], names: list[str]) -> dict[str, Column]:
    found = collected(rows, header, places, names)
    if (count := len(found[names[0]].cells)) < MIN_ROWS:
        raise Place(places[0].file).bad(f"has {count} rows below the header; at least {MIN_ROWS}")
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
    found = {name: Column(at, tuple(known), np.array(column, np.int64)) for name, at, known, column in parts}
    lines = None if first_row == FIRST_ROW else np.arange(len(cells[0])) + first_row - FIRST_ROW
    return {name: replace(column, lines=lines) for name, column in found.items()}


def gaps_of(column: Column, missing: Collection[str]) -> list[int]:
    """Which distinct cells mean that a value is not known: the empty one, and the card's own words for it."""
    return [k for k, word in enumerate(column.words) if is_gap(word, missing)]


def is_gap(word: str, missing: Collection[str]) -> bool:
    """Whether a cell means that a value is not known."""
    return not word or word in missing


def check_present(columns: Collection[Column], missing: Collection[str]) -> None:
    """Refuse cells that are missing, telling of all columns at once."""
    gaps = [(c, gaps_of(c, missing)) for c in columns]
    bad = [(c, k, int(np.isin(c.cells, k).sum())) for c, k in gaps if k]
    if not bad:
        return
    column, first, count = bad[0]
    also = ", ".join(f"{c.place.part} {n}" for c, _, n in bad[1 : LISTED + 1])
    more = f" and {len(bad) - 1 - LISTED} more" if len(bad) > LISTED + 1 else ""
    policies = 'missing = "level", "median", "indicator" or "drop" under a [[feature]], ignore = [""] of the target'
    cure = f"fill them in, or say what becomes of them: {policies}"
    if all(c.place.part.startswith(("weights ", "split ")) for c, _, _ in bad):
        cure = "fill them in, or leave their rows out of the file"
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
