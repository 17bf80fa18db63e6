"""Whoever has the two files and the table can recompute, person by person, what an audit says."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pandas as pd
import pytest
from click.testing import CliRunner

import cfq_core as cfq
from cfq_core.base import cells
from cfq_core.base.errors import BadInput
from cfq_core.cli import cli
from cfq_core.datasets.card import read_card
from cfq_core.report import html, pair

from .conftest import CARD
from .made import network


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two files, the answer as JSON, the CSV and the page."""
    folder = tmp_path_factory.mktemp("people")
    width = encoded([{f.name: 0.0 if not f.levels else f.levels[0] for f in read_card(CARD).schema.features}]).shape[1]
    for name, seed in (("t", 0), ("s", 3)):
        (folder / f"{name}.onnx").write_bytes(network(width, seed=seed))
    kept = [f"--csv={folder}/p.csv", f"--html={folder}/p.html", f"--store={folder}/store", "--json"]
    ran = CliRunner().invoke(cli, [*command(folder), *kept], catch_exceptions=False)
    (folder / "answer.json").write_text(ran.output)
    return folder


def command(folder: Path) -> list[str]:
    """Random networks know nothing of outcomes: all is said of them."""
    files = [f"--{role}={folder / name}.onnx" for role, name in (("teacher", "t"), ("student", "s"))]
    said = ["--favourable=high", "--output=logit", "--layout=standardised", "--people=60"]
    return ["audit", f"--card={CARD}", *files, *said]


def encoded(people: list[dict[str, Any]]) -> np.ndarray:
    """The card's design, standardised on the whole table, without our own encoder."""
    table = read_card(CARD)
    frame, parts = table.frame(), []
    for f in table.schema.features:
        column = [p[f.name] for p in people]
        if f.kind == "category":
            parts.append(np.array([[c == level for level in f.levels] for c in column], float))
            continue
        place = lambda c, f=f: f.levels.index(c) if f.levels else float(c)  # noqa: E731
        all_, mine = (np.array([place(c) for c in some], float) for some in (frame[f.name], column))
        all_, mine = (np.log1p(x) if f.log else x for x in (all_, mine))
        parts.append(((mine - all_.mean()) / all_.std())[:, None])
    return np.concatenate(parts, 1)


def test_every_number_of_a_person_comes_back_from_onnxruntime_alone(folder: Path) -> None:
    answer = json.loads((folder / "answer.json").read_text())
    people = answer["per_person"]
    assert len(people) == answer["people"] == 60
    for role in ("teacher", "student"):
        running = onnxruntime.InferenceSession(folder / f"{role[0]}.onnx")
        for at in ("before", "after"):
            logits = running.run(None, {"x": encoded([p[at] for p in people]).astype(np.float32)})[0][:, 0]
            told = [p[role][at] for p in people]
            some = [t is not None for t in told]
            np.testing.assert_allclose(logits[some], [t for t in told if t is not None], rtol=1e-4, atol=1e-4)
            if (role, at) == ("student", "after"):
                assert [p["holds"] for p in people] == [z > 0 if s else None for z, s in zip(logits, some, strict=True)]
    holds = [p["holds"] for p in people if p["holds"] is not None]
    assert answer["measures"]["vd"] == pytest.approx(1 - np.mean(holds)) and 0 < np.mean(holds) < 1
    assert all(p["teacher"]["before"] <= 0 < p["teacher"]["after"] for p in people if p["told"])
    assert all((p["holds"] is False) == ("optimisation all" in p["refused_when"]) for p in people)
    assert not any(p["teacher_refuses_when"] for p in people)


def test_rows_are_those_of_the_file(folder: Path) -> None:
    with (CARD.parent / "example.csv").open(newline="", encoding="utf-8") as file:
        lines = list(csv.reader(file))
    for p in json.loads((folder / "answer.json").read_text())["per_person"]:
        typed = dict(zip(lines[0], lines[p["row"] - 1], strict=True))
        for name, cell in p["before"].items():
            assert cell == typed[name].strip() if isinstance(cell, str) else cell == float(typed[name])


def test_the_table_and_the_page_say_the_same(folder: Path) -> None:
    people = json.loads((folder / "answer.json").read_text())["per_person"]
    table = pd.read_csv(folder / "p.csv", keep_default_na=False)
    assert table["row"].tolist() == [p["row"] for p in people]
    assert table["told"].tolist() == ["; ".join(p["told"]) for p in people]
    assert table["holds"].tolist() == ["" if p["holds"] is None else str(p["holds"]) for p in people]
    page = (folder / "p.html").read_text()
    listed = page.split("<h3>People")[1].split("</table>")[0]
    assert listed.count("<td class=w>no</td>") == sum(p["holds"] is False for p in people)
    assert "60 of 60 people, those whose promise breaks first" in page and "<script" not in page


def test_the_command_keeps_a_study_whose_numbers_are_the_printed_ones(folder: Path) -> None:
    answer = json.loads((folder / "answer.json").read_text())
    found = cfq.open_study("latest", store=folder / "store")
    assert answer["study"] == found.id and found.stored.row["name"].startswith("s.onnx against t.onnx on ")
    measures = found.stored.measures.set_index("measure").value
    for name, value in answer["measures"].items():
        assert value is None or measures[name] == value, name
    told = pair.told(found.stored, found.stored.runs.run[0])
    assert told == answer["per_person"] and cells.csv(pair.frame(told)) == (folder / "p.csv").read_bytes()
    seen = found.stored.people(found.stored.runs.run[0])
    assert [h if r else None for h, r in zip(seen.holds, seen.has_recourse, strict=True)] == [p["holds"] for p in told]
    pages = html.page(found.stored), (folder / "p.html").read_text()
    words = [re.sub("<svg.*?</svg>", "", p, flags=re.DOTALL).split('<section id="made">')[0] for p in pages]
    assert words[0] == words[1]


def test_a_store_that_cannot_be_written_is_told_in_a_line(folder: Path) -> None:
    with pytest.raises(BadInput, match=r"p\.csv: a file; a store is a folder"):
        CliRunner().invoke(cli, [*command(folder), "--store", str(folder / "p.csv")], catch_exceptions=False)


def test_no_spreadsheet_runs_a_cell_or_a_heading_and_numbers_stay_numbers() -> None:
    words = ["=1+1", "+x", "-2+3+cmd|A0", "@a", "\tb", "\rc", "plain", "-2.5", "+3"]
    text = cells.csv(pd.DataFrame({"=evil": words, "number": np.arange(9) - 4.0})).decode()
    back = list(csv.reader(io.StringIO(text, newline="")))
    assert back[0] == ["'=evil", "number"]
    assert [r[0] for r in back[1:]] == ["'=1+1", "'+x", "'-2+3+cmd|A0", "'@a", "'\tb", "'\nc", "plain", "-2.5", "+3"]
    assert [float(r[1]) for r in back[1:]] == list(np.arange(9) - 4.0)
