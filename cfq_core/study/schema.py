"""The store's tables, and how what older versions wrote is read."""

from __future__ import annotations

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
