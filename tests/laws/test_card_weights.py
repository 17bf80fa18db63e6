"""Sampling weights of a table: read as other columns are, no feature, and acting on training alone."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from cfq_core.base import plugins
from cfq_core.base.errors import BadCard, BadTable
from cfq_core.datasets.card import parse_card
from cfq_core.datasets.draft import draft
from cfq_core.pipeline import Setting, audit, prepare, promise, teachers, training_data_of
from cfq_core.tables.schema import Table
from cfq_core.training.loop import TeacherTraining

from .cards import LOANS

ROWS = 300
FEATURES = """[[feature]]
name = "income"
kind = "integer"
[[feature]]
name = "home"
kind = "category"
"""
CARD = LOANS + 'weights = "wt"\nmissing = ["NA"]\n' + FEATURES
SETTING = Setting((4,), people=10, n_reaudited=0, teacher_training=TeacherTraining(epochs=2))


def _frame() -> pd.DataFrame:
    random = np.random.default_rng(5)
    income = random.integers(0, 90, ROWS)
    status = np.where(income + random.normal(0, 9, ROWS) > 45, "repaid", "failed")
    home, weight = random.choice(["rent", "own"], ROWS), random.choice([0.5, 1.0, 3.25], ROWS)
    return pd.DataFrame({"income": income, "home": home, "wt": weight.astype(object), "status": status})


FRAME = _frame()


def read(frame: pd.DataFrame = FRAME, card: str = CARD) -> Table:
    return parse_card(card, frame.to_csv(index=False), "loans.toml", "loans.csv")


def test_weights_are_of_the_rows_and_no_feature() -> None:
    table, plain = read(), read(card=CARD.replace('weights = "wt"\n', ""))
    assert table.row_weight is not None and table.row_weight.tolist() == FRAME.wt.tolist()
    assert plain.row_weight is None
    assert [f.name for f in table.schema.features] == ["income", "home"] == [f.name for f in plain.schema.features]
    np.testing.assert_array_equal(table.values, plain.values)


def test_weights_make_another_table_and_none_the_same() -> None:
    table, plain = read(), read(card=CARD.replace('weights = "wt"\n', ""))
    other = read(FRAME.assign(wt=[2.0, *FRAME.wt[1:]]))
    assert len({t.fingerprint() for t in (table, plain, other)}) == 3
    assert len({t.fingerprint_of_3() for t in (table, plain, other)}) == 3
    assert plain.fingerprint() == read(card=CARD.replace("wt", "")).fingerprint()


def test_weights_are_read_as_other_numbers_are() -> None:
    words = [f"{1000 + k % 7:,},5 kg".replace(",", ".", 1) for k in range(ROWS)]
    card = CARD.replace("weights", 'decimal = ","\nthousands = "."\nstrip = ["kg"]\nweights')
    read_back = read(FRAME.assign(wt=words), card).row_weight
    assert read_back is not None and read_back.tolist() == [1000.5 + k % 7 for k in range(ROWS)]


def test_rows_that_are_left_out_take_their_weights_along() -> None:
    frame = FRAME.copy()
    frame.loc[::10, "status"] = "open"
    table = read(frame, CARD.replace("weights", 'ignore = ["open"]\nweights'))
    assert table.row_weight is not None and table.row_weight.tolist() == frame.wt[frame.status != "open"].tolist()


def test_what_weights_do_is_told_where_the_table_is() -> None:
    frame = FRAME.assign(wt=[0.0] * 3 + [1.0] * (ROWS - 3))
    table = read(frame)
    (told,) = (w for w in table.warnings if w.startswith('weights "wt"'))
    assert "300 rows say as much as 297 of equal weight; 3 of weight 0 teach nothing" in told
    assert told.endswith("is of the people in the table, unweighted")
    assert told in table.schema.note, "the report shows the note"


@pytest.mark.parametrize(
    ("cell", "says"),
    [
        ("", "is a missing value, 1 in this column; fill them in, or leave their rows out"),
        ("NA", "is a missing value"),
        ("much", '"much" is not a finite number'),
        ("inf", '"inf" is not a finite number'),
        ("nan", '"nan" is not a finite number'),
        ("1e999", '"1e999" is not a finite number'),
        ("1,5", 'is not a finite number; say decimal = ","'),
        ("-0.5", "is below 0; a weight is 0 or more"),
        ("1e13", "is too large; at most 1e+12"),
    ],
)
def test_a_cell_that_is_no_weight_is_one_line_with_its_row(cell: str, says: str) -> None:
    words = [cell if k == 7 else "1" for k in range(ROWS)]
    with pytest.raises(BadCard) as refused:
        read(FRAME.assign(wt=words))
    assert str(refused.value).startswith('loans.csv: weights "wt": row 9: ') and says in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('"wt"', '"wgt"', 'did you mean "wt"?'),
        ('"wt"', '"status"', "is also the target, the split or a feature"),
        ('"wt"', '"home"', "is also the target, the split or a feature"),
        ('"wt"', '"income"\nsplit = "wt"', "is also the target, the split or a feature"),
        ('"wt"', '"home"\ngroup = ["wt"]', "is also the target, the split or a feature"),
        ('"wt"', '"part"\nsplit = "part"', "is also the target, the split or a feature"),
        ('weights = "wt"', 'weights = ["wt"]', "must be text in quotes"),
        ('weights = "wt"\nmissing = ["NA"]\n', "", "above the first [[feature]]"),
    ],
)
def test_a_card_whose_weights_cannot_be_is_one_line(old: str, new: str, says: str) -> None:
    assert old in CARD
    card = CARD.replace(old, new) + ("" if new else 'weights = "wt"\n')
    with pytest.raises(BadCard) as refused:
        read(card=card)
    assert says in str(refused.value) and "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("weight", "says"),
    [
        (np.zeros(ROWS), "every row has weight 0"),
        ((FRAME.status == "repaid").astype(float), "fewer than 5 rows of an outcome have a weight over 0"),
        ((np.arange(ROWS) < 4).astype(float), "fewer than 5 rows of an outcome"),
    ],
    ids=["none", "one outcome", "few"],
)
def test_weights_of_which_nothing_can_be_learned_are_refused(weight: np.ndarray, says: str) -> None:
    with pytest.raises(BadCard, match='weights "wt"') as refused:
        read(FRAME.assign(wt=weight))
    assert says in str(refused.value)


@pytest.mark.parametrize(
    ("part", "says"), [("train", "fewer than 5 train rows of an outcome"), ("valid", "every valid row has weight 0")]
)
def test_no_part_that_is_learned_from_has_only_weight_0(part: str, says: str) -> None:
    parts = np.array(["train", "valid", "test"])[np.arange(ROWS) % 3]
    frame = FRAME.assign(part=parts, wt=(parts != part).astype(float))
    card = CARD.replace("weights", 'split = "part"\nweights')
    with pytest.raises(BadCard, match='weights "wt"') as refused:
        read(frame, card)
    assert says in str(refused.value)
    assert read(frame.assign(wt=(parts != "test").astype(float)), card).row_weight is not None, (
        "test rows teach nothing"
    )


def test_a_seed_whose_validation_rows_all_have_weight_0_is_one_line() -> None:
    design = prepare(read(), 0)
    weight = np.ones(ROWS)
    weight[design.split.valid] = 0.0
    with pytest.raises(BadTable, match="every row of a part of seed 0 has weight 0"):
        teachers([prepare(read(FRAME.assign(wt=weight)), 0)], SETTING)


def test_only_ratios_of_weights_count_and_equal_ones_are_none() -> None:
    plain = teachers([prepare(read(card=CARD.replace('weights = "wt"\n', "")), s) for s in (0, 1)], SETTING)
    equal = teachers([prepare(read(FRAME.assign(wt=np.full(ROWS, 7.3))), s) for s in (0, 1)], SETTING)
    one, four = (teachers([prepare(read(FRAME.assign(wt=k * FRAME.wt)), 0)], SETTING) for k in (1, 4))
    assert all(torch.equal(a, b) for a, b in zip(plain.parameters, equal.parameters, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(one.parameters, four.parameters, strict=True))
    assert not torch.equal(one.weights[0], plain.take([0]).weights[0])


def test_a_teacher_with_weights_is_the_same_in_any_company() -> None:
    each = [prepare(read(), s) for s in (0, 1, 2)]
    together = teachers(each, SETTING)
    alone = teachers(each[1:2], SETTING)
    assert all(torch.equal(a, b[1:2]) for a, b in zip(alone.parameters, together.parameters, strict=True))


def test_weights_of_training_rows_reach_the_students_with_mean_1() -> None:
    promises = promise([prepare(read(), s) for s in (0, 1)], SETTING)
    data = training_data_of(promises)
    assert data.row_weight is not None and data.row_weight.shape == data.outcome.shape
    torch.testing.assert_close(data.row_weight.mean(1), torch.ones(2))
    of = read().row_weight
    assert of is not None
    own = torch.tensor(of[promises[1].design.split.train], dtype=torch.float32)
    torch.testing.assert_close(data.row_weight[1] / data.row_weight[1, 0], own / own[0])
    taken = data.take([1]).row_weight
    assert taken is not None and torch.equal(taken, data.row_weight[1:])


def test_shares_are_of_the_people_whatever_they_weigh() -> None:
    """The same model of the same people, with weights and without."""
    setting = Setting((4,), people=10, n_reaudited=0, teacher_training=TeacherTraining(epochs=2))
    ptq = {"ptq": plugins.load("methods", "ptq")}
    weighted = promise([prepare(read(), 0)], setting)
    (seen,) = audit(weighted, ptq, [4], setting)
    test = weighted[0].design.split.test
    right = (seen.raw.student > 0) == read().outcome[test]
    assert seen.measures.overall["accuracy"].value == pytest.approx(right.mean())


@pytest.mark.parametrize(
    "name", ["fnlwgt", "sample_weight", "SamplingWeights", "survey weight", "weight", "pweight", "WTFINL", "perwt"]
)
def test_a_draft_asks_of_a_column_that_may_be_weights(name: str) -> None:
    made = draft(FRAME.rename(columns={"wt": name}).to_csv(index=False), "loans.csv", "status", ["repaid"])
    (asked,) = (q for q in made.questions if q.startswith(f"{name} is left out"))
    assert f'is it a sampling weight, how many people a row stands for? Then say weights = "{name}"' in asked
    assert "it acts on training, no share is weighted" in asked
    _, *features = made.card.split("[[feature]]")
    assert not any(f'name = "{name}"' in f for f in features), "no feature before the answer"
    table = read(FRAME.rename(columns={"wt": name}), f'weights = "{name}"\n{made.card}')
    assert table.row_weight is not None and table.row_weight.tolist() == FRAME.wt.tolist()


@pytest.mark.parametrize("name", ["birth_weight", "weight_kg", "weighted_risk", "body weight", "width"])
def test_a_draft_takes_other_numbers_for_features(name: str) -> None:
    made = draft(FRAME.rename(columns={"wt": name}).to_csv(index=False), "loans.csv", "status", ["repaid"])
    assert f'name = "{name}"' in made.card and not any("sampling" in q for q in made.questions)


def test_a_weight_below_0_is_none() -> None:
    made = draft(FRAME.assign(wt=-1.0 * FRAME.wt).to_csv(index=False), "loans.csv", "status", ["repaid"])
    assert 'name = "wt"' in made.card and not any("sampling" in q for q in made.questions)
