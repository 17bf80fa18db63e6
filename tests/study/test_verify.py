"""A store is checked to the last byte: whatever was changed in it is told in a line, and nothing is written."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from cfq_core.base.errors import BadStore
from cfq_core.base.shipped import gallery
from cfq_core.cli import cli
from cfq_core.pipeline import Setting
from cfq_core.report import fmt
from cfq_core.study import store as storing
from cfq_core.study import verify
from cfq_core.study.plan import Plan
from cfq_core.study.runner import run_plan
from cfq_core.study.store import FILE, MIGRATIONS, Store
from cfq_core.study.verify import check_store


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, setting: Setting) -> Path:
    """A store with a small study."""
    folder = tmp_path_factory.mktemp("made")
    store = Store(folder)
    run_plan(Plan(("diabetes",), ("ptq",), (2.0, 4.0), (0, 1), setting), store, 0)
    store.close()
    return folder


@pytest.fixture
def mine(made: Path, tmp_path: Path) -> Path:
    """A copy to be damaged."""
    shutil.copytree(made, tmp_path / "mine")
    return tmp_path / "mine"


def everything(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Every file of a folder, when it was written and what it holds."""
    files = (p for p in folder.rglob("*") if p.is_file())
    return {str(p.relative_to(folder)): (p.stat().st_mtime_ns, p.read_bytes()) for p in files}


def sql(folder: Path, statement: str) -> None:
    with sqlite3.connect(folder / FILE) as db:
        db.execute(statement)
    db.close()


def test_a_store_that_was_just_made_is_whole(made: Path) -> None:
    before = everything(made)
    found = check_store(made)
    assert found.problems == []
    assert (found.studies, found.runs, found.teachers) == (1, 4, 2)
    assert found.files == len(before) - 1 and found.bytes == sum(len(b) for n, (_, b) in before.items() if n != FILE)
    assert everything(made) == before


def test_the_gallery_is_whole_and_stays_as_it_is() -> None:
    before = everything(gallery())
    found = check_store(gallery())
    assert found.problems == [] and found.runs > 100
    assert everything(gallery()) == before


def first(folder: Path, kind: str) -> Path:
    return sorted((folder / "artifacts").rglob(kind))[0]


def flip(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:9] + bytes([content[9] ^ 1]) + content[10:])


RUN = "(SELECT id FROM run ORDER BY id LIMIT 1)"
GROUP = {"value": 0.5, "low": 0.4, "high": 0.6, "count": 9}


def groups(**changed: Any) -> str:
    return f"UPDATE run SET groups = '{json.dumps({'sex': {'a': {'vd': GROUP | changed}}})}' WHERE id = {RUN}"


def measure(change: str, name: str = "vd") -> str:
    return f"UPDATE measure SET {change} WHERE run_id = {RUN} AND name = '{name}'"


#: What may happen to a store, and what is said of it.
DAMAGE: dict[str, tuple[Callable[[Path], Any] | str, str]] = {
    "a byte of a file": (lambda f: flip(first(f, "*-weights.*")), "is not the file that was written"),
    "the end of a file": (lambda f: first(f, "*-people.npz").write_bytes(b""), "is not the file that was written"),
    "no file": (lambda f: first(f, "*-people.npz").unlink(), "is missing"),
    "a folder": (lambda f: (first(f, "*-people.npz").unlink(), first(f, "*").mkdir(exist_ok=True)), "is missing"),
    "outside": ("UPDATE artifact SET path = '../../x' WHERE name = 'people'", "lies outside the store"),
    "absolute": ("UPDATE artifact SET path = '/etc/hostname' WHERE name = 'people'", "lies outside the store"),
    "another hash": ("UPDATE artifact SET sha256 = 'ab' WHERE name = 'weights'", "is not the file that was written"),
    "a run without a file": (f"DELETE FROM artifact WHERE name = 'weights' AND owner_id = {RUN}", "has no weights"),
    "a teacher without people": (
        "DELETE FROM artifact WHERE name = 'people' AND owner_id IN (SELECT id FROM teacher)", "has no people"),
    "no teacher": (f"UPDATE run SET teacher_id = 'nobody' WHERE id = {RUN}", "teacher nobody is not stored"),
    "another's teacher": (
        "UPDATE run SET teacher_id = (SELECT id FROM teacher WHERE seed != run.seed)", "of another data set or seed"),
    "another teacher in the study": ("UPDATE study_run SET teacher_id = 'x'", "its study names another teacher"),
    "no measures": (f"DELETE FROM measure WHERE run_id = {RUN}", "has no measures"),
    "an unknown measure": (measure("name = 'vdd'"), "measure vdd is none that this version knows"),
    "infinity": (measure("value = 9e999, low = NULL, high = NULL"), "holds what is no number"),
    "beside its interval": (measure("value = high + 0.1"), "outside its interval"),
    "an interval upside down": (measure("value = NULL, low = 0.5, high = 0.4"), "outside its interval"),
    "more than all": (measure("value = 1.2, low = NULL, high = 1.3"), "no share"),
    "a negative count": (measure("count = -1"), "counts -1"),
    "a group's value": (groups(value=0.7), "vd of sex a is 0.7, outside its interval"),
    "a group's count": (groups(count=None), "vd of sex a counts None"),
    "a group's text": (groups(low="x"), "vd of sex a holds what is no number"),
    "groups of a list": (f"UPDATE run SET groups = '[1]' WHERE id = {RUN}", "groups cannot be read"),
    "groups of numbers": ("UPDATE run SET groups = '{\"sex\": 3}'", "vd of sex  cannot be read"),
    "cut JSON": (f"UPDATE run SET spec = substr(spec, 1, 40) WHERE id = {RUN}", "spec cannot be read"),
    "a plan of nothing": ("UPDATE study SET plan = 'null'", "plan cannot be read"),
    "more bits than paid for": (f"UPDATE run SET avg_bits = 7.0 WHERE id = {RUN}", "7 on average"),
    "bits of no kind": (f"UPDATE run SET bits = '[2, 99, 2]' WHERE id = {RUN}", "bits [2, 99, 2]"),
    "no threshold": (f"UPDATE run SET threshold = 9e999 WHERE id = {RUN}", "threshold is no number"),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGE)
def test_whatever_was_changed_is_told_in_one_line_that_says_what_to_do(name: str, mine: Path) -> None:
    change, told = DAMAGE[name]
    sql(mine, change) if isinstance(change, str) else change(mine)
    before = everything(mine)
    problems = check_store(mine).problems
    assert any(told in p for p in problems), problems
    for p in problems:
        assert "\n" not in p and p.endswith((verify.AGAIN, verify.CHANGED)), p
    assert everything(mine) == before
    for command in (["check-store", str(mine)], ["check-store", str(mine), "--json"], ["doctor", "--store", str(mine)]):
        done = CliRunner().invoke(cli, command)
        assert done.exit_code == 1 and all(json.dumps(p)[1:-1] in done.output or p in done.output for p in problems)


@pytest.mark.parametrize("at", [0.2, 0.4, 0.6, 0.8, 0.97])
def test_a_damaged_database_is_told_and_breaks_nothing(at: float, mine: Path) -> None:
    content = (mine / FILE).read_bytes()
    place = int(at * len(content))
    (mine / FILE).write_bytes(content[:place] + b"\xff" * 3000 + content[place + 3000 :])
    try:
        assert check_store(mine).problems
    except BadStore as problem:
        assert "\n" not in problem.line()


@pytest.mark.parametrize("content", [b"", b"no database at all" * 99])
def test_what_is_no_store_is_one_line(content: bytes, tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(content)
    for place in (tmp_path, tmp_path / "nothing"):
        with pytest.raises(BadStore) as refused:
            check_store(place)
        assert str(place) in refused.value.line() and "\n" not in refused.value.line()


def test_an_older_schema_is_checked_and_a_newer_one_refused(mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = everything(mine)
    monkeypatch.setattr(verify, "MIGRATIONS", (*MIGRATIONS, "CREATE TABLE note (id TEXT) STRICT"))
    monkeypatch.setattr(storing, "MIGRATIONS", verify.MIGRATIONS)
    assert check_store(mine).problems == [] and everything(mine) == before
    sql(mine, f"PRAGMA user_version = {len(MIGRATIONS) + 2}")
    with pytest.raises(BadStore, match="has schema"):
        check_store(mine)


def test_what_a_killed_process_left_in_its_journal_is_checked_too(made: Path, tmp_path: Path) -> None:
    """The journal holds the damage: who looks at the one file alone sees none."""
    shutil.copytree(made, tmp_path / "live")
    writer = sqlite3.connect(tmp_path / "live" / FILE, isolation_level=None)
    writer.execute(measure("count = -1"))
    assert any("counts -1" in p for p in check_store(tmp_path / "live").problems), "beside a writer"
    shutil.copytree(tmp_path / "live", tmp_path / "left", ignore=shutil.ignore_patterns("*-shm"))
    before = everything(tmp_path / "left")
    assert f"{FILE}-wal" in before
    assert any("counts -1" in p for p in check_store(tmp_path / "left").problems)
    assert everything(tmp_path / "left") == before
    writer.close()


def test_every_measure_that_is_no_metrics_is_known() -> None:
    assert set(verify.OTHERS) == set(fmt.OTHERS)
