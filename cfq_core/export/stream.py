"""Two files on a table of any size, read in parts: approvals, flips and groups counted on every row, and recourse.

Counts are whole numbers and are added up, so that no answer depends on how large a part is. How each file is read is
settled on the card's own table, as in an audit. Recourse is asked by all whom the teacher refuses, or by a seeded
sample of them: drawn by the number of their row while the file is read, and looked up by it afterwards.
"""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from cfq_core.base.errors import CfqError
from cfq_core.base.streams import numpy_stream
from cfq_core.datasets.card import card_of, read_card
from cfq_core.datasets.new_rows import KnownTable
from cfq_core.datasets.parts import Known, parts_of
from cfq_core.datasets.pieces import Piece
from cfq_core.evidence import NORMAL_QUANTILE, SMALLEST_GROUP, wilson
from cfq_core.export.asking import ASKED, Asking
from cfq_core.export.audit import AuditOptions, OpenedPair, opened_pair
from cfq_core.export.spread import EVERYBODY, Counts, Question, Way, add, spread
from cfq_core.export.stored import StoredRun, export_student, export_teacher
from cfq_core.models.blackbox import BlackBox
from cfq_core.models.read import ModelFile, read_model
from cfq_core.tables.encode import Values
from cfq_core.tables.schema import Schema, Table

ROWS = 16_384  # a part, unless asked otherwise: four times as many are no faster and take a third more memory
#: Whole numbers of one group: people, approved by each file, approved by the student alone, by the teacher alone, and
#: how often each was right.
SEED = 0  # of the sample of refused people
BLOCK = 65_536  # rows whose places in the draw are made at once
COUNTED = ("people", "teacher", "student", "gained", "lost", "teacher_right", "student_right")


@dataclass(frozen=True)
class Streamed:
    """What two files decide about every row of a table."""

    file: str
    counts: Counts = field(default_factory=dict)  # `COUNTED`
    recourse: Counts = field(default_factory=dict)  # `ASKED`
    kappa: float = 0.0  # of the promises, in logits
    seconds: float = 0.0

    @property
    def rows(self) -> int:
        """How many people were decided about."""
        return int(self.counts[EVERYBODY][0]) if self.counts else 0

    def as_json(self) -> dict[str, Any]:
        """The object that ``--json`` prints; groups of under 30 people are counted and not judged."""
        groups: dict[str, dict[str, Any]] = {}
        found = {key: measured(of) for key, of in self.counts.items()}
        for key, of in self.recourse.items():
            found[key] |= kept(of)
        for (column, level), told in sorted(found.items()):
            if (column, level) != EVERYBODY:
                groups.setdefault(column, {})[level] = told
        return {"file": self.file, "rows": self.rows, "seconds": self.seconds, "kappa": self.kappa} | {
            "everybody": found.get(EVERYBODY, {"people": 0}), "groups": groups,
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
            f"teacher alone); approval shift {shift}{self._of_recourse(m)}"
        )

    def _of_recourse(self, m: dict[str, Any]) -> str:
        refused = m["people"] - m["teacher"]
        if not m.get("asked"):
            return ""
        who = "all" if m["asked"] == refused else f"{m['asked']:,} (drawn with seed {SEED})"
        share = f" ({100 * m['vd']:.1f} %, {100 * m['vd_low']:.1f} to {100 * m['vd_high']:.1f})" if "vd" in m else ""
        return (
            f"\n  of {refused:,} people whom the teacher refuses {who} asked: {m['promised']:,} were promised approval "
            f"(kappa = {self.kappa:g} logits), of these promises the student breaks {m['broken']:,}{share}"
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


def kept(of: np.ndarray) -> dict[str, Any]:
    """Counts of promises with shares and their 95 % intervals (Wilson); under 30 people they are counted alone."""
    c = dict(zip(ASKED, of.tolist(), strict=True))
    for name, part, whole in (("feasible", "promised", "asked"), ("vd", "broken", "promised")):
        if c[whole] >= SMALLEST_GROUP:
            low, high = wilson(c[part], c[whole])
            c |= {name: c[part] / c[whole], f"{name}_low": low, f"{name}_high": high}
    return c


@dataclass
class Draw:
    """A simple random sample of numbered rows, drawn while they go by: those with the smallest random numbers."""

    size: int
    rows: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    places: np.ndarray = field(default_factory=lambda: np.zeros(0))

    def add(self, rows: np.ndarray) -> None:
        """Numbers of more rows; what is drawn of all of them does not depend on how they come."""
        for block in np.unique(rows // BLOCK):
            mine = rows[rows // BLOCK == block]
            of_block = numpy_stream(SEED, f"stream/{block}").random(BLOCK)
            self.rows = np.concatenate([self.rows, mine])
            self.places = np.concatenate([self.places, of_block[mine % BLOCK]])
            first = np.argsort(self.places, kind="stable")[: self.size]
            self.rows, self.places = self.rows[first], self.places[first]


def stream(
    path: Path, card: Path, teacher: ModelFile, student: ModelFile, question: AuditOptions, size: int = ROWS,
    executor: Executor | None = None, told: Callable[[str], None] = lambda _: None,
) -> Streamed:  # fmt: skip
    """What two files decide about every row of a CSV or Parquet file, ``size`` rows at a time, and what is promised.

    ``question.people``: how many of those whom the teacher refuses ask; None: all. ``executor``: pieces of the file are
    counted by its workers; what cannot be cut is counted here, and ``told``.
    Raises `BadCard` for a row that is not as the card says, `BadModel` for a file that cannot be read.
    """
    table, about, began = read_card(card), card_of(card), time.monotonic()
    with ExitStack() as running:
        pair = opened_pair(table, teacher, student, question, running)
        known = replace(KnownTable.of(pair.design.table), schema=with_bands(pair.design.table))
        ways, processes = (Way.of(pair.teacher), Way.of(pair.student)), (pair.teacher.running, pair.student.running)
        asking, few = _asking(pair, known.schema), question.people
        ask = Question(Known(about, known, size), ways, question.seconds, asking if few is None else None)
        found = ask.counted(Piece(path), processes) if executor is None else spread(
            ask, path.absolute(), processes, executor, told)  # fmt: skip
        counts, recourse, draw, rows = Counts(), Counts(), Draw(few or 0), 0
        for part in found:
            add(counts, part.counts)
            add(recourse, part.recourse)
            draw.add(rows + np.flatnonzero(np.unpackbits(part.refused, count=part.rows)))
            rows += part.rows
        if len(draw.rows):
            recourse = replace(ask, asking=asking).recourse(_looked_up(path, ask.known, np.sort(draw.rows)), processes)
    return Streamed(path.name, counts, recourse, pair.kappa, time.monotonic() - began)


def stream_run(
    run: StoredRun, card: Path, path: Path, executor: Executor | None = None,
    told: Callable[[str], None] = lambda _: None,
) -> Streamed:  # fmt: skip
    """The same of a stored run, by the files that it is exported as; as many ask as were asked in its study."""
    people = run.row["spec"]["teacher"]["setting"]["people"]
    with tempfile.TemporaryDirectory() as folder:
        for write, name in ((export_teacher, "teacher.onnx"), (export_student, "student.onnx")):
            write(run, Path(folder) / name)
        teacher, student = (read_model(Path(folder) / name) for name in ("teacher.onnx", "student.onnx"))
        return stream(path, card, teacher, student, AuditOptions(people=people), executor=executor, told=told)


def _asking(pair: OpenedPair, schema: Schema) -> Asking:
    layers = None if isinstance(pair.model, BlackBox) else pair.model
    return Asking(schema, layers, pair.design.encoding, pair.design.actions, pair.solver, pair.kappa)


def _looked_up(path: Path, known: Known, rows: np.ndarray) -> Values:
    """The people in some rows of a file that was read before."""
    found = [part.values for part in parts_of(Piece(path), known, rows)]
    if sum(map(len, found)) != len(rows):
        raise CfqError(f"{path.name}: has changed since it was counted; start again")
    return np.concatenate(found)


def with_bands(table: Table) -> Schema:
    """The schema with groups of numbers cut where this whole table has its median, so that every part cuts there."""
    out = []
    for i, f in enumerate(table.schema.features):
        median = float(np.median(f.raw(table.values[:, i]))) if f.protected and not f.levels else 0.0
        out.append(replace(f, bands=(median,)) if f.protected and not f.levels and not f.bands else f)
    return replace(table.schema, features=tuple(out))
