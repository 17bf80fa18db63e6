"""Robust recourse of RoCELib behind the same call as the other libraries.

RoCELib works on encoded columns and knows no box. What it can be told of a person it is told: the network it is given
has only the columns that the person may change (the others stand in the first bias), and its data set is training
rows that the person may become and the teacher approves, the person's other columns written in. Its own columns come
back as real numbers: the project's decoder makes the nearest grid point and the most likely level of them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any

import numpy as np
import pandas as pd
import torch

from benchmarks.peer_question import Answers, Asked, Library, one_by_one, quietly
from cfq_core.nets.stack import Stack
from cfq_core.recourse.find import logits64
from cfq_core.tables.split import split

#: Rows offered to a person: a seeded draw of those that the person may become and the teacher approves.
POOL = 50
TARGET = "target"  # RoCELib's name for the column of outcomes

Make = Callable[[Any], Any]  # a task of RoCELib -> one of its recourse methods


@dataclass(frozen=True)
class Rows:
    """A data set as RoCELib reads one; every row is approved."""

    X: pd.DataFrame
    y: pd.Series

    @property
    def data(self) -> pd.DataFrame:
        """Columns and outcome together."""
        return self.X.assign(**{TARGET: self.y})


class Folded:
    """One person's question in the columns that may change: network, own row, and rows that the person may become."""

    def __init__(self, asked: Asked, pool: np.ndarray, i: int) -> None:
        actions, self.encoding = asked.query.actions, asked.query.encoding
        own = asked.people[i]
        movable = [*actions.numbers, *actions.switches]
        rows = np.tile(own, (len(pool), 1))
        rows[:, movable] = pool[:, movable]
        rows = np.unique(rows[actions.legal(np.tile(own, (len(pool), 1)), rows)], axis=0)
        rows = rows[logits64(asked.teacher, 0, self.encoding, rows) > 0]
        rows = np.random.default_rng(asked.seed).permutation(rows)[:POOL]
        self.columns = columns_of(asked, movable)
        self.base = self.encoding.encode(own[None])[0]
        names = [f"x{k}" for k in self.columns]
        x = pd.DataFrame(self.encoding.encode(rows)[:, self.columns], columns=names)
        self.rows = Rows(x, pd.Series(np.ones(len(rows), int)))
        self.factual = pd.Series(self.base[self.columns], index=names)
        self.network = folded(asked.teacher, self.columns, self.base)

    def row(self, found: np.ndarray) -> np.ndarray | None:
        """An answer in counts; None where it is the person's own row: so RoCELib says that it has none."""
        if np.allclose(found, self.factual.to_numpy(), atol=1e-6):
            return None
        full = self.base.copy()
        full[self.columns] = found
        return self.encoding.decode(full[None])[0].astype(float) if np.isfinite(full).all() else None

    def logit(self, found: np.ndarray) -> float:
        """The teacher's logit of an answer as it is."""
        with torch.no_grad():
            return round(float(torch.logit(self.network(torch.tensor(found, dtype=torch.float32)))), 6)


def columns_of(asked: Asked, features: list[int]) -> np.ndarray:
    """Encoded columns of some features, in order."""
    encoding = asked.query.encoding
    every = [np.arange(encoding.starts[i], encoding.starts[i] + encoding.schema.features[i].width) for i in features]
    return np.sort(np.concatenate(every))


def folded(teacher: Stack, columns: np.ndarray, base: np.ndarray) -> torch.nn.Sequential:
    """The teacher's probability as a torch network of some columns; all others keep their values in ``base``."""
    fixed = torch.tensor(base, dtype=torch.float32)
    fixed[columns] = 0.0
    layers: list[torch.nn.Module] = []
    for k, (weight, bias) in enumerate(zip(teacher.weights, teacher.biases, strict=True)):
        w, b = weight[0].float(), bias[0].float()
        if k == 0:
            w, b = w[:, columns], b + w @ fixed
        made = torch.nn.Linear(w.shape[1], w.shape[0])
        with torch.no_grad():
            made.weight.copy_(w)
            made.bias.copy_(b)
        layers += [made, torch.nn.ReLU()]
    return torch.nn.Sequential(*layers[:-1], torch.nn.Sigmoid())


def rocelib(make: Make, **settings: Any) -> Library:
    """A method of RoCELib, one person at a time; its data set is the person's own and counts as part of the answer."""

    def ask(asked: Asked) -> Answers:
        with quietly():
            under_its_old_name()
            from rocelib.models.imported_models.PytorchModel import PytorchModel  # has an environment of its own
            from rocelib.tasks.Task import Task
        pool, off_grid = training(asked), list[float]()

        def answer(i: int) -> np.ndarray | None:
            person = Folded(asked, pool, i)
            with quietly():
                task = Task(PytorchModel.from_model(person.network), person.rows)
                found = make(task).generate_for_instance(person.factual, **settings)
            point = np.asarray(found, float).reshape(-1)[: len(person.columns)]
            off_grid.append(person.logit(point))
            return person.row(point)

        return replace(one_by_one(asked, answer), off_grid=off_grid)

    return ask


def under_its_old_name() -> None:
    """Gurobi's package under the name by which RoCELib imports a part of it.

    RoCELib's extra pins the last release that has the name; the licence which came with that one has run out.
    """
    import gurobipy

    sys.modules.setdefault("gurobipy.gurobipy", gurobipy)


def training(asked: Asked) -> np.ndarray:
    """Training rows of the seed's split, each once."""
    return np.unique(asked.table.values[split(asked.table, asked.seed).train], axis=0)


def method(module: str, name: str) -> Make:
    """One of RoCELib's recourse methods by where it lives; importing all of them would take TensorFlow."""
    return lambda task: getattr(import_module(f"rocelib.recourse_methods.{module}"), name)(task)


#: Half a per cent of weight either way, its default, shuts nearly every point out of a net of these teachers' size.
NARROW = 0.001
NEAREST, WACHTER, ROCOURSENET, RNCE, TREX, MCER = (
    method(*where)
    for where in (
        ("KDTreeNNCE", "KDTreeNNCE"),
        ("Wachter", "Wachter"),
        ("RoCourseNet", "RoCourseNet"),
        ("RNCE", "RNCE"),
        ("STCE", "TrexNN"),
        ("MCER", "MCER"),
    )
)
#: Name in the table, and how it is asked. TrexNN takes rows of the outcome that it is told is the unfavourable one.
METHODS: dict[str, Library] = {
    "RoCELib KDTreeNNCE": rocelib(NEAREST),
    "RoCELib Wachter": rocelib(WACHTER),
    "RoCELib RoCourseNet": rocelib(ROCOURSENET),
    "RoCELib RNCE": rocelib(RNCE),
    f"RoCELib RNCE, delta {NARROW}": rocelib(RNCE, delta=NARROW, bias_delta=NARROW),
    f"RoCELib TrexNN, delta {NARROW}": rocelib(TREX, neg_value=1, delta=NARROW, bias_delta=NARROW),
    "RoCELib MCER": rocelib(MCER),
}
#: Each row that RNCE weighs is an integer program of about 0.3 seconds.
FEWER = {"RoCELib RNCE": 5} | {f"RoCELib {name}, delta {NARROW}": 10 for name in ("RNCE", "TrexNN")}
