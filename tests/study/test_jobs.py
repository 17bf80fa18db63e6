"""Background studies: found again by anyone, killed at any moment, never started twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from cfq_core.base.errors import UnknownName
from cfq_core.study import jobs
from cfq_core.study.store import Store

QUICK = {"datasets": ["diabetes"], "methods": ["ptq"], "bits": [4], "seeds": 1, "hidden": [8], "people": 10}
LONG = {**QUICK, "seeds": 40, "methods": ["qat_lsq"], "people": "all"}  # ended by the tests, never by itself
PATIENCE = 300.0  # seconds; a worker imports torch on a busy machine


def until(store: Path, id: str, reached: Callable[[jobs.Job], bool]) -> jobs.Job:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        job = jobs.find(store, id)
        if reached(job):
            return job
        time.sleep(0.1)
    raise AssertionError(f"{job.state}: {job.what} {job.error}\n{job.last_lines()}")


@pytest.fixture
def store(tmp_path: Path) -> Path:
    yield tmp_path / "store"
    for job in jobs.recent(tmp_path / "store"):
        jobs.cancel(job)


def test_job_runs_a_study_and_says_so(store: Path) -> None:
    job = jobs.submit(store, QUICK)
    assert job.live
    done = until(store, job.id, lambda j: not j.live)
    assert (done.state, done.error) == (jobs.DONE, None), done.last_lines()
    assert done.done == done.total > 0 and done.seconds > 0
    found = Store(store)
    assert found.study(done.study)["finished"] == 1
    found.close()


def test_identical_live_job_is_given_back_and_another_may_run_beside_it(store: Path) -> None:
    first = jobs.submit(store, LONG)
    assert jobs.submit(store, LONG).id == first.id
    second = jobs.submit(store, {**LONG, "seeds": 39})
    assert second.id != first.id
    until(store, first.id, lambda j: j.state == jobs.RUNNING)
    until(store, second.id, lambda j: j.state == jobs.RUNNING)
    third = jobs.submit(store, {**LONG, "seeds": 38})
    time.sleep(3 * jobs.POLL)
    assert third.state == jobs.QUEUED or jobs.MOST_RUNNING > 2
    for job in (first, second, third):
        assert jobs.cancel(job).state == jobs.CANCELLED
    until(store, first.id, lambda j: not j.live)


def test_killed_worker_is_told_with_its_last_lines(store: Path) -> None:
    job = until(store, jobs.submit(store, LONG).id, lambda j: j.total > 0)
    os.killpg(json.loads((job.folder / "pid.json").read_text())["pid"], signal.SIGKILL)
    dead = until(store, job.id, lambda j: not j.live)
    assert dead.state == jobs.FAILED and "killed" in dead.error
    assert "starting" in dead.last_lines()


def test_job_is_seen_alive_by_another_process_and_ended_by_it(store: Path) -> None:
    """A restarted server is another process: it started nothing, and knows everything from the folder."""
    job = until(store, jobs.submit(store, LONG).id, lambda j: j.state == jobs.RUNNING)
    code = f"""
from pathlib import Path
from cfq_core.study import jobs
job = jobs.find(Path({str(store)!r}), {job.id!r})
assert job.state == jobs.RUNNING
jobs.cancel(job)
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=PATIENCE)
    assert until(store, job.id, lambda j: not j.live).state == jobs.CANCELLED


def test_bad_plan_fails_in_one_line(store: Path) -> None:
    job = jobs.submit(store, {**QUICK, "datasets": ["grman"]})
    failed = until(store, job.id, lambda j: not j.live)
    assert failed.state == jobs.FAILED
    assert failed.error.startswith("UnknownName") and 'did you mean "german"?' in failed.error


def test_recycled_process_number_is_not_taken_for_the_job(store: Path) -> None:
    """Same number, another start: the process is not ours, and is left alone."""
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
    try:
        folder = store / jobs.FOLDER / "20260101-000000-abcdef"
        folder.mkdir(parents=True)
        (folder / "params.json").write_text("{}")
        (folder / "status.json").write_text(json.dumps({"state": jobs.RUNNING, "created": 0.0}))
        mine = jobs._process(other.pid)
        (folder / "pid.json").write_text(json.dumps({**mine, "start": mine["start"] - 1}))
        job = jobs.read(folder)
        assert job.state == jobs.FAILED
        jobs._end(json.loads((folder / "pid.json").read_text()))
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_unknown_job_is_refused_by_name(store: Path) -> None:
    with pytest.raises(UnknownName, match='job "x" is not in'):
        jobs.find(store, "x")
