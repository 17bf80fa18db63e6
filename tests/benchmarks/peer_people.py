"""A small made table with every kind of movable column, and questions about it."""

from __future__ import annotations

import numpy as np
from sklearn.ensemble import RandomForestClassifier

from benchmarks.peer_forests import STUDENTS, ForestAsked, margin, rounded
from benchmarks.peer_question import Asked
from cfq_core import pipeline
from cfq_core.nets.stack import Stack
from cfq_core.recourse.find import logits64
from cfq_core.recourse.problem import RecourseQuery
from cfq_core.tables.schema import Feature, Schema, Table
from tests.oracles.legality import Rules, frame

SCHEMA = Schema(
    name="loans", title="Made loans", favourable="granted", unfavourable="refused",
    features=(
        Feature("hours", "number", "work", "hours", step=0.5, low=0.0, high=20.0),
        Feature("school", "ordinal", "school", levels=("none", "some", "most", "all"), move="up"),
        Feature("job", "category", "job", levels=("a", "b", "c", "unknown"), never=("unknown",)),
        Feature("group", "category", "group", levels=("x", "y"), move="fixed", protected=True),
    ),
)  # fmt: skip


def design() -> pipeline.Design:
    """400 made people of one seed."""
    random = np.random.default_rng(0)
    cells = np.stack([random.integers(0, n, 400) for n in (41, 4, 4, 2)], axis=1)
    score = 0.05 * cells[:, 0] + 0.5 * cells[:, 1] + (cells[:, 2] == 1) + 0.3 * cells[:, 3]
    return pipeline.prepare(Table(SCHEMA, cells, score + 0.2 * random.standard_normal(400) > 2.4), 0)


def rules(d: pipeline.Design) -> Rules:
    """The rules of its training rows."""
    return Rules.read(SCHEMA, frame(SCHEMA, d.table.values[d.split.train]))


def forest_question(people: int = 20) -> ForestAsked:
    """A small forest and some of those it denies."""
    d = design()
    training = d.inputs(d.split.train).astype(np.float32)
    forest = RandomForestClassifier(8, max_depth=4, random_state=0).fit(training, d.table.outcome[d.split.train])
    denied = d.table.values[margin(forest, d.encoding, d.table.values) <= 0][:people]
    query = RecourseQuery(denied, d.encoding, d.actions)
    students = {s: rounded(forest, training, s) for s in STUDENTS}
    return ForestAsked(d.table, forest, query, rules(d), students, training, 0)


def net_question(people: int = 20) -> Asked:
    """A small net with random weights and some of those it denies."""
    d = design()
    teacher = Stack.initial(d.encoding.width, (8, 6), [3])
    denied = d.table.values[logits64(teacher, 0, d.encoding, d.table.values) <= 0][:people]
    return Asked(d.table, teacher, RecourseQuery(denied, d.encoding, d.actions), rules(d), {}, 0)
