"""A table of any size in parts: CSV or Parquet under a card, read as the card's own table was (`new_rows`).

What is wrong with a cell is told in the card reader's words, with the row it stands in.
"""

from __future__ import annotations

import io
import re
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Int

from cfq_core.base.errors import BadInput
from cfq_core.datasets.card import Card, dialect_of
from cfq_core.datasets.card_gaps import missing_rows
from cfq_core.datasets.card_outcome import cell_is
from cfq_core.datasets.card_rows import (
    FIRST_ROW,
    Column,
    Place,
    check_delimiter,
    check_present,
    collected,
    header_of,
    one_of,
    rows_of,
)
from cfq_core.datasets.dialect import Dialect
from cfq_core.datasets.new_rows import KnownTable
from cfq_core.datasets.pieces import BYTES, Piece, cut_groups, cut_text, is_parquet, opener


@dataclass(frozen=True)
class Part:
    """Some rows of a table, in exact integer form."""

    values: Int[np.ndarray, "n f"]
    outcome: Bool[np.ndarray, "n"]
    at: Int[np.ndarray, "n"]  # which of the part's rows they are
    rows: int  # of the file, with those that are left out


@dataclass(frozen=True)
class Known:
    """What is known of a table before its rows are read."""

    card: Card
    table: KnownTable  # as the card's own was read
    size: int  # rows of a part: as many are held at a time

    @property
    def names(self) -> list[str]:
        """The columns that are read."""
        return [self.card.target, *(f.name for f in self.card.feature)]


def parts_of(piece: Piece, known: Known, only: Int[np.ndarray, "k"] | None = None) -> Iterator[Part]:
    """The rows of a file, or of a piece of it, a part at a time; raises `BadCard`.

    Memory does not grow with the file: one part is held at a time. ``only``: numbers of the rows that are looked at,
    rising, the file's first row being 0.
    """
    place = Place(piece.path.name)
    opened = open if piece.content is not None else opener(piece.path, place)
    parquet = piece.content is None and is_parquet(piece.path)
    read = _parquet(piece, place, known, only) if parquet else _csv(piece, opened, place, known, only)
    for columns in read:
        yield _part(columns, known)


def cut(path: Path, known: Known, size: int = BYTES) -> Iterator[Piece]:
    """The same file in pieces that can be read apart; what cannot be cut is one piece without a stop."""
    place = Place(path.name)
    opened = opener(path, place)
    if is_parquet(path):
        yield from cut_groups(path, known.size)
    elif dialect_of(known.card, place).encoding == "utf-16":  # a line end is two bytes, and may be parts of others
        yield Piece(path)
    else:
        with _opened(Piece(path), opened, place, known) as (header, _):
            pass
        yield from cut_text(path, opened, tuple(header), size)


def _part(columns: dict[str, Column], known: Known) -> Part:
    card, rows = known.card, len(columns[known.card.target].cells)
    policy = {f.name: f.missing for f in card.feature}
    dropped = [missing_rows(columns[name], card.missing) for name, p in policy.items() if p == "drop"]
    kept = ~np.any([np.zeros(rows, bool), *dropped], axis=0)
    if not kept.any():
        none = np.zeros(0, np.int64)
        return Part(np.zeros((0, len(known.table.schema.features)), np.int64), none.astype(bool), none, rows)
    columns = {name: column.of_rows(kept) for name, column in columns.items()}
    target = columns[card.target]
    good, open_ = (
        np.array([any(cell_is(word, cell) for cell in cells) for word in target.words], bool)[target.cells]
        for cells in (card.favourable, card.ignore)
    )
    check_present([target.of_rows(~open_)], card.missing)
    check_present([c for name, c in columns.items() if policy.get(name) == "refuse"], card.missing)
    return Part(known.table.values(columns)[~open_], good[~open_], np.flatnonzero(kept)[~open_], rows)


# ---------------------------------------------------------------------- files
def _csv(
    piece: Piece, opened: Any, place: Place, known: Known, only: Int[np.ndarray, "k"] | None
) -> Iterator[dict[str, Column]]:
    dialect, at = dialect_of(known.card, place), FIRST_ROW + piece.rows
    with _opened(piece, opened, place, known) as (header, rows):
        rows = rows if only is None else _chosen(rows, only)
        while some := list(islice(rows, known.size)):
            places = [place.at("column", n) for n in known.names]
            found = collected(some, header, places, known.names, at)
            at += len(some)
            yield {n: replace(c, dialect=dialect) for n, c in found.items()}


def _chosen(rows: Iterator[list[str]], only: Int[np.ndarray, "k"]) -> Iterator[list[str]]:
    """The rows of these numbers."""
    for skipped in np.diff(only, prepend=-1).tolist():
        yield from islice(rows, skipped - 1, skipped)


@contextmanager
def _opened(piece: Piece, opened: Any, place: Place, known: Known) -> Iterator[tuple[list[str], Iterator[list[str]]]]:
    """The header of a CSV and the rows of a piece of it."""
    dialect = dialect_of(known.card, place)
    signed = not piece.start and dialect.encoding.lower() in ("utf-8", "utf8")
    encoding = "utf-8-sig" if signed else dialect.encoding
    try:
        with _bytes_of(piece, opened) as within, io.TextIOWrapper(within, encoding, newline="") as text:
            ends, header = piece.stop is None, list(piece.header)
            if header:
                yield header, rows_of(text, place, dialect.delimiter, piece.rows + 1, len(header), ends)
                return
            first = text.readline()
            if re.fullmatch(r"sep=.\r?\n", first):  # a hint of one spreadsheet to itself
                first = text.readline()
            check_delimiter(first, place, dialect.delimiter)
            rows = rows_of(chain([first] if first else [], text), place, dialect.delimiter, ends=ends)
            yield _header(rows, place, known.names), rows
    except UnicodeDecodeError as problem:
        raise place.bad(f"is not {dialect.encoding} text ({problem.reason})") from None
    except (OSError, EOFError, zlib.error) as problem:  # no such file, or a damaged archive
        raise place.bad(f"cannot be read ({getattr(problem, 'strerror', None) or problem})") from None


def _bytes_of(piece: Piece, opened: Any) -> Any:
    """What lies in a piece, as a file."""
    if piece.content is not None:
        return io.BytesIO(piece.content)
    file = opened(piece.path, "rb")
    file.seek(piece.start)
    if piece.stop is None:
        return file
    with file:
        return io.BytesIO(file.read(piece.stop - piece.start))


def _header(rows: Iterator[list[str]], place: Place, names: Sequence[str]) -> list[str]:
    try:
        header = header_of(rows, place)
    except StopIteration:
        raise place.bad("is empty; the first row must name the columns") from None
    for name in names:
        if name not in header:
            raise place.bad(f'no column "{name}"; {one_of(header, name)}')
    return header


def _parquet(
    piece: Piece, place: Place, known: Known, only: Int[np.ndarray, "k"] | None
) -> Iterator[dict[str, Column]]:
    try:
        from pyarrow import ArrowException
        from pyarrow.parquet import ParquetFile
    except ImportError:
        raise BadInput(f"{place.file}: reading Parquet needs pyarrow: pip install pyarrow") from None
    try:
        with ParquetFile(piece.path) as file:
            given = file.schema_arrow.names
            if missing := [n for n in known.names if n not in given]:
                raise place.bad(f'no column "{missing[0]}"; {one_of(given, missing[0])}')
            at = FIRST_ROW - 1 + piece.rows  # there is no header: rows are counted from 1
            groups = list(range(file.metadata.num_row_groups))[piece.start : piece.stop]
            for batch in file.iter_batches(known.size, groups, known.names):
                first, at = at, at + batch.num_rows
                if only is not None:
                    low, high = np.searchsorted(only, (first - FIRST_ROW + 1, at - FIRST_ROW + 1))
                    batch = batch.take(only[low:high] - (first - FIRST_ROW + 1))
                if batch.num_rows or only is None:
                    yield {n: _words(batch.column(n), place.at("column", n), first) for n in known.names}
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
