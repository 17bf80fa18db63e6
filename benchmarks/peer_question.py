"""What every library of recourse is asked, and what it answers with."""

from __future__ import annotations

import contextlib
import io
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from cfq_core.nets.stack import Stack
from cfq_core.quant.quantized import QuantStack
from cfq_core.recourse.problem import RecourseQuery
from cfq_core.tables.schema import Schema, Table
from tests.oracles.legality import Rules


@dataclass(frozen=True)
class Asked:
    """One teacher, the denied people who ask, the rules they live under, and the students that come after."""

    table: Table
    teacher: Stack
    query: RecourseQuery
    rules: Rules
    students: dict[str, QuantStack]
    seed: int

    @property
    def schema(self) -> Schema:
        """What the columns mean."""
        return self.table.schema

    @property
    def people(self) -> np.ndarray:
        """Everybody in exact integer form."""
        return self.query.values

    def first(self, people: int) -> Asked:
        """The same question of the first of them."""
        return replace(self, query=self.query.take(slice(0, people)))


@dataclass(frozen=True)
class Answers:
    """What a library told everybody, and the CPU seconds of all of them; its preparation is not counted."""

    rows: list[np.ndarray | None]
    cpu: float
    off_grid: list[float] | None = None  # the teacher's logit of each answer before it was put on the grid, where told


Library = Callable[[Asked], Answers]


def one_by_one(asked: Asked, answer: Callable[[int], np.ndarray | None]) -> Answers:
    """A library that is asked one person at a time."""
    np.random.seed(0)
    started = time.process_time()
    rows = [answer(i) for i in range(len(asked.people))]
    return Answers(rows, time.process_time() - started)


@contextlib.contextmanager
def quietly() -> Any:
    """Without what libraries print and warn of."""
    streams = contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO())
    with streams[0], streams[1], warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
