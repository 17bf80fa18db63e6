"""A table with what is learned of its training rows filled in: the medians that stand for missing values.

A table as it was read holds any value where a cell is missing, beside a column that says so. Each seed has its own
training rows, hence its own medians; test rows teach nothing.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from jaxtyping import Int

from cfq_core.tables.schema import Table

Rows = Int[np.ndarray, "n"]


def fitted(table: Table, training: Rows) -> Table:
    """The same people as a model trained on some of the rows sees them; the table itself where nothing is missing."""
    if not table.schema.flags:
        return table
    values = table.values.copy()
    for i, flag in table.schema.flags.items():
        known = table.values[training, i][table.values[training, flag] == 0]
        if len(known):
            values[table.values[:, flag] == 1, i] = round(float(np.median(known)))
    return replace(table, values=values, origin=table.fingerprint())


def fitted_whole(table: Table) -> Table:
    """The same of all rows that may be training rows, where nobody says which are."""
    rows = np.arange(len(table))
    return fitted(table, rows if table.part is None else rows[table.part == 0])
