"""Dates, rounded numbers, rare levels and bins: what a column becomes, beside pandas."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cfq_core.base import plugins
from cfq_core.base.errors import BadCard
from cfq_core.datasets.card import parse_card
from cfq_core.pipeline import Setting, audit, prepare, promise, training_recourse
from cfq_core.study.check import count_of
from cfq_core.tables.schema import Table
from cfq_core.training.loop import TeacherTraining

from .cards import LOANS

ROWS = 240
CARD = (
    LOANS
    + """{head}
[[feature]]
name = "income"
kind = "number"
step = 1
[[feature]]
name = "x"
{x}
"""
)


def frame(x: object) -> pd.DataFrame:
    random = np.random.default_rng(1)
    income = random.integers(0, 90, ROWS)
    status = np.where(income + random.normal(0, 20, ROWS) > 45, "repaid", "failed")
    return pd.DataFrame({"income": income, "x": x, "status": status})


def read(data: pd.DataFrame, x: str, head: str = "") -> Table:
    return parse_card(CARD.format(x=x, head=head), data.to_csv(index=False), "loans.toml", "loans.csv")


def refusal(data: pd.DataFrame, x: str, head: str = "") -> str:
    with pytest.raises(BadCard) as refused:
        read(data, x, head)
    assert "\n" not in str(refused.value)
    return str(refused.value)


# ---------------------------------------------------------------------- dates
DAYS = pd.Series(pd.date_range("2015-01-03", periods=ROWS, freq="9D"))
REFERENCE = "reference = 2024-12-31"
DATE = 'kind = "date"'


@pytest.mark.parametrize(
    ("written", "card"),
    [
        (DAYS.dt.strftime("%Y-%m-%d"), DATE),
        (DAYS.dt.strftime("%Y-%m-%d 17:30:00"), DATE),
        (DAYS, DATE),
        (DAYS.dt.strftime("%d.%m.%Y"), DATE + '\nformat = "%d.%m.%Y"'),
        (DAYS.dt.strftime("%m/%d/%y"), DATE + '\nformat = "%m/%d/%y"'),
    ],
)
def test_dates_are_days_before_the_reference(written: pd.Series, card: str) -> None:
    table = read(frame(written), card, REFERENCE)
    assert list(table.frame().x) == list((pd.Timestamp("2024-12-31") - DAYS).dt.days)
    f = table.schema["x"]
    assert (f.kind, f.unit) == ("integer", "days before 2024-12-31")
    for row in (0, 17, ROWS - 1):
        said = f.format_cell(int(table.values[row, 1]))
        assert said == str(DAYS[row].date()) and count_of(f, said, "here") == table.values[row, 1]
    assert f.format_cell(10**9) == "1,000,000,000 days before 2024-12-31"


def test_a_column_may_have_its_own_reference_and_stay() -> None:
    table = read(frame(DAYS), DATE + '\nimmutable = true\nreference = "2023-12-31"', REFERENCE)
    assert table.schema["x"].move == "fixed" and table.frame().x.max() == 3284


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["13/04/2021", "01/02/2020"], ("not an ISO date", "%d/%m/%Y", "row 2")),
        (["04/13/2021", "01/02/2020"], ("%m/%d/%Y",)),
        (["03/04/2021", "01/02/2020"], ("in 2 ways", "%d/%m/%Y", "3 April 2021", "4 March 2021", "say which format")),
        (["31.12.21", "01.02.20"], ("%d.%m.%y",)),
        (["2021-02-30", "2021-02-03"], ("2021-02-30", "not an ISO date")),
        (["soon", "2021-02-03"], ('"soon"', "not an ISO date")),
    ],
)
def test_a_date_is_not_guessed(words: list[str], says: tuple[str, ...]) -> None:
    told = refusal(frame(np.resize(words, ROWS)), DATE, REFERENCE)
    for part in ('feature "x"', *says):
        assert part in told, told


def test_dates_need_a_day_to_count_from() -> None:
    assert f'reference = "{DAYS.iloc[-1].date()}"' in refusal(frame(DAYS), DATE)
    assert 'reference = "soon"' in refusal(frame(DAYS), DATE, 'reference = "soon"')
    assert 'format = "%Q"' in refusal(frame(DAYS), DATE + '\nformat = "%Q"', REFERENCE)


# ---------------------------------------------------------------------- numbers
def test_computed_numbers_are_rounded_and_told() -> None:
    cells = pd.Series(np.random.default_rng(2).random(ROWS).round(2) + np.resize([0, 0.004], ROWS))
    table = read(frame(cells), 'kind = "number"\nstep = 0.01\nround = true')
    np.testing.assert_allclose(table.frame().x, cells.round(2), atol=1e-12)
    off = int((np.abs(cells - cells.round(2)) > 1e-9).sum())
    assert f"{off} of {ROWS} cells are rounded to multiples of 0.01, by at most 0.004" in " ".join(table.warnings)
    assert "rounded" in table.schema.note
    assert "round = true" in refusal(frame(cells), 'kind = "number"\nstep = 0.01')
    assert "needs a step" in refusal(frame(cells), 'kind = "number"\nround = true')


def test_bins_are_ordered_levels() -> None:
    cells = pd.Series(np.random.default_rng(4).integers(0, 5000, ROWS))
    table = read(frame(cells), 'kind = "integer"\nunit = "euros"\nbins = [1000, 2000.5]')
    f = table.schema["x"]
    assert f.levels == ("under 1000 euros", "1000 to 2000.5 euros", "2000.5 and over euros") and f.kind == "ordinal"
    cut = pd.cut(cells, [-np.inf, 1000, 2000.5, np.inf], right=False, labels=False)
    assert list(table.values[:, 1]) == list(cut)
    assert "beside bins" in refusal(frame(cells), 'kind = "integer"\nbins = [10]\nlow = 3')
    assert "must increase" in refusal(frame(cells), 'kind = "integer"\nbins = [10, 5]')


# ---------------------------------------------------------------------- rare levels
JOBS = np.random.default_rng(5).choice([f"job {k}" for k in range(12)], ROWS, p=[0.3, 0.3, 0.14] + [0.26 / 9] * 9)


@pytest.mark.parametrize("seed", [0, 1])
def test_levels_with_few_training_rows_are_other_and_nobodys_aim(seed: int) -> None:
    table = read(frame(JOBS), 'kind = "category"\nother_below = 25')
    design = prepare(table, seed)
    counts = pd.Series(JOBS[design.split.train]).value_counts()
    often = set(counts[counts >= 25].index)
    assert list(design.table.frame().x) == [job if job in often else "other" for job in JOBS]
    reach = design.actions.reachable(1, design.table.values)
    there = {f for k, f in enumerate(table.schema["x"].levels) if reach[design.table.values[:, 1] != k, k].any()}
    assert there == often
    assert design.table.fingerprint() == table.fingerprint() and "rows in all of it" in table.warnings[0]


@pytest.mark.gate
def test_seeds_with_other_rare_levels_are_one_study_and_nobody_is_sent_to_a_rare_one() -> None:
    designs = [prepare(read(frame(JOBS), 'kind = "category"\nother_below = 20'), seed) for seed in (0, 1)]
    assert len({d.table.schema["x"].never for d in designs}) == 2
    setting = Setting((4,), people=20, n_reaudited=5, teacher_training=TeacherTraining(epochs=2))
    promises = training_recourse(promise(designs, setting), setting)
    methods = {name: plugins.load("methods", name) for name in ("ptq", "cfq")}
    assert audit(promises, methods, [4], setting)
    for p in promises:
        f, before, after = p.design.table.schema["x"], p.recourse.before[:, 1], p.recourse.after[:, 1]
        assert not {f.levels[k] for k in after[before != after]} & set(f.never)


def test_many_levels_that_are_each_rare_are_no_identifier() -> None:
    words = np.where(np.arange(ROWS) % 2, "often", [f"id {k}" for k in range(ROWS)])
    table = read(frame(words), 'kind = "category"\nother_below = 30\nnever = ["id 4"]')
    assert table.schema["x"].levels == ("often", "other")
    assert "leave one of the two out" in refusal(frame(JOBS), 'kind = "category"\nother_below = 3\nlevels = ["a"]')
    assert "whole number" in refusal(frame(JOBS), 'kind = "category"\nother_below = 2.5')
