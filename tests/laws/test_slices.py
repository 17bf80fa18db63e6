"""A slice: who is not in it teaches nobody, and all of them are tested on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from cfq_core import pipeline
from cfq_core.base import plugins
from cfq_core.base.errors import BadTable, CfqError, UnknownName
from cfq_core.datasets import slices
from cfq_core.datasets.slices import Slice
from cfq_core.pipeline import Setting
from cfq_core.study.plan import read_plan, table_of
from cfq_core.study.tables import found_table
from cfq_core.tables.schema import Table
from cfq_core.tables.split import split
from cfq_core.training.loop import TeacherTraining
from tests.conftest import mixed_table

WITHOUT = Slice("mixed", "group", "b", without=True)
YOUNG = Slice("mixed", "age", "under 40", without=False)
SETTING = Setting(
    hidden=(8,),
    people=20,
    n_reaudited=5,
    n_training_recourse=30,
    teacher_training=TeacherTraining(epochs=6, rows_per_step=32),
)


def words_of(table: Table, column: str) -> np.ndarray:
    return np.array(table.groups()[column])


@pytest.mark.parametrize("asked", [WITHOUT, YOUNG], ids=lambda s: s.name)
@pytest.mark.parametrize("published", [False, True], ids=["", "published split"])
@pytest.mark.parametrize("seed", [0, 7])
def test_parts_are_of_one_slice_and_the_test_rows_are_of_the_other(asked: Slice, published: bool, seed: int) -> None:
    whole = mixed_table()
    test = np.arange(len(whole)) % 3 == 0
    whole = replace(whole, published_test=test) if published else whole
    of_level = words_of(whole, asked.column) == asked.level
    trained = ~of_level if asked.without else of_level
    table = slices.cut(whole, asked)
    parts = split(table, seed)
    inside = np.concatenate([parts.train, parts.valid, parts.home])
    assert trained[inside].all() and not trained[parts.test].any()
    assert len(set(inside) | set(parts.test)) == len(inside) + len(parts.test), "no row is in two parts"
    if published:
        assert test[parts.test].all() and test[parts.home].all() and not test[np.r_[parts.train, parts.valid]].any()
        assert len(parts.test) + len(parts.home) == test.sum()
    else:
        assert len(inside) == trained.sum() and len(parts.test) == (~trained).sum()
        assert abs(len(parts.home) - 0.3 * trained.sum()) <= 1
        assert not np.array_equal(parts.home, split(table, seed + 1).home), "another seed holds out others"
    assert len(split(whole, seed).home) == 0, "a whole table has nobody apart"


def test_people_who_are_not_in_the_slice_teach_nobody() -> None:
    """Other cells and outcomes of theirs change no weight of a teacher or student, no code, no threshold, no bound."""
    table = slices.cut(mixed_table(), WITHOUT)
    assert table.unseen is not None
    turned = np.where(table.unseen[:, None], np.roll(table.values, 37, axis=0), table.values)
    other = replace(table, values=turned, outcome=table.outcome ^ table.unseen)
    assert (turned != table.values).any()
    made = []
    for t in (table, other):
        promises = pipeline.training_recourse(pipeline.promise([pipeline.prepare(t, 0)], SETTING), SETTING)
        methods = {n: plugins.load("methods", n) for n in ("ptq", "cfq_anchored", "cfq")}
        audited = pipeline.audit(promises, methods, (3.0,), SETTING)
        p = promises[0]
        arrays = [*p.teacher.parameters, *(x for a in audited for x in (*a.student.weights, *a.student.biases))]
        made.append(([np.asarray(x) for x in arrays], [a.threshold for a in audited], p.design.actions, p.logits))
    for one, two in zip(made[0][0], made[1][0], strict=True):
        np.testing.assert_array_equal(one, two)
    assert made[0][1] == made[1][1] and made[0][2] == made[1][2]
    assert not np.array_equal(made[0][3], made[1][3]), "they are who is decided about"


def test_a_column_of_words_is_left_out_and_a_number_stays() -> None:
    whole = mixed_table()
    named, aged = (slices.cut(whole, s).schema for s in (WITHOUT, YOUNG))
    assert [f for f in whole.schema.features if f not in named.features] == [whole.schema["group"]]
    assert aged.features == whole.schema.features
    assert named.name == "mixed:group!=b" and aged.name == "mixed:age=under 40"
    assert named.title.endswith("trained on all but group b") and "all but group b" in named.note
    assert aged.title.endswith("trained on age under 40 alone")


def test_a_slice_is_a_table_of_its_own_and_whole_tables_keep_theirs() -> None:
    whole = mixed_table()
    aged = slices.cut(whole, YOUNG)
    marks = [whole, aged, slices.cut(whole, replace(YOUNG, without=True)), replace(whole, unseen=aged.unseen)]
    assert len({t.fingerprint() for t in marks}) == len(marks)
    whole = plugins.load("datasets", "digits").load()
    assert whole.fingerprint() == "f89932846786"
    assert whole.fingerprint_of_3() == "35ec4c5211e0", "stores of engine revision 3 find their table"


def test_a_name_is_read_where_every_name_is() -> None:
    name = "toy:group=circle"
    plan = read_plan({"datasets": [name, "toy"]}, "here")
    assert plan.datasets == (name, "toy") and slices.base_of(name) == "toy" == slices.base_of("toy")
    table = table_of(name)
    assert table.schema.name == name and slices.schema(name) == table.schema
    found = found_table(name, table.fingerprint(), [])
    assert found.table is not None and found.table.fingerprint() == table.fingerprint()


BAD = {
    "toy:group=triangle": (UnknownName, 'level "triangle"; one of circle, square'),
    "toy:shape=circle": (UnknownName, 'nobody can change "shape"; one of group'),
    "german:housing=rent": (UnknownName, 'nobody can change "housing"; one of history'),
    "tay:group=circle": (UnknownName, 'data set "tay:group=circle"; one of adult'),
    "toy:group": (UnknownName, 'data set "toy:group"; one of adult'),
    "toy:": (UnknownName, 'data set "toy:"; one of adult'),
}


@pytest.mark.parametrize("name", BAD)
def test_a_slice_that_is_not_there_is_refused_in_one_line(name: str, real_table: Callable[[str], Table]) -> None:
    if slices.known(name):
        real_table(slices.base_of(name))  # or the test is skipped
    kind, said = BAD[name]
    with pytest.raises(kind) as refused:
        table_of(name)
    assert said in refused.value.line() and "\n" not in refused.value.line() and refused.value.exit_code == 2


def test_a_slice_of_a_few_people_is_refused() -> None:
    with pytest.raises(CfqError, match="30 people to train on and 330 others; at least 100 and 30"):
        slices.cut(few(30), replace(WITHOUT, without=False))
    with pytest.raises(BadTable, match="331 people to train on and 29 others"):
        slices.cut(few(29), WITHOUT)
    assert len(slices.cut(few(30), WITHOUT)) == 360


def few(people: int) -> Table:
    """The mixed table with so many people of group b."""
    whole = mixed_table()
    values = whole.values.copy()
    values[:, -1] = np.arange(len(values)) < people
    return replace(whole, values=values)
