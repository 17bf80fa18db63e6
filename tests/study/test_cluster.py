"""The same plan on a Dask cluster on loopback: same measures, and a killed worker loses nothing."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from cfq_core.study import summary
from cfq_core.study.executors import dask_executor
from cfq_core.study.plan import read_plan
from cfq_core.study.runner import run_plan
from cfq_core.study.store import Store

PLAN = {"datasets": ["toy"], "methods": ["ptq", "ptq_minmax"], "bits": [2, 4], "seeds": 2, "hidden": [8]}


def measured(folder: Path, executor: object = None, progress: object = None) -> list[object]:
    store = Store(folder)
    study = run_plan(read_plan(PLAN, "test"), store, 0, progress, executor)  # type: ignore[arg-type]
    runs = summary.as_json(store, study)["runs"]
    return [(r["id"], {k: v for k, v in r["measures"].items() if k != "seconds"}, r["groups"]) for r in runs]


@pytest.mark.gate
def test_a_cluster_gives_the_same_measures_and_survives_a_killed_worker(tmp_path: Path, two_workers: Any) -> None:
    local = measured(tmp_path / "local")
    killed = []

    def kill_one(done: int, total: int, what: str) -> None:
        if not killed and done:
            pid = next(iter(two_workers.workers.values())).pid
            killed.append(pid)
            os.kill(pid, signal.SIGKILL)

    with dask_executor(two_workers.scheduler_address) as executor:
        assert measured(tmp_path / "cluster", executor, kill_one) == local
    assert killed
