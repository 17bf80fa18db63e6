"""Decisions of two files on a table of any size, read in parts: approvals, flips and groups counted on every row.

Counts are whole numbers and are added up, so that no answer depends on how large a part is. How each file is read is
settled on the card's own table, as in an audit; recourse is asked there.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool

from cfq_core.datasets.card import card_of, read_card
from cfq_core.datasets.parts import Part, parts_of
from cfq_core.evidence import NORMAL_QUANTILE, SMALLEST_GROUP, group_cells, wilson
from cfq_core.export.audit import AuditOptions, opened_pair
from cfq_core.models.read import ModelFile
from cfq_core.models.reading import Reading
from cfq_core.tables.schema import Schema, Table

ROWS = 65_536  # a part, unless asked otherwise
EVERYBODY = ("everybody", "")
#: Whole numbers of one group: people, approved by each file, approved by the student alone, by the teacher alone, and
#: how often each was right.
COUNTED = ("people", "teacher", "student", "gained", "lost", "teacher_right", "student_right")
Counts = dict[tuple[str, str], np.ndarray]


@dataclass(frozen=True)
class Streamed:
    """What two files decide about every row of a table."""

    file: str
    counts: Counts = field(default_factory=dict)  # by group column and level, in order of appearance
    parts: int = 0
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
        return {"file": self.file, "rows": self.rows, "parts": self.parts, "seconds": self.seconds} | {
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
        shift = f"{100 * m['shift']:+.2f} points ({100 * m['shift_low']:+.2f} to {100 * m['shift_high']:+.2f})"
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
    path: Path, card: Path, teacher: ModelFile, student: ModelFile, question: AuditOptions, size: int = ROWS
) -> Streamed:
    """Count the decisions of two files on every row of a CSV or Parquet file, ``size`` rows at a time.

    Raises `BadCard` for a row that is not as the card says, `BadModel` for a file that cannot be read.
    """
    table, about, began = read_card(card), card_of(card), time.monotonic()
    schema = with_bands(table)
    with ExitStack() as running:
        pair = opened_pair(table, teacher, student, question, running)
        return _streamed(parts_of(path, about, schema, size), pair, schema, path.name, question.seconds, began)


def _streamed(
    parts: Iterable[Part], pair: tuple[Reading, Reading], schema: Schema, name: str, seconds: float, began: float
) -> Streamed:
    counts: Counts = {}
    number = 0
    for part in parts:
        yes = []
        for reading in pair:
            reading.running.left = seconds  # of each part: how many there are nobody knows
            yes.append(reading.logits(part.values) > 0)
        add(counts, counted(part, schema, *yes))
        number += 1
    return Streamed(name, counts, number, time.monotonic() - began)


def with_bands(table: Table) -> Schema:
    """The schema with groups of numbers cut where this whole table has its median, so that every part cuts there."""
    out = []
    for i, f in enumerate(table.schema.features):
        median = float(np.median(f.raw(table.values[:, i]))) if f.protected and not f.levels else 0.0
        out.append(replace(f, bands=(median,)) if f.protected and not f.levels and not f.bands else f)
    return replace(table.schema, features=tuple(out))


def counted(part: Part, schema: Schema, teacher: Bool[np.ndarray, "n"], student: Bool[np.ndarray, "n"]) -> Counts:
    """The whole numbers of one part, for everybody and every group and crossing in it."""
    each = np.stack([
        np.ones(len(teacher), bool), teacher, student, student & ~teacher, teacher & ~student,
        teacher == part.outcome, student == part.outcome,
    ]).astype(np.int64)  # fmt: skip
    out = {EVERYBODY: each.sum(1)}
    for cell in group_cells(Table(schema, part.values, part.outcome).groups()):
        out[cell.column, cell.level] = each[:, cell.members].sum(1)
    return out


def add(counts: Counts, more: Counts) -> None:
    """Add the counts of a part."""
    for key, of in more.items():
        counts[key] = counts[key] + of if key in counts else of
