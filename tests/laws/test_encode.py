"""Encoding loses nothing: every cell of every schema comes back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cfq_core.tables.encode import Encoding, modelled
from cfq_core.tables.schema import Feature, Schema

from .people import People, people

FARTHEST = 10**12  # grid steps a card may hold (card_rows.MAX_COUNT)


@given(people())
def test_decoding_gives_every_cell_back(made: People) -> None:
    encoding = Encoding.fit(made.schema, made.values[:8])
    np.testing.assert_array_equal(encoding.decode(encoding.encode(made.values)), made.values)


@given(people(far=FARTHEST))
def test_decoding_is_exact_as_far_as_a_card_may_count(made: People) -> None:
    encoding = Encoding.fit(made.schema, made.values)
    np.testing.assert_array_equal(encoding.decode(encoding.encode(made.values)), made.values)


@given(people(rows=40, far=5000))
def test_numbers_are_standardised_on_the_training_rows(made: People) -> None:
    encoding = Encoding.fit(made.schema, made.values)
    inputs = encoding.encode(made.values)
    for f, start in zip(made.schema.features, encoding.starts, strict=True):
        if f.is_category:
            block = inputs[:, start : start + len(f.levels)]
            np.testing.assert_array_equal(block.sum(1), 1.0)
            assert set(np.unique(block)) <= {0.0, 1.0}
        else:
            assert abs(inputs[:, start].mean()) < 1e-6
            assert inputs[:, start].std() == pytest.approx(1.0, abs=1e-6) or np.ptp(inputs[:, start]) == 0


@given(people())
def test_width_and_starts_cover_the_columns_once(made: People) -> None:
    encoding = Encoding.fit(made.schema, made.values)
    widths = [len(f.levels) if f.is_category else 1 for f in made.schema.features]
    assert encoding.width == sum(widths) == encoding.encode(made.values).shape[1]
    assert list(encoding.starts) == [sum(widths[:i]) for i in range(len(widths))]


@given(people(rows=4))
def test_inputs_do_not_depend_on_who_else_is_encoded(made: People) -> None:
    encoding = Encoding.fit(made.schema, made.values)
    together = encoding.encode(made.values)
    alone = np.concatenate([encoding.encode(made.values[i : i + 1]) for i in range(4)])
    np.testing.assert_array_equal(together, alone)


def test_a_constant_column_encodes_to_zero_and_comes_back() -> None:
    schema = Schema("s", "S", (Feature("x", "number", step=0.1),), "yes", "no")
    cells = np.full((5, 1), 321)
    encoding = Encoding.fit(schema, cells)
    np.testing.assert_array_equal(encoding.encode(cells), 0.0)
    np.testing.assert_array_equal(encoding.decode(encoding.encode(cells + 7)), cells + 7)


@given(st.integers(-FARTHEST, FARTHEST), st.sampled_from([1, 10, 100, 10_000]))
def test_raw_units_equal_the_decimal_a_reader_writes(count: int, per_unit: int) -> None:
    feature = Feature("x", "number", step=1 / per_unit)
    whole, rest = divmod(abs(count), per_unit)
    digits = len(str(per_unit)) - 1
    written = f"{'-' if count < 0 else ''}{whole}.{str(rest).zfill(digits) if digits else '0'}"
    assert feature.raw(np.array([count]))[0] == float(written)


def test_a_logarithm_is_of_one_plus_the_raw_value() -> None:
    feature = Feature("x", "number", step=0.5, log=True)
    np.testing.assert_allclose(modelled(feature, np.array([0, 2, 20])), np.log([1.0, 2.0, 11.0]), atol=1e-15)


def test_spoken_cells_carry_levels_units_and_thousands() -> None:
    assert Feature("x", "number", unit="kEUR", step=0.1).format_cell(321) == "32.1 kEUR"
    assert Feature("x", "integer", unit="EUR").format_cell(1234567) == "1,234,567 EUR"
    assert Feature("x", "ordinal", levels=("low", "high")).format_cell(1) == "high"
