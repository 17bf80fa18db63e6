"""Artifacts of a study: which are missing, what they are computed of, and where they go.

One is missing where it is not stored, its file is damaged, or another spec made it: a changed allocator makes layer
profiles anew, another setting of a probe asks it anew. Students are read from their stored integers, so a study that is
stored can be asked without making any of it again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from cfq_core.artifacts.artifact import Arrays, Artifact, ArtifactInput, Computed, Student, artifact, spec_of
from cfq_core.base import plugins
from cfq_core.base.seeds import repeatable
from cfq_core.pipeline import TeacherRecourse
from cfq_core.study.estimate import probing
from cfq_core.study.models import student_of
from cfq_core.study.plan import RunSpec
from cfq_core.study.store import SKIPPED, Store
from cfq_core.study.tasks import Chunk

#: Name of the artifact that holds a teacher's training recourse.
TRAINING_RECOURSE = "training_recourse"
#: The same of further sources (`pipeline.FURTHER`), where a method learns from them.
FURTHER_RECOURSE = "further_recourse"


# ---------------------------------------------------------------------- of every teacher
def missing(store: Store, teacher: str, with_training_recourse: bool) -> tuple[str, ...]:
    """Artifacts that a teacher lacks; of all there are where it is not stored."""
    known = with_training_recourse or store.has_artifact(teacher, TRAINING_RECOURSE)
    every: dict[str, Artifact] = plugins.load_all("artifacts")
    return tuple(n for n, a in every.items() if not store.has_artifact(teacher, n, spec_of(a, known)))


def compute(names: Iterable[str], given: ArtifactInput) -> dict[str, Arrays]:
    """Some artifacts of one teacher; what a worker runs."""
    return {n: plugins.load("artifacts", n).compute(given).teacher for n in names}


def put(store: Store, teacher: str, computed: dict[str, Arrays], with_training_recourse: bool) -> None:
    """Store a teacher's artifacts."""
    for name, arrays in computed.items():
        spec = spec_of(plugins.load("artifacts", name), with_training_recourse)
        store.put_artifact(teacher, name, arrays, spec)


# ---------------------------------------------------------------------- probes of a plan
@dataclass(frozen=True)
class ProbeTask:
    """One probe on the teacher of a chunk's seed and on its runs."""

    chunk: Chunk
    seed: int
    name: str
    runs: tuple[str, ...]  # ids

    @property
    def teacher(self) -> str:
        """Its id."""
        return self.chunk.teacher(self.seed).id

    @property
    def seconds(self) -> float:
        """About how long it takes on one core."""
        return probing([self.name], 1)

    @property
    def probe(self) -> Artifact:
        """The probe itself."""
        return load(self.name)


def load(name: str) -> Artifact:
    """A probe by name."""
    probe: Artifact = plugins.load("probes", name)
    return probe


def probe_tasks(chunk: Chunk, names: Sequence[str], runs: Sequence[RunSpec], store: Store) -> Iterator[ProbeTask]:
    """What is to be asked of a chunk's teachers and runs."""
    for seed in chunk.seeds:
        mine = tuple(r.id for r in runs if r.teacher.seed == seed)
        tasks = (ProbeTask(chunk, seed, name, mine) for name in names)
        yield from (task for task in tasks if not _is_probed(task, store))


def _is_probed(task: ProbeTask, store: Store) -> bool:
    """Whether teacher and all runs there can be have what this very probe reads."""
    spec, name = spec_of(task.probe), artifact(task.name)
    return all(store.has_artifact(i, name, spec) for i in (task.teacher, *_possible(task, store)))


def input_of(task: ProbeTask, promise: TeacherRecourse, store: Store) -> ArtifactInput:
    """What the probe is asked about, read from the store."""
    return ArtifactInput(promise, task.chunk.setting, tuple(_student(store, i) for i in _possible(task, store)))


def ask(probe: Artifact, given: ArtifactInput) -> Computed:
    """What a probe reads; what a worker runs."""
    with repeatable():
        return probe.compute(given)


def put_probed(task: ProbeTask, found: Computed, store: Store) -> None:
    """Store what was read; the teacher's first, so that a run that has it belongs to a teacher that has it."""
    spec, name = spec_of(task.probe), artifact(task.name)
    store.put_artifact(task.teacher, name, found.teacher, spec)
    for run, arrays in zip(_possible(task, store), found.students, strict=True):
        store.put_artifact(run, name, arrays, spec)


def _possible(task: ProbeTask, store: Store) -> list[str]:
    """All runs but those that there cannot be."""
    return [i for i in task.runs if not store.has_artifact(i, SKIPPED)]


def _student(store: Store, run: str) -> Student:
    people = store.arrays(run, "people")
    model, threshold = student_of(store.arrays(run, "weights")), float(store.run(run)["threshold"])
    return Student(model, threshold, people["student_has_recourse"], people["student_cost"])
