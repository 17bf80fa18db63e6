"""Probes of a plan: asked of a chunk's teachers and runs once those are stored, and stored beside them.

A probe reads models as they were audited, from their stored integers, so a study that is stored already can be asked
without making any of it again. Readings carry the identity of their probe: another setting of it is asked anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cfq_core.base import plugins
from cfq_core.base.identity import identity
from cfq_core.base.seeds import repeatable
from cfq_core.pipeline import TeacherRecourse
from cfq_core.probes.probe import Probe, ProbeInput, ProbeResults, Student
from cfq_core.probes.probe_result import arrays, artifact
from cfq_core.study.models import student_of
from cfq_core.study.plan import RunSpec
from cfq_core.study.store import SKIPPED, Store
from cfq_core.study.tasks import Chunk


@dataclass(frozen=True)
class ProbeTask:
    """One task: one probe on all teachers and runs of a chunk."""

    chunk: Chunk
    name: str
    runs: tuple[RunSpec, ...]

    @property
    def of_teachers(self) -> dict[str, list[str]]:
        """Ids of the runs of each teacher, by its id, in the order of the chunk's seeds."""
        by_seed = {spec.teacher.seed: spec.teacher.id for spec in self.runs}
        out: dict[str, list[str]] = {by_seed[s]: [] for s in self.chunk.seeds}
        for spec in self.runs:
            out[spec.teacher.id].append(spec.id)
        return out


def is_probed(task: ProbeTask, store: Store) -> bool:
    """Whether every teacher and run there can be has readings of this very probe."""
    spec, name = identity(load(task)), artifact(task.name)
    owners = [i for teacher, runs in task.of_teachers.items() for i in (teacher, *_possible(runs, store))]
    return all(store.has_artifact(i, name) and str(store.arrays(i, name)["spec"]) == spec for i in owners)


def subjects(task: ProbeTask, promises: Sequence[TeacherRecourse], store: Store) -> list[ProbeInput]:
    """What the probe is asked about, read from the store."""
    each = zip(promises, task.of_teachers.values(), strict=True)
    setting = task.chunk.setting
    return [ProbeInput(p, setting, tuple(_student(store, i) for i in _possible(runs, store))) for p, runs in each]


def ask(probe: Probe, of: Sequence[ProbeInput]) -> list[ProbeResults]:
    """The readings of every teacher and its students; what a worker runs."""
    with repeatable():
        return [probe.probe(s) for s in of]


def put(task: ProbeTask, found: Sequence[ProbeResults], store: Store) -> None:
    """Store readings; the teacher's first, so that a run that has them belongs to a teacher that has them."""
    spec, name = identity(load(task)), artifact(task.name)
    for probed, (teacher, runs) in zip(found, task.of_teachers.items(), strict=True):
        store.put_artifact(teacher, name, arrays(probed.teacher, spec))
        for run, readings in zip(_possible(runs, store), probed.students, strict=True):
            store.put_artifact(run, name, arrays(readings, spec))


def _possible(runs: Sequence[str], store: Store) -> list[str]:
    """All but those that there cannot be."""
    return [i for i in runs if not store.has_artifact(i, SKIPPED)]


def _student(store: Store, run: str) -> Student:
    people = store.arrays(run, "people")
    model, threshold = student_of(store.arrays(run, "weights")), float(store.run(run)["threshold"])
    return Student(model, threshold, people["student_has_recourse"], people["student_cost"])


def probings(chunk: Chunk, names: Sequence[str], runs: Sequence[RunSpec], store: Store) -> list[ProbeTask]:
    """The tasks of a chunk that are still to do."""
    every = [ProbeTask(chunk, name, tuple(runs)) for name in names]
    return [task for task in every if not is_probed(task, store)]


def load(task: ProbeTask) -> Probe:
    """The probe itself."""
    probe: Probe = plugins.load("probes", task.name)
    return probe
