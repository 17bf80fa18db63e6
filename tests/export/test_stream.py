"""A table read in parts gives the whole table's counts, however large the parts are and whatever the file's kind."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from scipy.stats import kstest
from sklearn.ensemble import GradientBoostingClassifier

from cfq_core.base.errors import BadCard, CfqError
from cfq_core.cli import cli
from cfq_core.datasets.card import card_of, read_card
from cfq_core.datasets.new_rows import KnownTable
from cfq_core.datasets.parts import Known, Part, parts_of
from cfq_core.datasets.pieces import Piece
from cfq_core.evidence import group_cells
from cfq_core.export import stream as streamed
from cfq_core.export.audit import AuditOptions, PairAudit, audit_pair
from cfq_core.export.spread import EVERYBODY
from cfq_core.export.stream import COUNTED, Draw, Streamed, measured, stream, with_bands
from cfq_core.models.read import ModelFile, parse_model

from .conftest import CARD
from .made import trees

CSV = CARD.with_suffix(".csv")
OPTIONS = AuditOptions(rows="all", people=5, n_reaudited=2)


@pytest.fixture(scope="module")
def whole(pair: tuple[ModelFile, ModelFile]) -> Streamed:
    return stream(CSV, CARD, *pair, OPTIONS)


def test_counts_are_those_of_an_audit_of_all_rows(pair: tuple[ModelFile, ModelFile], whole: Streamed) -> None:
    e = audit_pair(read_card(CARD), *pair, OPTIONS).seen.raw
    teacher, student = e.teacher > 0, e.student > 0
    each = [np.ones(len(teacher), bool), teacher, student, student & ~teacher, teacher & ~student,
            teacher == e.outcome, student == e.outcome]  # fmt: skip
    due = {(c.column, c.level): [int(x[c.members].sum()) for x in each] for c in group_cells(e.groups)}
    due[EVERYBODY] = [int(x.sum()) for x in each]
    assert {k: v.tolist() for k, v in whole.counts.items()} == due
    assert whole.counts[EVERYBODY][COUNTED.index("gained")] + whole.counts[EVERYBODY][COUNTED.index("lost")] > 0


@pytest.mark.parametrize("size", [1, 97])
def test_no_answer_depends_on_the_size_of_a_part(
    size: int, pair: tuple[ModelFile, ModelFile], whole: Streamed, tmp_path: Path
) -> None:
    few = tmp_path / "few.csv"
    few.write_text("".join(CSV.read_text().splitlines(True)[: 61 if size == 1 else None]))
    one, other = (stream(few, CARD, *pair, OPTIONS, n) for n in (size, 10**6))
    assert {k: v.tolist() for k, v in one.counts.items()} == {k: v.tolist() for k, v in other.counts.items()}
    assert one.rows == other.rows > 0


@pytest.fixture(scope="module")
def audited(pair: tuple[ModelFile, ModelFile]) -> PairAudit:
    return audit_pair(read_card(CARD), *pair, replace(OPTIONS, people=None))


@pytest.mark.parametrize("size", [97, 10**6])
def test_all_who_are_refused_are_told_and_lose_what_an_audit_of_all_rows_says(
    size: int, pair: tuple[ModelFile, ModelFile], audited: PairAudit
) -> None:
    found = stream(CSV, CARD, *pair, replace(OPTIONS, people=None), size)
    e, refused = audited.seen.raw, audited.promise.person
    each = [np.ones(len(refused), bool), e.has_recourse, e.has_recourse & (e.student_at <= 0)]
    due = {(c.column, c.level): [int(x[c.members[refused]].sum()) for x in each] for c in group_cells(e.groups)}
    assert {k: v.tolist() for k, v in found.recourse.items() if k != EVERYBODY} == {
        k: v for k, v in due.items() if v[0]
    }
    asked, promised, broken = found.recourse[EVERYBODY].tolist()
    assert [asked, promised, broken] == [int(x.sum()) for x in each] and promised > broken > 0
    told = found.as_json()["everybody"]
    assert told["vd"] == broken / promised and told["vd_low"] < told["vd"] < told["vd_high"]
    assert (
        f"{promised} were promised approval (kappa = 0.2 logits), of these promises the student breaks {broken} ("
        in found.words
    )


def test_a_sample_asks_the_rows_that_are_drawn(
    pair: tuple[ModelFile, ModelFile], audited: PairAudit, tmp_path: Path
) -> None:
    drawn, refused = Draw(60), np.flatnonzero(audited.promise.logits <= 0)
    drawn.add(refused)
    e, rows = audited.seen.raw, np.isin(audited.promise.person, drawn.rows)
    due = [60, int(e.has_recourse[rows].sum()), int((e.has_recourse & (e.student_at <= 0))[rows].sum())]
    pd.read_csv(CSV).to_parquet(tmp_path / "t.parquet", row_group_size=70)
    (tmp_path / "gz.csv").write_bytes(gzip.compress(CSV.read_bytes()))
    for path, size in ((CSV, 97), (tmp_path / "t.parquet", 64), (tmp_path / "gz.csv", 10**6)):
        found = stream(path, CARD, *pair, replace(OPTIONS, people=60), size)
        assert found.recourse[EVERYBODY].tolist() == due, path
        assert f"of {len(refused)} people whom the teacher refuses 60 (drawn with seed 0) asked" in found.words
    everybody = stream(CSV, CARD, *pair, replace(OPTIONS, people=10**6))
    assert everybody.recourse[EVERYBODY][0] == len(refused)


def test_a_draw_depends_on_the_rows_alone_and_is_even() -> None:
    rows = np.flatnonzero(np.random.default_rng(0).random(300_000) < 0.7)
    whole, parts = Draw(2000), Draw(2000)
    whole.add(rows)
    for some in np.array_split(rows, [1, 17, 90_000, 90_001, 150_000]):
        parts.add(some)
    assert set(whole.rows) == set(parts.rows) <= set(rows) and len(set(whole.rows)) == 2000
    assert kstest(np.searchsorted(rows, whole.rows) / len(rows), "uniform").pvalue > 0.01


def test_files_that_are_no_layers_are_asked_without_gradients(tmp_path: Path) -> None:
    table, files = read_card(CARD), []
    for name, depth in (("t.onnx", 4), ("s.onnx", 1)):
        made = GradientBoostingClassifier(n_estimators=8, max_depth=depth, random_state=0)
        made.fit(table.values.astype(np.float32), table.outcome)
        files.append(parse_model(trees(made, len(table.schema.features)), name))
    options = replace(OPTIONS, people=None, layout="levels", output="logit", kappa=0.0)
    found = stream(CSV, CARD, files[0], files[1], options)
    e, refused = (of := audit_pair(table, files[0], files[1], options)).seen.raw, of.promise.person
    due = [len(refused), e.has_recourse.sum(), (e.has_recourse & (e.student_at <= 0)).sum()]
    assert found.recourse[EVERYBODY].tolist() == due and due[2] > 0


def test_a_file_that_changes_under_way_is_refused_in_one_line(
    pair: tuple[ModelFile, ModelFile], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(CSV.read_bytes())
    asked = streamed._looked_up

    def cut_before(path: Path, known: Known, rows: np.ndarray) -> np.ndarray:
        path.write_text("".join(CSV.read_text().splitlines(True)[:5]))
        return asked(path, known, rows)

    monkeypatch.setattr(streamed, "_looked_up", cut_before)
    with pytest.raises(CfqError, match="has changed since it was counted"):
        stream(path, CARD, *pair, replace(OPTIONS, people=60))


def parts(path: Path, size: int) -> list[Part]:
    return list(parts_of(Piece(path), Known(card_of(CARD), KnownTable.of(read_card(CARD)), size)))


def test_parts_are_the_cards_own_rows_and_parquet_is_read_alike(tmp_path: Path) -> None:
    table = read_card(CARD)
    pd.read_csv(CSV).to_parquet(tmp_path / "t.parquet")
    (tmp_path / "gz.csv").write_bytes(gzip.compress(CSV.read_bytes()))
    for path in (CSV, tmp_path / "t.parquet", tmp_path / "gz.csv"):
        found = parts(path, 150)
        assert [p.rows for p in found] == [len(p.outcome) for p in found] == [150, 150, 100]
        assert np.array_equal(np.concatenate([p.values for p in found]), table.values)
        assert np.array_equal(np.concatenate([p.outcome for p in found]), table.outcome)


@pytest.mark.parametrize(
    ("was", "now", "why"),
    [(",rent,", ",palace,", 'row 302: "palace" is not a level'), (",rent,", ",,", "is a missing value"),
     (",rent,", ",rent,1,", "row 302 has 11 cells"), ("\n", "\n\n", "row 302 is empty")],
)  # fmt: skip
def test_a_row_that_is_wrong_is_told_with_its_place_in_the_file(was: str, now: str, why: str, tmp_path: Path) -> None:
    lines = CSV.read_text().splitlines(keepends=True)
    at = 301 if was == "\n" else next(i for i in range(301, 400) if was in lines[i])
    wrong = lines[at].replace(was, now) if was != "\n" else f"\n{lines[at]}"
    (tmp_path / "t.csv").write_text("".join([*lines[:301], wrong, *lines[301:]]))
    with pytest.raises(BadCard, match=why):
        parts(tmp_path / "t.csv", 100)


@pytest.mark.parametrize("name", ["none.csv", "empty.csv", "bytes.csv", "no.parquet", "book.csv", "cut.csv"])
def test_what_is_no_table_is_refused_in_one_line(name: str, tmp_path: Path) -> None:
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "bytes.csv").write_bytes(b"income,\xff\xfe\n")
    (tmp_path / "no.parquet").write_bytes(b"PAR1 not")
    (tmp_path / "book.csv").write_bytes(b"PK\x03\x04 of something")
    (tmp_path / "cut.csv").write_bytes(gzip.compress(CSV.read_bytes())[:-500])
    with pytest.raises(BadCard, match=name):
        parts(tmp_path / name, 100)


def test_groups_of_numbers_are_cut_at_the_median_of_the_whole_table() -> None:
    table = read_card(CARD)
    assert with_bands(table) == table.schema, "this card names its bands"


def test_small_groups_are_counted_and_not_judged() -> None:
    assert "shift" not in measured(np.array([29, 20, 20, 0, 0, 20, 20]))
    found = measured(np.array([1000, 500, 520, 30, 10, 800, 790]))
    assert found["shift"] == pytest.approx(0.02) and found["flip_rate"] == pytest.approx(0.04)
    paired = np.repeat([1.0, -1.0, 0.0], [30, 10, 960])
    assert found["shift_high"] - 0.02 == pytest.approx(1.959964 * paired.std() / np.sqrt(1000))


def test_the_command_tells_both(pair: tuple[ModelFile, ModelFile], whole: Streamed, tmp_path: Path) -> None:
    for name, file in zip(("t.onnx", "s.onnx"), pair, strict=True):
        (tmp_path / name).write_bytes(file.content)
    given = ["audit", "--card", str(CARD), "--teacher", str(tmp_path / "t.onnx"), "--student", str(tmp_path / "s.onnx")]
    said = CliRunner().invoke(cli, [*given, "--people", "5", "--stream", str(CSV), "--json"], catch_exceptions=False)
    found = json.loads(said.output)["stream"]
    assert found["rows"] == whole.rows == 400 and found["everybody"] == whole.as_json()["everybody"]
