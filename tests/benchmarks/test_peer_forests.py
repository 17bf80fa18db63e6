"""Peers are asked about forests what our search is asked, and what is told of them follows from their answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import peer_forest_tables, peer_forests, peer_ocean, peer_tables, peer_treecf, results
from benchmarks.peer_forests import LEAST, LIBRARIES, ForestAsked, cheapest, judged, margin
from benchmarks.peer_question import Answers
from tests.benchmarks.peer_people import forest_question


@pytest.fixture(scope="module")
def asked() -> ForestAsked:
    return forest_question()


def moves(asked: ForestAsked, n: int = 200) -> tuple[np.ndarray, np.ndarray]:
    """Random legal moves."""
    random = np.random.default_rng(1)
    before = asked.people[random.integers(0, len(asked.people), n)]
    after = before.copy()
    rows = asked.table.values[random.integers(0, len(asked.table), n)]
    after[:, :3] = rows[:, :3]
    ok = asked.query.actions.legal(before, after)
    assert ok.sum() > 20
    return before[ok], after[ok]


def test_a_rounded_forest_has_few_values_and_the_forest_itself_stays(asked: ForestAsked) -> None:
    before = margin(asked.forest, asked.encoding, asked.table.values)
    for how, most in (("4", 16), ("8", 256)):
        student = peer_forests.rounded(asked.forest, asked.training, how)
        trees = [e.tree_ for e in student.estimators_]
        inner = [t.children_left >= 0 for t in trees]
        column = np.concatenate([t.feature[i] for t, i in zip(trees, inner, strict=True)])
        threshold = np.concatenate([t.threshold[i] for t, i in zip(trees, inner, strict=True)])
        assert all(len(np.unique(threshold[column == c])) <= most for c in np.unique(column))
        assert len(np.unique(np.concatenate([t.value[:, 0, 1] for t in trees]))) <= most
    assert (margin(asked.forest, asked.encoding, asked.table.values) == before).all()
    half = margin(asked.students["float16"], asked.encoding, asked.table.values)
    assert 0 < np.median(np.abs(half - before)) < 0.001


def test_every_point_is_no_dearer_than_what_our_search_finds_and_legal(asked: ForestAsked) -> None:
    pytest.importorskip("skl2onnx")
    (least, proved), (found, _) = (LIBRARIES[n][1](asked) for n in (LEAST, "blind search, kappa 0"))
    sure, ours = judged(asked, least, proved), judged(asked, found, [False] * len(proved))
    assert any(sure["answered"]) and sure["legal"] == sure["answered"] and ours["legal"] == ours["answered"]
    assert all(f > 0 for f in sure["teacher"] if f is not None)
    for cost, cheapest_cost in zip(ours["cost"], sure["cost"], strict=True):
        assert cost is None or cost >= cheapest_cost - 1e-9


def test_the_cheapest_point_is_that_of_an_enumeration_by_the_product(asked: ForestAsked) -> None:
    actions = asked.query.actions
    for i in range(5):
        own = asked.people[i]
        every = np.array([[h, s, j, own[3]] for h in range(41) for s in range(4) for j in range(4)])
        own = np.tile(own, (len(every), 1))
        ok = actions.legal(own, every) & (margin(asked.forest, asked.encoding, every) > 0)
        found = cheapest(asked, i)
        assert (found is not None) == ok.any()
        if found is not None:
            assert actions.cost(own[:1], found[None])[0] == pytest.approx(actions.cost(own, every)[ok].min())


def test_the_distance_of_treecf_is_our_cost(asked: ForestAsked) -> None:
    told = peer_treecf.cost(asked)
    weights = np.array([told["weights"][peer_treecf.name(k)] for k in range(asked.encoding.width)])
    before, after = moves(asked)
    moved = np.abs(asked.encoding.encode(after) - asked.encoding.encode(before))
    distance = (weights * moved / told["normalizers"]).sum(1)
    assert distance == pytest.approx(asked.query.actions.cost(before, after))


def test_the_forest_that_ocean_is_given_decides_every_person_the_same(asked: ForestAsked) -> None:
    unit = peer_ocean.units(asked)
    moved = peer_ocean.between(asked, unit)
    inputs = asked.encoding.encode(asked.table.values)
    mine = asked.forest.predict_proba(inputs.astype(np.float32))
    assert (moved.predict_proba((inputs * unit).astype(np.float32)) == mine).all()
    before, after = moves(asked)
    numbers = [asked.encoding.starts[i] for i in asked.query.actions.numbers]
    paid = (np.abs(asked.encoding.encode(after) - asked.encoding.encode(before)) * unit)[:, numbers].sum(1)
    switched = (before[:, 2] != after[:, 2]).astype(float)
    assert paid + switched == pytest.approx(asked.query.actions.cost(before, after))


@pytest.mark.parametrize("backend", ["genetic", "exact"])
def test_treecf_keeps_to_the_box_and_proves_the_least(asked: ForestAsked, backend: str) -> None:
    pytest.importorskip("treecf")
    told, proved = peer_treecf.treecf(backend)(asked)
    found = judged(asked, told, proved)
    assert found["legal"] == found["answered"]
    least = judged(asked, *peer_forests.every_point(asked))
    for claimed, cost, cheapest_cost in zip(proved, found["cost"], least["cost"], strict=True):
        assert not claimed or cost == pytest.approx(cheapest_cost, abs=1e-3)


def record(library: str, **changed: Any) -> dict[str, Any]:
    """Three people: a kept promise, a broken one, and nobody's answer."""
    made = {
        "library": library, "version": "2", "seed": 1, "cpu": 3.0, "answered": [True, True, False],
        "legal": [True, True, False], "cost": [1.0, 4.0, None], "teacher": [0.1, 0.2, None],
        "proved": [False, True, False], "students": {"4": [0.3, -0.1, None]},
    }  # fmt: skip
    return made | changed


def stored(tmp_path: Path, **found: Any) -> Path:
    path = tmp_path / "peers.json"
    path.write_text(json.dumps(found))
    return path


def test_the_row_of_a_library_on_forests_is_what_its_record_says(tmp_path: Path) -> None:
    students = {
        "1": {"teacher": {"accuracy": 0.85, "approved": 0.15}, "4": {"cut": 0.5, "shift": -0.01, "shift_matched": 0}}
    }
    least = record(LEAST, answered=[True] * 3, legal=[True] * 3, cost=[1.0, 3.0, 2.0], teacher=[0.1] * 3,
                   students={"4": [0.1] * 3})  # fmt: skip
    path = stored(tmp_path, table="adult", forest_students=students, forests=[least, record("A")])
    text = peer_forest_tables.section(path)
    row = next(line for line in text.split("\n") if line.startswith("| A |"))
    assert row == "| A | 2 | 1.000 | 2 of 3 | 1.000 | 1.000 | 2.50 | 1.250 | 1 of 2 | 1 | 0.500 / 1.000 |"
    assert "true of a promise: A 0 of 1." in text


def test_verdicts_that_differ_are_counted(tmp_path: Path) -> None:
    told = {"seed": 1, "version": "0.2", "box": [4, 5, 6, 7], "points": [4, 5, 6, 8], "ours": [True, False, True, None],
            "ours_cpu": 0.4, "reachml": [True, False, False, True], "reachml_cpu": 4.0}  # fmt: skip
    text = peer_forest_tables.section(stored(tmp_path, table="adult", verdicts=[told]))
    assert "| 4 | 1 | 1 | 1 | 0 | 1 | 0.100 | 1.000 |" in text and "for 3 of 4" in text
    assert peer_forest_tables.section(tmp_path / "none.json") == ""


def test_an_answer_off_the_rules_is_no_promise(asked: ForestAsked) -> None:
    worse = asked.people[0].copy()
    worse[3] = 1 - worse[3]  # a fixed column
    found = judged(asked, Answers([worse] + [None] * (len(asked.people) - 1), 0.0), [False] * len(asked.people))
    assert found["answered"][0] and not found["legal"][0] and found["cost"][0] is None


def test_it_stands_among_the_results() -> None:
    assert "peer_forest_tables" in results.PROGRAMS


def test_the_committed_numbers_have_every_seed_and_the_section_shows_them() -> None:
    numbers = peer_tables.read()
    names = {r["library"] for r in numbers["forests"]}
    assert names == set(LIBRARIES)
    for name in names:
        assert {str(r["seed"]) for r in numbers["forests"] if r["library"] == name} == set(numbers["forest_students"])
    section = peer_forest_tables.section()
    assert all(f"| {name} |" in section for name in names)
    assert f"| {sum(len(r['ours']) for r in numbers['verdicts'])} |" in section
