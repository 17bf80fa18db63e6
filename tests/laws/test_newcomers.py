"""New people are read as the table was of which the model was made, whatever its card says of cells."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cfq_core.base.errors import BadInput
from cfq_core.datasets.card import card_of, parse_card
from cfq_core.datasets.new_rows import KnownTable
from cfq_core.datasets.parts import Known, parts_of
from cfq_core.datasets.pieces import Piece
from cfq_core.export.newcomers import people_of
from cfq_core.pipeline import Design, prepare
from cfq_core.tables.fitted import fitted_whole

from .cards import LOANS

ROWS = 300
CARD = (
    LOANS
    + """delimiter = ";"
decimal = ","
thousands = "."
strip = ["EUR"]
missing = ["k.A.", "-"]
reference = 2024-12-31
[[feature]]
name = "income"
kind = "number"
step = 0.5
missing = "indicator"
[[feature]]
name = "ratio"
kind = "number"
step = 0.01
round = true
missing = "median"
[[feature]]
name = "age"
kind = "integer"
bins = [30, 50]
unit = "years"
[[feature]]
name = "since"
kind = "date"
format = "%d.%m.%Y"
missing = "drop"
[[feature]]
name = "home"
kind = "category"
missing = "level"
[[feature]]
name = "job"
kind = "category"
other_below = 15
"""
)


def _frame() -> pd.DataFrame:
    random = np.random.default_rng(2)
    amount = random.integers(1000, 9000, ROWS) / 2
    job = random.choice([f"job {k}" for k in range(6)], ROWS, p=[0.4, 0.3, 0.14, 0.05, 0.06, 0.05])
    days = pd.Timestamp("2024-12-31") - pd.to_timedelta(random.integers(0, 4000, ROWS), unit="D")
    words = [f"{a:,.1f} EUR".translate(str.maketrans(",.", ".,")) for a in amount]
    frame = pd.DataFrame({
        "income": words,
        "ratio": [f"{r:.4f}".replace(".", ",") for r in random.random(ROWS)],
        "age": random.integers(18, 90, ROWS),
        "since": days.strftime("%d.%m.%Y"),
        "home": random.choice(["rent", "own"], ROWS),
        "job": job,
        "status": np.where(amount + random.normal(0, 900, ROWS) > 2500, "repaid", "failed"),
    })  # fmt: skip
    frame.loc[::9, "income"], frame.loc[::7, "ratio"], frame.loc[::11, "home"] = "k.A.", "-", ""
    frame.loc[1::13, "home"] = "k.A."
    return frame


FRAME = _frame()


def csv_of(frame: pd.DataFrame) -> bytes:
    return frame.to_csv(index=False, sep=";").encode()


@pytest.fixture(scope="module")
def design() -> Design:
    return prepare(parse_card(CARD, csv_of(FRAME), "loans.toml", "loans.csv"), 0)


def test_every_row_of_the_table_is_read_as_the_models_were_given_it(design: Design) -> None:
    found, unread = people_of(csv_of(FRAME.drop(columns="status")), design.table, "new.csv")
    assert unread == 0
    np.testing.assert_array_equal(found, design.table.values)
    jobs = [f.name for f in design.table.schema.features].index("job")
    other = design.table.schema.features[jobs].levels.index("other")
    assert (found[:, jobs] == other).any(), "words that are rare in training are one to this model"


def test_one_person_is_read_as_among_many(design: Design) -> None:
    for row in range(0, ROWS, 29):
        found, _ = people_of(csv_of(FRAME.iloc[[row]]), design.table, "new.csv")
        np.testing.assert_array_equal(found[0], design.table.values[row])


@pytest.mark.parametrize(
    ("column", "cell", "read"),
    [
        ("income", "", True),  # filled in
        ("income", "k.A.", True),
        ("income", "12.5 EUR", False),  # thousands stand in threes
        ("income", "1.234,5", True),
        ("income", "1234,3", False),  # off the grid, and not rounded
        ("ratio", "0,123456", True),  # rounded
        ("age", "-", False),  # refuse
        ("age", "17", True),  # a number of a bin
        ("age", "30 to 50 years", True),  # the bin, as advice says it
        ("age", "old", False),
        ("since", "k.A.", False),  # drop
        ("since", "03.04.2020", True),
        ("since", "2020-04-03", True),  # as advice says it
        ("since", "04/03/2020", False),
        ("home", "k.A.", True),  # a level
        ("home", "Rent", False),
        ("job", "a new word", True),  # other
        ("job", "-", False),  # refused: other is of words that are known
    ],
)
def test_a_cell_is_read_where_the_card_reads_it(design: Design, column: str, cell: str, read: bool) -> None:
    new = FRAME.iloc[2:4].astype(object).reset_index(drop=True)
    new.loc[1, column] = cell
    found, unread = people_of(csv_of(new), design.table, "new.csv")
    assert (len(found), unread) == ((2, 0) if read else (1, 1))


def test_where_no_row_can_be_read_the_first_is_told(design: Design) -> None:
    new = FRAME.iloc[2:5].assign(age="-")
    why = r'new.csv: no row can be read; new.csv: feature "age": row 2: "-" is a missing value'
    with pytest.raises(BadInput, match=why) as refused:
        people_of(csv_of(new), design.table, "new.csv")
    assert "\n" not in str(refused.value)


def test_another_mark_between_cells_is_seen(design: Design) -> None:
    found, unread = people_of(FRAME.to_csv(index=False, sep="\t").encode(), design.table, "new.csv")
    assert unread == 0 and len(found) == ROWS


def test_a_table_of_any_size_is_read_so_too(tmp_path: Path) -> None:
    shuffled = FRAME.sample(frac=1, random_state=0).astype(object)
    shuffled.iloc[[5, 40], list(FRAME.columns).index("since")] = "k.A."
    (tmp_path / "loans.toml").write_text(CARD)
    (tmp_path / "new.csv").write_bytes(csv_of(shuffled))
    table = fitted_whole(parse_card(CARD, csv_of(FRAME), "loans.toml", "loans.csv"))
    known = Known(card_of(tmp_path / "loans.toml"), KnownTable.of(table), 70)
    parts = list(parts_of(Piece(tmp_path / "new.csv"), known))
    kept = shuffled[shuffled.since != "k.A."].index
    np.testing.assert_array_equal(np.concatenate([p.values for p in parts]), table.values[kept])
    np.testing.assert_array_equal(np.concatenate([p.outcome for p in parts]), table.outcome[kept])
    assert [p.rows for p in parts] == [70, 70, 70, 70, 20] and len(kept) == ROWS - 2
    shuffled.iloc[100, list(FRAME.columns).index("age")] = "-"
    (tmp_path / "new.csv").write_bytes(csv_of(shuffled))
    with pytest.raises(BadInput, match=r'row 102: "-" is a missing value'):
        list(parts_of(Piece(tmp_path / "new.csv"), known))
