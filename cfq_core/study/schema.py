"""The store's tables, and how what older versions wrote is read."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cfq_core.base.errors import BadInput, BadStore

#: How an SQLite file begins, and its bytes 18 and 19 in WAL mode (file format, section 1.3).
MAGIC, IN_WAL_MODE = b"SQLite format 3\0", b"\2\2"

#: Applied in order, each in a transaction; `user_version` counts them. Append only.
MIGRATIONS = (
    """
    CREATE TABLE study (
        id TEXT PRIMARY KEY, name TEXT NOT NULL, plan TEXT NOT NULL, versions TEXT NOT NULL, created TEXT NOT NULL
    ) STRICT;
    CREATE TABLE study_run (
        study_id TEXT NOT NULL REFERENCES study(id), position INTEGER NOT NULL,
        run_id TEXT NOT NULL, teacher_id TEXT NOT NULL,
        PRIMARY KEY (study_id, position)
    ) STRICT;
    CREATE TABLE teacher (
        id TEXT PRIMARY KEY, dataset TEXT NOT NULL, seed INTEGER NOT NULL, spec TEXT NOT NULL,
        measures TEXT NOT NULL, created TEXT NOT NULL
    ) STRICT;
    CREATE TABLE run (
        id TEXT PRIMARY KEY, teacher_id TEXT NOT NULL REFERENCES teacher(id),
        dataset TEXT NOT NULL, method TEXT NOT NULL, budget REAL NOT NULL, seed INTEGER NOT NULL,
        bits TEXT NOT NULL, avg_bits REAL NOT NULL, threshold REAL NOT NULL,
        spec TEXT NOT NULL, groups TEXT NOT NULL, created TEXT NOT NULL
    ) STRICT;
    CREATE TABLE measure (
        run_id TEXT NOT NULL REFERENCES run(id), name TEXT NOT NULL,
        value REAL, low REAL, high REAL, count INTEGER NOT NULL,
        PRIMARY KEY (run_id, name)
    ) STRICT;
    CREATE TABLE artifact (
        owner_id TEXT NOT NULL, name TEXT NOT NULL, path TEXT NOT NULL, sha256 TEXT NOT NULL, bytes INTEGER NOT NULL,
        PRIMARY KEY (owner_id, name)
    ) STRICT;
    """,
    """
    ALTER TABLE artifact ADD COLUMN spec TEXT NOT NULL DEFAULT '';
    ALTER TABLE run ADD COLUMN measured TEXT NOT NULL DEFAULT '';
    CREATE TABLE metrics (id TEXT PRIMARY KEY, specs TEXT NOT NULL) STRICT;
    UPDATE artifact SET name = 'training_recourse' WHERE name = 'rehearsal';
    UPDATE artifact SET name = 'layers' WHERE name = 'bits';
    UPDATE artifact SET name = 'forecasts' WHERE name = 'safety'
    """,
)

#: What shows a store of an older schema, which nobody may write to, as one of the present schema: by schema.
AS_PRESENT = {
    1: """
    CREATE TEMP VIEW artifact AS SELECT owner_id, CASE name WHEN 'rehearsal' THEN 'training_recourse'
        WHEN 'bits' THEN 'layers' WHEN 'safety' THEN 'forecasts' ELSE name END AS name, path, sha256, bytes, '' AS spec
        FROM main.artifact;
    CREATE TEMP VIEW run AS SELECT *, '' AS measured FROM main.run;
    CREATE TEMP TABLE metrics (id TEXT PRIMARY KEY, specs TEXT NOT NULL) STRICT
    """,
}

#: Columns kept as JSON, and what each holds.
JSON_COLUMNS = dict.fromkeys(("spec", "specs", "measures", "groups", "plan", "versions"), dict) | {"bits": list}

#: Names that older versions stored arrays and measures under, and what they are called now.
RENAMED = {
    "asked_again": "reaudited",
    "again_found": "student_has_recourse",
    "again_cost": "student_cost",
    "matched_again_found": "matched_student_has_recourse",
    "matched_again_cost": "matched_student_cost",
    "rehearsal_seconds": "training_recourse_seconds",
    "lowest": "logit_lower_bound",
    "lowest_region": "logit_lower_bound_region",
    "lowest_rounding": "logit_lower_bound_rounding",
}


@dataclass(frozen=True)
class Row:
    """A stored teacher or run: its columns, JSON already read."""

    columns: dict[str, Any]

    def __getitem__(self, name: str) -> Any:
        return self.columns[name]


def read_row(row: sqlite3.Row, folder: Path) -> Row:
    """A row with its JSON read; each of the kind it was written as."""
    columns: dict[str, Any] = {}
    for name in row.keys():  # noqa: SIM118  (a Row iterates values)
        columns[name] = row[name]
        if name not in JSON_COLUMNS:
            continue
        try:
            columns[name] = json.loads(row[name])
        except (ValueError, TypeError, RecursionError) as problem:
            raise BadStore(f"{folder}: {name} is not JSON ({type(problem).__name__})") from problem
        if not isinstance(columns[name], JSON_COLUMNS[name]):
            raise BadStore(f"{folder}: {name} holds {type(columns[name]).__name__}")
    return Row(columns)


def that_is_there(file: Path) -> Path:
    """The same database; raises `BadInput` where there is none, since looking makes nothing."""
    if not file.is_file():
        cure = "name one with --store or CFQ_STORE, or make one with: cfq run --dataset diabetes"
        raise BadInput(f"{file.parent}: no store here; {cure}")
    return file


def is_packed(file: Path) -> bool:
    """Whether a database is in no WAL mode, in which whoever opens it to write leaves it."""
    try:
        with file.open("rb") as opened:
            head = opened.read(20)
    except OSError:
        return False
    return head.startswith(MAGIC) and head[18:] != IN_WAL_MODE


def as_json(value: Any) -> str:
    """A cell of plain values."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False)
