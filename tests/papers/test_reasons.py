"""Every reason changes the decision on the shipped file, run by nothing of ours; where nothing does, none is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pandas as pd
import pytest

from cfq_core.actions.action_set import ActionSet
from cfq_core.base.shipped import shipped
from cfq_core.datasets.card import read_card
from cfq_core.papers.made import Papers
from cfq_core.papers.reasons import WORDS, Denied, reasons_of
from cfq_core.papers.shipped import Shipped
from cfq_core.tables.schema import Table

PROTECTED = ("age", "gender")


# ---------------------------------------------------------------------- on the file, by numpy and onnxruntime alone
class File:
    """The shipped file, people encoded as its own metadata says."""

    def __init__(self, path: Path) -> None:
        self.session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
        self.inputs = json.loads(self.session.get_modelmeta().custom_metadata_map["cfq"])["inputs"]

    def logits(self, rows: pd.DataFrame, side: str) -> np.ndarray:
        parts = []
        for i in self.inputs:
            cells = rows[f"{side} {i['name']}"]
            places = [i["levels"].index(c) for c in cells] if i["levels"] else cells.astype(float)
            if i["kind"] == "category":
                parts.append(np.eye(len(i["levels"]))[places])
                continue
            x = np.log1p(np.array(places, float)) if i["log"] else np.array(places, float)
            parts.append(((x - i["mean"]) / i["std"])[:, None])
        given = self.session.get_inputs()[0]
        kind = np.float64 if given.type == "tensor(double)" else np.float32
        found = self.session.run(["logit"], {given.name: np.concatenate(parts, axis=1).astype(kind)})[0]
        return np.asarray(found, float).reshape(-1)


@pytest.fixture(scope="module")
def rows(made: Papers, folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "reasons.csv", keep_default_na=False, dtype=str)


def test_every_reason_of_the_table_changes_the_decision_on_the_file(folder: Path, rows: pd.DataFrame) -> None:
    file, told = File(folder / "student.onnx"), rows[rows["rank"] != ""]
    assert len(told) > 20 and (file.logits(rows, "before") <= 0).all()
    assert np.allclose(file.logits(rows, "before"), rows.logit.astype(float), atol=1e-4)
    assert (file.logits(told, "after") > 0).all()
    assert told.groupby("person").size().max() <= 4
    names = [i["name"] for i in file.inputs]
    for row in told.to_dict("records"):
        changed = [n for n in names if row[f"before {n}"] != row[f"after {n}"]]
        assert row["feature"] in changed and not set(changed) & set(PROTECTED)
        if row["answer"] == WORDS["alone"]:
            assert changed == [row["feature"]], "this card has no columns that follow"
            continue
        for name in changed:  # of a set each is needed
            assert file.logits(pd.DataFrame([row | {f"after {name}": row[f"before {name}"]}]), "after")[0] <= 0


def test_the_cheapest_reason_comes_first_and_everybody_denied_is_there(made: Papers, rows: pd.DataFrame) -> None:
    assert set(rows.person.astype(int)) == set(np.flatnonzero(made.told.logits <= 0))
    for d in made.told.denied:
        costs = [r.cost for r in d.reasons]
        assert costs == sorted(costs) and (d.how in ("alone", "together")) == bool(costs)


def test_the_integers_give_the_same_reasons_where_no_runtime_is_installed(
    evil: Any, run: str, made: Papers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cfq_core.papers import made as module
    from cfq_core.papers.sheets import Stated

    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None)
    found, files = module.papers(evil, run, tmp_path, Stated(), "2026-11-26")
    assert "audited integers" in found.decided_by and "student.onnx" not in files
    assert found.inventory["shipped file"].startswith("none was written")
    same = [(d.how, [(r.feature, r.after.tolist()) for r in d.reasons]) for d in found.told.denied]
    assert same == [(d.how, [(r.feature, r.after.tolist()) for r in d.reasons]) for d in made.told.denied]


# ---------------------------------------------------------------------- made decisions
@pytest.fixture(scope="module")
def table() -> Table:
    return read_card(shipped("cards") / "example.toml")


def decided(table: Table, decide: Any, known: np.ndarray | None = None, people: int = 12) -> list[Denied]:
    """Reasons of the first people where ``decide`` is the model: counts of the card's features -> approved."""
    names = [f.name for f in table.schema.features]

    def logits(rows: np.ndarray) -> np.ndarray:
        return np.where(decide({n: rows[:, i] for i, n in enumerate(names)}), 1.0, -1.0)

    model = Shipped("made", logits, lambda rows: logits(rows)[None])
    denied = np.flatnonzero(logits(table.values[:people]) <= 0)
    assert len(denied)
    actions = ActionSet.fit(table.schema, table.values)
    rows = {} if known is None else {int(k): known[k] for k in denied}
    return reasons_of(table.values[:people], denied, actions, model, table.values, rows)


def test_nobody_has_reasons_where_nothing_approves(table: Table) -> None:
    found = decided(table, lambda x: x["income"] < 0)
    assert {d.how for d in found} == {"none"} and not any(d.reasons or d.decides for d in found)


def test_a_protected_column_is_told_to_reviewers_and_is_no_reason(table: Table) -> None:
    gender = [f.name for f in table.schema.features].index("gender")
    found = decided(table, lambda x: x["gender"] == 0)
    assert {d.how for d in found} == {"none"} and not any(d.reasons for d in found)
    assert all(d.decides == {gender: 0} for d in found)


def test_a_number_is_told_to_the_very_step_at_which_it_approves(table: Table) -> None:
    for d in decided(table, lambda x: x["income"] >= 3000):
        assert d.how == "alone" and [int(r.after[r.feature]) for r in d.reasons] == [3000]


def test_two_changes_of_which_neither_is_enough_are_told_together(table: Table) -> None:
    own = table.values[:12, 4]
    months = {int(m) for m in own}
    found = decided(table, lambda x: (x["months"] <= 5 + min(months)) & (x["income"] >= 3000))
    both = [d for d in found if d.before[4] > 5 + min(months) and d.before[0] < 3000]
    assert both and all(d.how == "together" and {r.feature for r in d.reasons} == {0, 4} for d in both)
    assert all(r.after[0] >= 3000 and r.after[4] <= 5 + min(months) for d in both for r in d.reasons)


def test_more_changes_than_are_told_are_no_reasons(table: Table) -> None:
    """Told of where the audit knows an action; else nothing is known."""
    goal, least = np.array([5000, 3, 0, 5, 6, 0]), [4000, 3, 0, 0, 0, 0]
    most = [10**6, 3, 5, 9, 8, 0]
    names = [f.name for f in table.schema.features][:6]

    def decide(x: dict[str, np.ndarray]) -> np.ndarray:
        return np.all([(a <= x[n]) & (x[n] <= b) for n, a, b in zip(names, least, most, strict=True)], axis=0)

    before, known = table.values[:12, :6], table.values[:12].copy()
    known[:, :6] = goal
    needs = ((before < least) | (before > most)).sum(1)
    blind, found = decided(table, decide), decided(table, decide, known)
    assert (needs > 4).any() and ((needs > 1) & (needs <= 4)).any()
    for d in (d for d in blind if needs[d.person] > 4):
        assert d.how == "none" and not d.reasons
    for d in found:
        assert d.how == ("more" if needs[d.person] > 4 else "together" if needs[d.person] > 1 else "alone")
        assert len(d.reasons) == (0 if d.how == "more" else needs[d.person])
