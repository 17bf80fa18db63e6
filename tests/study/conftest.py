"""Tiny studies of an embedded table, and what is compared of two stored ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cfq_core.pipeline import Setting
from cfq_core.recourse.search import Search
from cfq_core.study.plan import Plan
from cfq_core.study.store import Store
from cfq_core.training.loop import TeacherTraining

TIMED = ("seconds", "training_recourse_seconds", "on_the_fly_seconds")  # the measures that no seed repeats


@pytest.fixture(scope="session")
def setting() -> Setting:
    """Nets 8-8, few epochs, few people."""
    return Setting(
        hidden=(8, 8),
        people=20,
        n_reaudited=10,
        n_training_recourse=40,
        teacher_training=TeacherTraining(epochs=12, rows_per_step=32),
        solver=Search(rounds=1),  # how cheap an action is does not matter here
    )


@pytest.fixture(scope="session")
def plan(setting: Setting) -> Plan:
    """Two methods (one that rounds, one that trains at recourse points), three budgets, three seeds."""
    return Plan(("diabetes",), ("ptq", "cf_ptq"), (2.0, 3.0, 8.0), (0, 1, 2), setting)


@pytest.fixture
def new_store(tmp_path: Path) -> Iterator[Callable[[str], Store]]:
    """Opens stores in this test's folder, by name."""
    opened: list[Store] = []

    def open_(name: str = "store") -> Store:
        opened.append(Store(tmp_path / name))
        return opened[-1]

    yield open_
    for store in opened:
        store.close()


def contents(store: Store, study: str) -> dict[str, Any]:
    """Everything measured and kept of a study, run by run and teacher by teacher, without clock times."""
    found: dict[str, Any] = {}
    for t in store.teachers(study):
        kept = {k: v for k, v in t["measures"].items() if k not in TIMED}
        found[t["id"]] = (t["dataset"], t["seed"], kept, _bytes(store, t["id"]))
    for r in store.runs(study):
        measures = {k: v for k, v in store.measures(r["id"]).items() if k not in TIMED}
        columns = {k: r[k] for k in ("dataset", "method", "budget", "seed", "bits", "avg_bits", "threshold", "groups")}
        found[r["id"]] = (columns, measures, _bytes(store, r["id"]))
    return found


def _bytes(store: Store, owner: str) -> dict[str, bytes]:
    kinds = ("weights", "people")
    return {f"{kind}/{k}": a.tobytes() for kind in kinds for k, a in store.arrays(owner, kind).items()}


@pytest.fixture(scope="session")
def contents_of() -> Callable[[Store, str], dict[str, Any]]:
    """`contents`, for tests."""
    return contents
