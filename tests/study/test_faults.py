"""What the system refuses, made to happen: one line that says what and what to do, and nothing half-written left."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cfq_core.base import whole
from cfq_core.base.errors import BadInput, BadStore, CfqError
from cfq_core.base.processes import environment, module_command
from cfq_core.base.whole import SystemRefused, system_refused, whole_file
from cfq_core.models import kept
from cfq_core.report import files
from cfq_core.study import executors, jobs
from cfq_core.study.store import FILE, Store

REFUSED = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT, errno.EIO)


def parts(folder: Path) -> list[str]:
    return [str(p) for p in folder.rglob("*") if p.name.endswith(".part") or p.name.startswith(".status")]


@pytest.fixture
def refusing(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Lets every file that is written whole fail in the middle, as a full disk does."""

    def refuse(number: int) -> None:
        def fsync(_: int) -> None:
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(whole.os, "fsync", fsync)

    return refuse


@pytest.mark.parametrize("number", REFUSED)
def test_an_artifact_that_cannot_be_written_is_told_and_leaves_nothing(
    number: int, tmp_path: Path, refusing: Callable[[int], None]
) -> None:
    store = Store(tmp_path / "store")
    store.put_artifact("kept", "people", {"x": np.arange(3)})
    before = sorted(tmp_path.rglob("*.npz"))
    refusing(number)
    with pytest.raises(SystemRefused) as told:
        store.put_artifact("lost", "people", {"x": np.arange(3)})
    assert "\n" not in told.value.line() and "run the same command again" in told.value.line()
    assert sorted(tmp_path.rglob("*.npz")) == before and not parts(tmp_path)
    assert store.has_artifact("kept", "people") and not store.has_artifact("lost", "people")
    store.close()


@pytest.mark.parametrize("number", REFUSED)
def test_reports_models_and_jobs_leave_nothing_either(
    number: int, tmp_path: Path, refusing: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "report.html").write_text("the one before")
    monkeypatch.setattr(kept, "sandboxed_parse", lambda *_: None)
    refusing(number)
    with pytest.raises(BadInput, match="cannot be written"):
        files.write_whole(tmp_path / "report.html", b"new")
    with pytest.raises(OSError):
        kept.keep(tmp_path, "model.onnx", b"model")
    with pytest.raises(SystemRefused):
        jobs.submit(tmp_path, {"datasets": ["toy"]}, {"teacher.onnx": b"model"})
    assert (tmp_path / "report.html").read_text() == "the one before" and not parts(tmp_path)
    assert not list(tmp_path.rglob("*.onnx")) and not jobs.recent(tmp_path)


def test_whatever_fails_while_a_file_is_written_it_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), whole_file(tmp_path / "x") as file:
        file.write(b"half")
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("text", ["database or disk is full", "disk I/O error", "attempt to write a readonly database"])
def test_a_database_that_cannot_be_written_is_told(text: str, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    with pytest.raises(SystemRefused) as told, store._write():
        raise sqlite3.OperationalError(text)
    assert "\n" not in told.value.line() and str(tmp_path) in told.value.line()
    store.put_artifact("after", "people", {"x": np.arange(3)})  # the store goes on
    store.close()


def test_a_database_that_really_is_full(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    pages = store.db.execute("PRAGMA page_count").fetchone()[0]
    store.db.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(SystemRefused, match="the disk is full"):
        store.put_study("s", "n" * 200_000, {}, {}, [("r", "t")])
    assert not store.studies()
    store.close()


def test_a_store_that_is_moved_is_not_split_in_two(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    store.put_artifact("a", "people", {"x": np.arange(3)})
    shutil.move(tmp_path / "store", tmp_path / "moved")
    with pytest.raises(BadStore, match="moved, removed or replaced"):
        store.put_artifact("b", "people", {"x": np.arange(3)})
    assert not (tmp_path / "store").exists()
    Store(tmp_path / "store").close()  # another one in its place is not written to
    with pytest.raises(BadStore, match="moved, removed or replaced"):
        store.put_study("s", "n", {}, {}, [("r", "t")])
    again = Store(tmp_path / "moved")
    assert again.has_artifact("a", "people") and not again.has_artifact("b", "people")
    again.close()


def test_names_that_are_too_long_are_told(tmp_path: Path) -> None:
    for where in (tmp_path / ("x" * 300), tmp_path / ("y" * 200 + "/") * 30):
        with pytest.raises((SystemRefused, BadStore)) as told:
            Store(where)
        assert "too long" in told.value.line() and len(told.value.line()) < 400


def command(*words: str, cwd: Path, limit: int | None = None) -> subprocess.CompletedProcess[str]:
    def limited() -> None:
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    return subprocess.run(module_command("cfq_core.cli", *words), cwd=cwd, env=environment(), preexec_fn=limited,
                          capture_output=True, text=True)  # fmt: skip


TINY = "run --dataset toy --methods ptq --bits 8 --seeds 1 --hidden 4 --people 5 --workers 0".split()


@pytest.mark.gate
@pytest.mark.parametrize("limit", [0, 512, 4096, 8192, 30_000, 60_000, 90_000])
def test_a_limit_on_the_size_of_files_is_told_and_the_next_run_goes_on(limit: int, tmp_path: Path) -> None:
    ran = command(*TINY, cwd=tmp_path, limit=limit)
    if ran.returncode:
        said = [line for line in ran.stderr.splitlines() if "starting" not in line and "%|" not in line]
        assert len(said) == 1 and said[0].split(":")[0] in ("SystemRefused", "BadStore"), ran.stderr
    assert not parts(tmp_path)
    again = command(*TINY, cwd=tmp_path)
    assert again.returncode == 0, again.stderr


@pytest.mark.parametrize(
    ("problem", "says"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/x/y"), "SystemRefused: /x/y: the disk is full"),
        (OSError(errno.ENAMETOOLONG, "File name too long", "n" * 5000), "name is too long"),
        (sqlite3.OperationalError("database is locked"), "another process holds"),
        (sqlite3.OperationalError("no such table: x"), "no such table"),
        (OSError("plain words"), "plain words"),
    ],
)
def test_every_refusal_is_one_short_line(problem: Any, says: str) -> None:
    line = system_refused(problem).line()
    assert says in line and "\n" not in line and len(line) < 400


def test_a_fault_of_ours_is_one_line_too(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from cfq_core import cli

    for problem in (KeyError("x"), OSError(errno.ENOSPC, "No space left"), MemoryError()):

        def fail(standalone_mode: bool, problem: BaseException = problem) -> None:
            raise problem

        monkeypatch.setattr(cli, "cli", fail)
        with pytest.raises(SystemExit) as left:
            cli.main()
        said = capsys.readouterr().err
        assert left.value.code == 1 and said.count("\n") == 1, said


def test_a_scheduler_that_goes_away_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    distributed = pytest.importorskip("distributed")
    code = "from distributed import Scheduler; import asyncio\n" \
        "async def main():\n s = await Scheduler(port=0, dashboard_address=None, host='127.0.0.1')\n" \
        " print(s.address, flush=True)\n await s.finished()\nasyncio.run(main())"  # fmt: skip
    scheduler = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    try:
        assert scheduler.stdout is not None
        address = scheduler.stdout.readline().strip()
        monkeypatch.setattr(executors, "CONNECT_TIMEOUT", 5)
        with (
            distributed.config.set({"distributed.comm.timeouts.connect": "1s"}),
            pytest.raises(CfqError, match="scheduler went away"),
            executors.dask_executor(address) as executor,
        ):
            waiting = executor.submit(abs, -1)  # nobody works on it
            scheduler.kill()
            waiting.result(timeout=60)
    finally:
        scheduler.kill()
        scheduler.wait()


def test_a_report_of_unexpected_artifacts_is_refused_in_one_line(tmp_path: Path) -> None:
    ran = command(*TINY, cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    db = sqlite3.connect(tmp_path / ".cfq" / FILE)
    store = Store(tmp_path / ".cfq")
    for owner, name in db.execute("SELECT owner_id, name FROM artifact WHERE name != 'weights'").fetchall():
        store.put_artifact(owner, name, {"unexpected": np.zeros((2, 0, 3))})
    store.close()
    db.close()
    told = command("report", "latest", "--html", "r.html", cwd=tmp_path)
    assert told.returncode in (0, 1, 2) and "Traceback" not in told.stderr and "Fault" not in told.stderr
    assert told.stderr.count("\n") <= 1, told.stderr
