"""Missing cells: what each policy makes of them, beside pandas; nobody is told to change what is not known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cfq_core.actions.action_set import ActionSet, objections
from cfq_core.actions.regimes import REGIMES
from cfq_core.base.errors import BadCard
from cfq_core.datasets.card import parse_card
from cfq_core.export.newcomers import people_of
from cfq_core.pipeline import Setting, prepare, promise
from cfq_core.recourse.exact import Exact
from cfq_core.recourse.search import Search
from cfq_core.tables.encode import Encoding
from cfq_core.tables.schema import Table
from cfq_core.training.loop import TeacherTraining

from .cards import LOANS

ROWS = 300
HEAD = (
    LOANS
    + """missing = ["?"]
ignore = [""]
"""
)
CARD = (
    HEAD
    + """
[[feature]]
name = "income"
kind = "number"
step = 0.5
move = "up"
missing = "{number}"
[[feature]]
name = "rank"
kind = "ordinal"
levels = ["low", "mid", "high"]
missing = "{rank}"
[[feature]]
name = "home"
kind = "category"
missing = "{word}"
[[feature]]
name = "months"
kind = "integer"
move = "down"
"""
)


def _frame() -> pd.DataFrame:
    random = np.random.default_rng(3)
    income = random.integers(0, 90, ROWS) / 2
    frame = pd.DataFrame(
        {
            "income": income,
            "rank": random.choice(["low", "mid", "high"], ROWS),
            "home": random.choice(["rent", "own", "free"], ROWS),
            "months": random.integers(6, 60, ROWS),
            "status": np.where(income + random.normal(0, 8, ROWS) > 24, "repaid", "failed"),
        }
    )
    for column, share in (("income", 0.2), ("rank", 0.1), ("home", 0.15)):
        frame.loc[random.random(ROWS) < share, column] = np.nan
    frame.loc[random.random(ROWS) < 0.03, "status"] = np.nan
    return frame


FRAME = _frame()
TRUTH = FRAME[FRAME.status.notna()].reset_index(drop=True)
CSV = FRAME.to_csv(index=False)


def read(number: str = "median", word: str = "level", rank: str = "median", head: str = "", csv: str = CSV) -> Table:
    return parse_card(CARD.format(number=number, word=word, rank=rank) + head, csv, "loans.toml", "loans.csv")


def test_medians_are_those_of_the_training_rows_of_each_seed() -> None:
    table = read("indicator")
    for seed in (0, 1):
        design = prepare(table, seed)
        frame, training = design.table.frame(), TRUTH.iloc[design.split.train]
        expected = np.rint(2 * training.income.median()) / 2
        gaps = TRUTH.income.isna().to_numpy()
        np.testing.assert_allclose(frame.income[gaps], expected, atol=0.25)
        np.testing.assert_array_equal(frame.income[~gaps], TRUTH.income[~gaps])
        np.testing.assert_array_equal(frame.income_missing == "yes", gaps)
        order = ["low", "mid", "high"]
        middle = training["rank"].dropna().map(order.index).median()
        assert set(frame["rank"][TRUTH["rank"].isna().to_numpy()]) == {order[round(middle)]}
        assert design.table.fingerprint() == table.fingerprint()


def test_test_rows_teach_nothing() -> None:
    """Whatever stands in the test rows, the training rows are filled in and encoded alike."""
    design = prepare(read(), 0)
    frame = FRAME.copy()
    there = frame.index[frame.status.notna()][design.split.test]
    frame.loc[there, "income"] = frame.loc[there, "income"].where(frame.loc[there, "income"].isna(), 44.5)
    other = prepare(read(csv=frame.to_csv(index=False)), 0)
    train = design.split.train
    np.testing.assert_array_equal(design.table.values[train], other.table.values[train])
    assert design.encoding.mean == other.encoding.mean and design.encoding.std == other.encoding.std


@pytest.mark.parametrize("policy", ["median", "indicator"])
@pytest.mark.parametrize("regime", list(REGIMES))
def test_nobody_changes_what_is_not_known_of_them(policy: str, regime: str) -> None:
    actions, table = (d := prepare(read(policy), 1, "default" if regime == "strict" else regime)).actions, d.table
    i, flag = 0, table.schema.flags[0]
    gaps = table.values[:, flag] == 1
    low, high = actions.box(i, table.values)
    assert (low[gaps] == high[gaps]).all() and (low[~gaps] < high[~gaps]).any()
    assert actions.schema.features[flag].move == "fixed"
    person = int(np.flatnonzero(gaps)[0])
    after = table.values[person].copy()
    after[i] += 1
    assert not actions.legal(table.values[[person]], after[None])[0]
    assert "not known" in objections(actions, table.values[person], after)[0]


def test_models_see_where_a_value_is_missing_only_with_an_indicator() -> None:
    median, indicator = read("median"), read("indicator")
    widths = [Encoding.fit(t.schema, t.values).width for t in (median, indicator)]
    assert widths == [7, 8]  # income, rank, home with four levels, months; and the column that says where
    assert [f.name for f in indicator.schema.seen] == ["income", "income_missing", "rank", "home", "months"]


def test_a_missing_level_is_nobodys_aim() -> None:
    table = read()
    f = table.schema["home"]
    assert f.levels == ("free", "own", "rent", "missing") and f.never == ("missing",)
    i = table.schema.features.index(f)
    assert ((table.values[:, i] == 3) == TRUTH.home.isna().to_numpy()).all()
    reach = ActionSet.fit(table.schema, table.values).reachable(i, table.values)
    assert (reach[:, 3] == (table.values[:, i] == 3)).all()


def test_new_people_are_read_as_the_table_was() -> None:
    design = prepare(read("indicator"), 0)
    rows = TRUTH.iloc[design.split.test]
    found, unread = people_of(rows.to_csv(index=False).encode(), design.table, "new.csv")
    assert unread == 0
    np.testing.assert_array_equal(found, design.table.values[design.split.test])


def test_rows_that_are_dropped_are_told() -> None:
    table = read("drop", "drop", "drop")
    full = TRUTH.dropna().reset_index(drop=True)
    assert len(table) == len(full) and list(table.frame().income) == list(full.income)
    told = " ".join(table.warnings)
    for column in ("income", "rank", "home"):
        assert f'"{column}": {int(FRAME[column].isna().sum())} of {ROWS} cells are missing' in told
    gone = FRAME[["income", "rank", "home"]].isna().any(axis=1).sum()
    assert f"{gone} rows are left out in all" in told and f"{gone} rows are left out in all" in table.schema.note


@pytest.mark.parametrize(
    ("policy", "says"),
    [
        ({"number": "refuse"}, ('feature "income"', "is a missing value", 'missing = "level"')),
        ({"number": "level"}, ('feature "income"', 'only for kind = "category"', '"indicator"')),
        ({"word": "median"}, ('feature "home"', "words have no median", '"drop"')),
        ({"number": "mean"}, ('missing = "mean"', "refuse, level, median, indicator, drop", "did you mean")),
        ({"csv": CSV.replace("rent", "missing")}, ('feature "home"', "row", "beside missing cells", "missing = [")),
        ({"head": '[[feature]]\nname = "income_missing"\nkind = "integer"\n'}, ('says where "income" is missing',)),
    ],
)
def test_what_cannot_be_is_one_line(policy: dict[str, str], says: tuple[str, ...]) -> None:
    with pytest.raises(BadCard) as refused:
        read(**policy)
    for part in says:
        assert part in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_constraint_needs_values_that_are_known() -> None:
    card = CARD.format(number="median", word="level", rank="median")
    tied = card.replace("ignore", 'constraints = ["months <= income + 60"]\nignore')
    with pytest.raises(BadCard, match='"income" has cells that are filled in'):
        parse_card(tied, CSV, "loans.toml", "loans.csv")
    assert len(parse_card(tied.replace('"median"', '"drop"'), CSV, "loans.toml", "loans.csv")) > 50


@pytest.mark.parametrize("text", ["income changes by at most 5", "income  changes by  at most 20%"])
def test_a_limit_of_one_column_asks_nothing_of_others(text: str) -> None:
    """However it is written: whose value is not known does not change it at all."""
    card = CARD.format(number="median", word="level", rank="median")
    tied = card.replace("ignore", f'constraints = ["{text}"]\nignore')
    assert parse_card(tied, CSV, "loans.toml", "loans.csv").schema.constraints


@pytest.mark.parametrize("solver", [Search(), pytest.param(Exact(), marks=pytest.mark.gate)], ids=["search", "exact"])
def test_advice_keeps_what_is_not_known(solver: object) -> None:
    setting = Setting((4,), people=24, n_reaudited=2, solver=solver, teacher_training=TeacherTraining(epochs=3))
    for p in promise([prepare(read("indicator"), 0)], setting):
        flag = p.design.table.schema.flags[0]
        before, after = p.recourse.before, p.recourse.after
        gaps = before[:, flag] == 1
        assert gaps.any() and (before[gaps, 0] == after[gaps, 0]).all() and (before[:, flag] == after[:, flag]).all()
        home = p.design.table.schema["home"]
        i = p.design.table.schema.features.index(home)
        moved = before[:, i] != after[:, i]
        assert (after[moved, i] != home.levels.index("missing")).all()
