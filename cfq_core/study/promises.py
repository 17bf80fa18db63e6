"""A teacher's promises as they are stored, and as they were."""

from __future__ import annotations

import numpy as np

from cfq_core.pipeline import Setting, TeacherRecourse, prepare
from cfq_core.recourse.outcome import Recourse
from cfq_core.study.models import teacher_of
from cfq_core.study.store import Store
from cfq_core.tables.schema import Table


def stored_recourse(table: Table, seed: int, setting: Setting, store: Store, id: str) -> TeacherRecourse:
    """A stored teacher's promises, as they were."""
    people, stack = store.arrays(id, "people"), teacher_of(store.arrays(id, "weights"))
    recourse = read_recourse(people)
    arrays = store.arrays(id, "training_recourse") if store.has_artifact(id, "training_recourse") else {}
    training_recourse = read_recourse(arrays) if arrays else None
    took = float(arrays["seconds"]) if "seconds" in arrays else None
    design = prepare(table, seed, setting.regime)
    known = (design, stack, people["logits"], people["person"], recourse, 0.0, training_recourse, took)
    further = store.arrays(id, "further_recourse") if store.has_artifact(id, "further_recourse") else {}
    kappa = None if setting.margin is None else store.teacher(id)["measures"]["kappa"]
    return TeacherRecourse(*known, setting.activation_bits, *_further(further), kappa)


RECOURSE_ARRAYS = ("before", "after", "cost", "margin", "why", "lower", "proved")


def recourse_arrays(recourse: Recourse) -> dict[str, np.ndarray]:
    """Recourse as it is stored."""
    return {k: getattr(recourse, k) for k in RECOURSE_ARRAYS}


def training_recourse_arrays(p: TeacherRecourse) -> dict[str, np.ndarray]:
    """Training recourse as it is stored, with the seconds it took."""
    assert p.training_recourse is not None
    took = {} if p.training_recourse_seconds is None else {"seconds": np.array(p.training_recourse_seconds)}
    return {**recourse_arrays(p.training_recourse), **took}


def further_recourse_arrays(p: TeacherRecourse) -> dict[str, np.ndarray]:
    """Training recourse of further sources as it is stored, with the seconds it took."""
    out = {"seconds": np.array(p.further_seconds or 0.0)}
    for i, further in enumerate(p.further_recourse):
        out |= {f"{i}.{k}": v for k, v in recourse_arrays(further).items()}
    return out


def _further(arrays: dict[str, np.ndarray]) -> tuple[tuple[Recourse, ...], float | None]:
    found: list[Recourse] = []
    while part := {k.split(".", 1)[1]: v for k, v in arrays.items() if k.startswith(f"{len(found)}.")}:
        found.append(read_recourse(part))
    return tuple(found), float(arrays["seconds"]) if found else None


def read_recourse(arrays: dict[str, np.ndarray]) -> Recourse:
    """Recourse as it was."""
    people = len(arrays["cost"])
    unproved = {
        "lower": np.zeros(people),
        "proved": np.zeros(people, bool),
    }  # recourse stored before it could be proved
    return Recourse(np.zeros(people, np.int64), **{k: (unproved | arrays)[k] for k in RECOURSE_ARRAYS})
