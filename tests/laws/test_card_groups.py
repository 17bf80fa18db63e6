"""Columns that no model sees: groups of fairness tables, and limits of other columns."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from cfq_core.base.errors import BadCard
from cfq_core.datasets.card import parse_card
from cfq_core.models.blackbox import BlackBox
from cfq_core.models.columns import fitting, plain
from cfq_core.models.entries import Entry
from cfq_core.models.provenance import encoding_of, inputs_of
from cfq_core.models.raw import feed
from cfq_core.pipeline import Setting, audit, prepare, promise
from cfq_core.study.estimate import Work
from cfq_core.tables.encode import Encoding
from cfq_core.tables.schema import Table
from cfq_core.training.loop import TeacherTraining

from .cards import LOANS

ROWS = 300
CARD = (
    LOANS
    + """group = ["region"]
[[feature]]
name = "income"
kind = "integer"
[[feature]]
name = "age"
kind = "integer"
protected = true
aside = true
bands = [30, 60]
[[feature]]
name = "home"
kind = "category"
"""
)


def _frame() -> pd.DataFrame:
    random = np.random.default_rng(11)
    income = random.integers(0, 90, ROWS)
    region = random.choice(["north", "south", ""], ROWS, p=[0.5, 0.4, 0.1])
    status = np.where(income + random.normal(0, 9, ROWS) > 45, "repaid", "failed")
    home, age = random.choice(["rent", "own"], ROWS), random.integers(18, 90, ROWS)
    return pd.DataFrame({"income": income, "age": age, "home": home, "region": region, "status": status})


FRAME = _frame()


def read(card: str = CARD) -> Table:
    return parse_card(card, FRAME.to_csv(index=False), "loans.toml", "loans.csv")


def test_groups_are_of_the_table_and_no_input() -> None:
    table = read()
    assert table.groups()["region"] == [r or "missing" for r in FRAME.region]
    words = ["under 30", "30 to 60", "60 and over"]
    assert table.groups()["age"] == list(pd.cut(FRAME.age, [0, 30, 60, 99], right=False, labels=words).astype(str))
    encoding = Encoding.fit(table.schema, table.values)
    assert encoding.width == 3 and [f.name for f in table.schema.seen] == ["income", "home"]
    inputs = encoding.encode(table.values)
    shuffled = table.values.copy()
    shuffled[:, [1, 3]] = shuffled[::-1, [1, 3]]
    np.testing.assert_array_equal(inputs, encoding.encode(shuffled))
    assert list(inputs[:, 1]) == list((FRAME.home == "own").astype(float))


def test_files_of_models_are_given_what_models_see() -> None:
    table = read()
    encoding = Encoding.fit(table.schema, table.values)
    assert list(feed(table.schema, table.values)) == ["income", "home"]
    columns = list(map(_columns(table), ("standardised", "raw", "levels")))
    assert [c.make(table.values).shape[1] for c in columns] == [3, 3, 2]
    np.testing.assert_allclose(columns[0].make(table.values), encoding.encode(table.values))
    weight, bias = columns[0].of(encoding) or (0, 0)
    np.testing.assert_allclose(
        encoding.encode(table.values) @ np.asarray(weight).T + bias, columns[0].make(table.values)
    )
    assert [i.name for i in inputs_of(encoding)] == ["income", "home"]
    box = BlackBox(None, encoding)  # type: ignore[arg-type]
    first = torch.tensor(encoding.encode(table.values)) @ box.first_weight[0].T + box.first_bias
    np.testing.assert_array_equal(box._people(first.numpy())[:, [0, 2]], table.values[:, [0, 2]])
    assert plain(table.schema).width == 3 and encoding_of.__name__


def _columns(table: Table):
    class File:
        says_itself, name = False, "m.onnx"

        def __init__(self, width: int) -> None:
            self.width, self.entries = width, [Entry("x", "float", width, False)]

    widths = {"standardised": 3, "raw": 3, "levels": 2}
    return lambda layout: fitting(File(widths[layout]), table.schema, table.values, layout)[0]  # type: ignore[arg-type]


def test_a_study_tells_of_groups_that_no_model_sees() -> None:
    from cfq_core.base import plugins

    table = read()
    setting = Setting((4,), people=20, n_reaudited=0, teacher_training=TeacherTraining(epochs=2))
    (p,) = promise([prepare(table, 0)], setting)
    assert p.teacher.weights[0].shape[-1] == 3 and Work.of(table, setting)
    (found,) = audit([p], {"ptq": plugins.load("methods", "ptq")}, [4], setting)
    assert set(found.raw.groups) == {"age", "region"} and set(found.raw.groups["region"]) <= {
        "north",
        "south",
        "missing",
    }


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('["region"]', '["regoin"]', 'did you mean "region"?'),
        ('["region"]', '["home"]', "is a group too"),
        ("protected = true\naside = true\nbands = [30, 60]", 'aside = true\nmove = "up"', "no model sees"),
        ('["region"]', '["status"]', "is also the target"),
    ],
)
def test_a_group_that_cannot_be_is_one_line(old: str, new: str, says: str) -> None:
    assert old in CARD
    with pytest.raises(BadCard, match="feature") as refused:
        read(CARD.replace(old, new))
    assert says in str(refused.value)
