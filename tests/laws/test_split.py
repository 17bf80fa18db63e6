"""Train, validation and test rows of a seed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cfq_core.tables.schema import Feature, Schema, Table
from cfq_core.tables.split import Split, split

SCHEMA = Schema("s", "S", (Feature("x", "integer"),), "yes", "no")


@st.composite
def tables(draw: st.DrawFn) -> Table:
    rows = draw(st.integers(40, 400))
    favourable = draw(st.integers(15, rows - 15))
    outcome = np.arange(rows) % rows < favourable
    return Table(SCHEMA, np.arange(rows)[:, None], np.random.default_rng(rows).permutation(outcome))


def _parts(parts: Split) -> list[np.ndarray]:
    return [parts.train, parts.valid, parts.test]


@given(tables(), st.integers(0, 2**31 - 1))
def test_every_row_is_in_exactly_one_part(table: Table, seed: int) -> None:
    parts = split(table, seed)
    np.testing.assert_array_equal(np.sort(np.concatenate(_parts(parts))), np.arange(len(table)))
    for rows in _parts(parts):
        assert len(rows) > 0
        assert (np.diff(rows) > 0).all(), "sorted, no row twice"


@given(tables(), st.integers(0, 1000))
def test_parts_have_their_share_of_rows_and_of_favourable_outcomes(table: Table, seed: int) -> None:
    parts, n = split(table, seed), len(table)
    assert abs(len(parts.test) - 0.3 * n) <= 1
    assert abs(len(parts.valid) - 0.1 * (n - len(parts.test))) <= 1
    for rows in _parts(parts):
        assert abs(table.outcome[rows].sum() - table.outcome.mean() * len(rows)) <= 2


@given(tables(), st.integers(0, 1000))
def test_a_published_test_split_is_kept_and_the_seed_cuts_the_rest(table: Table, seed: int) -> None:
    published = np.arange(len(table)) % 4 == 0
    given_split = replace(table, published_test=published)
    one, other = split(given_split, seed), split(given_split, seed + 1)
    np.testing.assert_array_equal(one.test, np.flatnonzero(published))
    np.testing.assert_array_equal(other.test, np.flatnonzero(published))
    assert not np.array_equal(one.valid, other.valid)


@given(tables(), st.integers(0, 1000))
def test_a_seed_gives_its_split_again_and_another_seed_another(table: Table, seed: int) -> None:
    again = split(table, seed)
    for a, b in zip(_parts(split(table, seed)), _parts(again), strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(split(table, seed + 1).test, again.test)
