"""Rows that were not in a table, read as its own were: by its levels, bins, steps, dates and marks.

What a cell means does not depend on who came before: a missing value is what it was for the people whom the model was
made of, a word that was rare among them is one of the others. The card's own reader judges every other cell.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Int

from cfq_core.datasets.card_gaps import missing_rows
from cfq_core.datasets.card_rows import Column, PerWord, is_gap
from cfq_core.datasets.card_values import of_words
from cfq_core.tables.fitted import joined, stand_ins
from cfq_core.tables.schema import MISSING_LEVEL, OTHER, Feature, Schema, Table


@dataclass(frozen=True)
class KnownColumn:
    """How the cells of one column are read."""

    feature: Feature
    missing: Collection[str]
    known: Mapping[str, int]  # words with a count of their own
    gap: int | None  # the count of a missing cell; None: no row taught what it means

    def counts(self, column: Column) -> PerWord:
        """The distinct cells of a column as grid counts; raises `BadCard`."""
        f, counts = self.feature, np.zeros(len(column.words), np.int64)
        other = np.ones(len(column.words), bool)
        for k, word in enumerate(column.words):
            missing = is_gap(word, self.missing)
            if missing and self.gap is None:
                raise column.bad(k, "is a missing value, and no row that is known says what it means")
            found = self.gap if missing else self.known.get(word)
            if found is not None:
                counts[k], other[k] = found, False
        if other.any():
            rest = column.of_rows(other[column.cells]).written_with(f.thousands)
            counts[other] = of_words(replace(f, kind="date") if f.reference else f, rest, f.reference)[1]
        return counts


@dataclass(frozen=True)
class KnownTable:
    """How the rows of a table are read, and no row of it."""

    schema: Schema
    missing: Collection[str]
    columns: Mapping[str, KnownColumn]  # that a file must have, by name

    @classmethod
    def of(cls, table: Table) -> KnownTable:
        """``table`` is a fitted one, whose medians and rare words new rows have too."""
        schema, stand_in, rare = table.schema, stand_ins(table), joined(table)
        columns = {
            i: KnownColumn(f, table.missing, _known(f, rare.get(i, ())), stand_in.get(i, _level(f)))
            for i, f in enumerate(schema.features)
            if i not in schema.flags.values()
        }
        return cls(schema, table.missing, {c.feature.name: c for c in columns.values()})

    def values(self, columns: Mapping[str, Column]) -> Int[np.ndarray, "n f"]:
        """Rows as grid counts, and where their cells are missing; raises `BadCard`."""
        counts = {n: known.counts(columns[n])[columns[n].cells] for n, known in self.columns.items()}
        filled = (f for f in self.schema.features if f.name in counts and f.flag not in counts)
        flags = {f.flag: missing_rows(columns[f.name], self.missing).astype(np.int64) for f in filled}
        return np.stack([(counts | flags)[f.name] for f in self.schema.features], axis=1)


def _known(f: Feature, rare: Collection[str]) -> dict[str, int]:
    """Levels, also the name of a bin, as we write it ourselves; rare ones are one."""
    own = {word: k for k, word in enumerate(f.levels)}
    return own | dict.fromkeys(rare, own[OTHER]) if rare else own


def _level(f: Feature) -> int | None:
    return f.levels.index(MISSING_LEVEL) if f.missing == "level" and MISSING_LEVEL in f.levels else None
