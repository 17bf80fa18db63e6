"""Train, validation and test rows of one seed.

A published split, or one that a card names, is kept (seeds then vary the training only); any other table is split anew
for each seed, so that S seeds are S splits and small test sets are pooled. Where a table has people whom no model may
be trained on, they are the test rows, and people like those in training are held out beside them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Int
from sklearn.model_selection import train_test_split

from cfq_core.base.streams import stream
from cfq_core.tables.schema import PARTS, Table

Rows = Int[np.ndarray, "n"]


@dataclass(frozen=True)
class Split:
    """Row numbers of one seed's parts, each sorted."""

    train: Int[np.ndarray, "n_train"]
    valid: Int[np.ndarray, "n_valid"]
    test: Int[np.ndarray, "n_test"]
    home: Int[np.ndarray, "n_home"] = field(default_factory=lambda: np.empty(0, np.int64))
    """Held out of the slice that is trained on, where only a slice is: what the test rows are compared with."""


def split(table: Table, seed: int, test_share: float = 0.3, valid_share: float = 0.1) -> Split:
    """Stratified split of one seed; ``valid_share`` is taken from the rows that are not test rows."""
    rows = np.arange(len(table))
    if table.part is not None:
        return _as_said(table, table.part, rows, seed, valid_share)
    if table.unseen is not None:
        return _across(table, rows, seed, test_share, valid_share)
    if table.published_test is not None:
        rest, test = rows[~table.published_test], rows[table.published_test]
    else:
        rest, test = _cut(table, rows, test_share, stream(seed, "split/test"))
    train, valid = _cut(table, rest, valid_share, stream(seed, "split/valid"))
    return Split(np.sort(train), np.sort(valid), np.sort(test))


def _as_said(table: Table, part: Rows, rows: Rows, seed: int, valid_share: float) -> Split:
    """The split that the table's card names; validation rows are taken from training rows where it has none."""
    train, valid, test = (rows[part == k] for k in range(len(PARTS)))
    if not len(valid):
        train, valid = _cut(table, train, valid_share, stream(seed, "split/valid"))
    return Split(np.sort(train), np.sort(valid), test)


def _across(table: Table, rows: Rows, seed: int, test_share: float, valid_share: float) -> Split:
    """Test rows are unseen people; of a published split, those of its test part, so that these are the same people."""
    unseen, published = table.unseen, table.published_test
    assert unseen is not None
    if published is not None:
        rest, home, test = rows[~unseen & ~published], rows[~unseen & published], rows[unseen & published]
    else:
        rest, home = _cut(table, rows[~unseen], test_share, stream(seed, "split/test"))
        test = rows[unseen]
    train, valid = _cut(table, rest, valid_share, stream(seed, "split/valid"))
    return Split(np.sort(train), np.sort(valid), np.sort(test), np.sort(home))


def _cut(table: Table, rows: Rows, share: float, seed: int) -> tuple[Int[np.ndarray, "kept"], Int[np.ndarray, "taken"]]:
    kept, taken = train_test_split(rows, test_size=share, random_state=seed, stratify=table.outcome[rows])
    return kept, taken
