"""Runs a plan: what is stored is not run again, what finishes is stored at once.

A plan is cut into tasks (`tasks.py`) that go to any `concurrent.futures` executor; only this process writes to the
store. A student's bits depend on its own specification alone, so how a plan is cut changes nothing but the time.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from importlib.metadata import version
from itertools import product
from typing import Any

from cfq_core.artifacts.artifact import Arrays, ArtifactInput
from cfq_core.base import numerics
from cfq_core.base.errors import CfqError
from cfq_core.base.identity import described, identity
from cfq_core.base.plugins import load_all
from cfq_core.methods.approval_matched import ApprovalMatchedQat
from cfq_core.methods.method import Qat, Students, has_several_sources
from cfq_core.pipeline import (
    NO_TRAINING_RECOURSE,
    Audited,
    Known,
    TeacherRecourse,
    audit,
    further_recourse,
    prepare,
    promise,
    training_recourse,
)
from cfq_core.study import artifact_tasks
from cfq_core.study.artifact_tasks import FURTHER_RECOURSE, TRAINING_RECOURSE, ProbeTask
from cfq_core.study.audited import codes_of, groups_of, per_person, per_teacher
from cfq_core.study.estimate import LONG, format_time
from cfq_core.study.executors import Inline, pool, with_kernels
from cfq_core.study.measured import specs
from cfq_core.study.models import arrays_of_teacher, student_of
from cfq_core.study.plan import Plan, RunSpec, method_of
from cfq_core.study.promises import further_recourse_arrays, recourse_arrays, stored_recourse, training_recourse_arrays
from cfq_core.study.store import Store
from cfq_core.study.tasks import AuditTask, Chunk, TeacherTask, audit_tasks, chunks, runs_of, takes, teacher_tasks

PARTS = 8  # in which work for a cluster of unknown size is cut

Progress = Callable[[int, int, str], None]  # done, total, what
Announce = Callable[[str], None]  # a line before anything long starts

#: What the runner hands to an executor.
_Task = TeacherTask | AuditTask | ProbeTask


def run_plan(
    plan: Plan,
    store: Store,
    workers: int | None = None,
    progress: Progress | None = None,
    executor: Executor | None = None,
    own: Any = None,
    announce: Announce | None = None,
) -> str:
    """Run what is missing of a plan and give the study's id.

    ``workers``: processes; None takes one a core, and none at all for a few seconds of work (starting them costs more).
    ``executor``: any `concurrent.futures` executor instead, for example a cluster's.
    ``own``: the plan's own teacher (`models.own.OwnTeacher`) where it is no file: a torch or scikit-learn object.
    ``announce`` is told about how long it takes, where that is long.
    """
    work = list(chunks(plan, own))
    if plan.teacher is not None:
        first, *further = dict.fromkeys(c.setting for c in work)
        file = replace(plan.teacher, unseen=all(c.table.part is not None for c in work))
        plan = replace(plan, setting=first, further=tuple(further), teacher=file)
    study = _record(plan, work, store)
    if executor is None and workers is None:
        workers = (os.cpu_count() or 1) if sum(takes(plan, c) for c in work) > LONG else 0
    runner = _Runner(plan, store, work, progress or (lambda *_: None), PARTS if executor else max(1, workers or 0))
    if announce and runner.seconds > LONG:
        announce(_how_long(runner.seconds, 0 if executor else max(1, workers or 0)))
    for few in dict.fromkeys(c.few for c in work if announce and runner.total):
        if announce and few:
            announce(few)
    if executor is not None:
        runner.go(executor, slots=max(1, runner.total))
        return study
    if not workers:
        runner.go(Inline(), slots=1)
        return study
    with pool(workers) as processes:
        runner.go(processes, slots=2 * workers)  # one waiting behind each, so that no process idles between tasks
    return study


class _Runner:
    """The state of one go through a plan: the tasks that are not finished, in the order they should start."""

    def __init__(self, plan: Plan, store: Store, work: Sequence[Chunk], progress: Progress, parts: int) -> None:
        self.plan, self.store, self.progress = plan, store, progress
        self.open: list[_Task] = []
        teachers: list[_Task] = []
        for chunk in work:
            missing = self._missing(chunk)
            recourse = {s for m, s, _ in missing if method_of(m).needs_recourse}
            several = {s for m, s, _ in missing if has_several_sources(method_of(m))}
            untaught = [s for s in chunk.seeds if not self._taught(chunk, s, s in recourse, s in several)]
            for asks in ((True, True), (True, False), (False, False)):
                seeds = [s for s in untaught if (s in recourse, s in several) == asks]
                teachers += teacher_tasks(chunk, seeds, *asks, parts) if seeds else []
            self.open += audit_tasks(chunk, missing, parts)
            self.open += artifact_tasks.probe_tasks(chunk, plan.probes, runs_of(plan, chunk), store)
        self.open = [*teachers, *self.open]
        self.done, self.total = 0, len(self.open)
        self.seconds = sum(t.seconds for t in self.open)  # about, on one core

    def _missing(self, chunk: Chunk) -> list[tuple[str, int, float]]:
        each = [(m, s, b) for m in self.plan.methods for s in chunk.seeds for b in self.plan.bits]
        return [(m, s, b) for m, s, b in each if not self.store.is_settled(chunk.run(method_of(m), s, b).id)]

    def go(self, executor: Executor, slots: int) -> None:
        """Keep ``slots`` tasks running, store results as they come."""
        pending: dict[Future[Any], _Task] = {}
        self._tick(numerics.warning() or "starting")
        try:
            while self.open:
                for task in self._ready(pending.values())[: slots - len(pending)]:
                    pending[self._submit(executor, task)] = task
                for future in wait(pending, return_when=FIRST_COMPLETED).done:
                    task = pending.pop(future)
                    what = self._finish(task, future.result())
                    self.open = [t for t in self.open if t is not task]
                    self.done += 1
                    self._tick(what)
        except BrokenProcessPool as problem:
            raise CfqError(
                "a worker process died; finished runs are stored, run the same command to go on"
            ) from problem
        finally:
            for future in pending:
                future.cancel()

    def _ready(self, running: Iterable[_Task]) -> list[_Task]:
        """Tasks that can start: they are not running, and nothing unfinished makes what they need."""
        started = {id(t) for t in running}
        return [t for t in self.open if id(t) not in started and not any(_needs(t, other) for other in self.open)]

    def _submit(self, executor: Executor, task: _Task) -> Future[Any]:
        def run(*call: Any) -> Future[Any]:
            return executor.submit(with_kernels, numerics.tag(), *call)

        if isinstance(task, ProbeTask):
            (promise,) = self._stored(task.chunk, [task.seed])
            return run(artifact_tasks.ask, task.probe, artifact_tasks.input_of(task, promise, self.store))
        known = self._stored(task.chunk, task.seeds)
        if isinstance(task, TeacherTask):
            return run(make_teachers, known, task, self._missing_artifacts(task))
        methods = {task.method: method_of(task.method)}
        return run(audit, known, methods, task.budgets, task.chunk.setting, self._sources(task))

    def _finish(self, task: _Task, result: Any) -> str:
        """Store a task's results; gives what it was in words."""
        if isinstance(task, ProbeTask):
            artifact_tasks.put_probed(task, result, self.store)
            return f"{task.chunk.dataset}: {task.name}"
        if isinstance(task, TeacherTask):
            for taught in result:
                self._put_teacher(task.chunk, taught)
            return f"{task.chunk.dataset}: teachers, seeds {_listed(task.seeds)}"
        specs = {(s.teacher.seed, s.budget): s for s in task.runs}
        for audited in result:
            self._put_run(task.chunk, specs.pop((audited.seed, audited.budget)), audited)
        for spec in specs.values():
            self.store.put_skipped(spec.id, f"{task.method}: {NO_TRAINING_RECOURSE}")
        return f"{task.chunk.dataset}: {task.method} at {_listed(task.budgets)} bits"

    def _tick(self, what: str) -> None:
        self.progress(self.done, self.total, what)

    # ------------------------------------------------------------------ to and from the store
    def _taught(self, chunk: Chunk, seed: int, with_training_recourse: bool, several_sources: bool) -> bool:
        teacher, store = chunk.teacher(seed).id, self.store
        if several_sources and not store.has_artifact(teacher, FURTHER_RECOURSE):
            return False
        if with_training_recourse and not store.has_artifact(teacher, TRAINING_RECOURSE):
            return False
        return store.has_teacher(teacher) and not artifact_tasks.missing(store, teacher, with_training_recourse)

    def _missing_artifacts(self, task: TeacherTask) -> tuple[str, ...]:
        """Artifacts that one of a task's teachers lacks."""
        each = [task.chunk.teacher(s).id for s in task.seeds]
        lacking = (artifact_tasks.missing(self.store, i, task.with_training_recourse) for i in each)
        return tuple(sorted({name for names in lacking for name in names}))

    def _stored(self, chunk: Chunk, seeds: Sequence[int]) -> list[TeacherRecourse]:
        """The teachers of these seeds as they are stored; empty where one is missing."""
        ids = [chunk.teacher(s).id for s in seeds]
        if not all(self.store.has_teacher(i) for i in ids):
            return []
        return [stored_recourse(chunk.table, s, chunk.setting, self.store, i) for s, i in zip(seeds, ids, strict=True)]

    def _sources(self, task: AuditTask) -> Known:
        """Stored students, of any study, that the task's methods take."""
        found = {}
        for method, seed, budget in product(_sources_of(task), task.seeds, task.budgets):
            run = task.chunk.run(method, seed, budget).id
            if self.store.has_run(run):
                plan = tuple(self.store.run(run)["bits"])
                found[identity(method), seed, budget] = Students(student_of(self.store.arrays(run, "weights")), (plan,))
        return found

    def _put_teacher(self, chunk: Chunk, taught: Taught) -> None:
        p = taught.promise
        spec = chunk.teacher(p.design.seed)
        measures = teacher_measures(p)
        weights = arrays_of_teacher(p.teacher)
        people = {**per_teacher(p), **recourse_arrays(p.recourse)}
        self.store.put_teacher(spec.id, chunk.dataset, p.design.seed, described(spec), measures, weights, people)
        artifact_tasks.put(self.store, spec.id, taught.artifacts, p.training_recourse is not None)
        if p.training_recourse is not None:
            self.store.put_artifact(spec.id, TRAINING_RECOURSE, training_recourse_arrays(p))
        if p.further_recourse:
            self.store.put_artifact(spec.id, FURTHER_RECOURSE, further_recourse_arrays(p))

    def _put_run(self, chunk: Chunk, spec: RunSpec, a: Audited) -> None:
        columns = {
            "id": spec.id,
            "teacher_id": spec.teacher.id,
            "dataset": chunk.dataset,
            "method": a.method,
            "budget": a.budget,
            "seed": a.seed,
            "bits": list(a.plan),
            "avg_bits": a.average_bits,
            "threshold": a.threshold,
            "spec": described(spec),
            "groups": groups_of(a),
        }
        metrics = specs(load_all("metrics"))
        self.store.put_run(columns, a.measures.overall, codes_of(a), per_person(a), metrics)


def teacher_measures(p: TeacherRecourse[Any]) -> dict[str, Any]:
    """What a teacher's row holds of it."""
    r, found = p.recourse, p.recourse.has_recourse
    return {
        "accuracy": float(((p.logits > 0) == p.design.table.outcome[p.design.split.test]).mean()),
        "approval_rate": float((p.logits > 0).mean()),
        "denied": int((p.logits <= 0).sum()),
        "people": len(p.person),
        "frr": float(found.mean()) if len(found) else None,
        "recourse_cost": float(r.cost[found].mean()) if found.any() else None,
        "seconds": p.seconds,
        **({} if p.kappa is None else {"kappa": p.kappa}),
    }


@dataclass(frozen=True)
class Taught:
    """A teacher with its promises, and what is kept of it so that pictures need no raw table."""

    promise: TeacherRecourse
    artifacts: dict[str, Arrays]


def make_teachers(known: list[TeacherRecourse], task: TeacherTask, artifacts: Sequence[str]) -> list[Taught]:
    """A task's teachers with their promises, recourse of training people where asked for; what a worker runs."""
    table, setting = task.chunk.table, task.chunk.setting
    promises = known or promise([prepare(table, s, setting.regime) for s in task.seeds], setting, task.chunk.own)
    if task.with_training_recourse and any(p.training_recourse is None for p in promises):
        promises = training_recourse(promises, setting)
    if task.several_sources:
        promises = further_recourse(promises, setting)
    return [Taught(p, artifact_tasks.compute(artifacts, ArtifactInput(p, setting))) for p in promises]


def _needs(task: _Task, other: _Task) -> bool:
    """Whether a task cannot start before another one is finished."""
    if task is other or isinstance(task, TeacherTask) or task.chunk.setting is not other.chunk.setting:
        return False
    if task.chunk.table is not other.chunk.table or isinstance(other, ProbeTask):
        return False
    mine, theirs = ({t.seed} if isinstance(t, ProbeTask) else set(t.seeds) for t in (task, other))
    if not mine & theirs:
        return False
    return isinstance(task, ProbeTask) or isinstance(other, TeacherTask) or _takes_students_of(task, other)


def _sources_of(task: AuditTask) -> tuple[Qat, ...]:
    """Methods whose students a task's method takes."""
    method = method_of(task.method)
    return method.sources if isinstance(method, ApprovalMatchedQat) else ()


def _takes_students_of(task: AuditTask, other: AuditTask) -> bool:
    sources = {identity(s) for s in _sources_of(task)}
    if not sources or not set(task.budgets) & set(other.budgets):
        return False
    return identity(method_of(other.method)) in sources


def _how_long(seconds: float, cores: int) -> str:
    """In words; of a cluster, whose size is not known, on one core."""
    of = "on a free core" if cores < 2 else f"on {cores} free cores"
    return f"starting: {format_time(seconds / max(1, cores))} {of}"


def _record(plan: Plan, work: Sequence[Chunk], store: Store) -> str:
    """Write down what the study consists of; its id follows from its runs and probes alone."""
    runs = [(s.id, s.teacher.id) for c in work for s in runs_of(plan, c)]
    about: list[Any] = [sorted({r for r, _ in runs}), sorted(plan.probes)]
    study = identity(about)
    store.put_study(study, plan.title, described(plan), versions(), runs)
    return study


def versions() -> dict[str, str]:
    """What produced a study's numbers."""
    packages = ("cfq", "torch", "numpy", "scikit-learn", "scipy")
    about = {"python": platform.python_version(), "machine": platform.machine(), "numerics": numerics.tag()}
    return about | {p: version(p) for p in packages}


def _listed(items: Sequence[float | int]) -> str:
    return ", ".join(f"{i:g}" for i in items)
