"""Background studies: found again by anyone, killed at any moment, never started twice."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from cfq_core.base.errors import UnknownName
from cfq_core.cli import cli
from cfq_core.study import jobs
from cfq_core.study.store import Store
from dashboard.lib import running

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
    assert not [p.name for p in store.iterdir() if p.name.endswith(("-wal", "-shm"))], "the one file holds everything"
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


# ---------------------------------------------------------------------- many jobs
#: A worker without torch, which writes down when it had its turn.
STAND_IN = """
import time
from cfq_core.study import jobs

jobs.MOST_RUNNING, jobs.POLL = 2, 0.05

def run(folder, tell):
    while not (folder.parents[1] / "go").exists():
        time.sleep(0.01)
    with (folder.parents[1] / "turns").open("a") as log:
        start = time.monotonic()
        time.sleep(0.1)
        log.write(f"{start} {time.monotonic()} {folder.name}\\n")
    return {"study": folder.name}

if __name__ == "__main__":
    jobs.main(run)
"""


def test_of_thirty_jobs_two_run_at_once_in_the_order_they_came(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "stand_in.py").write_text(STAND_IN)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setitem(jobs.WORKERS, jobs.STUDY, "stand_in")
    ids = [jobs.submit(store, {**QUICK, "seeds": n}).id for n in range(30)]
    assert len(set(ids)) == 30
    assert [jobs.submit(store, {**QUICK, "seeds": n}).id for n in (0, 29)] == [ids[0], ids[29]], "none twice"
    assert {j.id for j in jobs.recent(store, most=1)} == set(ids), "whoever waits is listed"
    (store / "go").touch()
    end = time.monotonic() + PATIENCE
    while (waiting := jobs.live(store)) and time.monotonic() < end:
        assert sum(j.state == jobs.RUNNING for j in waiting) <= 2
        time.sleep(0.05)
    assert [j.state for j in (jobs.find(store, i) for i in ids)] == [jobs.DONE] * 30
    turns = sorted((line.split() for line in (store / "turns").read_text().splitlines()), key=lambda t: float(t[0]))
    spans = [(float(start), float(end)) for start, end, _ in turns]
    assert len(spans) == 30
    assert all(sum(a <= start < b for a, b in spans) <= 2 for start, _ in spans), "never three"
    assert any(b > c for (_, b), (c, _) in itertools.pairwise(spans)), "two at once"
    later = [id for *_, id in turns][2:]  # the first two began while others still came
    assert all(abs(place - sorted(later).index(id)) <= 1 for place, id in enumerate(later))


def test_one_job_at_once_where_the_operator_says_so(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "stand_in.py").write_text(STAND_IN)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv(jobs.AT_ONCE, "1")
    monkeypatch.setitem(jobs.WORKERS, jobs.STUDY, "stand_in")
    ids = [jobs.submit(store, {**QUICK, "seeds": n}).id for n in range(3)]
    (store / "go").touch()
    for id in ids:
        until(store, id, lambda j: j.state == jobs.DONE)
    spans = sorted(tuple(map(float, line.split()[:2])) for line in (store / "turns").read_text().splitlines())
    assert all(b <= c for (_, b), (c, _) in itertools.pairwise(spans)), "one after another"


def test_a_job_that_lives_is_listed_however_many_newer_ones_have_ended(store: Path) -> None:
    """Else nobody could see or cancel it."""
    mine = jobs._process(os.getpid())
    _folder(store, "20260101-000000-aaaaaa", status={"state": jobs.RUNNING, "created": 1.0}, pid=mine)
    for i in range(30):
        _folder(store, f"20260102-000000-{i:06}", status={"state": jobs.DONE, "created": 2.0})
    assert len(jobs.recent(store, most=8)) == 9
    assert jobs.recent(store, most=8)[-1].live
    assert [j.id for j in jobs.live(store)] == ["20260101-000000-aaaaaa"]


# ---------------------------------------------------------------------- damaged files
GOOD: dict[str, object] = {
    "params": QUICK,
    "status": {"state": jobs.DONE, "created": 1.0, "done": 3, "total": 3, "study": "abc", "started": 1.0, "ended": 2.0},
    "pid": {"pid": 4_000_000, "start": 5, "boot": "x"},
}
#: What each file may hold that nobody should stumble over.
DAMAGED = {
    "a folder": None,
    "cut": b'{"state": "run',
    "empty": b"",
    "binary": b"\x80\x04\x95\xff\x00",
    "a list": b"[1, 2]",
    "a number": b"7",
    "null": b"null",
    "nested deep": b"[" * 100_000,
    "no keys": b"{}",
    "wrong kinds": b'{"state": 5, "created": "then", "done": [], "pid": "x", "start": {}, "datasets": 3, "kind": []}',
    "unknown state": b'{"state": "resting", "created": 1.0, "pid": 1, "start": null, "boot": null, "kind": "audit"}',
    "all processes": b'{"state": "", "created": 1.0, "pid": -1, "start": null, "boot": null, "datasets": [{}]}',
    "huge": b'{"state": "done", "created": 1e999, "pid": 1' + b"0" * 400 + b', "start": null, "datasets": "\\ud800"}',
    "no number": b'{"state": "done", "created": NaN, "pid": true, "start": null, "boot": null, "methods": NaN}',
}


def _folder(store: Path, id: str, **files: object) -> Path:
    """A job's folder with these contents: bytes as they are, a folder for None, else JSON."""
    folder = store / jobs.FOLDER / id
    folder.mkdir(parents=True)
    for name, content in ({k: GOOD[k] for k in ("params", "status", "pid")} | files).items():
        path = folder / f"{name}.json"
        if content is None:
            path.mkdir()
        elif content != "missing":
            path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return folder


@pytest.mark.parametrize("name", GOOD)
@pytest.mark.parametrize("harm", DAMAGED)
def test_a_damaged_file_breaks_no_list(name: str, harm: str, store: Path) -> None:
    """Of two good jobs and a damaged one, every list shows the good ones as they are; the other says what is wrong."""
    _folder(store, "20260101-000000-aaaaaa")
    bad = _folder(store, "20260102-000000-bbbbbb", **{name: DAMAGED[harm]})
    _folder(store, "20260103-000000-cccccc")
    newest, damaged, oldest = jobs.recent(store)
    assert (newest.state, oldest.state, newest.given, oldest.study) == (jobs.DONE, jobs.DONE, QUICK, "abc")
    if name == "pid" or (name, harm) == ("params", "no keys"):  # of one that has ended, nobody asks who it was
        assert (damaged.state, damaged.error) == (jobs.DONE, None)
    else:
        assert damaged.state == jobs.FAILED and damaged.error.startswith(f"{name}.json")
    for command in (["jobs", "list"], ["jobs", "list", "--json"]):
        done = CliRunner().invoke(cli, [*command, "--store", str(store)])
        assert not done.exception and all(j.id in done.output for j in (newest, damaged, oldest))
    assert jobs.find(store, bad.name).id == bad.name and jobs.live(store) == []
    assert not jobs.cancel(damaged).live and damaged.seconds >= 0 and running._title(damaged)


@pytest.mark.parametrize("harm", DAMAGED)
def test_a_live_job_with_a_damaged_process_file_is_failed_once_it_should_have_started(harm: str, store: Path) -> None:
    then, now = ({"state": jobs.RUNNING, "created": t} for t in (1.0, time.time()))
    assert jobs.read(_folder(store, "20260101-000000-aaaaaa", status=now, pid=DAMAGED[harm])).live
    failed = jobs.read(_folder(store, "20260102-000000-bbbbbb", status=then, pid=DAMAGED[harm]))
    assert failed.state == jobs.FAILED and failed.error.startswith("pid.json"), failed.error
    assert jobs.cancel(failed).state == jobs.FAILED, "and nobody is signalled"


def test_a_job_without_parameters_or_process_is_failed(store: Path) -> None:
    folder = _folder(store, "20260101-000000-aaaaaa", params="missing", pid="missing")
    (job,) = jobs.recent(store)
    assert job.state == jobs.FAILED and job.error == "params.json is missing" and job.folder == folder


def test_a_damaged_job_whose_process_lives_runs_on_and_mends_its_files(store: Path) -> None:
    mine = jobs._process(os.getpid())
    folder = _folder(store, "20260101-000000-aaaaaa", status=b"{", params=b"", pid=mine)
    assert jobs.read(folder).state == jobs.RUNNING, "its turn is still taken"

    def run(folder: Path, tell: jobs.Tell) -> dict[str, str]:
        (folder / "status.json").write_bytes(b"")
        (folder / "pid.json").write_bytes(b"[]")
        tell(done=1)
        assert jobs.read(folder).done == 1 and json.loads((folder / "pid.json").read_text()) == mine
        return {"study": "abc"}

    (folder / "params.json").write_text(json.dumps(QUICK))
    assert jobs.work(folder, run) == 0
    assert (jobs.read(folder).state, jobs.read(folder).study) == (jobs.DONE, "abc")


def test_a_job_with_damaged_parameters_fails_in_one_line(store: Path) -> None:
    folder = _folder(store, "20260101-000000-aaaaaa", params=b"{", status={"state": jobs.QUEUED, "created": 1.0})
    assert jobs.work(folder, jobs._run) == 1
    assert "params.json cannot be read as JSON" in json.loads((folder / "status.json").read_text())["error"]
