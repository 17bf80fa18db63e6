"""Decisions of two files on a table of any size, read in parts: approvals, flips and groups counted on every row.

Counts are whole numbers and are added up, so that no answer depends on how large a part is. How each file is read is
settled on the card's own table, as in an audit; recourse is asked there.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from cfq_core.datasets.card import card_of, read_card
from cfq_core.datasets.new_rows import KnownTable
from cfq_core.datasets.parts import Known
from cfq_core.datasets.pieces import Piece
from cfq_core.evidence import NORMAL_QUANTILE, SMALLEST_GROUP, wilson
from cfq_core.export.audit import AuditOptions, opened_pair
from cfq_core.export.spread import EVERYBODY, Counts, Question, Way, spread
from cfq_core.models.read import ModelFile
from cfq_core.tables.schema import Schema, Table

ROWS = 65_536  # a part, unless asked otherwise
#: Whole numbers of one group: people, approved by each file, approved by the student alone, by the teacher alone, and
#: how often each was right.
COUNTED = ("people", "teacher", "student", "gained", "lost", "teacher_right", "student_right")


@dataclass(frozen=True)
class Streamed:
    """What two files decide about every row of a table."""

    file: str
    counts: Counts = field(default_factory=dict)  # by group column and level, in order of appearance
    seconds: float = 0.0

    @property
    def rows(self) -> int:
        """How many people were decided about."""
        return int(self.counts[EVERYBODY][0]) if self.counts else 0

    def as_json(self) -> dict[str, Any]:
        """The object that ``--json`` prints; groups of under 30 people are counted and not judged."""
        groups: dict[str, dict[str, Any]] = {}
        for (column, level), of in sorted(self.counts.items()):
            if (column, level) != EVERYBODY:
                groups.setdefault(column, {})[level] = measured(of)
        whole = measured(self.counts[EVERYBODY]) if self.counts else {"people": 0}
        return {"file": self.file, "rows": self.rows, "seconds": self.seconds} | {
            "everybody": whole, "groups": groups,
        }  # fmt: skip

    @property
    def words(self) -> str:
        """For a reader."""
        m = self.as_json()["everybody"]
        if not self.rows:
            return f"{self.file}: no rows"
        if self.rows < SMALLEST_GROUP:
            return f"{self.file}: {self.rows} rows; too few to judge"
        shift = f"{100 * m['shift']:+z.2f} points ({100 * m['shift_low']:+.2f} to {100 * m['shift_high']:+.2f})"
        return (
            f"{self.file}: {self.rows:,} rows in {self.seconds:.1f} s; {m['gained'] + m['lost']:,} decisions flip "
            f"({100 * m['flip_rate']:.2f} %: {m['gained']:,} approved by the student alone, {m['lost']:,} by the "
            f"teacher alone); approval shift {shift}"
        )


def measured(of: np.ndarray) -> dict[str, Any]:
    """Counts with shares and 95 % intervals: Wilson; of the shift the normal one of paired decisions."""
    c = dict(zip(COUNTED, of.tolist(), strict=True))
    n = c["people"]
    if n < SMALLEST_GROUP:
        return c
    flips, shift = c["gained"] + c["lost"], (c["gained"] - c["lost"]) / n
    half = NORMAL_QUANTILE * math.sqrt(max(0.0, flips / n - shift * shift) / n)
    out = c | {"shift": shift, "shift_low": shift - half, "shift_high": shift + half}
    for name, count in (("teacher_approval", c["teacher"]), ("student_approval", c["student"]), ("flip_rate", flips)):
        low, high = wilson(count, n)
        out |= {name: count / n, f"{name}_low": low, f"{name}_high": high}
    return out


def stream(
    path: Path, card: Path, teacher: ModelFile, student: ModelFile, question: AuditOptions, size: int = ROWS,
    executor: Executor | None = None, told: Callable[[str], None] = lambda _: None,
) -> Streamed:  # fmt: skip
    """Count the decisions of two files on every row of a CSV or Parquet file, ``size`` rows at a time.

    ``executor``: pieces of the file are counted by its workers; what cannot be cut is counted here, and ``told``.
    Raises `BadCard` for a row that is not as the card says, `BadModel` for a file that cannot be read.
    """
    table, about, began = read_card(card), card_of(card), time.monotonic()
    with ExitStack() as running:
        pair = opened_pair(table, teacher, student, question, running)
        known = replace(KnownTable.of(pair.table), schema=with_bands(pair.table))
        ways, processes = (Way.of(pair.teacher), Way.of(pair.student)), (pair.teacher.running, pair.student.running)
        ask = Question(Known(about, known, size), ways, question.seconds)
        if executor is None:
            counts = ask.counted(Piece(path), processes)[1]
        else:
            counts = spread(ask, path.absolute(), processes, executor, told)
    return Streamed(path.name, counts, time.monotonic() - began)


def with_bands(table: Table) -> Schema:
    """The schema with groups of numbers cut where this whole table has its median, so that every part cuts there."""
    out = []
    for i, f in enumerate(table.schema.features):
        median = float(np.median(f.raw(table.values[:, i]))) if f.protected and not f.levels else 0.0
        out.append(replace(f, bands=(median,)) if f.protected and not f.levels and not f.bands else f)
    return replace(table.schema, features=tuple(out))
