"""Advice from anywhere: told legal or not, priced, and judged on every stored model."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cfq_core import cli
from cfq_core.base.errors import BadInput
from cfq_core.recourse.find import logits64
from cfq_core.study.check import Advice, Judge, advice_of, advice_text, check, judges_of, read_advice
from cfq_core.study.plan import read_plan
from cfq_core.study.runner import run_plan
from cfq_core.study.store import Store

PLAN = {"datasets": ["toy"], "methods": ["ptq"], "bits": [2, 8], "seeds": 2, "hidden": [8, 8], "people": 40}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    opened = Store(tmp_path_factory.mktemp("check"))
    run_plan(read_plan(PLAN, "check"), opened, workers=0)
    return opened


@pytest.fixture(scope="module")
def judges(store: Store) -> list[Judge]:
    return judges_of(store, "latest")


def written(path: Path, judges: list[Judge], before: np.ndarray, after: np.ndarray) -> Path:
    features = judges[0].design.table.schema.features

    def words(row: np.ndarray) -> list[str]:
        return [
            f.levels[c] if f.levels else repr(float(f.raw(np.array([c]))[0]))
            for f, c in zip(features, row, strict=True)
        ]

    with path.open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(["person", "state", *(f.name for f in features)])
        for i, (old, new) in enumerate(zip(before, after, strict=True)):
            out.writerow([f"p{i}", "before", *words(old)])
            changed = [w if a != b else "" for w, a, b in zip(words(new), old, new, strict=True)]
            out.writerow([f"p{i}", "after", *changed])
    return path


def test_stored_promises_are_found_legal_at_their_cost_and_valid_where_the_study_says(
    store: Store, judges: list[Judge], tmp_path: Path
) -> None:
    teacher = store.teachers(store.study("latest")["id"])[0]
    people = store.arrays(teacher["id"], "people")
    found = people["why"] == 0
    path = written(tmp_path / "a.csv", judges, people["before"][found], people["after"][found])
    advice = read_advice(path, judges[0].design.table.schema)
    np.testing.assert_array_equal(advice.before, people["before"][found])
    np.testing.assert_array_equal(advice.after, people["after"][found])
    verdicts = check(advice, judges)
    mine = [j for j in judges if j.design.seed == teacher["seed"]]
    own = check(advice, mine)
    assert all(v.legal for v in own)
    np.testing.assert_allclose([v.cost for v in own], people["cost"][found])
    np.testing.assert_allclose([v.models[0].logit for v in own], people["margin"][found])
    runs = {r["budget"]: r for r in store.runs(store.study("latest")["id"]) if r["teacher_id"] == teacher["id"]}
    for k, j in enumerate(mine[1:], 1):
        stored = store.arrays(runs[j.bits]["id"], "people")["student_at"][found]
        np.testing.assert_allclose([v.models[k].logit for v in own], stored)
    assert len(verdicts[0].models) == len(judges) == 6
    assert {m.approved for v in verdicts for m in v.models} == {True, False}


def test_advice_is_written_as_it_is_read(judges: list[Judge]) -> None:
    schema, values = judges[0].design.table.schema, judges[0].design.table.values
    given = Advice(("a", "b, c", "3"), values[:3], values[3:6])
    again = advice_of(advice_text(given, schema), schema, "text")
    assert again.person == given.person
    np.testing.assert_array_equal(again.before, given.before)
    np.testing.assert_array_equal(again.after, given.after)


def test_what_cannot_be_done_is_told_by_feature(judges: list[Judge]) -> None:
    design = judges[0].design
    before = design.table.values[:20]
    after = before.copy()
    for i, f in enumerate(design.actions.schema.features):
        after[:, i] += 10**6 if not f.levels else 0
        if f.levels:
            after[:, i] = (after[:, i] + 1) % len(f.levels)
    verdicts = check(Advice(tuple(map(str, range(20))), before, after), judges[:1])
    assert not any(v.legal for v in verdicts)
    fixed = [f for f in design.actions.schema.features if f.move == "fixed"]
    assert fixed
    for v in verdicts:
        assert len(v.changes) == len(design.actions.schema.features)
        for f in fixed:
            assert any(line.startswith(f"{f.words}: ") and "cannot be changed" in line for line in v.objections)
    legal = design.actions.legal(before, after)
    assert not legal.any()


def test_objections_are_raised_exactly_where_an_action_is_not_legal(judges: list[Judge]) -> None:
    design = judges[0].design
    random = np.random.default_rng(0)
    before = design.table.values[random.integers(0, len(design.table), 300)]
    after = before.copy()
    for i, f in enumerate(design.actions.schema.features):
        step = random.integers(-8, 9, 300) * (random.random(300) < 0.4)
        after[:, i] = (after[:, i] + step) % len(f.levels) if f.levels else after[:, i] + step
    verdicts = check(Advice(tuple(map(str, range(300))), before, after), judges[:1])
    legal = design.actions.legal(before, after)
    assert [v.legal for v in verdicts] == legal.tolist()
    assert legal.any() and not legal.all()
    logits = logits64(judges[0].model, 0, design.encoding, after)
    np.testing.assert_array_equal([v.models[0].logit for v in verdicts], logits)


def _good(judges: list[Judge], tmp_path: Path) -> str:
    values = judges[0].design.table.values[:1]
    return written(tmp_path / "good.csv", judges, values, values).read_text()


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda t: "", "is empty"),
        (lambda t: t.replace("state", "status"), "no feature"),
        (lambda t: t.splitlines()[0], "0 rows below the header"),
        (lambda t: "\n".join(t.splitlines()[:2]), "1 rows below the header"),
        (lambda t: t.replace("before", "now"), 'state "now"'),
        (lambda t: t + "x,before\n", "cells; the header has"),
        (lambda t: t.splitlines()[0] + "\n" + ",before" + ",nan" * 9, "cells; the header has"),
        (lambda t: '"' + t, "not a CSV"),
    ],
)
def test_a_bad_file_is_one_line(spoil: Callable[[str], str], words: str, judges: list[Judge], tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=words) as caught:
        advice_of(spoil(_good(judges, tmp_path)), judges[0].design.table.schema, "a.csv")
    assert "\n" not in caught.value.line() and "a.csv" in caught.value.line()


@pytest.mark.parametrize("cell", ["nan", "1e400", "many", "", "0.123456789", "-inf"])
def test_a_cell_that_is_no_value_is_told_with_its_row(cell: str, judges: list[Judge], tmp_path: Path) -> None:
    rows = [r.split(",") for r in _good(judges, tmp_path).splitlines()]
    number = next(i for i, f in enumerate(judges[0].design.table.schema.features) if not f.levels)
    rows[1][2 + number] = cell
    with pytest.raises(BadInput, match=r"row 2: .* = "):
        advice_of("\n".join(",".join(r) for r in rows), judges[0].design.table.schema, "a.csv")


def test_the_command_prints_json_and_words(
    store: Store, judges: list[Judge], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    values = judges[0].design.table.values[:2]
    path = written(tmp_path / "a.csv", judges, values, values)
    base = ["cfq", "check", "--action", str(path), "--store", str(store.folder)]
    monkeypatch.setattr("sys.argv", [*base, "--json"])
    cli.main()
    found = json.loads(capsys.readouterr().out)
    assert [a["person"] for a in found["advice"]] == ["p0", "p1"]
    assert {m["bits"] for m in found["advice"][0]["models"]} == {2.0, 8.0, 32.0}
    monkeypatch.setattr("sys.argv", base)
    cli.main()
    out = capsys.readouterr().out
    assert "legal" in out and "ptq at 2 bits: approved by" in out
    for wrong, words in ((["--action", "none.csv"], "cannot be read"), (["--dataset", "adult"], "no data set")):
        monkeypatch.setattr("sys.argv", [*base, *wrong])
        with pytest.raises(SystemExit) as leaving:
            cli.main()
        told = capsys.readouterr().err
        assert leaving.value.code == 2 and words in told and told.count("\n") == 1
