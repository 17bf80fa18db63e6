"""Parts of a table counted by other processes: whole numbers are added up, so no answer depends on who counted what.

Pieces are taken in the order of the file. The first that is no rows of its own, or holds a mistake, is read in this
process, and so is what follows: a mistake is told with its row, as where nothing is spread.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, UInt8

from cfq_core.base import numerics
from cfq_core.base.errors import BadCard, CfqError
from cfq_core.datasets.parts import Known, cut, parts_of
from cfq_core.datasets.pieces import BYTES, Piece
from cfq_core.evidence import group_cells
from cfq_core.models.columns import Columns, feeds
from cfq_core.models.ranking import Ranked
from cfq_core.models.read import ModelFile
from cfq_core.models.reading import Reading
from cfq_core.models.runtime import Running
from cfq_core.models.scale import Scale
from cfq_core.study.executors import with_kernels
from cfq_core.tables.encode import Values
from cfq_core.tables.schema import Table

if TYPE_CHECKING:
    from cfq_core.export.asking import Asking  # torch: rows are counted without it

EVERYBODY = ("everybody", "")
#: Whole numbers by group column and level, in order of appearance.
Counts = dict[tuple[str, str], np.ndarray]
ASKED_AT_ONCE = 4096  # people
AHEAD, AHEAD_SENT = 256, 16  # pieces that wait for a worker; and where their bytes are sent
IDLE = 60  # seconds after which a worker ends the processes that compute the files
RUNTIMES = ("onnxruntime", "numpy")
UNRANKED = Ranked(float("nan"), np.zeros(0), np.zeros(0))  # of a file whose outcomes nobody looks at


@dataclass(frozen=True)
class Way:
    """How a file is read: all of a `Reading` but the process that computes it."""

    file: ModelFile
    columns: Columns
    scale: Scale

    @classmethod
    def of(cls, reading: Reading) -> Way:
        """That of an audit."""
        return cls(reading.file, reading.columns, reading.scale)

    def started(self, seconds: float) -> Running:
        """A process that computes it."""
        return Running(self.file, seconds, feeds(self.file, self.columns.encoding.schema))

    def reading(self, running: Running) -> Reading:
        """The file as it is read in a process."""
        return Reading(self.file, self.columns, self.scale, running, UNRANKED)


@dataclass(frozen=True)
class Counted:
    """What there is in a part of a file."""

    rows: int  # with those that are left out
    counts: Counts
    refused: UInt8[np.ndarray, "m"]  # by the teacher: a bit a row
    recourse: Counts  # of all who are refused, where everybody is asked


@dataclass(frozen=True)
class Question:
    """What is counted: the rows of a table by the decisions of two files. It can be sent to another process."""

    known: Known
    pair: tuple[Way, Way]  # teacher, student
    seconds: float  # that each file may be computed for, a part: how many there are nobody knows
    asking: Asking | None = None  # how all whom the teacher refuses ask; None: nobody does

    def counted(self, piece: Piece, running: tuple[Running, Running]) -> Iterator[Counted]:
        """What a piece of the file holds, a part at a time; raises `BadCard`, `BadModel`."""
        for part in parts_of(piece, self.known):
            refused, counts, recourse = np.zeros(part.rows, bool), Counts(), Counts()
            if len(part.outcome):
                teacher, student = (r.logits(part.values) > 0 for r in self.readings(running))
                refused[part.at[~teacher]] = True
                people = Table(self.known.table.schema, part.values, part.outcome)
                each = (np.ones(len(teacher), bool), teacher, student, student & ~teacher, teacher & ~student)
                counts = of_groups(people, *each, teacher == people.outcome, student == people.outcome)
                if self.asking:
                    recourse = self.recourse(part.values[~teacher], running)
            yield Counted(part.rows, counts, np.packbits(refused), recourse)

    def recourse(self, people: Values, running: tuple[Running, Running]) -> Counts:
        """What is promised to people whom the teacher refuses, and what the student keeps; some are asked at a time."""
        out = Counts()
        assert self.asking is not None
        for start in range(0, len(people), ASKED_AT_ONCE):
            add(out, self.asking.counts(people[start:][:ASKED_AT_ONCE], *self.readings(running)))
        return out

    def readings(self, running: tuple[Running, Running]) -> list[Reading]:
        """Teacher and student, each with all of its time."""
        for process in running:
            process.left = self.seconds
        return [way.reading(process) for way, process in zip(self.pair, running, strict=True)]


def of_groups(people: Table, *each: Bool[np.ndarray, "n"]) -> Counts:
    """How many people each of some facts holds of, for everybody and every group and crossing in them."""
    facts = np.stack(each).astype(np.int64)
    out = {EVERYBODY: facts.sum(1)}
    for cell in group_cells(people.groups()):
        out[cell.column, cell.level] = facts[:, cell.members].sum(1)
    return out


def add(counts: Counts, more: Counts) -> None:
    """Add the counts of others."""
    for key, of in more.items():
        counts[key] = counts[key] + of if key in counts else of


def spread(
    question: Question, path: Path, running: tuple[Running, Running], executor: Executor,
    told: Callable[[str], None], size: int = BYTES,
) -> Iterator[Counted]:  # fmt: skip
    """What a file holds in its order, each piece counted by an executor; ``running``: for what cannot be cut."""
    rows = 0
    for piece, found in _in_order(question, cut(path, question.known, size), executor):
        if found is None:
            told(
                f"{path.name}: from row {rows + 2:,} on one process reads it: it cannot be cut there (a line break in "
                "a cell, an empty row, its encoding), or holds a mistake"
            )
            yield from question.counted(replace(piece, stop=None, content=None, rows=rows, mark=""), running)
            return
        rows += sum(part.rows for part in found)
        yield from found


def _in_order(
    question: Question, pieces: Iterable[Piece], executor: Executor
) -> Iterator[tuple[Piece, list[Counted] | None]]:
    """Each piece with its counts; None where it is to be read here, and what follows it."""
    coming, waiting, versions = iter(pieces), deque[tuple[Piece, Future | None]](), _versions()
    more = True
    try:
        while True:
            while more and len(waiting) < AHEAD:
                piece = next(coming, None)
                more = piece is not None and piece.stop is not None
                if piece is None:
                    break
                waiting.append((piece, _submitted(executor, question, piece, versions) if more else None))
                if piece.content is not None and len(waiting) >= AHEAD_SENT:
                    break
            if not waiting:
                return
            piece, future = waiting.popleft()
            yield piece, future.result() if future else None
    finally:
        for _, future in waiting:
            if future:
                future.cancel()


def _submitted(executor: Executor, question: Question, piece: Piece, versions: str) -> Future:
    return executor.submit(with_kernels, numerics.tag(), count_piece, question, piece, versions)


def _versions() -> str:
    return ", ".join(f"{name} {version(name)}" for name in RUNTIMES)


# ---------------------------------------------------------------------- in a worker
def count_piece(question: Question, piece: Piece, versions: str) -> list[Counted] | None:
    """What a worker does: a piece counted, None where it is not whole rows or holds a mistake."""
    if (own := _versions()) != versions:
        raise CfqError(f"a worker has {own}, this audit {versions}: they need the same")
    piece.check()
    with _HELD.processes(question) as running:
        try:
            return list(question.counted(piece, running))
        except BadCard:  # told by whoever knows how many rows are above
            return None


class _Held:
    """The processes that compute the last pair; ended when another is asked for, or nobody asks."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.key = ""
        self.open: tuple[ExitStack, tuple[Running, Running]] | None = None
        self.late: threading.Timer | None = None

    @contextmanager
    def processes(self, question: Question) -> Iterator[tuple[Running, Running]]:
        """Those of a question, for one piece at a time."""
        key = " ".join(f"{w.file.sha256} {w.columns.encoding.schema!r}" for w in question.pair)
        with self.lock:
            if self.late:
                self.late.cancel()
            if self.open is None or self.key != key:
                self._end()
                stack = ExitStack()
                a, b = (stack.enter_context(way.started(question.seconds)) for way in question.pair)
                self.key, self.open = key, (stack, (a, b))
            try:
                yield self.open[1]
            except BaseException:
                self._end()
                raise
            self.late = threading.Timer(IDLE, self.end)
            self.late.daemon = True
            self.late.start()

    def end(self) -> None:
        """End them."""
        with self.lock:
            self._end()

    def _end(self) -> None:
        if self.open is not None:
            self.open[0].close()
        self.open = None


_HELD = _Held()
