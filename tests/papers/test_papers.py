"""What is filed: whole files with their hashes, nothing invented, nothing that a browser or a spreadsheet would run."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from cfq_core.base.errors import BadInput
from cfq_core.base.shipped import gallery
from cfq_core.cli import cli
from cfq_core.evidence import SMALLEST_GROUP
from cfq_core.papers import made as module
from cfq_core.papers import sheets
from cfq_core.papers.impact import difference
from cfq_core.papers.made import FILES, SUMS, Papers
from cfq_core.papers.sheets import NOT_STATED, Stated
from cfq_core.report.frames import Stored
from cfq_core.study.store import Store

from .conftest import EVIL, FORMULA


def test_nothing_of_a_card_or_an_owner_is_markup(made: Papers, folder: Path) -> None:
    text = (folder / "papers.html").read_text(encoding="utf-8")
    assert "<script" not in text and "<img" not in text and "<b onclick" not in text
    assert "&lt;script&gt;" in text and "default-src 'none'" in text and "prefers-color-scheme: dark" in text
    assert "http" not in text.replace("http-equiv", "").replace("http://evil.example", "")


def test_no_cell_of_a_table_is_a_formula(made: Papers, folder: Path) -> None:
    inventory = pd.read_csv(folder / "inventory.csv").set_index("entry").value
    assert inventory["owner"] == f"'{FORMULA}" and inventory["purpose"] == EVIL
    for name in (n for n in FILES if n.endswith(".csv")):
        cells = pd.read_csv(folder / name, dtype=str, keep_default_na=False).to_numpy().ravel()
        assert not [c for c in cells if c.startswith(("=", "@", "\t"))], name


def test_what_nobody_stated_is_not_stated(made: Papers, folder: Path) -> None:
    assert made.inventory["tier"] == NOT_STATED and made.inventory["valid until"] == "2027-06-30"
    assert f"<td class=missing>{NOT_STATED}</td>" in (folder / "papers.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("expires", ["soon", "2027-13-01", "30.6.2027"])
def test_an_expiry_that_is_no_date_is_refused(expires: str) -> None:
    with pytest.raises(BadInput, match="is no date"):
        Stated(expires=expires)


def test_hashes_are_those_of_the_files(made: Papers, folder: Path) -> None:
    sums = dict(reversed(line.split("  ")) for line in (folder / SUMS).read_text().splitlines())
    assert set(sums) == {*FILES, "student.onnx", "teacher.onnx"} == {p.name for p in folder.iterdir()} - {SUMS}
    for name, sha256 in sums.items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == sha256
    assert made.inventory["shipped file sha256"] == sums["student.onnx"] and sums["student.onnx"] in made.decided_by


def test_the_three_forms_say_the_same(made: Papers, folder: Path) -> None:
    plain = json.loads((folder / "papers.json").read_text(encoding="utf-8"))
    assert plain["inventory"]["run"] == made.run and plain["reasons"]["denied"] == len(made.told.denied)
    impact = pd.read_csv(folder / "impact.csv")
    assert impact.approved.fillna(-1).tolist() == [
        -1 if x["approved"] is None else x["approved"] for x in plain["impact"]
    ]
    told = sum(max(1, len(p["reasons"])) for p in plain["reasons"]["people"])
    assert told == len(pd.read_csv(folder / "reasons.csv"))


def test_papers_that_could_not_be_written_have_no_hashes(
    made: Papers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = module.write_whole
    module.write(made, tmp_path)

    def fails(path: Path, content: bytes) -> None:
        if path.name == "impact.csv":
            raise BadInput("no room")
        write(path, content)

    monkeypatch.setattr(module, "write_whole", fails)
    with pytest.raises(BadInput, match="no room"):
        module.write(made, tmp_path)
    assert not (tmp_path / SUMS).exists() and not list(tmp_path.glob(".*"))


# ---------------------------------------------------------------------- tables
def test_small_groups_are_counted_and_not_judged(made: Papers) -> None:
    everybody, *groups = made.impact
    single = [x for x in groups if x["column"] == "gender"]
    assert everybody["people"] == len(made.told.logits) == sum(x["people"] for x in single)
    small = [x for x in groups if x["people"] < SMALLEST_GROUP]
    assert small and all(x["approved"] is x["shift"] is x["vd"] is None and not x["judged"] for x in small)
    for x in (x for x in made.impact if x["people"] >= SMALLEST_GROUP):
        assert x["approved_low"] <= x["approved"] <= x["approved_high"]
        assert x["shift"] == pytest.approx(x["approved"] - x["approved_original"])
    assert everybody["approved"] == pytest.approx((made.told.logits > 0).mean())


def test_a_difference_of_shares_has_the_published_interval() -> None:
    """Newcombe 1998, table II, example (a), method 10: 56 of 70 and 48 of 80."""
    found = difference(np.arange(70) < 56, np.arange(80) < 48)
    assert found == pytest.approx((0.2, 0.0524, 0.3339), abs=5e-5)
    assert difference(np.ones(29, bool), np.ones(80, bool)) == (None, None, None)


def test_challengers_are_every_method_at_the_runs_budget(evil: Store, made: Papers) -> None:
    assert [(r["method"], r["filed"]) for r in made.challengers] == [
        ("teacher", False), ("ptq", True), ("ptq_minmax", False),
    ]  # fmt: skip
    assert sheets.missing(made.challengers) == ["QAT", "CFQ"]
    run = evil.measures(made.run)
    assert made.challengers[1]["vd"] == run["vd"]["value"] and made.challengers[1]["vd_low"] is None, "one seed"
    assert [sheets.family(m) for m in ("cf_ptq", "qat_lsq", "cfq_anchored", "mine")] == ["PTQ", "QAT", "CFQ", ""]


# ---------------------------------------------------------------------- the command
def test_the_command_writes_them_and_says_where(evil: Store, run: str, tmp_path: Path) -> None:
    given = ["papers", run, "--store", str(evil.folder), "-o", str(tmp_path / "out")]
    said = CliRunner().invoke(cli, [*given, "--json"], catch_exceptions=False)
    found = json.loads(said.output)
    assert found["run"] == run and set(found["files"]) >= set(FILES)
    assert found["denied"] == sum(found[how] for how in ("alone", "together", "more", "none"))
    assert (tmp_path / "out" / SUMS).is_file()


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (["--expires", "soon"], "is no date"),
        (["--study", "nosuch"], "is not stored"),
        (["-o", "no/such/x"], "not there"),
    ],
)
def test_what_is_wrong_is_told_and_leaves_nothing(
    given: list[str], why: str, evil: Store, run: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInput, match=why):
        CliRunner().invoke(cli, ["papers", run, "--store", str(evil.folder), *given], catch_exceptions=False)
    assert not list(tmp_path.iterdir())


def test_a_store_without_test_people_says_why_there_are_none() -> None:
    view = Stored(str(gallery()), Store(gallery(), read_only=True).studies()[0]["id"], 1, read_only=True)
    with zipfile.ZipFile(io.BytesIO(module.zipped(view, view.run_rows[0]["id"], "2026-11-26"))) as found:
        assert found.namelist() == ["why-there-are-none.txt"] and b"does not keep" in found.read(found.namelist()[0])
