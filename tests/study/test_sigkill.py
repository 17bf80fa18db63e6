"""Killed at any moment, a study loses at most what was running, and goes on to the same numbers."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cfq_core.study.plan import Plan, read_plan
from cfq_core.study.runner import run_plan
from cfq_core.study.store import FILE, Store

OPTIONS = {
    "dataset": "diabetes", "methods": "ptq,ptq_minmax,cf_ptq", "bits": "2,3,4,8", "seeds": "4", "hidden": "8,8",
    "people": "30",
}  # fmt: skip
#: When the clock of a kill begins: what the progress bar has said last, or STORING: a further run was stored.
STORING = b""
AFTER = (b"starting", b"teachers", STORING, b" bits", STORING, b"starting")
LATEST = 0.6  # seconds after that; after STORING, while its neighbours are being stored: a twentieth of it
PATIENCE = 120  # seconds


def _plan() -> Plan:
    return read_plan(
        {"datasets": ["diabetes"], "methods": OPTIONS["methods"].split(","), "bits": [2, 3, 4, 8], "seeds": 4,
         "hidden": [8, 8], "people": 30},
        "test",
    )  # fmt: skip


def _start(store: Path, workers: int = 0) -> subprocess.Popen[bytes]:
    options = [part for name, value in OPTIONS.items() for part in (f"--{name}", value)]
    command = [sys.executable, "-m", "cfq_core.cli", "run", *options, "--store", str(store), "--workers", str(workers)]
    return subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True, env=dict(os.environ)
    )


def _wait_until_it_says(process: subprocess.Popen[bytes], word: bytes) -> None:
    """Until the progress bar says that something has begun or was stored, or the process ends."""
    assert process.stderr is not None
    said, end = b"", time.monotonic() + PATIENCE
    while word not in said and (piece := process.stderr.read1(200)):  # type: ignore[attr-defined]
        said += piece
        assert time.monotonic() < end, said.decode()


def _wait_until_it_stores(process: subprocess.Popen[bytes], place: Path) -> None:
    """Until one more run is stored than there were, or the process ends."""
    count, before = "SELECT count(*) FROM run", None
    while process.poll() is None:
        with contextlib.suppress(sqlite3.Error), sqlite3.connect(f"file:{place / FILE}?mode=ro", uri=True) as db:
            now = db.execute(count).fetchone()[0]
            before = now if before is None else before
            if now > before:
                return
        time.sleep(0.002)


def _kill(process: subprocess.Popen[bytes]) -> bool:
    """Kill the whole group at once; False where it had already ended."""
    ended = process.poll() is not None
    if not ended:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(PATIENCE)
    assert process.stderr is not None
    process.stderr.close()
    return not ended


def _measures(store: Store, study: str) -> dict[str, int]:
    """How many measures each run of an undisturbed study has."""
    return {r["id"]: len(store.measures(r["id"])) for r in store.runs(study)}


def _is_whole(place: Path, measures: dict[str, int]) -> int:
    """Check everything that is stored; gives how many runs are."""
    store = Store(place)
    assert store.db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
    assert store.db.execute("PRAGMA foreign_key_check").fetchall() == []
    study = store.study("latest") if store.studies() else None
    finished = store.runs(study["id"]) if study else []
    for run in finished:
        assert len(store.measures(run["id"])) == measures[run["id"]]
        assert store.has_teacher(run["teacher_id"])
    owners = [r[0] for r in store.db.execute("SELECT id FROM run UNION SELECT id FROM teacher")]
    for owner in owners:
        assert store.arrays(owner, "weights") and store.arrays(owner, "people")
    count = store.db.execute("SELECT count(DISTINCT run_id) FROM measure").fetchone()[0]
    assert count == len(finished), "no measure without its run"
    store.close()
    return len(finished)


@pytest.mark.gate
@pytest.mark.skipif(not hasattr(os, "killpg"), reason="process groups are killed as POSIX does it")
def test_a_study_that_is_killed_again_and_again_ends_with_the_same_numbers(
    tmp_path: Path, contents_of: Callable[[Store, str], dict[str, Any]]
) -> None:
    quiet = Store(tmp_path / "quiet")
    study = run_plan(_plan(), quiet, workers=0)
    expected = contents_of(quiet, study)
    measures = _measures(quiet, study)
    place, moments, killed, finished = tmp_path / "killed", random.Random(7), 0, [0]
    for word in AFTER:
        process = _start(place)
        try:
            if word == STORING:
                _wait_until_it_stores(process, place)
                time.sleep(moments.uniform(0, LATEST / 20))
            else:
                _wait_until_it_says(process, word)
                time.sleep(moments.uniform(0, LATEST))
        finally:
            killed += _kill(process)
        finished.append(_is_whole(place, measures))
    assert finished == sorted(finished), "what is finished stays"
    assert killed >= 4, "too few kills hit a running study: make it longer"
    assert any(n % 16 for n in finished), "no kill came between the runs of one task"
    store = Store(place)
    assert run_plan(_plan(), store, workers=0) == study
    assert contents_of(store, study) == expected


# ---------------------------------------------------------------------- the long way: CFQ_KILLS=50
KILLS = int(os.environ.get("CFQ_KILLS", "0"))


def _ids(place: Path) -> set[str]:
    if not (place / FILE).is_file():
        return set()
    with contextlib.closing(sqlite3.connect(f"file:{place / FILE}?mode=ro", uri=True)) as db:
        made = db.execute("SELECT 1 FROM sqlite_master WHERE name = 'run'").fetchone()
        return {r[0] for r in db.execute("SELECT id FROM run")} if made else set()


def _forked(plan: Plan, place: Path) -> int:
    """A process that runs a plan; it has imported everything already."""
    process = os.fork()
    if process:
        return process
    try:
        run_plan(plan, Store(place), workers=0)
    finally:
        os._exit(0)


@pytest.mark.gate
@pytest.mark.skipif(not KILLS, reason="minutes: set CFQ_KILLS=50")
def test_a_kill_at_any_moment_loses_no_finished_run(
    tmp_path: Path, plan: Plan, contents_of: Callable[[Store, str], dict[str, Any]]
) -> None:
    """Moments are uniform over an undisturbed study's time; a study that ends is compared and begun anew."""
    quiet, began = Store(tmp_path / "quiet"), time.monotonic()
    study = run_plan(plan, quiet, workers=0)
    lasts = time.monotonic() - began
    expected, measures = contents_of(quiet, study), _measures(quiet, study)
    everything = {r["id"] for r in quiet.runs(study)}
    quiet.close()
    moments, killed, ended, between, number = random.Random(11), 0, 0, 0, 0
    known: set[str] = set()
    while killed < KILLS:
        place = tmp_path / f"killed{number}"
        process = _forked(plan, place)
        time.sleep(moments.uniform(0, lasts))
        os.kill(process, signal.SIGKILL)
        killed += os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == -signal.SIGKILL
        found = _ids(place)
        assert known <= found, "what is finished stays"
        if found:
            assert _is_whole(place, measures) == len(found)
        between += known < found < everything
        known = found
        if found == everything:
            store = Store(place)
            assert contents_of(store, study) == expected
            store.close()
            ended, number, known = ended + 1, number + 1, set()
    left = f"{between} left some of its runs, none was lost, {ended} studies ended with the same numbers"
    print(f"{killed} kills in a study of {lasts:.1f} s: {left}")
    assert ended, "no study came to its end between the kills"


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="children are listed as Linux lists them")
def test_workers_end_with_their_study_however_it_ends(tmp_path: Path) -> None:
    process = _start(tmp_path / "store", workers=1)
    _wait_until_it_says(process, b"teachers")
    children = [int(c) for c in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]
    process.kill()  # the study alone, not its group
    process.wait(PATIENCE)
    assert process.stderr is not None
    process.stderr.close()
    end = time.monotonic() + PATIENCE
    while alive := [c for c in children if Path(f"/proc/{c}").exists()]:
        assert time.monotonic() < end, f"still there: {alive}"
        time.sleep(0.05)
    assert children
