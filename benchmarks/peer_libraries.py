"""Recourse libraries behind one call: the same teacher and the same denied people, each library with its own defaults.

A library answers with one row a person in whole or broken grid counts and level indices (-1: no such level), or with
nothing; rounding and judging are done once, in `benchmarks.peers`. What a library can be told of a person's box it is
told: DiCE which features may vary and how far, CFNOW only which may vary; RoCELib: see `peer_robust`.
"""

from __future__ import annotations

import time
from importlib.metadata import version
from typing import Any

import numpy as np
import pandas as pd
import torch

from benchmarks import peer_robust
from benchmarks.peer_question import Answers, Asked, Library, one_by_one, quietly
from benchmarks.search_quality import Case
from benchmarks.search_speed import Dice, dice_frame
from cfq_core.base.seeds import repeatable
from cfq_core.nets.stack import score
from cfq_core.recourse.exact import Exact
from cfq_core.recourse.find import Solver, find_recourse
from cfq_core.recourse.search import Search
from cfq_core.tables.encode import modelled
from cfq_core.tables.schema import Schema

#: Seconds CFNOW may spend on improving one answer. It always spends all: by its default of 120, two hours a seed.
LIMIT = 3
#: How many people of each seed the slow ones are asked about: the first of those whom all others are asked about.
FEWER = {"DiCE gradient": 10, "DiCE genetic": 5, "CFNOW greedy": 10, "CFNOW random": 10, **peer_robust.FEWER}


def ours(solver: Solver, kappa: float) -> Library:
    """A solver of this project, everybody at once; the first call pays for torch's start and is not counted."""

    def ask(asked: Asked) -> Answers:
        find_recourse(asked.teacher, [asked.query.take(slice(0, 2))], solver, kappa)
        started = time.process_time()
        found = find_recourse(asked.teacher, [asked.query], solver, kappa)
        cpu = time.process_time() - started
        return Answers([a if ok else None for a, ok in zip(found.after, found.has_recourse, strict=True)], cpu)

    return ask


# ---------------------------------------------------------------------- DiCE


def dice(method: str) -> Library:
    """DiCE, one person at a time with that person's own box."""

    def ask(asked: Asked) -> Answers:
        made = Dice(method, Case(asked.schema, asked.teacher, (asked.query,), (asked.rules,)), asked.table)
        rows = dice_frame(asked.schema, asked.people)

        def answer(i: int) -> np.ndarray | None:
            found = made.answer(rows.iloc[[i]].reset_index(drop=True))
            return None if found is None else counted(asked.schema, found.iloc[0])

        return one_by_one(asked, answer)

    return ask


def counted(schema: Schema, row: pd.Series) -> np.ndarray:
    """Words as level indices, -1 where there is no such level; numbers as they are."""
    return np.array(
        [
            (f.levels.index(str(row[f.name])) if str(row[f.name]) in f.levels else -1)
            if f.is_category
            else float(row[f.name])
            for f in schema.features
        ]
    )


# ---------------------------------------------------------------------- CFNOW


def cfnow(strategy: str) -> Library:
    """CFNOW on the columns a person may change: it cannot be told of more; the model is given the others."""

    def ask(asked: Asked) -> Answers:
        with quietly():
            from cfnow import find_tabular  # not a dependency: it has an environment of its own

        def answer(i: int) -> np.ndarray | None:
            seen = Movable(asked, asked.people[i])
            with quietly():
                found = find_tabular(
                    seen.factual, seen.probability, feat_types=seen.types, cf_strategy=strategy, has_ohe=True,
                    limit_seconds=LIMIT,
                )  # fmt: skip
            return seen.row(np.asarray(found.cfs[0], float)) if found.total_cf else None

        return one_by_one(asked, answer)

    return ask


class Movable:
    """One person's movable columns in raw counts, one column a level, and the teacher's probability of them."""

    def __init__(self, asked: Asked, own: np.ndarray) -> None:
        self.encoding, self.teacher, self.own = asked.query.encoding, asked.teacher, own
        self.base = torch.tensor(self.encoding.encode(own[None])[0], dtype=torch.float32)
        self.places: list[tuple[int, slice]] = []  # feature, and its columns
        self.types: dict[str, str] = {}
        values: list[float] = []
        for i, f in enumerate(asked.schema.features):
            if f.move == "fixed" or f.protected or f.immutable:
                continue
            width = len(f.levels) if f.is_category else 1
            self.places.append((i, slice(len(values), len(values) + width)))
            self.types |= {f"f{i}_{k}" if f.is_category else f"f{i}": "cat" if f.is_category else "num"
                           for k in range(width)}  # fmt: skip
            values += [float(k == own[i]) for k in range(width)] if f.is_category else [float(own[i])]
        self.factual = pd.Series(values, index=list(self.types), dtype=float)

    def probability(self, rows: Any) -> np.ndarray:
        """Probability of the favourable decision, [n, 1]."""
        given = np.asarray(rows, dtype=float)
        encoded = self.base.repeat(len(given), 1)
        for i, columns in self.places:
            f, start = self.encoding.schema.features[i], self.encoding.starts[i]
            if f.is_category:
                encoded[:, start : start + len(f.levels)] = torch.tensor(given[:, columns], dtype=torch.float32)
            else:
                real = (modelled(f, given[:, columns.start]) - self.encoding.mean[i]) / self.encoding.std[i]
                encoded[:, start] = torch.tensor(real, dtype=torch.float32)
        return torch.sigmoid(score(self.teacher, encoded[None])[0])[:, None].numpy()

    def row(self, found: np.ndarray) -> np.ndarray:
        """An answer in counts, with the columns nobody may change."""
        out = self.own.astype(float)
        for i, columns in self.places:
            mine = found[columns]
            if not self.encoding.schema.features[i].is_category:
                out[i] = mine[0]
            else:
                out[i] = mine.argmax() if mine.sum() == 1 and mine.max() == 1 else -1
        return out


#: Name in the table, the package it needs (None: ours), and how it is asked.
LIBRARIES: dict[str, tuple[str | None, Library]] = {
    "search, kappa 0": (None, ours(Search(), 0.0)),
    "search, kappa 0.2": (None, ours(Search(), 0.2)),
    "search, kappa 1": (None, ours(Search(), 1.0)),
    "exact, kappa 0": (None, ours(Exact(), 0.0)),
    "exact, kappa 0.2": (None, ours(Exact(), 0.2)),
    "DiCE random": ("dice-ml", dice("random")),
    "CFNOW greedy": ("cfnow", cfnow("greedy")),
    "DiCE gradient": ("dice-ml", dice("gradient")),
    "CFNOW random": ("cfnow", cfnow("random")),
    "DiCE genetic": ("dice-ml", dice("genetic")),
    **{name: ("rocelib", library) for name, library in peer_robust.METHODS.items()},
}


def ask(name: str, asked: Asked) -> tuple[Answers, str]:
    """A library's answers and its version; raises whatever the library raises."""
    package, library = LIBRARIES[name]
    with repeatable():
        return library(asked), "" if package is None else version(package)
