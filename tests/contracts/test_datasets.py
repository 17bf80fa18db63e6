"""Every data set: exact integer cells, sound groups, something to do; and the published tables' known facts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

from cfq_core.actions.action_set import ActionSet
from cfq_core.actions.regimes import REGIMES
from cfq_core.base import plugins
from cfq_core.tables.encode import Encoding
from cfq_core.tables.schema import KINDS, MOVES, Table
from cfq_core.tables.split import split

Load = Callable[[str], Table]
every_dataset = pytest.mark.parametrize("name", plugins.names("datasets"))


@every_dataset
def test_cells_are_integers_and_levels_are_in_range(name: str, real_table: Load) -> None:
    table = real_table(name)
    assert table.values.dtype == np.int64
    assert table.values.shape == (len(table.outcome), len(table.schema.features))
    for i, f in enumerate(table.schema.features):
        if f.levels:
            assert table.values[:, i].min() >= 0, f.name
            assert table.values[:, i].max() < len(f.levels), f.name


@every_dataset
def test_both_outcomes_occur(name: str, real_table: Load) -> None:
    table = real_table(name)
    assert table.outcome.dtype == np.bool_
    assert 0.05 < table.outcome.mean() < 0.95


@every_dataset
def test_encoding_then_decoding_gives_every_person_back(name: str, real_table: Load) -> None:
    table = real_table(name)
    encoding = Encoding.fit(table.schema, table.values[split(table, 0).train])
    inputs = encoding.encode(table.values)
    assert np.isfinite(inputs).all()
    np.testing.assert_array_equal(encoding.decode(inputs), table.values)


@every_dataset
def test_raw_units_and_words_give_the_cells_back(name: str, real_table: Load) -> None:
    table = real_table(name)
    frame = table.frame()
    for i, f in enumerate(table.schema.features):
        back = frame[f.name].map(f.levels.index).to_numpy() if f.levels else f.counts(frame[f.name].to_numpy())
        np.testing.assert_array_equal(back, table.values[:, i], err_msg=f.name)


@every_dataset
@pytest.mark.parametrize("regime", REGIMES)
def test_protected_features_are_fixed_in_every_regime(name: str, regime: str, real_table: Load) -> None:
    table = real_table(name)
    actions = ActionSet.fit(table.schema, table.values, regime)
    protected = [f.name for f in table.schema.protected]
    assert protected, "a data set has group columns"
    assert {actions.schema[n].move for n in protected} == {"fixed"}


@every_dataset
def test_something_is_actionable_by_default_and_staying_is_always_allowed(name: str, real_table: Load) -> None:
    table = real_table(name)
    actions = ActionSet.fit(table.schema, table.values)
    assert actions.numbers or actions.switches
    assert actions.legal(table.values, table.values).all()
    np.testing.assert_array_equal(actions.cost(table.values, table.values), 0.0)


@every_dataset
def test_group_columns_cover_everybody(name: str, real_table: Load) -> None:
    table = real_table(name)
    groups = table.groups()
    assert list(groups) == [f.name for f in table.schema.protected]
    for column, levels in groups.items():
        assert len(levels) == len(table)
        assert all(levels), f"{column}: a person without a group"
        assert len(set(levels)) >= 2, f"{column}: one group only"


@every_dataset
def test_a_schema_is_complete(name: str, real_table: Load) -> None:
    schema = real_table(name).schema
    assert schema.name == name
    assert all((schema.title, schema.favourable, schema.unfavourable, schema.note, schema.source, schema.licence))
    names = [f.name for f in schema.features]
    assert len(set(names)) == len(names)
    for f in schema.features:
        assert f.kind in KINDS and f.move in MOVES
        assert bool(f.levels) == (f.kind in ("ordinal", "category")), f.name
        assert set(f.never) < set(f.levels) or not f.never
        assert not (f.protected or f.immutable) or f.move == "fixed", f.name


@every_dataset
def test_loading_twice_gives_the_same_table(name: str, real_table: Load) -> None:
    assert real_table(name).fingerprint() == plugins.load("datasets", name).load().fingerprint()


# ---------------------------------------------------------------------- what is published about the tables
@dataclass(frozen=True)
class Published:
    rows: int
    favourable: int  # people
    test_rows: int | None = None


FACTS = {
    "adult": Published(48_842, 11_687, 16_281),
    "german": Published(1_000, 700),
    "compas": Published(6_172, 3_363),
    "diabetes": Published(442, 221),
}


@pytest.mark.parametrize("name", FACTS)
def test_row_counts_and_favourable_shares_are_the_published_ones(name: str, real_table: Load) -> None:
    table, fact = real_table(name), FACTS[name]
    assert (len(table), int(table.outcome.sum())) == (fact.rows, fact.favourable)
    published = None if table.published_test is None else int(table.published_test.sum())
    assert published == fact.test_rows


def test_unknown_cells_of_adult_are_a_level_and_no_row_is_dropped(real_table: Load) -> None:
    table = real_table("adult")
    frame = table.frame()
    unknown = {c: int((frame[c] == "unknown").sum()) for c in ("workclass", "occupation", "native_country")}
    assert unknown == {"workclass": 2_799, "occupation": 2_809, "native_country": 857}


def test_adult_has_no_sampling_weight(real_table: Load) -> None:
    names = [f.name for f in real_table("adult").schema.features]
    assert "fnlwgt" not in names
    assert "education" not in names, "education_num stands for it"


def test_adult_education_is_ordered_as_published(real_table: Load) -> None:
    table = real_table("adult")
    school = table.frame()["education_num"].to_numpy()
    graduate_share = [table.outcome[school == level].mean() for level in ("9th", "HS-grad", "Bachelors", "Doctorate")]
    assert graduate_share == sorted(graduate_share)


def test_compas_calls_no_new_offence_favourable(real_table: Load) -> None:
    table = real_table("compas")
    priors = table.frame()["priors"].to_numpy()
    assert table.outcome[priors == 0].mean() > 0.6 > 0.4 > table.outcome[priors > 10].mean()


def test_german_levels_are_words_not_codes(real_table: Load) -> None:
    for f in real_table("german").schema.features:
        assert not [level for level in f.levels if level.startswith("A") and level[1:].isdigit()], f.name


#: How many applicants the corrected code table has at some levels (Groemping 2019, its Table of level frequencies).
CORRECTED = {
    ("checking", "no checking account"): 274, ("checking", "200 DM or a salary"): 394,
    ("savings", "unknown or none"): 603, ("property", "none known"): 282, ("foreign", "yes"): 37,
    ("dependents", "3 and more"): 155, ("personal_status", "woman, not single, or man, single"): 310,
}  # fmt: skip


def test_german_levels_are_the_corrected_ones_and_nobodys_sex_is_claimed(real_table: Load) -> None:
    table = real_table("german")
    assert set(table.groups()) == {"age", "foreign"}
    names = [f.name for f in table.schema.features]
    for (name, level), count in CORRECTED.items():
        column = names.index(name)
        code = table.schema.features[column].levels.index(level)
        assert int((table.values[:, column] == code).sum()) == count, (name, level)
