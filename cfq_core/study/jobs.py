"""Studies in the background: one process and one folder a job; no closed page and no restarted server ends it.

    STORE/jobs/ID/  params.json (what to run)  pid.json (who)  status.json (how far)  cancel (was asked)  log.txt

An audit of two files is a job too (`Job.kind`); what it is given lies in the folder until it ends.

A process is known by its id, its start and the boot, so that a recycled number is never signalled.
Everything is read from the folder: whoever looks, sees the same. No torch is imported here; the worker does.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cfq_core.base.errors import BadInput, CfqError, UnknownName, did_you_mean
from cfq_core.base.identity import identity

FOLDER = "jobs"
GIVEN = "given"  # in a job's folder: files it works on
#: Kind of a job -> the module that works on it; `cfq_core.export` stands above this layer: named, not imported.
STUDY, AUDIT = "study", "audit"
WORKERS = {STUDY: "cfq_core.study.jobs", AUDIT: "cfq_core.export.pairs"}
QUEUED, RUNNING, DONE, FAILED, CANCELLED = "queued", "running", "done", "failed", "cancelled"
LIVE = (QUEUED, RUNNING)
#: Jobs that run at once; one core stays with whoever looks on, but a second study need not wait for the first.
MOST_RUNNING = max(2, (os.cpu_count() or 2) - 1)
POLL = 0.5  # seconds between two looks of a waiting job
STARTING = 10.0  # seconds a job may be without a process: it is being started
LAST_LINES, LAST_BYTES = 12, 4000  # of the log, shown of a job that failed
GRACE = 5.0  # seconds between asking a job to end and ending it
NICE = 5  # the dashboard stays quick while a study runs

#: Tells the folder how far a job is: keys of its status.
Tell = Callable[..., None]

_children: list[subprocess.Popen[bytes]] = []  # started by this process; polled, so that none stays a zombie


@dataclass(frozen=True)
class Job:
    """One job as its folder tells it."""

    id: str
    folder: Path
    given: dict[str, Any]  # the plan, as plain values
    state: str  # one of the five above
    done: int  # tasks
    total: int
    what: str  # the last task
    study: str | None  # its id, once it is known
    audit: str | None  # the same of an audit
    error: str | None  # one line
    created: float  # seconds since the epoch
    started: float | None
    ended: float | None

    @property
    def live(self) -> bool:
        """Waits or runs."""
        return self.state in LIVE

    @property
    def kind(self) -> str:
        """A study, or an audit of two files."""
        return str(self.given.get("kind", STUDY))

    @property
    def seconds(self) -> float:
        """How long it ran, or has been running."""
        return (self.ended or time.time()) - self.started if self.started else 0.0

    def last_lines(self) -> str:
        """The end of its log."""
        log = self.folder / "log.txt"
        if not log.is_file():
            return ""
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - LAST_BYTES))
            return "\n".join(file.read().decode(errors="replace").splitlines()[-LAST_LINES:])


# ---------------------------------------------------------------------- asking
def submit(store: Path, given: Mapping[str, Any], files: Mapping[str, bytes] | None = None) -> Job:
    """Start a plan in the background; a live job with the same plan is given back instead of a second one.

    ``files``: laid by plain names into ``given/`` of the job's folder, which is removed however the job ends.
    """
    home = store.resolve() / FOLDER
    home.mkdir(parents=True, exist_ok=True)
    with _locked(home):
        for job in recent(store):
            if job.live and job.given == dict(given):
                return job
        id = f"{time.strftime('%Y%m%d-%H%M%S')}-{identity([dict(given), time.time_ns()])[:6]}"
        folder = home / id
        folder.mkdir()
        for name, content in (files or {}).items():
            (folder / GIVEN).mkdir(exist_ok=True)
            (folder / GIVEN / name).write_bytes(content)
        _write(folder / "params.json", dict(given))
        _write(folder / "status.json", {"state": QUEUED, "created": time.time()})
        _write(folder / "pid.json", _process(_spawn(folder, WORKERS[str(given.get("kind", STUDY))])))
    return read(folder)


def recent(store: Path, most: int = 20) -> list[Job]:
    """The newest jobs of a store, newest first."""
    for child in list(_children):
        if child.poll() is not None:
            _children.remove(child)
    home = store.resolve() / FOLDER
    folders = (
        sorted((f for f in home.glob("*") if (f / "status.json").is_file()), reverse=True) if home.is_dir() else []
    )
    found = [read(f) for f in folders[:most]]
    for job in found:
        if not job.live and (job.folder / GIVEN).is_dir():  # it was cancelled or killed
            shutil.rmtree(job.folder / GIVEN, ignore_errors=True)
    return found


def find(store: Path, id: str) -> Job:
    """A job by id or by the start of one; raises `UnknownName`."""
    known = recent(store, most=10_000)
    matching = [j for j in known if j.id.startswith(id)]
    if len(matching) != 1:
        ids = [j.id for j in known]
        shown = ", ".join(ids[:8]) or "none"
        raise UnknownName(f'job "{id}" is not in {store}; jobs: {shown}{did_you_mean(id, ids)}')
    return matching[0]


def cancel(job: Job) -> Job:
    """End a live job and all its processes; what it finished stays stored."""
    if job.live:
        (job.folder / "cancel").touch()
        if who := _read(job.folder / "pid.json"):
            _end(who)
    return read(job.folder)


def read(folder: Path) -> Job:
    """A job as it is now: one whose process is gone is failed, or cancelled where that was asked."""
    status, who = _read(folder / "status.json"), _read(folder / "pid.json")
    state, error, ended = status.get("state", FAILED), status.get("error"), status.get("ended")
    if state in LIVE and not _alive(who, status):
        status = _read(folder / "status.json")  # it may have ended between the two looks
        state, error, ended = status.get("state", FAILED), status.get("error"), status.get("ended")
        if state in LIVE:
            asked = (folder / "cancel").exists()
            state, error = (CANCELLED, None) if asked else (FAILED, "its process ended without a word (killed?)")
            ended = (folder / "log.txt").stat().st_mtime if (folder / "log.txt").exists() else status.get("created")
    numbers = {k: status.get(k, 0) for k in ("done", "total")}
    return Job(
        folder.name, folder, _read(folder / "params.json"), state, **numbers, what=status.get("what", ""),
        study=status.get("study"), audit=status.get("audit"), error=error, created=status.get("created", 0.0),
        started=status.get("started"), ended=ended,
    )  # fmt: skip


# ---------------------------------------------------------------------- processes
def _spawn(folder: Path, module: str) -> int:
    """A session of its own: no signal to the server reaches it, and one signal reaches all its processes."""
    with (folder / "log.txt").open("ab") as log:
        child = subprocess.Popen(
            [sys.executable, "-m", module, str(folder)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"},
        )
    _children.append(child)
    return child.pid


def _process(pid: int) -> dict[str, Any]:
    """What tells a process from a later one with its number; start and boot are None where there is no /proc."""
    stat, boot = Path(f"/proc/{pid}/stat"), Path("/proc/sys/kernel/random/boot_id")
    try:
        fields = stat.read_text().rpartition(")")[2].split()
    except OSError:
        return {"pid": pid, "start": None, "boot": None}
    return {"pid": pid, "start": int(fields[19]), "boot": boot.read_text().strip()}  # field 22 of proc(5)


def _alive(who: dict[str, Any], status: dict[str, Any]) -> bool:
    if not who:
        return time.time() - status.get("created", 0.0) < STARTING
    try:
        os.kill(who["pid"], 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return False  # someone else's process has the number
    if who["start"] is None:
        return True
    return _process(who["pid"]) == who and not _zombie(who["pid"])


def _zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def _end(who: dict[str, Any]) -> None:
    if not _alive(who, {}):
        return
    os.killpg(who["pid"], signal.SIGTERM)  # its session's leader: the group has its number
    end = time.monotonic() + GRACE
    while _alive(who, {}) and time.monotonic() < end:
        time.sleep(0.05)
    if _alive(who, {}):
        os.killpg(who["pid"], signal.SIGKILL)


# ---------------------------------------------------------------------- the worker
def work(folder: Path, run: Callable[[Path, Tell], dict[str, str]]) -> int:
    """Wait for a turn, run, tell the folder what came of it; gives an exit code."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    os.nice(NICE)
    status = {**_read(folder / "status.json")}

    def tell(**changes: Any) -> None:
        status.update(changes)
        _write(folder / "status.json", status)

    _wait_for_turn(folder)
    tell(state=RUNNING, started=time.time(), what="reading the data set")
    try:
        found = run(folder, tell)
    except CfqError as problem:
        logging.error("%s", problem.line())
        tell(state=FAILED, error=problem.line(), ended=time.time())
        return problem.exit_code
    except Exception as problem:
        logging.exception("it failed")
        tell(state=FAILED, error=f"{type(problem).__name__}: {problem}"[:300], ended=time.time())
        return 1
    finally:
        shutil.rmtree(folder / GIVEN, ignore_errors=True)
    tell(state=DONE, **found, ended=time.time())
    return 0


def _run(folder: Path, tell: Tell) -> dict[str, str]:
    from cfq_core.study.plan import read_plan  # torch: not before it is this job's turn
    from cfq_core.study.runner import run_plan
    from cfq_core.study.store import Store

    plan = read_plan(_read(folder / "params.json"), "study")

    def progress(done: int, total: int, what: str) -> None:
        logging.info("%d of %d: %s", done, total, what)
        tell(done=done, total=total, what=what)

    store = Store(folder.parents[1])
    try:
        study = run_plan(plan, store, progress=progress)
        logging.info("study %s is stored", study)
        return {"study": study}
    finally:
        store.close()


def _wait_for_turn(folder: Path) -> None:
    """Until fewer than `MOST_RUNNING` jobs run and no older one waits; takes the turn under the lock."""
    while True:
        with _locked(folder.parent):
            others = [j for j in recent(folder.parents[1]) if j.id != folder.name]
            running = sum(j.state == RUNNING for j in others)
            older = any(j.state == QUEUED and j.id < folder.name for j in others)
            if running < MOST_RUNNING and not older:
                _write(folder / "status.json", {**_read(folder / "status.json"), "state": RUNNING})
                return
        time.sleep(POLL)


# ---------------------------------------------------------------------- files
@contextmanager
def _locked(home: Path) -> Iterator[None]:
    with (home / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _read(path: Path) -> dict[str, Any]:
    """A JSON object; empty where there is none (yet)."""
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        return {}


def _write(path: Path, value: dict[str, Any]) -> None:
    """Whole or not at all: readers never see half a file."""
    part = path.with_name(f".{path.name}.{os.getpid()}")
    part.write_text(json.dumps(value))
    part.replace(path)


def main(run: Callable[[Path, Tell], dict[str, str]]) -> None:
    """What a worker's module does when it is started on the folder of a job."""
    if len(sys.argv) != 2 or not Path(sys.argv[1], "params.json").is_file():
        raise BadInput("python -m MODULE FOLDER_OF_A_JOB")
    sys.exit(work(Path(sys.argv[1]), run))


if __name__ == "__main__":
    main(_run)
