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

import numpy as np

from cfq_core.base import numerics
from cfq_core.base.errors import BadCard, CfqError
from cfq_core.datasets.parts import Known, cut, parts_of
from cfq_core.datasets.pieces import BYTES, Piece
from cfq_core.evidence import group_cells
from cfq_core.models.columns import Columns, feeds
from cfq_core.models.read import ModelFile
from cfq_core.models.reading import Reading
from cfq_core.models.runtime import Running
from cfq_core.models.scale import Scale
from cfq_core.study.executors import with_kernels
from cfq_core.tables.schema import Table

EVERYBODY = ("everybody", "")
Counts = dict[tuple[str, str], np.ndarray]
AHEAD, AHEAD_SENT = 256, 16  # pieces that wait for a worker; and where their bytes are sent
IDLE = 60  # seconds after which a worker ends the processes that compute the files
RUNTIMES = ("onnxruntime", "numpy")


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


@dataclass(frozen=True)
class Question:
    """What is counted: the rows of a table by the decisions of two files. It can be sent to another process."""

    known: Known
    pair: tuple[Way, Way]  # teacher, student
    seconds: float  # that each file may be computed for, a part: how many there are nobody knows

    def counted(self, piece: Piece, running: tuple[Running, Running]) -> tuple[int, Counts]:
        """How many rows of the file a piece has, and its counts; raises `BadCard`, `BadModel`."""
        rows, counts = 0, Counts()
        for part in parts_of(piece, self.known):
            rows += part.rows
            if not len(part.outcome):
                continue
            yes = []
            for way, process in zip(self.pair, running, strict=True):
                process.left = self.seconds
                outputs = process.outputs(way.columns.make(part.values))
                yes.append(way.scale.logits(outputs, way.file.name) > 0)
            add(counts, _of_groups(Table(self.known.table.schema, part.values, part.outcome), *yes))
        return rows, counts


def _of_groups(people: Table, teacher: np.ndarray, student: np.ndarray) -> Counts:
    """The whole numbers of some people, for everybody and every group and crossing in them."""
    each = np.stack([
        np.ones(len(teacher), bool), teacher, student, student & ~teacher, teacher & ~student,
        teacher == people.outcome, student == people.outcome,
    ]).astype(np.int64)  # fmt: skip
    out = {EVERYBODY: each.sum(1)}
    for cell in group_cells(people.groups()):
        out[cell.column, cell.level] = each[:, cell.members].sum(1)
    return out


def add(counts: Counts, more: Counts) -> None:
    """Add the counts of a part."""
    for key, of in more.items():
        counts[key] = counts[key] + of if key in counts else of


def spread(
    question: Question, path: Path, running: tuple[Running, Running], executor: Executor,
    told: Callable[[str], None], size: int = BYTES,
) -> Counts:  # fmt: skip
    """A file's counts, each piece counted by an executor; ``running``: this process's own, for what cannot be cut."""
    counts, rows = Counts(), 0
    for piece, found in _in_order(question, cut(path, question.known, size), executor):
        if found is None:
            told(
                f"{path.name}: from row {rows + 2:,} on one process reads it: it cannot be cut there (a line break in "
                "a cell, an empty row, its encoding), or holds a mistake"
            )
            rest = replace(piece, stop=None, content=None, rows=rows, mark="")
            add(counts, question.counted(rest, running)[1])
            break
        rows += found[0]
        add(counts, found[1])
    return counts


def _in_order(
    question: Question, pieces: Iterable[Piece], executor: Executor
) -> Iterator[tuple[Piece, tuple[int, Counts] | None]]:
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
def count_piece(question: Question, piece: Piece, versions: str) -> tuple[int, Counts] | None:
    """What a worker does: rows and counts of a piece, None where it is not whole rows or holds a mistake."""
    if (own := _versions()) != versions:
        raise CfqError(f"a worker has {own}, this audit {versions}: they need the same")
    piece.check()
    with _HELD.processes(question) as running:
        try:
            return question.counted(piece, running)
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
