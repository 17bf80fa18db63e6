"""A teacher's promises as they are stored, and as they were."""

from __future__ import annotations

import numpy as np

from cfq_core.pipeline import Promise, Setting, prepare
from cfq_core.recourse.outcome import Recourse
from cfq_core.study.models import teacher_of
from cfq_core.study.store import Store
from cfq_core.tables.schema import Table


def stored_promise(table: Table, seed: int, setting: Setting, store: Store, id: str) -> Promise:
    """A stored teacher's promises, as they were."""
    people, stack = store.arrays(id, "people"), teacher_of(store.arrays(id, "weights"))
    recourse = read_recourse(people)
    arrays = store.arrays(id, "rehearsal") if store.has_artifact(id, "rehearsal") else {}
    rehearsal = read_recourse(arrays) if arrays else None
    took = float(arrays["seconds"]) if "seconds" in arrays else None
    design = prepare(table, seed, setting.regime)
    return Promise(design, stack, people["logits"], people["person"], recourse, 0.0, rehearsal, took)


RECOURSE_ARRAYS = ("before", "after", "cost", "margin", "why", "lower", "proved")


def recourse_arrays(recourse: Recourse) -> dict[str, np.ndarray]:
    """Recourse as it is stored."""
    return {k: getattr(recourse, k) for k in RECOURSE_ARRAYS}


def rehearsal_arrays(p: Promise) -> dict[str, np.ndarray]:
    """Training recourse as it is stored, with the seconds it took."""
    assert p.rehearsal is not None
    took = {} if p.rehearsed_in is None else {"seconds": np.array(p.rehearsed_in)}
    return {**recourse_arrays(p.rehearsal), **took}


def read_recourse(arrays: dict[str, np.ndarray]) -> Recourse:
    """Recourse as it was."""
    people = len(arrays["cost"])
    unproved = {
        "lower": np.zeros(people),
        "proved": np.zeros(people, bool),
    }  # recourse stored before it could be proved
    return Recourse(np.zeros(people, np.int64), **{k: (unproved | arrays)[k] for k in RECOURSE_ARRAYS})
