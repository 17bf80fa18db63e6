"""A table with what is learned of its training rows: medians that stand for missing values, and which levels are rare.

A table as it was read holds any value where a cell is missing, beside a column that says so, and every level that may
have enough training rows. Each seed has its own training rows, hence its own medians and its own rare levels; test rows
teach nothing.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from jaxtyping import Int

from cfq_core.tables.schema import MISSING_LEVEL, OTHER, Feature, Table

Rows = Int[np.ndarray, "n"]


def fitted(table: Table, training: Rows) -> Table:
    """The same people as a model trained on some of the rows sees them; the table itself where nothing is learned."""
    schema = table.schema
    joined = [i for i, f in enumerate(schema.features) if f.other_below]
    if not schema.flags and not joined:
        return table
    values, features = table.values.copy(), list[Feature]()
    for i, flag in schema.flags.items():
        known = table.values[training, i][table.values[training, flag] == 0]
        if len(known):
            values[table.values[:, flag] == 1, i] = round(float(np.median(known)))
    for i in joined:
        f = schema.features[i]
        rare = _rare(f, table.values[training, i])
        values[np.isin(values[:, i], rare), i] = f.levels.index(OTHER)
        features.append(replace(f, never=tuple(dict.fromkeys((*f.never, *(f.levels[k] for k in rare))))))
    return replace(table, schema=schema.with_features(*features), values=values, origin=table.fingerprint())


def _rare(f: Feature, training: Rows) -> Int[np.ndarray, "r"]:
    """Levels with too few training rows."""
    few = np.bincount(training, minlength=len(f.levels)) < f.other_below
    return np.array([k for k in np.flatnonzero(few) if f.levels[k] not in (OTHER, MISSING_LEVEL)], np.int64)


def fitted_whole(table: Table) -> Table:
    """The same of all rows that may be training rows, where nobody says which are."""
    rows = np.arange(len(table))
    return fitted(table, rows if table.part is None else rows[table.part == 0])


def stand_ins(table: Table) -> dict[int, int]:
    """Of each column of a fitted table with cells filled in, the count that stands for a missing one."""
    flags = table.schema.flags.items()
    return {i: int(table.values[np.argmax(table.values[:, flag] == 1), i]) for i, flag in flags}


def joined(table: Table) -> dict[int, frozenset[str]]:
    """Of each column whose rare levels are one in a fitted table, the words of those: levels that nobody has there."""
    out = {}
    for i, f in enumerate(table.schema.features):
        if f.other_below:
            count = np.bincount(table.values[:, i], minlength=len(f.levels))
            out[i] = frozenset(f.levels[k] for k in np.flatnonzero(count == 0)) - {OTHER, MISSING_LEVEL}
    return out
