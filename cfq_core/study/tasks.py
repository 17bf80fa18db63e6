"""How a study is cut into tasks. No student depends on how: only the time it takes does.

Teachers of some seeds are one task, a method's students at some seeds and budgets another, a probe of one seed's models
a third. What is stored already is in no task.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from math import inf
from pathlib import Path
from typing import Any

from cfq_core.actions.regimes import under
from cfq_core.base import numerics
from cfq_core.group_tests import SMALLEST_GROUP
from cfq_core.methods.method import Method, Qat
from cfq_core.pipeline import Setting
from cfq_core.recourse.search import Search
from cfq_core.study import estimate
from cfq_core.study.plan import Plan, RunSpec, TeacherFile, TeacherSpec, method_of, table_of
from cfq_core.study.revision import LARGE_REVISION, REVISION
from cfq_core.tables.schema import Table
from cfq_core.training.loop import LARGE

#: Rows of all teachers in one task: many seeds of a small table train as one stack, a large table's one by one.
MOST_ROWS = 40_000
#: Seconds that a task should take at most: what finishes is stored at once, and a killed study goes on from there. But
#: the budgets of a seed stay together where they train: four runs of one stack take 1.8 times as long as one alone.
LONGEST = 60.0
#: Times a worker's share that the budgets of a seed may take before they are cut all the same, into dearer parts.
TOGETHER = 1.5
#: Parts for each worker in which what is only rounded is cut; what is trained loses by a smaller stack.
ROUNDED_PARTS = 3


@dataclass(frozen=True)
class Chunk:
    """A data set under one setting, with all its seeds."""

    setting: Setting
    dataset: str
    table: Table
    data: str  # the table's fingerprint
    seeds: tuple[int, ...]
    own: Any = None  # `models.own.OwnTeacher`, where the teacher is not trained here

    def teacher(self, seed: int) -> TeacherSpec:
        """What determines a seed's teacher."""
        own, large = self.own and self.own.spec, large_revision(self.table, self.setting.regime)
        return TeacherSpec(REVISION, self.data, seed, self.setting, numerics.tag(), own, large)

    def run(self, method: Method | Qat, seed: int, budget: float) -> RunSpec:
        """What determines a run."""
        return RunSpec(self.teacher(seed), method, budget)

    @property
    def pace(self) -> estimate.Pace:
        """About how quick its work is."""
        work = estimate.Work.of(self.table, self.setting)
        return (work if self.own is None else replace(work, steps=0)).pace()

    @property
    def few(self) -> str:
        """A line where so few test people are likely to be denied that little can be said of them; else empty."""
        people, asked = estimate.Work.of(self.table, self.setting).people, self.setting.people
        if self.own is not None or people >= SMALLEST_GROUP or people == asked:  # a given teacher may deny any number
            return ""
        return (
            f"{self.table.schema.title}: about {people} test people a seed are likely to be denied, under "
            f"{SMALLEST_GROUP}: intervals will be wide. More rows help most; then more seeds, or a stricter cut "
            "(threshold, approve)"
        )


@dataclass(frozen=True)
class TeacherTask:
    """Teachers of some seeds and their promises; training recourse too where a method asks for it."""

    chunk: Chunk
    seeds: tuple[int, ...]
    with_training_recourse: bool
    several_sources: bool = False  # of that recourse

    @property
    def seconds(self) -> float:
        """About how long it takes on one core."""
        pace = self.chunk.pace
        return len(self.seeds) * (pace.teacher + pace.recourse * self.with_training_recourse)


@dataclass(frozen=True)
class AuditTask:
    """One method's students at some budgets for some seeds' teachers."""

    chunk: Chunk
    method: str
    seeds: tuple[int, ...]
    budgets: tuple[float, ...]

    @property
    def runs(self) -> list[RunSpec]:
        """Every run."""
        return [self.chunk.run(method_of(self.method), s, b) for s, b in product(self.seeds, self.budgets)]

    @property
    def trained(self) -> bool:
        """Whether its students are trained."""
        return method_of(self.method).trained

    @property
    def seconds(self) -> float:
        """About how long it takes on one core."""
        pace, runs = self.chunk.pace, len(self.seeds) * len(self.budgets)
        return runs * pace.audit + self.trained * estimate.stacked(pace.trained, runs)

    def halves(self) -> list[AuditTask]:
        """The same in two tasks, seeds apart first; itself where it is a single run."""
        for name in ("seeds", "budgets"):
            items: tuple[object, ...] = getattr(self, name)
            if len(items) > 1:
                middle = (len(items) + 1) // 2
                parts = items[:middle], items[middle:]
                return [replace(self, **{name: part}) for part in parts]  # type: ignore[arg-type]
        return [self]


def large_revision(table: Table, regime: str) -> int:
    """Revision of how wide and long tables are worked (`Search.wide`, `TeacherTraining.on`); 0 for all others."""
    free = [f for f in under(regime, table.schema).features if f.move != "fixed"]
    moves = sum(len(f.levels) if f.is_category else 2 for f in free)
    return LARGE_REVISION if moves > Search().wide or len(table) > LARGE else 0


def chunks(plan: Plan, given: Any = None) -> Iterator[Chunk]:
    """All chunks of a plan; loads each table once. ``given``: its own teacher, where that is no file to be read."""
    for dataset in plan.datasets:
        table = table_of(dataset)
        data, own = table.fingerprint(), given or own_of(plan.teacher, table)
        for setting in plan.settings:
            yield Chunk(shaped(setting, own), table.schema.name, table, data, plan.seeds, own)


def shaped(setting: Setting, own: Any) -> Setting:
    """A setting with the layers of an own teacher, so that every text says what they are."""
    if own is None:
        return setting
    return replace(setting, hidden=own.hidden, activation=own.activation, residual=own.residual)


def own_of(file: TeacherFile | None, table: Table) -> Any:
    """A plan's own teacher for a table; None where teachers are trained."""
    if file is None:
        return None
    from cfq_core.models.contract import Contract  # need onnx, which is an extra
    from cfq_core.models.own import file_teacher
    from cfq_core.models.read import read_model

    said = Contract.read(
        {k: v for k, v in asdict(file).items() if k not in ("path", "unseen") and v is not None}, file.path
    )
    return file_teacher(read_model(Path(file.path)), said, table)


def runs_of(plan: Plan, chunk: Chunk) -> list[RunSpec]:
    """Every run of a chunk, in the study's order."""
    return [chunk.run(method_of(m), s, b) for m, s, b in product(plan.methods, chunk.seeds, plan.bits)]


def takes(plan: Plan, chunk: Chunk) -> float:
    """About how many seconds a chunk takes on one core."""
    return estimate.seconds(chunk.pace, plan.methods, len(plan.bits), len(chunk.seeds))


def teacher_tasks(
    chunk: Chunk, seeds: Sequence[int], with_training_recourse: bool, several_sources: bool, workers: int
) -> list[TeacherTask]:
    """Teachers of these seeds in as many parts as there are workers, or more where the table is large."""
    size = max(1, min(-(-len(seeds) // workers), MOST_ROWS // len(chunk.table)))
    parts = [tuple(seeds[i : i + size]) for i in range(0, len(seeds), size)]
    return [TeacherTask(chunk, part, with_training_recourse, several_sources) for part in parts]


def audit_tasks(chunk: Chunk, missing: Iterable[tuple[str, int, float]], workers: int) -> list[AuditTask]:
    """Runs (method, seed, budget) in tasks of one method each; side by side the longest first."""
    cells: dict[str, list[tuple[int, float]]] = {}
    for method, seed, budget in missing:
        cells.setdefault(method, []).append((seed, budget))
    whole = [task for m in cells for task in _rectangles(chunk, m, cells[m])]
    share = sum(t.seconds for t in whole) / workers if workers > 1 else inf
    parts = [part for task in whole for part in _cut(task, share / (1 if task.trained else ROUNDED_PARTS))]
    return sorted(parts, key=lambda t: -t.seconds) if workers > 1 else parts


def _rectangles(chunk: Chunk, method: str, cells: Sequence[tuple[int, float]]) -> Iterator[AuditTask]:
    """The cells (seed, budget) of a method as tasks, each the full product of its seeds and budgets."""
    budgets: dict[int, list[float]] = {}
    for seed, budget in cells:
        budgets.setdefault(seed, []).append(budget)
    alike: dict[tuple[float, ...], list[int]] = {}
    for seed, each in budgets.items():
        alike.setdefault(tuple(each), []).append(seed)
    yield from (AuditTask(chunk, method, tuple(seeds), b) for b, seeds in alike.items())


def _cut(task: AuditTask, share: float) -> list[AuditTask]:
    """Parts that last no longer than a worker's share, nor too long to lose; a seed's budgets train in one stack."""
    longest = TOGETHER * share if task.trained and len(task.seeds) == 1 else min(LONGEST, share)
    parts = task.halves() if task.seconds > longest else [task]
    return parts if len(parts) == 1 else [x for part in parts for x in _cut(part, share)]
