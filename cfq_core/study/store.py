"""Results on disk: one SQLite file in WAL mode beside safetensors and npz artifacts with their sha256.

A run is written in one transaction after its artifacts are in place, so a process killed at any
moment leaves either the whole run or nothing of it. What is stored only grows: migrations are
appended, never edited.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from cfq_core.base.errors import BadInput, BadStore, UnknownName, did_you_mean
from cfq_core.base.identity import file_sha256, identity
from cfq_core.base.whole import MOVED, WRITING, is_refusal, system_refused, write_whole
from cfq_core.study.arrays import NO_ARRAYS, Arrays, as_npz, of_npz
from cfq_core.study.schema import AS_PRESENT, MIGRATIONS, RENAMED, Row, as_json, is_packed, read_row, that_is_there

FILE = "studies.sqlite"
BUSY_TIMEOUT = 30_000  # milliseconds another process may hold the write lock
CLOSING_TIMEOUT = 1_000  # and milliseconds it may delay the end of one that is done

PUT_ARTIFACT = "INSERT OR REPLACE INTO artifact VALUES (?, ?, ?, ?, ?, ?)"

#: What sqlite3 raises at a file that is damaged; the second where it cannot even decode its own message.
BROKEN = (sqlite3.Error, UnicodeDecodeError)

#: Artifacts without which a teacher or run is not stored.
WHOLE = ("weights", "people")

#: Name of the artifact that says why a run is not there.
SKIPPED = "skipped"


class Store:
    """A folder of results; opens or makes it. Safe for several processes at once."""

    def __init__(self, folder: Path | str, read_only: bool = False) -> None:
        """``read_only``: a store that nobody writes to, such as the shipped gallery; nothing is made beside it."""
        self.folder, self.read_only = Path(folder), read_only
        if read_only:
            self.db = self._unwritten()
            return
        try:
            if self.folder.exists() and not self.folder.is_dir():
                raise BadInput(f"{self.folder}: a file; a store is a folder")
            self.folder.mkdir(parents=True, exist_ok=True)
            self.db = sqlite3.connect(self.folder / FILE, timeout=BUSY_TIMEOUT / 1000, isolation_level=None)
            self.db.row_factory = sqlite3.Row
            self._file = _inode(self.folder / FILE)
            self.db.execute("PRAGMA journal_mode = WAL")
            self.db.execute("PRAGMA foreign_keys = ON")
            self._migrate()
        except (OSError, *BROKEN) as problem:
            if is_refusal(problem, WRITING):
                raise system_refused(problem, self.folder) from problem
            raise BadStore(f"{self.folder}: cannot be opened as a store ({problem})") from problem

    @classmethod
    def for_reading(cls, folder: Path | str) -> Store:
        """A store to look at: one that nobody has written to since it was packed stays as it is, byte for byte."""
        return cls(folder, read_only=is_packed(that_is_there(Path(folder) / FILE)))

    def _unwritten(self) -> sqlite3.Connection:
        """A connection that takes no lock and writes no journal."""
        try:
            db = sqlite3.connect(f"{(self.folder / FILE).resolve().as_uri()}?mode=ro&immutable=1", uri=True)
            db.row_factory = sqlite3.Row
            written = db.execute("PRAGMA user_version").fetchone()[0]
            if not 1 <= written <= len(MIGRATIONS):
                raise BadStore(f"{self.folder}: has schema {written}, this version reads 1 to {len(MIGRATIONS)}")
            db.executescript(f"PRAGMA temp_store = MEMORY; {AS_PRESENT.get(written, '')}")
        except (OSError, *BROKEN) as problem:
            raise BadStore(f"{self.folder}: cannot be read as a store ({problem})") from problem
        return db

    def close(self) -> None:
        """Close the database; what was written then stands in its one file, also where others have it open."""
        with suppress(sqlite3.Error):  # somebody reads at this moment: whoever closes last moves the rest
            if self.db.total_changes:
                self.db.execute(f"PRAGMA busy_timeout = {CLOSING_TIMEOUT}")
                self.db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self.db.close()

    def _migrate(self) -> None:
        done = self.db.execute("PRAGMA user_version").fetchone()[0]
        if done > len(MIGRATIONS):
            raise BadStore(
                f"{self.folder}: written by a newer version (schema {done}, this one knows {len(MIGRATIONS)})"
            )
        for number in range(done, len(MIGRATIONS)):
            with self._write():
                if self.db.execute("PRAGMA user_version").fetchone()[0] > number:
                    continue  # another process was first
                for statement in MIGRATIONS[number].split(";"):
                    self.db.execute(statement)
                self.db.execute(f"PRAGMA user_version = {number + 1}")

    @contextmanager
    def _write(self) -> Iterator[None]:
        self._still_here()
        try:
            self.db.execute("BEGIN IMMEDIATE")
            yield
            self.db.execute("COMMIT")
        except BaseException as problem:
            with suppress(sqlite3.Error):  # a full disk has rolled it back already
                self.db.execute("ROLLBACK")
            if is_refusal(problem):
                raise system_refused(problem, self.folder) from problem
            raise

    def _still_here(self) -> None:
        """Raises `BadStore` where the folder was moved or removed: files would go where no database lies."""
        if _inode(self.folder / FILE) != self._file:
            raise BadStore(f"{self.folder}: {MOVED}")

    # ------------------------------------------------------------------ writing
    def put_study(self, study: str, name: str, plan: Any, versions: Any, runs: Iterable[tuple[str, str]]) -> None:
        """Record what a study consists of: (run id, teacher id) in order. Known studies stay as they are."""
        with self._write():
            if self.db.execute("SELECT 1 FROM study WHERE id = ?", [study]).fetchone():
                return
            self.db.execute(
                "INSERT INTO study VALUES (?, ?, ?, ?, ?)", [study, name, as_json(plan), as_json(versions), _now()]
            )
            rows = [(study, i, run, teacher) for i, (run, teacher) in enumerate(runs)]
            self.db.executemany("INSERT INTO study_run VALUES (?, ?, ?, ?)", rows)

    def put_teacher(
        self,
        id: str,
        dataset: str,
        seed: int,
        spec: Any,
        measures: Mapping[str, float | None],
        weights: Arrays,
        people: Arrays,
    ) -> None:
        """A teacher with its weights and what it promised to whom."""
        files = self._both(id, weights, people)
        with self._write():
            row = [id, dataset, seed, as_json(spec), as_json(measures), _now()]
            self.db.execute("INSERT OR IGNORE INTO teacher VALUES (?, ?, ?, ?, ?, ?)", row)
            self.db.executemany(PUT_ARTIFACT, files)

    def put_artifact(self, owner: str, name: str, arrays: Arrays, spec: str = "") -> None:
        """Further arrays of a stored teacher or run; ``spec`` is the identity of what computed them."""
        file = self._artifact(owner, name, as_npz(arrays), spec)
        with self._write():
            self.db.execute(PUT_ARTIFACT, file)

    def put_run(
        self,
        columns: Mapping[str, Any],
        measures: Mapping[str, Any],
        weights: Arrays,
        people: Arrays,
        metrics: Mapping[str, str] | None = None,
    ) -> None:
        """A run with its measures, its codes and steps, and its values per person; one that is whole stays as it is.

        ``metrics``: the spec of each metric that it was measured with.
        """
        id = columns["id"]
        if self.has_run(id):
            return
        files = self._both(id, weights, people)
        order = "id teacher_id dataset method budget seed bits avg_bits threshold spec groups".split()
        row = [as_json(columns[c]) if c in ("bits", "spec", "groups") else columns[c] for c in order]
        with self._write():
            self.db.execute("DELETE FROM measure WHERE run_id = ?", [id])  # of a run whose files are damaged
            self.db.execute("DELETE FROM run WHERE id = ?", [id])
            self.db.execute(f"INSERT INTO run VALUES ({', '.join('?' * 13)})", [*row, _now(), ""])
            self.db.executemany(PUT_ARTIFACT, files)
            self._measured(id, measures, metrics or {})

    def put_measures(self, runs: Iterable[tuple[str, Mapping[str, Any], Any, Mapping[str, str]]]) -> None:
        """Replace what was measured of some runs: (id, measures, groups as plain values, spec of each metric)."""
        with self._write():
            for id, measures, groups, metrics in runs:
                self.db.execute("DELETE FROM measure WHERE run_id = ?", [id])
                self.db.execute("UPDATE run SET groups = ? WHERE id = ?", [as_json(groups), id])
                self._measured(id, measures, metrics)

    def _measured(self, run: str, measures: Mapping[str, Any], metrics: Mapping[str, str]) -> None:
        values = [(run, name, m.value, m.low, m.high, m.count) for name, m in measures.items()]
        self.db.executemany("INSERT INTO measure VALUES (?, ?, ?, ?, ?, ?)", values)
        if metrics:
            id = identity(dict(metrics))
            self.db.execute("INSERT OR IGNORE INTO metrics VALUES (?, ?)", [id, as_json(dict(metrics))])
            self.db.execute("UPDATE run SET measured = ? WHERE id = ?", [id, run])

    def _both(self, id: str, weights: Arrays, people: Arrays) -> list[tuple[str, str, str, str, int, str]]:
        made = {"weights": save_tensors(dict(weights)), "people": as_npz(people)}
        return [self._artifact(id, name, content) for name, content in made.items()]

    def _artifact(self, owner: str, name: str, content: bytes, spec: str = "") -> tuple[str, str, str, str, int, str]:
        """Write a file under its owner's name, whole or not at all."""
        suffix = "safetensors" if name == "weights" else "npz"
        path = self.folder / "artifacts" / owner[:2] / f"{owner}-{name}.{suffix}"
        self._still_here()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, content)
        except OSError as problem:
            raise system_refused(problem, path) from problem
        return owner, name, str(path.relative_to(self.folder)), file_sha256(path), len(content), spec

    # ------------------------------------------------------------------ reading
    def has_teacher(self, id: str) -> bool:
        """Whether a teacher is stored; one with a damaged file is not."""
        return bool(self._rows("SELECT 1 FROM teacher WHERE id = ?", id)) and self._is_whole(id)

    def has_run(self, id: str) -> bool:
        """Whether a run is stored; one with a damaged file is not."""
        return bool(self._rows("SELECT 1 FROM run WHERE id = ?", id)) and self._is_whole(id)

    def _is_whole(self, owner: str) -> bool:
        return all(self.has_artifact(owner, name) for name in WHOLE)

    def put_skipped(self, run: str, reason: str) -> None:
        """A run of a study that there cannot be, and why; it counts as finished."""
        self.put_artifact(run, SKIPPED, {"reason": np.array(reason)})

    def is_settled(self, id: str) -> bool:
        """Whether a run is stored, or why there is none."""
        return self.has_run(id) or self.has_artifact(id, SKIPPED)

    def skipped(self, study: str) -> dict[str, str]:
        """Why which runs of a study are not there, by their ids."""
        query = """
            SELECT sr.run_id FROM study_run sr JOIN artifact a ON a.owner_id = sr.run_id AND a.name = ?
            WHERE sr.study_id = ? ORDER BY sr.position
        """
        ids = [r["run_id"] for r in self._rows(query, SKIPPED, study)]
        return {i: str(self.arrays(i, SKIPPED)["reason"]) for i in ids}

    def has_artifact(self, owner: str, name: str, spec: str | None = None) -> bool:
        """Whether an artifact is stored, made by this spec where one is given; a missing or damaged file is not."""
        rows = self._rows("SELECT path, sha256, spec FROM artifact WHERE owner_id = ? AND name = ?", owner, name)
        if not rows or spec not in (None, rows[0]["spec"]):
            return False
        try:
            return file_sha256(self._path(rows[0]["path"])) == rows[0]["sha256"]
        except (OSError, BadStore):
            return False

    def holds(self, study: str, name: str) -> bool:
        """Whether every run of a study that there can be is stored and has an artifact of this name."""
        query = """
            SELECT a.path FROM study_run sr LEFT JOIN artifact a ON a.owner_id = sr.run_id AND a.name = ?
            LEFT JOIN artifact s ON s.owner_id = sr.run_id AND s.name = ?
            WHERE sr.study_id = ? AND s.owner_id IS NULL
        """
        paths = [r["path"] for r in self._rows(query, name, SKIPPED, study)]
        return all(p is not None and (self.folder / str(p)).is_file() for p in paths)

    def _path(self, stored: Any) -> Path:
        """Where an artifact lies; a changed database may name any place."""
        path = self.folder / str(stored)
        if not path.resolve().is_relative_to(self.folder.resolve()):
            raise BadStore(f"{self.folder}: an artifact lies outside the store")
        return path

    def studies(self) -> list[Row]:
        """All studies, newest first, with how many of their runs are stored."""
        query = """
            SELECT s.*, count(sr.run_id) AS runs, count(coalesce(r.id, a.owner_id)) AS finished FROM study s
            JOIN study_run sr ON sr.study_id = s.id LEFT JOIN run r ON r.id = sr.run_id
            LEFT JOIN artifact a ON a.owner_id = sr.run_id AND a.name = ?
            GROUP BY s.id ORDER BY s.created DESC, s.id
        """
        return [self._read(r) for r in self._rows(query, SKIPPED)]

    def study(self, id: str) -> Row:
        """A study by id or by the start of one; "latest" is the newest. Raises `UnknownName`."""
        known = self.studies()
        if id == "latest" and known:
            return known[0]
        matching = [s for s in known if s["id"].startswith(id)]
        if len(matching) != 1:
            ids = [s["id"] for s in known]
            reason = "is the start of several" if matching else "is not stored"
            shown = ", ".join(ids[:8]) or "none"
            raise UnknownName(f'study "{id}" {reason} in {self.folder}; stored: {shown}{did_you_mean(id, ids)}')
        return matching[0]

    def runs(self, study: str) -> list[Row]:
        """The stored runs of a study, in its order."""
        query = """
            SELECT r.* FROM study_run sr JOIN run r ON r.id = sr.run_id WHERE sr.study_id = ? ORDER BY sr.position
        """
        return [self._read(r) for r in self._rows(query, study)]

    def run(self, id: str) -> Row:
        """A run by id or by the start of one; raises `UnknownName`."""
        found = self._rows("SELECT * FROM run WHERE substr(id, 1, ?) = ? LIMIT 2", len(id), id)
        if len(found) != 1 or not id:
            reason = "is the start of several" if found else "is not stored"
            raise UnknownName(f'run "{id}" {reason} in {self.folder}; ids of runs stand in: cfq show STUDY --json')
        return self._read(found[0])

    def teacher(self, id: str) -> Row:
        """A teacher by id; raises `UnknownName`."""
        found = self._rows("SELECT * FROM teacher WHERE id = ?", id)
        if not found:
            raise UnknownName(f'teacher "{id}" is not stored in {self.folder}')
        return self._read(found[0])

    def plans_of(self, run: str) -> list[dict[str, Any]]:
        """The plans of the studies a run is part of, newest first."""
        query = """
            SELECT s.plan FROM study_run sr JOIN study s ON s.id = sr.study_id
            WHERE sr.run_id = ? ORDER BY s.created DESC
        """
        return [self._read(r)["plan"] for r in self._rows(query, run)]

    def teachers(self, study: str) -> list[Row]:
        """The stored teachers of a study."""
        query = """
            SELECT DISTINCT t.* FROM study_run sr JOIN teacher t ON t.id = sr.teacher_id WHERE sr.study_id = ?
            ORDER BY t.dataset, t.seed
        """
        return [self._read(r) for r in self._rows(query, study)]

    def measures(self, run: str) -> dict[str, dict[str, float | int | None]]:
        """Value, interval and denominator of everything measured of a run."""
        rows = self._rows("SELECT name, value, low, high, count FROM measure WHERE run_id = ? ORDER BY name", run)
        return {RENAMED.get(r["name"], r["name"]): {k: r[k] for k in ("value", "low", "high", "count")} for r in rows}

    def measures_of(self, study: str) -> dict[str, dict[str, dict[str, float | int | None]]]:
        """`measures` of every run of a study."""
        query = """
            SELECT m.* FROM measure m JOIN study_run sr ON sr.run_id = m.run_id WHERE sr.study_id = ? ORDER BY m.name
        """
        out: dict[str, dict[str, dict[str, float | int | None]]] = {}
        for r in self._rows(query, study):
            values = {k: r[k] for k in ("value", "low", "high", "count")}
            out.setdefault(r["run_id"], {})[RENAMED.get(r["name"], r["name"])] = values
        return out

    def metrics(self, id: str) -> dict[str, str]:
        """The spec of each metric that runs of this ``measured`` were measured with; empty where not known."""
        rows = self._rows("SELECT specs FROM metrics WHERE id = ?", id)
        specs: dict[str, str] = self._read(rows[0])["specs"] if rows else {}
        return specs

    def arrays(self, owner: str, name: str) -> dict[str, np.ndarray]:
        """An artifact's arrays, checked against its sha256; raises `BadStore`."""
        rows = self._rows("SELECT path, sha256 FROM artifact WHERE owner_id = ? AND name = ?", owner, name)
        if not rows:
            raise BadStore(f"{self.folder}: no {name} of {owner}")
        try:
            path = self._path(rows[0]["path"])
            if not path.is_file() or file_sha256(path) != rows[0]["sha256"]:
                raise BadStore(f"{path}: missing or changed; its sha256 is not the stored one")
            if name == "weights":
                return load_tensors(path.read_bytes())
            return {RENAMED.get(k, k): v for k, v in of_npz(path).items()}
        except NO_ARRAYS as problem:
            what = f"{name} of {owner} cannot be read as arrays ({type(problem).__name__})"
            raise BadStore(f"{self.folder}: {what}") from problem

    def _rows(self, query: str, *values: Any) -> list[sqlite3.Row]:
        try:
            return self.db.execute(query, values).fetchall()
        except BROKEN as problem:
            raise BadStore(f"{self.folder}: cannot be read ({problem})") from problem

    def _read(self, row: sqlite3.Row) -> Row:
        return read_row(row, self.folder)


@contextmanager
def readable(store: Store) -> Iterator[None]:
    """Whatever a changed or newer store makes fail while it is read is told as `BadStore`, with its cause."""
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as problem:
        what = f"{type(problem).__name__}: {str(problem)[:80]}"
        raise BadStore(f"{store.folder}: holds what this version does not read ({what})") from problem


def _inode(path: Path) -> tuple[int, int] | None:
    with suppress(OSError):
        return path.stat().st_dev, path.stat().st_ino
    return None


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
