"""Runs a plan: what is stored is not run again, what finishes is stored at once.

Teachers of a chunk of seeds are one task; their audits follow as tasks of their own. Tasks go to any
`concurrent.futures` executor; only this process writes to the store.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import Any

from cfq_core.base.errors import CfqError
from cfq_core.base.identity import canonical, identity
from cfq_core.methods.method import Ptq, Qat
from cfq_core.pipeline import (
    NO_TRAINING_RECOURSE,
    Audited,
    Setting,
    TeacherRecourse,
    audit,
    prepare,
    promise,
    training_recourse,
)
from cfq_core.study import bits, groups, probing, safety
from cfq_core.study.audited import codes_of, groups_of, per_person
from cfq_core.study.bits import TeacherBits, teacher_bits
from cfq_core.study.estimate import LONG
from cfq_core.study.groups import GroupLabels, group_labels
from cfq_core.study.models import arrays_of_teacher
from cfq_core.study.plan import (
    REVISION,
    Chunk,
    Plan,
    RunSpec,
    TeacherSpec,
    budget_groups,
    chunks,
    halves,
    method_of,
    takes,
)
from cfq_core.study.probing import ProbeTask
from cfq_core.study.promises import recourse_arrays, stored_recourse, training_recourse_arrays
from cfq_core.study.safety import Safety, safety_of
from cfq_core.study.store import Store
from cfq_core.study.workers import pool
from cfq_core.tables.schema import Table

FEW = 3  # audits of a chunk that leave a process idle

Progress = Callable[[int, int, str], None]  # done, total, what


@dataclass(frozen=True)
class _Audit:
    """One audit task: some methods' students at some budgets for a chunk's teachers."""

    chunk: Chunk
    methods: tuple[str, ...]
    budgets: tuple[float, ...]

    @property
    def company(self) -> tuple[str, ...]:
        """What is trained in one stack: part of the identity of its runs."""
        if all(isinstance(method_of(m), Ptq) for m in self.methods):
            return ()
        return (*self.methods, *(f"{b:g}" for b in self.budgets))

    @property
    def needs_recourse(self) -> bool:
        """Whether a method of the task looks at training recourse."""
        return any(method_of(m).needs_recourse for m in self.methods)


#: What the runner hands to an executor.
_Task = Chunk | _Audit | ProbeTask


def run_plan(
    plan: Plan,
    store: Store,
    workers: int | None = None,
    progress: Progress | None = None,
    executor: Executor | None = None,
) -> str:
    """Run what is missing of a plan and give the study's id.

    ``workers``: processes; None takes one a core, and none at all for a few seconds of work (starting them costs more).
    ``executor``: any `concurrent.futures` executor instead, for example a cluster's.
    """
    work = list(chunks(plan))
    study = _record(plan, work, store)
    runner = _Runner(plan, store, work, progress or (lambda *_: None))
    if executor is not None:
        runner.go(executor, slots=runner.total)
        return study
    if workers is None:
        workers = (os.cpu_count() or 1) if sum(takes(plan, c) for c in work) > LONG else 0
    if workers == 0:
        runner.go(Inline(), slots=1)
        return study
    with pool(workers) as processes:
        runner.go(processes, slots=2 * workers)  # one waiting behind each, so that no process idles between tasks
    return study


class Inline(Executor):
    """An executor that works in this process, at once."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """The finished future of a call."""
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as problem:
            future.set_exception(problem)
        return future


class _Runner:
    """The state of one go through a plan."""

    def __init__(self, plan: Plan, store: Store, work: Sequence[Chunk], progress: Progress) -> None:
        self.plan, self.store, self.work, self.progress = plan, store, work, progress
        self.parallel = False  # whether tasks run side by side
        self.audits = [a for c in work for a in _tasks(plan, c) if not all(store.is_settled(s.id) for s in _specs(a))]
        self.untaught = [c for c in work if not self._taught(c)]
        self.probings = [p for c in work for p in probing.probings(c, plan.probes, _runs(plan, c), store)]
        self.open = list(self.audits)  # not finished yet: a chunk is probed when none of its own is
        self.done, self.total = 0, len(self.audits) + len(self.untaught) + len(self.probings)

    def go(self, executor: Executor, slots: int) -> None:
        """Keep ``slots`` tasks running, store results as they come."""
        self.parallel = slots > 1
        taught = [c for c in self.work if not any(c is u for u in self.untaught)]
        ready: list[_Task] = [task for c in taught for task in self._after(c)]
        ready += self.untaught
        pending: dict[Future[Any], _Task] = {}
        self._tick("starting")
        try:
            while ready or pending:
                while ready and len(pending) < slots:
                    task = ready.pop(0)
                    pending[self._submit(executor, task)] = task
                for future in wait(pending, return_when=FIRST_COMPLETED).done:
                    ready = self._finish(pending.pop(future), future.result()) + ready
        except BrokenProcessPool as problem:
            raise CfqError(
                "a worker process died; finished runs are stored, run the same command to go on"
            ) from problem
        finally:
            for future in pending:
                future.cancel()

    def _submit(self, executor: Executor, task: _Task) -> Future[Any]:
        if isinstance(task, ProbeTask):
            about = probing.subjects(task, self._stored(task.chunk), self.store)
            return executor.submit(probing.ask, probing.load(task), about)
        if isinstance(task, Chunk):
            return executor.submit(
                teach_chunk, self._stored(task), task.table, task.seeds, task.setting, self._rehearsed(task)
            )
        methods = {m: method_of(m) for m in task.methods}
        return executor.submit(audit, self._stored(task.chunk), methods, task.budgets, task.chunk.setting)

    def _finish(self, task: _Task, result: Any) -> list[_Task]:
        """Store a task's results; gives the tasks that can now start."""
        self.done += 1
        if isinstance(task, ProbeTask):
            probing.put(task, result, self.store)
            self._tick(f"{task.chunk.dataset}: {task.name}")
            return []
        if isinstance(task, _Audit):
            for audited in result:
                self._put_run(task, audited)
            made = {(a.method, a.seed) for a in result}
            for method, spec in ((m, s) for m, s in _named(task) if (m, s.teacher.seed) not in made):
                self.store.put_skipped(spec.id, f"{method}: {NO_TRAINING_RECOURSE}")
            self._tick(f"{task.chunk.dataset}: {', '.join(task.methods)} at {_listed(task.budgets)} bits")
            self.open = [a for a in self.open if a is not task]
            return [] if any(a.chunk is task.chunk for a in self.open) else self._probings_of(task.chunk)
        for taught in result:
            self._put_teacher(task, taught)
        self._tick(f"{task.dataset}: teachers, seeds {_listed(task.seeds)}")
        return self._after(task)

    def _after(self, chunk: Chunk) -> list[_Task]:
        """What can start once a chunk's teachers are stored: its audits, or, where all are, its probes."""
        return [*self._audits_of(chunk)] or self._probings_of(chunk)

    def _probings_of(self, chunk: Chunk) -> list[_Task]:
        return [p for p in self.probings if p.chunk is chunk]

    def _tick(self, what: str) -> None:
        self.progress(self.done, self.total, what)

    # ------------------------------------------------------------------ to and from the store
    def _audits_of(self, chunk: Chunk) -> list[_Audit]:
        """A chunk's audits; side by side the longest first, which is what is trained."""
        mine = [a for a in self.audits if a.chunk is chunk]
        return sorted(mine, key=lambda a: not a.company) if self.parallel else mine

    def _rehearsed(self, chunk: Chunk) -> bool:
        return any(a.needs_recourse for a in self._audits_of(chunk))

    def _taught(self, chunk: Chunk) -> bool:
        ids = [_teacher(chunk, s).id for s in chunk.seeds]
        wanted = [
            bits.ARTIFACT,
            groups.ARTIFACT,
            safety.ARTIFACT,
            *(["training_recourse"] if self._rehearsed(chunk) else []),
        ]
        return all(self.store.has_teacher(i) and all(self.store.has_artifact(i, w) for w in wanted) for i in ids)

    def _stored(self, chunk: Chunk) -> list[TeacherRecourse]:
        """The chunk's teachers as they are stored; empty where one is missing."""
        if not all(self.store.has_teacher(_teacher(chunk, s).id) for s in chunk.seeds):
            return []
        ids = [_teacher(chunk, s).id for s in chunk.seeds]
        return [
            stored_recourse(chunk.table, s, chunk.setting, self.store, i) for s, i in zip(chunk.seeds, ids, strict=True)
        ]

    def _put_teacher(self, chunk: Chunk, taught: Taught) -> None:
        p = taught.promise
        spec = _teacher(chunk, p.design.seed)
        r, table = p.recourse, p.design.table
        found = r.has_recourse
        measures = {
            "accuracy": float(((p.logits > 0) == table.outcome[p.design.split.test]).mean()),
            "approval_rate": float((p.logits > 0).mean()),
            "denied": int((p.logits <= 0).sum()),
            "people": len(p.person),
            "frr": float(found.mean()) if len(found) else None,
            "recourse_cost": float(r.cost[found].mean()) if found.any() else None,
            "seconds": p.seconds,
        }
        weights = arrays_of_teacher(p.teacher)
        people = {"logits": p.logits, "person": p.person, **recourse_arrays(r)}
        self.store.put_teacher(spec.id, chunk.dataset, p.design.seed, canonical(spec), measures, weights, people)
        self.store.put_artifact(spec.id, groups.ARTIFACT, taught.groups.arrays())
        self.store.put_artifact(spec.id, bits.ARTIFACT, taught.bits.arrays())
        self.store.put_artifact(spec.id, safety.ARTIFACT, taught.safety.arrays())
        if p.training_recourse is not None:  # last: where it is stored, the profile at its points is too
            self.store.put_artifact(spec.id, "training_recourse", training_recourse_arrays(p))

    def _put_run(self, task: _Audit, a: Audited) -> None:
        spec = RunSpec(_teacher(task.chunk, a.seed), method_of(a.method), a.budget, task.company)
        columns = {
            "id": spec.id,
            "teacher_id": spec.teacher.id,
            "dataset": task.chunk.dataset,
            "method": a.method,
            "budget": a.budget,
            "seed": a.seed,
            "bits": list(a.plan),
            "avg_bits": a.average_bits,
            "threshold": a.threshold,
            "spec": canonical(spec),
            "groups": groups_of(a),
        }
        self.store.put_run(columns, a.measures.overall, codes_of(a), per_person(a))


@dataclass(frozen=True)
class Taught:
    """A teacher with its promises, and what is kept of it so that pictures need no raw table."""

    promise: TeacherRecourse
    bits: TeacherBits
    groups: GroupLabels
    safety: Safety


def teach_chunk(
    known: list[TeacherRecourse], table: Table, seeds: Sequence[int], setting: Setting, with_training_recourse: bool
) -> list[Taught]:
    """Teachers of some seeds and their promises, training recourse too where asked for; what a worker runs."""
    promises = known or promise([prepare(table, s, setting.regime) for s in seeds], setting)
    if with_training_recourse and promises[0].training_recourse is None:
        promises = training_recourse(promises, setting)
    each = zip(promises, teacher_bits(promises), strict=True)
    return [Taught(p, b, group_labels(p), safety_of(p)) for p, b in each]


def _audits(plan: Plan, chunk: Chunk) -> list[_Audit]:
    """Qat methods go together, so that they train as one stack, unless their times are asked for; others alone."""
    trained = tuple(m for m in plan.methods if isinstance(method_of(m), Qat))
    alone = [_Audit(chunk, (m,), b) for m in plan.methods if m not in trained for b in budget_groups(plan, chunk.table)]
    stacks = [(m,) for m in trained] if plan.alone else [trained] if trained else []
    return alone + [_Audit(chunk, stack, plan.bits) for stack in stacks]


def _tasks(plan: Plan, chunk: Chunk) -> list[_Audit]:
    """The same audits, in parts where there are few of much work; parts take longer together than the whole.

    What is trained stays one stack.
    """
    audits = _audits(plan, chunk)
    if len(audits) >= FEW or takes(plan, chunk) < LONG:
        return audits
    each = [(a, [a.budgets] if a.company else halves(a.budgets)) for a in audits]
    return [replace(a, budgets=part) for a, parts in each for part in parts]


def _teacher(chunk: Chunk, seed: int) -> TeacherSpec:
    return TeacherSpec(REVISION, chunk.data, seed, chunk.setting, chunk.seeds)


def _runs(plan: Plan, chunk: Chunk) -> list[RunSpec]:
    """Every run of a chunk, in the study's order."""
    return [s for a in _audits(plan, chunk) for s in _specs(a)]


def _specs(a: _Audit) -> list[RunSpec]:
    return [spec for _, spec in _named(a)]


def _named(a: _Audit) -> list[tuple[str, RunSpec]]:
    """Every run of a task beside its method's name."""
    each = [(m, seed, b) for m in a.methods for seed in a.chunk.seeds for b in a.budgets]
    return [(m, RunSpec(_teacher(a.chunk, seed), method_of(m), b, a.company)) for m, seed, b in each]


def _record(plan: Plan, work: Sequence[Chunk], store: Store) -> str:
    """Write down what the study consists of; its id follows from its runs and its name."""
    runs = [(s.id, s.teacher.id) for c in work for s in _runs(plan, c)]
    about: list[Any] = [plan.name, [r for r, _ in runs]]
    study = identity(about + ([list(plan.probes)] if plan.probes else []))
    store.put_study(study, plan.title, canonical(plan), versions(), runs)
    return study


def versions() -> dict[str, str]:
    """What produced a study's numbers."""
    packages = ("cfq", "torch", "numpy", "scikit-learn", "scipy")
    return {"python": platform.python_version(), "machine": platform.machine(), **{p: version(p) for p in packages}}


def _listed(items: Sequence[float | int]) -> str:
    return ", ".join(f"{i:g}" for i in items)
