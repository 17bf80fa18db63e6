"""Whether a store is whole: every file as it was written, every run with its teacher, files and measures.

Older schemas and the gallery are read alike; nothing is written, not even beside the store.
"""

from __future__ import annotations

import json
import math
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cfq_core.base import plugins
from cfq_core.base.errors import BadStore
from cfq_core.base.identity import file_sha256
from cfq_core.evidence import MATCHING_SHIFT, OTHER_THRESHOLD, TIED
from cfq_core.study.schema import JSON_COLUMNS, MIGRATIONS, RENAMED
from cfq_core.study.store import BROKEN, FILE, WHOLE

#: Measures of a run that are no metric's.
OTHERS = (
    "size_bytes", "seconds", "training_recourse_seconds", "on_the_fly_seconds", MATCHING_SHIFT, OTHER_THRESHOLD,
)  # fmt: skip
SLACK = 1e-5  # a gallery's numbers are rounded: to six significant digits, those of groups to four
GROUP_SLACK = 1e-3
FEWEST_BITS, MOST_BITS = 2, 8

#: What a cell that is not what its column says makes fail.
UNREADABLE = (LookupError, TypeError, ValueError, AttributeError, OverflowError)
AGAIN = "run its study again, which makes it anew (a shipped gallery: install it again)"
CHANGED = "changed after it was written: take the store from a copy"


@dataclass(frozen=True)
class Checked:
    """What stands in a store, and a line for everything that is wrong with it."""

    studies: int
    runs: int
    teachers: int
    files: int
    bytes: int
    problems: list[str]


def check_store(folder: Path) -> Checked:
    """Check a store; raises `BadStore` where there is none that this version reads."""
    with _opened(folder) as db:
        problems: list[str] = []
        for check in (_database, _files, _rows, _runs, _measures):
            try:
                problems += check(db, folder)
            except (*BROKEN, *UNREADABLE) as problem:
                problems.append(f"{FILE}: cannot be read ({type(problem).__name__}: {problem}); {CHANGED}")
        try:
            sizes = db.execute("SELECT count(*), coalesce(sum(bytes), 0) FROM artifact").fetchone()
            counts = [db.execute(f"SELECT count(*) FROM {t}").fetchone()[0] for t in ("study", "run", "teacher")]
        except BROKEN:
            sizes, counts = (0, 0), [0, 0, 0]
        studies, runs, teachers = counts
        return Checked(studies, runs, teachers, sizes[0], sizes[1], list(dict.fromkeys(problems)))


@contextmanager
def _opened(folder: Path) -> Iterator[sqlite3.Connection]:
    """The database for reading. Where a killed process left a journal behind, both are read from a copy."""
    file, journal, index = (folder / f"{FILE}{end}" for end in ("", "-wal", "-shm"))
    if not file.is_file():
        raise BadStore(f"{folder}: no store here")
    with tempfile.TemporaryDirectory() as place:
        mode = "mode=ro&immutable=1"
        try:
            if journal.is_file() and index.is_file():
                mode = "mode=ro"  # others have it open: read beside them
            elif journal.is_file() and journal.stat().st_size:
                file, mode = Path(shutil.copy(file, place)), "mode=rw"
                shutil.copy(journal, place)
            db = sqlite3.connect(f"{file.resolve().as_uri()}?{mode}", uri=True)
            db.row_factory = sqlite3.Row
            schema = db.execute("PRAGMA user_version").fetchone()[0]
        except (OSError, *BROKEN) as problem:
            raise BadStore(f"{folder}: cannot be read as a store ({problem})") from problem
        try:
            if not 1 <= schema <= len(MIGRATIONS):
                raise BadStore(f"{folder}: has schema {schema}, this version reads 1 to {len(MIGRATIONS)}")
            yield db
        finally:
            db.close()


def _database(db: sqlite3.Connection, folder: Path) -> Iterator[str]:
    """SQLite's own look at its pages."""
    for row in db.execute("PRAGMA quick_check(5)"):
        if row[0] != "ok":
            yield f"{FILE}: {' '.join(str(row[0]).split())}; {CHANGED}"


def _files(db: sqlite3.Connection, folder: Path) -> Iterator[str]:
    """Every file lies in the store and is the one that was written."""
    home = folder.resolve()
    for a in db.execute("SELECT owner_id, name, path, sha256, bytes FROM artifact ORDER BY owner_id, name"):
        what, path = f"{a['name']} of {a['owner_id']}", folder / a["path"]
        try:
            if not path.resolve().is_relative_to(home):
                yield f"{what}: lies outside the store ({a['path']}); {CHANGED}"
            elif not path.is_file():
                yield f"{what}: {a['path']} is missing; {AGAIN}"
            elif path.stat().st_size != a["bytes"] or file_sha256(path) != a["sha256"]:
                yield f"{what}: {a['path']} is not the file that was written; {AGAIN}"
        except (OSError, ValueError) as problem:
            yield f"{what}: {a['path']} cannot be read ({type(problem).__name__}); {AGAIN}"


def _rows(db: sqlite3.Connection, folder: Path) -> Iterator[str]:
    """What is kept as JSON is JSON, and of its kind."""
    for table in ("study", "teacher", "run"):
        for row in db.execute(f"SELECT * FROM {table}"):
            for column in set(row.keys()) & JSON_COLUMNS.keys():
                if not isinstance(_json(row[column]), JSON_COLUMNS[column]):
                    yield f"{table} {row['id']}: {column} cannot be read; {CHANGED}"


def _runs(db: sqlite3.Connection, folder: Path) -> Iterator[str]:
    """Every run has the teacher it names, its files and measures, and bits within its budget."""
    teachers = {t["id"]: t for t in db.execute("SELECT id, dataset, seed FROM teacher")}
    named = {a["owner_id"]: set(a["names"].split()) for a in db.execute(
        "SELECT owner_id, group_concat(name, ' ') AS names FROM artifact GROUP BY owner_id")}  # fmt: skip
    measured = {m["run_id"] for m in db.execute("SELECT DISTINCT run_id FROM measure")}
    for run in db.execute("SELECT id, teacher_id, dataset, seed, budget, bits, avg_bits, threshold FROM run"):
        teacher, bits = teachers.get(run["teacher_id"]), _json(run["bits"])
        if teacher is None:
            yield f"run {run['id']}: its teacher {run['teacher_id']} is not stored; {AGAIN}"
        elif (teacher["dataset"], teacher["seed"]) != (run["dataset"], run["seed"]):
            yield f"run {run['id']}: its teacher is of another data set or seed; {CHANGED}"
        if run["id"] not in measured:
            yield f"run {run['id']}: has no measures; {AGAIN}"
        if not math.isfinite(run["threshold"]):
            yield f"run {run['id']}: its threshold is no number; {CHANGED}"
        if not _bits_fit(bits, run["avg_bits"], run["budget"]):
            yield f"run {run['id']}: bits {bits}, {run['avg_bits']:g} on average, at {run['budget']:g}; {CHANGED}"
    owners = [("teacher", id) for id in teachers] + [("run", r["id"]) for r in db.execute("SELECT id FROM run")]
    for kind, owner in owners:
        for name in sorted(set(WHOLE) - named.get(owner, set())):
            yield f"{kind} {owner}: has no {name}; {AGAIN}"
    other = "SELECT r.id FROM run r JOIN study_run s ON s.run_id = r.id WHERE s.teacher_id != r.teacher_id"
    for row in db.execute(other):
        yield f"run {row['id']}: its study names another teacher; {CHANGED}"


def _bits_fit(bits: Any, average: float, budget: float) -> bool:
    whole = isinstance(bits, list) and bits and all(type(b) is int and FEWEST_BITS <= b <= MOST_BITS for b in bits)
    return bool(whole) and min(bits) - 1e-9 <= average <= min(max(bits), budget) + 1e-9


def _measures(db: sqlite3.Connection, folder: Path) -> Iterator[str]:
    """Every measure has a known name, numbers or nothing, and an interval around its value, in groups too."""
    is_share = _known()
    for m in db.execute("SELECT run_id, name, value, low, high, count FROM measure ORDER BY run_id, name"):
        if wrong := _wrong(m["name"], dict(m), is_share, SLACK):
            yield f"run {m['run_id']}: measure {m['name']} {wrong}; {CHANGED}"
    for run in db.execute("SELECT id, groups FROM run"):
        for place, found in _levels(_json(run["groups"])):
            for name, m in found.items():
                if wrong := _wrong(name, m, is_share, GROUP_SLACK):
                    yield f"run {run['id']}: {name} of {place} {wrong}; {CHANGED}"


def _known() -> Callable[[str], bool | None]:
    """Whether a measure of a name is a share of people; None for a name that nothing measures."""
    metrics = plugins.load_all("metrics")

    def is_share(name: str) -> bool | None:
        base = RENAMED.get(name, name).removesuffix("_matched").removesuffix(TIED)
        if base in metrics:
            return metrics[base].summary != "mean" and metrics[base].unit == "share"
        return False if base in OTHERS else None

    return is_share


def _levels(groups: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every group of a run and what is measured of it; what is no group is given as a measure that cannot be read."""
    for column, levels in groups.items() if isinstance(groups, dict) else ():
        for level, found in levels.items() if isinstance(levels, dict) else [("", None)]:
            yield f"{column} {level}", found if isinstance(found, dict) else {"vd": found}


def _wrong(name: str, m: Any, is_share: Callable[[str], bool | None], slack: float) -> str | None:
    """What is wrong with a measure; None where nothing is."""
    if (share := is_share(name)) is None:
        return "is none that this version knows"
    if not isinstance(m, dict) or not {"value", "low", "high", "count"} <= m.keys():
        return "cannot be read"
    value, low, high = numbers = [m[k] for k in ("value", "low", "high")]
    if not all(v is None or (isinstance(v, int | float) and math.isfinite(v)) for v in numbers):
        return "holds what is no number"
    if type(m["count"]) is not int or m["count"] < 0:
        return f"counts {m['count']}"
    near = slack * max([1.0] + [abs(v) for v in numbers if v is not None])
    if (low is not None and high is not None and low > high + near) or (
        value is not None and ((low is not None and low > value + near) or (high is not None and high < value - near))
    ):
        return f"is {value}, outside its interval from {low} to {high}"
    if share and value is not None and not -near <= value <= 1 + near:
        return f"is {value}, no share"
    return None


def _json(text: Any) -> Any:
    try:
        return json.loads(text)
    except (ValueError, TypeError, RecursionError):
        return None
