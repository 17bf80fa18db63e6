"""What is told of peers follows from what each of them told each person."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks import peer_tables


def record(library: str, seed: int = 1, **changed: Any) -> dict[str, Any]:
    """Four people: a kept promise, a broken one, one that the teacher refuses, one that breaks a rule."""
    made = {
        "library": library, "version": "1", "seed": seed, "cpu": 2.0, "answered": [True, True, True, True],
        "legal": [True, True, True, False], "cost": [2.0, 4.0, 1.0, None], "teacher": [0.5, 0.1, -0.1, 3.0],
        "students": {"ptq 4": [0.4, -0.2, 1.0, 1.0]},
    }  # fmt: skip
    return made | changed


def found(*libraries: dict[str, Any]) -> dict[str, Any]:
    """Numbers of these libraries and no quantizers."""
    moved = {"ptq 4": {"cut": 0.45, "shift": 0.01, "shift_matched": 0.0}}
    seeds = {str(r["seed"]): moved for r in libraries}
    return {"table": "adult", "people": 4, "students": seeds, "libraries": list(libraries), "quantizers": [],
            "not_run": {"Slow": {"version": "9", "why": "OSError: no"}}}  # fmt: skip


def cells(text: str, name: str) -> list[str]:
    """A row of a table, by its first cell."""
    return next(row.strip("| ").split(" | ") for row in text.split("\n") if row.startswith(f"| {name} |"))


def test_a_promise_is_legal_and_approved_and_only_promises_can_break() -> None:
    r = record("A")
    assert peer_tables.promises(r) == [True, True, False, False]
    assert peer_tables.broken(r, "ptq 4") == 0.5
    assert peer_tables.broken(r, "ptq 4", cut=0.45) == 1.0
    assert peer_tables.broken(record("A", legal=[False] * 4), "ptq 4") is None


def test_the_row_of_a_library_is_what_its_record_says() -> None:
    least = record(peer_tables.CHEAPEST, cost=[1.0, 1.0, 1.0, 1.0], teacher=[0.1] * 4, legal=[True] * 4)
    shown = peer_tables.libraries_table(found(least, record("A", version="7")))
    assert cells(shown, "A") == [
        "A", "7", "0.500", "1.000", "0.750", "0.750", "2 of 4", "3.00", "3.00", "0.30", "0.500 / 1.000"
    ]  # fmt: skip
    assert "the 2 all serve" in shown


def test_a_library_asked_about_fewer_people_is_compared_on_them() -> None:
    few = record("Few", **{k: record("x")[k][:1] for k in ("answered", "legal", "cost", "teacher")},
                 students={"ptq 4": [-1.0]})  # fmt: skip
    everybody = peer_tables.served_by_all([record(peer_tables.CHEAPEST), few])
    assert everybody == {1: [True]}
    assert cells(peer_tables.libraries_table(found(record(peer_tables.CHEAPEST), few)), "Few")[6:9] == [
        "1 of 1", "2.00", "1.00"
    ]  # fmt: skip


def test_an_interval_over_seeds_stands_in_table_and_picture() -> None:
    other = record("A", seed=2, students={"ptq 4": [0.4, 0.2, 1.0, 1.0]})
    (row,) = peer_tables.picture_rows(found(record("A"), other), ["ptq 4"])
    assert (row["at"], row["low"], row["high"], row["library"]) == (25.0, 0.0, 100.0, "A (n = 4)")


def test_the_most_lasting_advice_is_named_first_with_its_cost() -> None:
    least = record(peer_tables.CHEAPEST, cost=[1.0] * 4, teacher=[0.1] * 4, legal=[True] * 4)
    lasting = record("B", students={"ptq 4": [0.4, 0.2, 1.0, 1.0]})
    text = peer_tables.survivors(found(least, record("A"), lasting))
    assert "B: 0 (3.00 times, n = 2); exact, kappa 0: 25 (1.00 times, n = 4); A: 50 (3.00 times, n = 2)" in text


def test_what_does_not_run_is_told() -> None:
    assert "- Slow 9: not run: `OSError: no`" in peer_tables.not_run(found(record("A")))
    assert "- DiCE genetic: not run yet" in peer_tables.not_run(found(record("A")))
    assert "genetic" not in peer_tables.not_run(found(record("DiCE genetic")))


def test_numbers_are_written_as_they_are_read(tmp_path: Path) -> None:
    path = tmp_path / "peers.json"
    peer_tables.write(found(record("A"), record("B")), path)
    assert peer_tables.read(path) == found(record("A"), record("B"))
    assert path.read_text(encoding="utf-8").count("\n") == 11
    assert peer_tables.section(tmp_path / "none.json") == ""


@pytest.mark.parametrize("name", ["search, kappa 0", "search, kappa 0.2", "exact, kappa 0", "DiCE random"])
def test_the_committed_numbers_have_every_seed_and_the_section_shows_them(name: str) -> None:
    numbers = peer_tables.read()
    mine = [r for r in numbers["libraries"] if r["library"] == name]
    assert {str(r["seed"]) for r in mine} == set(numbers["students"])
    told = sum(sum(peer_tables.promises(r)) for r in mine)
    assert cells(peer_tables.section(), name)[6] == f"{told} of {sum(len(r['answered']) for r in mine)}"
