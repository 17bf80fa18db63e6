"""New people of a table that is known: its card's own reader reads their rows, and one that it refuses is left out.

Only mistakes differ: a card's table is refused as a whole, of new people the row.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import date

import numpy as np

from cfq_core.base.errors import BadCard, BadInput
from cfq_core.datasets.card_dates import parsed
from cfq_core.datasets.card_rows import FIRST_ROW, Column, Place, collected, decoded, opened
from cfq_core.datasets.dialect import Dialect, delimiter_of
from cfq_core.datasets.new_rows import KnownTable
from cfq_core.datasets.table_files import MAX_CSV, as_text
from cfq_core.tables.encode import Values
from cfq_core.tables.schema import Feature, Table


def people_of(content: bytes, table: Table, where: str) -> tuple[Values, int]:
    """New people as grid counts, and how many rows the card does not allow; other columns are not looked at.

    ``table`` is a fitted one. Raises `BadInput` in one line where no row can be read.
    """
    known, dialect = KnownTable.of(table), _dialect(content, table, where)
    names, rows = opened(content, where, dialect)
    if absent := [name for name in known.columns if name not in names]:
        raise BadInput(f'{where}: column "{absent[0]}" is missing; needed are {", ".join(known.columns)}')
    every = dict(enumerate(rows, FIRST_ROW))
    wrong = {n: f"{where}: row {n} has {len(row)} cells; the header has {len(names)}"
             for n, row in every.items() if len(row) != len(names)}  # fmt: skip
    fit = np.array([n for n in every if n not in wrong], np.int64)
    places = [Place(where).at("feature", name) for name in known.columns]
    read = collected((every[n] for n in fit.tolist()), names, places, [*known.columns])
    columns = {n: replace(_plain(known.columns[n].feature, c), dialect=dialect, lines=fit - FIRST_ROW)
               for n, c in read.items()}  # fmt: skip
    try:
        found = known.values(columns) if len(fit) else None
    except BadCard:
        for row, why in _mistakes(known, columns):
            wrong.setdefault(row, why)
        kept = ~np.isin(fit, [*wrong])
        found = known.values({n: c.of_rows(kept) for n, c in columns.items()}) if kept.any() else None
    if found is None:
        raise BadInput(f"{where}: no row can be read; {wrong[min(wrong)] if wrong else 'there is none'}")
    return found, len(wrong)


def _mistakes(known: KnownTable, columns: Mapping[str, Column]) -> Iterator[tuple[int, str]]:
    """Every row with a cell that is refused, and why; each distinct cell is read once."""
    for name, column in columns.items():
        assert column.lines is not None
        for k, row in enumerate(np.unique(column.cells, return_index=True)[1]):
            at = column.lines[[row]]
            try:
                known.columns[name].counts(replace(column, words=column.words[k : k + 1], cells=at * 0, lines=at))
            except BadCard as problem:
                yield from ((int(line) + FIRST_ROW, str(problem)) for line in column.lines[column.cells == k])


def _dialect(content: bytes, table: Table, where: str) -> Dialect:
    """How the file is written: as the table's is, but for another mark between cells."""
    dialect = table.dialect or Dialect()
    text = decoded(as_text(content, Place(where), dialect), Place(where), MAX_CSV, dialect.encoding)
    header = text.strip().partition("\n")[0]
    return dialect if dialect.delimiter in header or not header else replace(dialect, delimiter=delimiter_of(text))


def _plain(f: Feature, column: Column) -> Column:
    """Cells that we wrote as the card's reader knows them: levels quoted for spreadsheets, dates as advice has them."""
    words = [w[1:] if w[:1] == "'" and w not in f.levels and w[1:] in f.levels else w for w in column.words]
    if f.reference:
        words = [w if parsed(w, f.format) is not None else _day(f, w) for w in words]
    return replace(column, words=tuple(words))


def _day(f: Feature, word: str) -> str:
    """An ISO date, or a number of days, as the card writes dates; any other word is itself."""
    with suppress(ValueError, OverflowError):
        day = word if "-" in word[1:] else f.date(round(float(word)))
        return date.fromisoformat(day).strftime(f.format or "%Y-%m-%d")
    return word
