"""What is stored is whole, is what was put in, and is refused where it is not."""

from __future__ import annotations

import hashlib
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cfq_core.base.errors import BadStore, CfqError, UnknownName
from cfq_core.evidence import Measure
from cfq_core.study import store as storing
from cfq_core.study.store import FILE, MIGRATIONS, Store

WEIGHTS = {"codes.0": np.arange(6, dtype=np.int8).reshape(2, 3), "input_step.0": np.float32([0.1])}
PEOPLE = {"student": np.array([0.5, np.nan, -np.inf]), "person": np.array([3, 1])}
MEASURES = {"vd": Measure(0.25, 0.1, 0.4, 40), "worst_group_vd": Measure.missing(12)}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path / "store")
    yield opened
    opened.close()


def _columns(id: str, **changed: Any) -> dict[str, Any]:
    return {
        "id": id, "teacher_id": "t1", "dataset": "toy", "method": "ptq", "budget": 4.0, "seed": 0, "bits": [4, 4],
        "avg_bits": 4.0, "threshold": 0.125, "spec": {"a": [1, None]}, "groups": {"sex": {}},
    } | changed  # fmt: skip


def _fill(store: Store, runs: tuple[str, ...] = ("r1", "r2")) -> None:
    store.put_study("s1", "first look", {"seeds": [0]}, {"torch": "2"}, [(r, "t1") for r in ("r1", "r2")])
    store.put_teacher("t1", "toy", 0, {"seed": 0}, {"accuracy": 0.9, "frr": None}, {"weights.0": np.eye(2)}, PEOPLE)
    for r in runs:
        store.put_run(_columns(r), MEASURES, WEIGHTS, PEOPLE)


def test_what_is_put_in_comes_back(store: Store) -> None:
    _fill(store)
    run = store.runs("s1")[0]
    assert (run["id"], run["bits"], run["threshold"], run["spec"]) == ("r1", [4, 4], 0.125, {"a": [1, None]})
    assert store.teachers("s1")[0]["measures"] == {"accuracy": 0.9, "frr": None}
    measures = store.measures("r1")
    assert measures["vd"] == {"value": 0.25, "low": 0.1, "high": 0.4, "count": 40}
    assert measures["worst_group_vd"] == {"value": None, "low": None, "high": None, "count": 12}
    for name, put in (("weights", WEIGHTS), ("people", PEOPLE)):
        for key, array in store.arrays("r1", name).items():
            assert array.dtype == put[key].dtype
            np.testing.assert_array_equal(array, put[key])


def test_a_second_opening_finds_everything_and_migrates_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Store(tmp_path)
    _fill(first)
    first.close()
    monkeypatch.setattr(storing, "MIGRATIONS", tuple("CREATE TABLE study (x)" for _ in MIGRATIONS))
    again = Store(tmp_path)
    assert [r["id"] for r in again.runs("s1")] == ["r1", "r2"]


def test_an_appended_migration_runs_once_and_keeps_the_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = Store(tmp_path)
    _fill(first)
    first.close()
    appended = "CREATE TABLE note (study_id TEXT) STRICT; INSERT INTO note VALUES ('s1')"
    monkeypatch.setattr(storing, "MIGRATIONS", (*MIGRATIONS, appended))
    for _ in range(2):
        again = Store(tmp_path)
        assert again.db.execute("SELECT count(*) FROM note").fetchone()[0] == 1
        assert again.db.execute("PRAGMA user_version").fetchone()[0] == len(MIGRATIONS) + 1
        assert len(again.runs("s1")) == 2
        again.close()


def test_a_migration_that_fails_leaves_the_store_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = Store(tmp_path)
    _fill(first)
    first.close()
    broken = "CREATE TABLE note (study_id TEXT) STRICT; INSERT INTO nowhere VALUES (1)"
    monkeypatch.setattr(storing, "MIGRATIONS", (*MIGRATIONS, broken))
    with pytest.raises(BadStore):
        Store(tmp_path)
    monkeypatch.setattr(storing, "MIGRATIONS", MIGRATIONS)
    again = Store(tmp_path)
    assert not again.db.execute("SELECT 1 FROM sqlite_master WHERE name = 'note'").fetchall()
    assert len(again.runs("s1")) == 2


def test_migrations_are_only_appended() -> None:
    """The first one is history: a store written by the first version must open."""

    assert hashlib.sha256(" ".join(MIGRATIONS[0].split()).encode()).hexdigest()[:12] == "631e72c4324a"


def _line(place: Path) -> str:
    with pytest.raises(CfqError) as refused:
        Store(place)
    assert "\n" not in refused.value.line() and str(place) in refused.value.line()
    return refused.value.line()


def test_a_newer_schema_is_refused_in_one_line(tmp_path: Path) -> None:
    Store(tmp_path).close()
    with sqlite3.connect(tmp_path / FILE) as db:
        db.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    assert "newer version" in _line(tmp_path)


@pytest.mark.parametrize(
    "content", [b"not a database at all, only words\n" * 50, b"SQLite format 3\x00" + b"\xff" * 2000]
)
def test_a_file_that_is_no_database_is_refused_in_one_line(content: bytes, tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(content)
    _line(tmp_path)
    assert (tmp_path / FILE).read_bytes() == content, "and left as it is"


def test_a_folder_that_is_a_file_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    _line(tmp_path / "file")


@pytest.mark.parametrize("name", ["weights", "people"])
@pytest.mark.parametrize("harm", ["a byte", "the end", "all of it"])
def test_a_changed_artifact_is_refused(name: str, harm: str, store: Store) -> None:
    _fill(store)
    (path,) = (store.folder / "artifacts").rglob(f"r1-{name}.*")
    content = path.read_bytes()
    if harm == "all of it":
        path.unlink()
    else:
        path.write_bytes(content[:-1] if harm == "the end" else bytes([content[0] ^ 1]) + content[1:])
    with pytest.raises(BadStore, match="missing or changed"):
        store.arrays("r1", name)
    assert store.arrays("r2", name), "its neighbour is as it was"


def test_an_artifact_of_nobody_is_refused(store: Store) -> None:
    with pytest.raises(BadStore, match="no weights of r9"):
        store.arrays("r9", "weights")


def test_a_run_is_written_whole_or_not_at_all(store: Store) -> None:
    """Its measures are wrong: neither the run nor the measures before the wrong one stay."""
    _fill(store, runs=())
    wrong = {"vd": Measure(0.25, 0.1, 0.4, 40), "accuracy": Measure("text", None, None, 1)}  # type: ignore[arg-type]
    with pytest.raises(sqlite3.Error):
        store.put_run(_columns("r1"), wrong, WEIGHTS, PEOPLE)
    assert not store.has_run("r1")
    assert store.measures("r1") == {}
    store.put_run(_columns("r1"), MEASURES, WEIGHTS, PEOPLE)
    assert store.has_run("r1")


def test_a_run_without_its_teacher_is_refused(store: Store) -> None:
    with pytest.raises(sqlite3.IntegrityError):
        store.put_run(_columns("r1", teacher_id="nobody"), MEASURES, WEIGHTS, PEOPLE)


def test_a_stored_run_and_study_stay_as_they_are(store: Store) -> None:
    _fill(store)
    store.put_run(_columns("r1", threshold=9.0), {"vd": Measure(1.0, 1.0, 1.0, 1)}, WEIGHTS, PEOPLE)
    store.put_study("s1", "another name", {}, {}, [])
    assert store.runs("s1")[0]["threshold"] == 0.125
    assert store.measures("r1")["vd"]["value"] == 0.25
    assert store.study("s1")["name"] == "first look" and len(store.runs("s1")) == 2


def test_no_half_written_file_is_left(store: Store) -> None:
    _fill(store)
    assert not list((store.folder / "artifacts").rglob("*.part"))
    assert len(list((store.folder / "artifacts").rglob("*.*"))) == 6


def test_studies_count_what_is_finished(store: Store) -> None:
    _fill(store, runs=("r2",))
    (study,) = store.studies()
    assert (study["runs"], study["finished"]) == (2, 1)


def test_a_study_is_found_by_the_start_of_its_id_and_by_latest(store: Store) -> None:
    for id in ("abc1", "abd2"):
        store.put_study(id, id, {}, {}, [("r1", "t1")])
    assert store.study("abc")["id"] == "abc1"
    assert store.study("latest")["id"] in ("abc1", "abd2")
    for start, says in (("ab", "is the start of several"), ("x", "is not stored"), ("abd3", 'did you mean "abd2"')):
        with pytest.raises(UnknownName) as refused:
            store.study(start)
        assert says in str(refused.value) and "abc1" in str(refused.value)


def test_an_empty_store_knows_no_study(store: Store) -> None:
    assert store.studies() == []
    for id in ("latest", "", "x"):
        with pytest.raises(UnknownName, match="stored: none"):
            store.study(id)


def test_two_connections_write_side_by_side(tmp_path: Path) -> None:
    one, two = Store(tmp_path), Store(tmp_path)
    _fill(one, runs=("r1",))
    two.put_run(_columns("r2"), MEASURES, WEIGHTS, PEOPLE)
    assert [r["id"] for r in one.runs("s1")] == [r["id"] for r in two.runs("s1")] == ["r1", "r2"]


def test_numbers_that_are_no_numbers_do_not_get_in(store: Store) -> None:
    """JSON has no NaN: a program that reads it would fail later and elsewhere."""
    _fill(store, runs=())
    with pytest.raises(ValueError, match="JSON"):
        store.put_run(_columns("r1", groups={"x": float("nan")}), MEASURES, WEIGHTS, PEOPLE)
    assert not store.has_run("r1")


# ---------------------------------------------------------------------- closed
#: Has the store open as somebody might, until its input ends.
HOLDS = {
    "open": "store.studies()",
    "reading": "store.db.execute('BEGIN'); store.studies()",
    "writing": "store.db.execute('BEGIN IMMEDIATE')",
}


def _alone(store: Path, copy: Path) -> Store:
    """A copy of the one file and the artifacts, and nothing else."""
    copy.mkdir()
    shutil.copy(store / FILE, copy / FILE)
    shutil.copytree(store / "artifacts", copy / "artifacts")
    return Store(copy)


def test_a_closed_store_is_one_file(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    _fill(store)
    assert (tmp_path / "store" / f"{FILE}-wal").stat().st_size > 0
    store.close()
    assert sorted(p.name for p in (tmp_path / "store").iterdir()) == ["artifacts", FILE]
    copy = _alone(tmp_path / "store", tmp_path / "copy")
    assert [r["id"] for r in copy.runs("s1")] == ["r1", "r2"] and copy.arrays("r2", "people")
    copy.close()
    copy.close()  # and once more, as a test's end or an error's may


@pytest.mark.parametrize("how", HOLDS)
def test_a_store_is_closed_while_others_have_it_open(how: str, tmp_path: Path) -> None:
    """Never an error, nor a long wait; where nobody reads or writes at that moment, the one file holds everything."""
    store = Store(tmp_path / "store")
    _fill(store, runs=("r1",))
    code = f"import sys; from cfq_core.study.store import Store; store = Store({str(store.folder)!r})\n"
    code += "sys.stdin.readline(); " if how == "writing" else ""
    code += f"{HOLDS[how]}; print('held', flush=True); sys.stdin.readline()"
    other = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert other.stdin is not None and other.stdout is not None
    try:
        if how == "writing":
            store.put_run(_columns("r2"), MEASURES, WEIGHTS, PEOPLE)
            print(file=other.stdin, flush=True)
        assert other.stdout.readline() == "held\n"
        if how != "writing":
            store.put_run(_columns("r2"), MEASURES, WEIGHTS, PEOPLE)
        begun = time.monotonic()
        store.close()
        assert time.monotonic() - begun < 10
        if how == "open":
            assert (tmp_path / "store" / f"{FILE}-wal").stat().st_size == 0
            copy = _alone(tmp_path / "store", tmp_path / "copy")
            assert [r["id"] for r in copy.runs("s1")] == ["r1", "r2"]
            copy.close()
    finally:
        other.communicate("\n", timeout=60)
    again = Store(tmp_path / "store")
    assert [r["id"] for r in again.runs("s1")] == ["r1", "r2"], "nothing is lost"
    again.close()
    assert sorted(p.name for p in (tmp_path / "store").iterdir()) == ["artifacts", FILE]


@pytest.fixture
def first_schema(tmp_path: Path) -> Path:
    """A store as the first schema had it, with the names of then; nobody has written to it since it was packed."""
    place = tmp_path / "first"
    store = Store(place)
    _fill(store)
    store.put_artifact("t1", "bits", {"sizes": np.array([6])})
    store.put_artifact("r1", "rehearsal", {"again_cost": np.array([1.5])})
    for statement in (
        "ALTER TABLE artifact DROP COLUMN spec", "ALTER TABLE run DROP COLUMN measured", "DROP TABLE metrics",
        "PRAGMA user_version = 1", "PRAGMA journal_mode = DELETE",
    ):  # fmt: skip
        store.db.execute(statement)
    store.close()
    return place


@pytest.mark.parametrize("how", ["read", "migrated"])
def test_store_of_the_first_schema_is_read_under_the_names_of_today(first_schema: Path, how: str) -> None:
    was = (first_schema / FILE).read_bytes()
    store = Store.for_reading(first_schema) if how == "read" else Store(first_schema)
    assert store.read_only is (how == "read")
    assert [r["measured"] for r in store.runs("s1")] == ["", ""] and store.run("r1")["threshold"] == 0.125
    assert store.has_artifact("t1", "layers") and not store.has_artifact("t1", "layers", "another spec")
    assert store.arrays("t1", "layers")["sizes"] == [6] and not store.has_artifact("t1", "bits")
    assert store.arrays("r1", "training_recourse")["student_cost"] == [1.5]
    assert store.metrics("") == {} and store.measures("r1")["vd"]["value"] == 0.25
    store.close()
    assert how == "migrated" or (first_schema / FILE).read_bytes() == was
