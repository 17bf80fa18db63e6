"""Studies in the background: one process and one folder a job; no closed page and no restarted server ends it.

    STORE/jobs/ID/  params.json (what to run)  pid.json (who)  status.json (how far)  cancel (was asked)  log.txt

An audit of two files is a job too (`Job.kind`); what it is given lies in the folder until it ends.

A process is known by its id, its start and the boot, so that a recycled number is never signalled.
Everything is read from the folder: whoever looks, sees the same. A job whose files are damaged is failed and says so;
one that lives writes them anew with its next word. No torch is imported here; the worker does.
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
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import NoneType
from typing import Any

from cfq_core.base.errors import BadInput, BadStore, CfqError, UnknownName, did_you_mean
from cfq_core.base.identity import identity, read_object
from cfq_core.base.processes import environment, module_command
from cfq_core.base.whole import system_refused, write_whole

FOLDER = "jobs"
GIVEN = "given"  # in a job's folder: files it works on
#: Kind of a job -> the module that works on it; `cfq_core.export` stands above this layer: named, not imported.
STUDY, AUDIT = "study", "audit"
WORKERS = {STUDY: "cfq_core.study.jobs", AUDIT: "cfq_core.export.pairs"}
QUEUED, RUNNING, DONE, FAILED, CANCELLED = "queued", "running", "done", "failed", "cancelled"
LIVE, ENDED = (QUEUED, RUNNING), (DONE, FAILED, CANCELLED)
PARAMS, STATUS, PROCESS = "params.json", "status.json", "pid.json"
_WORD, _NUMBER = (str, NoneType), (int, float, NoneType)
#: What each file of a job holds.
FILES: dict[str, dict[str, tuple[type, ...]]] = {
    PARAMS: {"kind": _WORD, "name": _WORD, "datasets": (str, list, NoneType), "methods": (str, list, NoneType)},
    STATUS: {"state": (str,), "created": (int, float), "done": (int, NoneType), "total": (int, NoneType),
             "started": _NUMBER, "ended": _NUMBER, "what": _WORD, "study": _WORD, "error": _WORD},
    PROCESS: {"pid": (int,), "start": (int, NoneType), "boot": _WORD},
}  # fmt: skip
MOST_PID = 2**31 - 1
#: Jobs that run at once; one core stays with whoever looks on, but a second study need not wait for the first.
MOST_RUNNING = max(2, (os.cpu_count() or 2) - 1)
AT_ONCE = "CFQ_JOBS_PER_USER"  # of a store, where the operator says fewer or more: set by `cfq dashboard`
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
        return str(self.given.get("kind") or STUDY)

    @property
    def datasets(self) -> list[str]:
        """What it is about: names, or paths of cards."""
        named = self.given.get("datasets") or []
        return [named] if isinstance(named, str) else [str(d) for d in named]

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
        for job in live(store):
            if job.given == dict(given):
                return job
        id = f"{time.strftime('%Y%m%d-%H%M%S')}-{identity([dict(given), time.time_ns()])[:6]}"
        folder = home / id
        try:
            folder.mkdir()
            for name, content in (files or {}).items():
                (folder / GIVEN).mkdir(exist_ok=True)
                write_whole(folder / GIVEN / name, content)
            _write(folder / PARAMS, dict(given))
            _write(folder / STATUS, {"state": QUEUED, "created": time.time()})
            _write(folder / PROCESS, _process(_spawn(folder, WORKERS[str(given.get("kind", STUDY))])))
        except OSError as problem:
            shutil.rmtree(folder, ignore_errors=True)
            raise system_refused(problem) from None
    return read(folder)


def recent(store: Path, most: int = 20) -> list[Job]:
    """The newest jobs of a store and every one that lives, newest first."""
    for child in list(_children):
        if child.poll() is not None:
            _children.remove(child)
    folders = _folders(store)
    found = [read(f) for f in folders[:most]] + _live(folders[most:])
    for job in found:
        if not job.live and (job.folder / GIVEN).is_dir():  # it was cancelled or killed
            shutil.rmtree(job.folder / GIVEN, ignore_errors=True)
    return found


def live(store: Path) -> list[Job]:
    """Every job that waits or runs, however many there are, newest first."""
    return _live(_folders(store))


def _folders(store: Path) -> list[Path]:
    return sorted((f.parent for f in (store.resolve() / FOLDER).glob(f"*/{STATUS}")), reverse=True)


def _live(folders: list[Path]) -> list[Job]:
    """Those that live; of one that has ended only its status is read."""
    running = [f for f in folders if _read(f / STATUS)[0].get("state") not in ENDED]
    return [job for job in map(read, running) if job.live]


def find(store: Path, id: str) -> Job:
    """A job by id or by the start of one; raises `UnknownName`."""
    known = _folders(store)
    matching = [f for f in known if f.name.startswith(id)]
    if len(matching) != 1:
        ids = [f.name for f in known]
        shown = ", ".join(ids[:8]) or "none"
        raise UnknownName(f'job "{id}" is not in {store}; jobs: {shown}{did_you_mean(id, ids)}')
    return read(matching[0])


def cancel(job: Job) -> Job:
    """End a live job and all its processes; what it finished stays stored."""
    if job.live:
        (job.folder / "cancel").touch()
        if who := _read(job.folder / PROCESS)[0]:
            _end(who)
    return read(job.folder)


def read(folder: Path) -> Job:
    """A job as it is now: one whose process is gone is failed, or cancelled where that was asked."""
    (given, bad_given), (who, bad_who) = _read(folder / PARAMS), _read(folder / PROCESS)
    status, bad_status = _read(folder / STATUS)
    if status.get("state") in LIVE and not _alive(who, status):
        status, bad_status = _read(folder / STATUS)  # it may have ended between the two looks
    state, error, ended = status.get("state", FAILED), status.get("error"), status.get("ended")
    wrong = bad_status or bad_given
    if wrong or (state in LIVE and not _alive(who, status)):
        if who and _alive(who, {}):
            state = RUNNING  # damaged, but at work
        elif not wrong and (folder / "cancel").exists():
            state, error = CANCELLED, None
        else:
            state, error = FAILED, wrong or bad_who or "its process ended without a word (killed?)"
        ended = None if state == RUNNING else ended or _written(folder / "log.txt") or status.get("created")
    numbers = {k: status.get(k) or 0 for k in ("done", "total")}
    created = status.get("created") or _written(folder) or 0.0
    return Job(
        folder.name, folder, given, state, **numbers, what=status.get("what") or "", study=status.get("study"),
        error=error, created=created, started=status.get("started"), ended=ended,
    )  # fmt: skip


def params(folder: Path) -> dict[str, Any]:
    """What a job is to do; raises `BadStore` where its file is damaged."""
    given, wrong = _read(folder / PARAMS)
    if wrong:
        raise BadStore(f"{folder}: {wrong}")
    return given


# ---------------------------------------------------------------------- processes
def _spawn(folder: Path, module: str) -> int:
    """A session of its own: no signal to the server reaches it, and one signal reaches all its processes."""
    with (folder / "log.txt").open("ab") as log:
        child = subprocess.Popen(
            module_command(module, str(folder)),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env=environment(OMP_NUM_THREADS="1", PYTHONUNBUFFERED="1"),
        )
    _children.append(child)
    return child.pid


def _process(pid: int) -> dict[str, Any]:
    """What tells a process from a later one with its number; start and boot are None where there is no /proc."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return {"pid": pid, "start": None, "boot": None}
    return {"pid": pid, "start": int(fields[19]), "boot": boot}  # field 22 of proc(5)


def _alive(who: dict[str, Any], status: dict[str, Any]) -> bool:
    if not who:
        return time.time() - status.get("created", 0.0) < STARTING
    try:
        os.kill(who["pid"], 0)
    except (ProcessLookupError, PermissionError):  # the second: someone else's process has the number
        return False
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
    with suppress(ProcessLookupError):  # it ended by itself in between
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
    status = {"created": time.time(), **_read(folder / STATUS)[0]}
    me = _process(os.getpid())

    def tell(**changes: Any) -> None:
        status.update(changes)
        _write(folder / STATUS, status)
        if _read(folder / PROCESS)[0] != me:
            _write(folder / PROCESS, me)

    _wait_for_turn(folder, tell)
    tell(started=time.time(), what="reading the data set")
    try:
        result = run(folder, tell)
    except CfqError as problem:
        logging.error("%s", problem.line())
        tell(state=FAILED, error=problem.line(), ended=time.time())
        return problem.exit_code
    except Exception as problem:
        logging.exception("it failed")
        refused = system_refused(problem) if isinstance(problem, OSError) else None
        said = refused.line() if refused else f"{type(problem).__name__}: {problem}"
        with suppress(OSError):  # a disk that is full takes no word either; the log may
            tell(state=FAILED, error=said[:300], ended=time.time())
        return 1
    finally:
        shutil.rmtree(folder / GIVEN, ignore_errors=True)
    tell(state=DONE, **result, ended=time.time())
    return 0


def _run(folder: Path, tell: Tell) -> dict[str, str]:
    from cfq_core.study.plan import read_plan  # torch: not before it is this job's turn
    from cfq_core.study.runner import run_plan
    from cfq_core.study.store import Store

    plan = read_plan(params(folder), "study")

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


def _wait_for_turn(folder: Path, tell: Tell) -> None:
    """Until fewer jobs run than may at once, and no older one waits; takes the turn under the lock."""
    most = int(os.environ.get(AT_ONCE) or MOST_RUNNING)
    while True:
        with _locked(folder.parent):
            others = [j for j in live(folder.parents[1]) if j.id != folder.name]
            older = any(j.state == QUEUED and j.id < folder.name for j in others)
            if sum(j.state == RUNNING for j in others) < most and not older:
                return tell(state=RUNNING)
        time.sleep(POLL)


# ---------------------------------------------------------------------- files
@contextmanager
def _locked(home: Path) -> Iterator[None]:
    with (home / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _read(path: Path) -> tuple[dict[str, Any], str | None]:
    """What a file of a job holds, and what is wrong with it; nothing where there is no good file (yet)."""
    try:
        given = read_object(path, FILES[path.name])
        if path.name == STATUS and given["state"] not in (*LIVE, *ENDED):
            raise ValueError(f"{STATUS}: no state is called so")
        if path.name == PROCESS and not 1 < given["pid"] <= MOST_PID:  # 0 and -1 mean many processes to kill(2)
            raise ValueError(f"{PROCESS}: holds no process")
        if path.name == PARAMS:
            files = [given[role]["name"] for role in ("teacher", "student")] if given.get("kind") == AUDIT else []
            _ = ", ".join([*files, *(given.get("datasets") or []), *(given.get("methods") or [])])
        return given, None
    except FileNotFoundError:
        return {}, None if path.name == PROCESS else f"{path.name} is missing"
    except (LookupError, TypeError):
        return {}, f"{PARAMS}: names no files, data sets or methods"
    except ValueError as problem:
        return {}, str(problem)


def _written(path: Path) -> float | None:
    """When a file was written last; None where there is none."""
    try:
        return path.stat().st_mtime
    except OSError:
        return None


def _write(path: Path, value: dict[str, Any]) -> None:
    """Whole or not at all: readers never see half a file."""
    write_whole(path, json.dumps(value).encode())


def main(run: Callable[[Path, Tell], dict[str, str]]) -> None:
    """What a worker's module does when it is started on the folder of a job."""
    if len(sys.argv) != 2 or not Path(sys.argv[1], PARAMS).is_file():
        raise BadInput("python -m MODULE FOLDER_OF_A_JOB")
    sys.exit(work(Path(sys.argv[1]), run))


if __name__ == "__main__":
    main(_run)
