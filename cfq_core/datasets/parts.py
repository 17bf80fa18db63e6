"""A table of any size in parts: CSV or Parquet under a card whose levels and steps are known from its own table.

Rows are read as the card's own are, with the same words for what is wrong with a cell and the row it stands in.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
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
    counts_of,
    header_of,
    one_of,
    rows_of,
)
from cfq_core.datasets.dialect import Dialect
from cfq_core.tables.schema import Feature, Schema

PARQUET = (".parquet", ".pq")


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
    names = [card.target, *(f.name for f in schema.features)]
    read = _parquet if path.suffix.lower() in PARQUET else _csv
    for columns in read(path, place, card, names, size):
        part = _part(columns, card, schema)
        if len(part.outcome):
            yield part


def _part(columns: dict[str, Column], card: Card, schema: Schema) -> Part:
    check_present(columns.values(), card.missing)
    target = columns[card.target]
    good, open_ = (
        np.array([any(cell_is(word, cell) for cell in cells) for word in target.words], bool)[target.cells]
        for cells in (card.favourable, card.ignore)
    )
    marks = {f.name: f.thousands for f in card.feature}
    values = [_counts(f, columns[f.name].written_with(marks.get(f.name, ""))) for f in schema.features]
    return Part(np.stack(values, axis=1)[~open_], good[~open_])


def _counts(feature: Feature, column: Column) -> Int[np.ndarray, "n"]:
    return counts_of(feature, column)[1][column.cells]


# ---------------------------------------------------------------------- files
def _csv(path: Path, place: Place, card: Card, names: Sequence[str], size: int) -> Iterator[dict[str, Column]]:
    dialect = dialect_of(card, place)
    encoding = "utf-8-sig" if dialect.encoding.lower() in ("utf-8", "utf8") else dialect.encoding
    try:
        with path.open(encoding=encoding, newline="") as file:
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
    except OSError as problem:
        raise place.bad(f"cannot be read ({problem.strerror})") from None


def _header(rows: Iterator[list[str]], place: Place, names: Sequence[str]) -> list[str]:
    try:
        header = header_of(rows, place)
    except StopIteration:
        raise place.bad("is empty; the first row must name the columns") from None
    for name in names:
        if name not in header:
            raise place.bad(f'no column "{name}"; {one_of(header, name)}')
    return header


def _parquet(path: Path, place: Place, card: Card, names: Sequence[str], size: int) -> Iterator[dict[str, Column]]:
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
    return Column(place, tuple(listed[k] for k in used), again[to[cells]], Dialect(), first_row)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        short = f"{value:.15g}"
        return short if float(short) == value else repr(value)
    return "" if value is None else str(value).strip()
