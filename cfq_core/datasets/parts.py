"""A table of any size in parts: CSV or Parquet under a card whose levels and steps are known from its own table.

Rows are read as the card's own are, with the same words for what is wrong with a cell and the row it stands in. What a
card asks of a whole table (medians of training rows, rare levels) is refused.
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Int

from cfq_core.base.errors import BadInput
from cfq_core.datasets.card import Card, dialect_of
from cfq_core.datasets.card_outcome import cell_is
from cfq_core.datasets.card_rows import (
    FIRST_ROW,
    Column,
    Place,
    check_delimiter,
    check_present,
    collected,
    gaps_of,
    header_of,
    one_of,
    rows_of,
)
from cfq_core.datasets.card_values import of_words
from cfq_core.datasets.dialect import Dialect
from cfq_core.datasets.table_files import GZIP, PARQUET, ZIP
from cfq_core.tables.schema import FILLED, MISSING_LEVEL, Feature, Schema


@dataclass(frozen=True)
class Part:
    """Some rows of a table, in exact integer form."""

    values: Int[np.ndarray, "n f"]
    outcome: Bool[np.ndarray, "n"]


def parts_of(path: Path, card: Card, schema: Schema, size: int) -> Iterator[Part]:
    """The rows of a file, ``size`` at a time; ``schema``: of the card's own table. Raises `BadCard`.

    Memory does not grow with the file: one part is held at a time.
    """
    place = Place(path.name)
    if not path.is_file():
        raise place.bad("no such file")
    for why in _refused(card):
        raise place.bad(f"cannot be read in parts; {why}")
    names = [card.target, *(f.name for f in card.feature)]
    with path.open("rb") as file:
        first = file.read(4)  # a file is known by its first bytes, not by its name
    if first == ZIP:
        raise place.bad("is a workbook or a zip; save it as CSV or Parquet to read it in parts")
    opened = gzip.open if first.startswith(GZIP) else open
    found = _parquet(path, place, names, size) if first == PARQUET else _csv(path, opened, place, card, names, size)
    for columns in found:
        part = _part(columns, card, schema)
        if len(part.outcome):
            yield part


def _refused(card: Card) -> Iterator[str]:
    """What a card asks that only a whole table can answer."""
    for f in card.feature:
        if f.missing in FILLED:
            yield f'feature "{f.name}": missing = "{f.missing}" takes the median of a whole table'
        if f.other_below:
            yield f'feature "{f.name}": other_below counts the rows of a whole table'
        if f.kind == "date" and not card.reference:
            yield f'feature "{f.name}": dates count back from the latest of a whole table; say reference = "..."'


def _part(columns: dict[str, Column], card: Card, schema: Schema) -> Part:
    policy = {f.name: f.missing for f in card.feature}
    gone = {name: np.isin(c.cells, gaps_of(c, card.missing)) for name, c in columns.items()}
    kept = ~np.any([gone[n] for n, p in policy.items() if p == "drop"] or [np.zeros_like(gone[card.target])], axis=0)
    columns = {name: column.of_rows(kept) for name, column in columns.items()} if kept.any() else {}
    if not columns:
        return Part(np.zeros((0, len(schema.features)), np.int64), np.zeros(0, bool))
    target = columns[card.target]
    good, open_ = (
        np.array([any(cell_is(word, cell) for cell in cells) for word in target.words], bool)[target.cells]
        for cells in (card.favourable, card.ignore)
    )
    check_present([target.of_rows(~open_)], card.missing)
    check_present([c for name, c in columns.items() if policy.get(name) == "refuse"], card.missing)
    own = {f.name: f for f in card.feature}
    values = [_counts(own[f.name], f, columns[f.name], card) for f in schema.features]
    return Part(np.stack(values, axis=1)[~open_], good[~open_])


def _counts(said: Feature, known: Feature, column: Column, card: Card) -> Int[np.ndarray, "n"]:
    """A column as integers; ``said``: by the card, ``known``: with levels and step of the card's own table."""
    if said.missing == "level":
        gaps = set(gaps_of(column, card.missing))
        column = replace(column, words=tuple(MISSING_LEVEL if k in gaps else w for k, w in enumerate(column.words)))
    filled = replace(said, levels=known.levels) if said.kind in ("ordinal", "category") else said
    filled = replace(filled, step=known.step) if said.kind in ("number", "integer") and not said.bins else filled
    return of_words(filled, column.written_with(said.thousands), card.reference)[1][column.cells]


# ---------------------------------------------------------------------- files
def _csv(
    path: Path, opened: Callable[..., Any], place: Place, card: Card, names: Sequence[str], size: int
) -> Iterator[dict[str, Column]]:
    dialect = dialect_of(card, place)
    encoding = "utf-8-sig" if dialect.encoding.lower() in ("utf-8", "utf8") else dialect.encoding
    try:
        with opened(path, "rt", encoding=encoding, newline="") as file:
            first = file.readline()
            if re.fullmatch(r"sep=.\r?\n", first):  # a hint of one spreadsheet to itself
                first = file.readline()
            check_delimiter(first, place, dialect.delimiter)
            rows = rows_of(chain([first] if first else [], file), place, dialect.delimiter)
            header = _header(rows, place, names)
            at = FIRST_ROW
            while some := list(islice(rows, size)):
                places = [place.at("column", n) for n in names]
                found = collected(some, header, places, list(names), at)
                at += len(some)
                yield {n: replace(c, dialect=dialect) for n, c in found.items()}
    except UnicodeDecodeError as problem:
        raise place.bad(f"is not {encoding} text ({problem.reason})") from None
    except (OSError, EOFError, zlib.error) as problem:  # no such file, or a damaged archive
        raise place.bad(f"cannot be read ({getattr(problem, 'strerror', None) or problem})") from None


def _header(rows: Iterator[list[str]], place: Place, names: Sequence[str]) -> list[str]:
    try:
        header = header_of(rows, place)
    except StopIteration:
        raise place.bad("is empty; the first row must name the columns") from None
    for name in names:
        if name not in header:
            raise place.bad(f'no column "{name}"; {one_of(header, name)}')
    return header


def _parquet(path: Path, place: Place, names: Sequence[str], size: int) -> Iterator[dict[str, Column]]:
    try:
        from pyarrow import ArrowException
        from pyarrow.parquet import ParquetFile
    except ImportError:
        raise BadInput(f"{path.name}: reading Parquet needs pyarrow: pip install pyarrow") from None
    try:
        with ParquetFile(path) as file:
            missing = [n for n in names if n not in file.schema_arrow.names]
            if missing:
                raise place.bad(f'no column "{missing[0]}"; {one_of(file.schema_arrow.names, missing[0])}')
            at = FIRST_ROW - 1  # there is no header: rows are counted from 1
            for batch in file.iter_batches(batch_size=size, columns=list(names)):
                yield {n: _words(batch.column(n), place.at("column", n), at) for n in names}
                at += batch.num_rows
    except ArrowException as problem:
        raise place.bad(f"is no Parquet file that can be read ({str(problem)[:80]})") from None


def _words(column: Any, place: Place, first_row: int) -> Column:
    """A column of any type as the text a CSV would hold."""
    coded = column.dictionary_encode() if not hasattr(column, "indices") else column
    words = [_text(v) for v in coded.dictionary.to_pylist()]
    cells = coded.indices.fill_null(len(words)).to_numpy(zero_copy_only=False).astype(np.int64)
    known: dict[str, int] = {}
    to = np.array([known.setdefault(w, len(known)) for w in (*words, "")], np.int64)  # the last: of what is missing
    used = np.unique(to[cells])
    again = np.zeros(len(known), np.int64)
    again[used] = np.arange(len(used))
    listed = list(known)
    lines = np.arange(len(cells)) + first_row - FIRST_ROW
    return Column(place, tuple(listed[k] for k in used), again[to[cells]], Dialect(), lines)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        short = f"{value:.15g}"
        return short if float(short) == value else repr(value)
    return "" if value is None else str(value).strip()
