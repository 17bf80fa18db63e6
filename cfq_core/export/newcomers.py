"""New people of a table that is known: its card's own reader reads their rows, and one that it refuses is left out.

What a cell means does not depend on who came before: missing words, filled values, bins, rounding, dates, rare words
and how numbers are written are those of the table that the model was trained on. Only mistakes differ: a card's table
is refused as a whole, of new people the row.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace

import numpy as np

from cfq_core.base.errors import BadCard, BadInput
from cfq_core.datasets.card_rows import FIRST_ROW, Column, Place, decoded, is_gap, opened
from cfq_core.datasets.card_values import of_words
from cfq_core.datasets.dialect import Dialect, delimiter_of
from cfq_core.datasets.table_files import MAX_CSV, as_text
from cfq_core.study.check import count_of
from cfq_core.tables.encode import Values
from cfq_core.tables.fitted import joined, stand_ins
from cfq_core.tables.schema import MISSING_LEVEL, OTHER, Feature, Table


def people_of(content: bytes, table: Table, where: str) -> tuple[Values, int]:
    """New people as grid counts, and how many rows the card does not allow; other columns are not looked at.

    ``table`` is a fitted one, whose medians and rare words new people have too. Raises `BadInput` in one line where no
    row can be read.
    """
    schema, dialect = table.schema, _dialect(content, table, where)
    names, rows = opened(content, where, dialect)
    given = [i for i in range(len(schema.features)) if i not in schema.flags.values()]
    needed = [schema.features[i].name for i in given]
    if absent := [name for name in needed if name not in names]:
        raise BadInput(f'{where}: column "{absent[0]}" is missing; needed are {", ".join(needed)}')
    stand_in, rare = stand_ins(table), joined(table)
    readers = {
        i: _Reader(schema.features[i], table.missing, dialect, stand_in.get(i), rare.get(i, ()), where) for i in given
    }
    place, good, first, total = [names.index(name) for name in needed], list[list[int]](), "", 0
    for number, row in enumerate(rows, FIRST_ROW):
        total += 1
        try:
            if len(row) != len(names):
                raise BadInput(f"{where}: row {number} has {len(row)} cells; the header has {len(names)}")
            good.append(_person(table, readers, {i: row[p].strip() for i, p in zip(given, place, strict=True)}, number))
        except BadInput as problem:
            first = first or str(problem)
    if not good:
        raise BadInput(f"{where}: no row can be read; {first or 'there is none'}")
    return np.array(good, np.int64), total - len(good)


def _dialect(content: bytes, table: Table, where: str) -> Dialect:
    """How the file is written: as the table's is, but for another mark between cells."""
    dialect = table.dialect or Dialect()
    text = decoded(as_text(content, Place(where), dialect), Place(where), MAX_CSV, dialect.encoding)
    header = text.strip().partition("\n")[0]
    return dialect if dialect.delimiter in header or not header else replace(dialect, delimiter=delimiter_of(text))


def _person(table: Table, readers: dict[int, _Reader], cells: dict[int, str], number: int) -> list[int]:
    """One row, and where its cells are missing."""
    filled = {flag: i for i, flag in table.schema.flags.items()}
    return [
        int(is_gap(cells[filled[i]], table.missing)) if i in filled else readers[i].count(cells[i], number)
        for i in range(len(table.schema.features))
    ]


@dataclass(frozen=True)
class _Reader:
    """One column: what the card's reader makes of its cells, each distinct one read once."""

    feature: Feature
    missing: Collection[str]
    dialect: Dialect
    stand_in: int | None  # for a missing cell, of a column that is filled in
    rare: Collection[str]  # words that are "other" to this model
    where: str
    known: dict[str, int] = field(default_factory=dict)

    def count(self, word: str, number: int) -> int:
        """A cell as its grid count; raises `BadInput` with its row."""
        if word not in self.known:
            read = self._gap if is_gap(word, self.missing) else self._value
            self.known[word] = read(word, number)
        return self.known[word]

    def _gap(self, word: str, number: int) -> int:
        f = self.feature
        if self.stand_in is not None:
            return self.stand_in
        if f.missing == "level" and MISSING_LEVEL in f.levels:
            return f.levels.index(MISSING_LEVEL)
        raise BadInput(f'{self.where}: row {number}: {f.name} is missing ("{word}"), and no training row taught of it')

    def _value(self, word: str, number: int) -> int:
        f = self.feature
        if word in self.rare:
            return f.levels.index(OTHER)
        if word in f.levels:  # also as we write it ourselves: the name of a bin
            return f.levels.index(word)
        row = np.array([number - FIRST_ROW])
        place = Place(self.where).at("feature", f.name)
        column = Column(place, (word,), np.zeros(1, np.int64), self.dialect, row).written_with(f.thousands)
        try:
            _, counts, _ = of_words(replace(f, kind="date") if f.reference else f, column, f.reference)
        except BadCard:
            if f.levels or f.reference:  # quoted for spreadsheets, or a date as advice says it
                return count_of(f, word, f"{self.where}: row {number}")
            raise
        return int(counts[0])
