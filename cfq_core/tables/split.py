"""Train, validation and test rows of one seed.

A published split is kept (seeds then vary the training only); any other table is split anew for each
seed, so that S seeds are S splits and small test sets are pooled.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int
from sklearn.model_selection import train_test_split

from cfq_core.base.streams import stream
from cfq_core.tables.schema import Table

Rows = Int[np.ndarray, "n"]


@dataclass(frozen=True)
class Split:
    """Row numbers of one seed's three parts, each sorted."""

    train: Int[np.ndarray, "n_train"]
    valid: Int[np.ndarray, "n_valid"]
    test: Int[np.ndarray, "n_test"]


def split(table: Table, seed: int, test_share: float = 0.3, valid_share: float = 0.1) -> Split:
    """Stratified split of one seed; ``valid_share`` is taken from the rows that are not test rows."""
    rows = np.arange(len(table))
    if table.published_test is not None:
        rest, test = rows[~table.published_test], rows[table.published_test]
    else:
        rest, test = _cut(table, rows, test_share, stream(seed, "split/test"))
    train, valid = _cut(table, rest, valid_share, stream(seed, "split/valid"))
    return Split(np.sort(train), np.sort(valid), np.sort(test))


def _cut(table: Table, rows: Rows, share: float, seed: int) -> tuple[Int[np.ndarray, "kept"], Int[np.ndarray, "taken"]]:
    kept, taken = train_test_split(rows, test_size=share, random_state=seed, stratify=table.outcome[rows])
    return kept, taken
