"""A table that others count in pieces gives the counts of one process, wherever it is cut and whatever cannot be."""

from __future__ import annotations

import gzip
import json
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from cfq_core.base.errors import BadCard, CfqError
from cfq_core.cli import cli
from cfq_core.datasets.card import card_of, read_card
from cfq_core.datasets.new_rows import KnownTable
from cfq_core.datasets.parts import Known, cut, parts_of
from cfq_core.datasets.pieces import Piece
from cfq_core.export import spread
from cfq_core.export.audit import AuditOptions
from cfq_core.export.stream import stream
from cfq_core.models.read import ModelFile
from cfq_core.study.executors import Inline, dask_executor

from .conftest import CARD

CSV = CARD.with_suffix(".csv")
OPTIONS = AuditOptions(rows="all", people=5, n_reaudited=2)
ROWS = CSV.read_text().splitlines()
KNOWN = Known(card_of(CARD), KnownTable.of(read_card(CARD)), 64)
#: The same rows, written in other ways.
WRITTEN: dict[str, bytes] = {
    "plain": CSV.read_bytes(),
    "crlf": "\r\n".join([*ROWS, ""]).encode(),
    "bom": b"\xef\xbb\xbf" + CSV.read_bytes(),
    "no last line end": CSV.read_bytes().rstrip(),
    "quoted": "\n".join(",".join(f'"{cell}"' for cell in row.split(",")) for row in ROWS).encode(),
    "sep": b"sep=,\n" + CSV.read_bytes(),
    "gzip": gzip.compress(CSV.read_bytes()),
    "empty lines at the end": CSV.read_bytes() + b"\n\n\n",
    "old line ends": CSV.read_bytes().replace(b"\n", b"\r"),
}
#: The last piece ends with rows that may or may not be; the first, if small, has no header.
UNSURE = {"empty lines at the end": (1, 700, 10**6), "sep": (1,)}


@pytest.mark.parametrize("written", WRITTEN)
@pytest.mark.parametrize("size", [1, 700, 10**6])
def test_pieces_are_the_rows_of_the_file(written: str, size: int, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(WRITTEN[written])
    whole = [*parts_of(Piece(tmp_path / "t.csv"), KNOWN)]
    pieces = [*cut(tmp_path / "t.csv", KNOWN, size)]
    assert all(p.stop is not None for p in pieces)
    if size in UNSURE.get(written, ()):
        with pytest.raises(BadCard, match="is empty"):
            [list(parts_of(p, KNOWN)) for p in pieces]
        return
    found = [part for p in pieces for part in parts_of(p, KNOWN)]
    np.testing.assert_array_equal(*(np.concatenate([p.values for p in of]) for of in (found, whole)))
    np.testing.assert_array_equal(*(np.concatenate([p.outcome for p in of]) for of in (found, whole)))
    if written != "old line ends":  # they are not seen: one piece
        assert len(pieces) == len(ROWS) if size == 1 else (len(pieces) > 9) == (size == 700)


def test_row_groups_are_pieces(tmp_path: Path) -> None:
    pd.read_csv(CSV).to_parquet(tmp_path / "t.parquet", row_group_size=30)
    pieces = [*cut(tmp_path / "t.parquet", KNOWN)]
    assert [(p.start, p.stop, p.rows) for p in pieces] == [
        (0, 3, 0), (3, 6, 90), (6, 9, 180), (9, 12, 270), (12, 14, 360),
    ]  # fmt: skip
    found = [part for p in pieces for part in parts_of(p, KNOWN)]
    np.testing.assert_array_equal(np.concatenate([p.values for p in found]), read_card(CARD).values)


Said = Callable[[Path], "tuple[object, list[str]]"]


@pytest.fixture
def apart(pair: tuple[ModelFile, ModelFile], monkeypatch: pytest.MonkeyPatch) -> Said:
    """What is counted in pieces of 700 bytes, and what is told."""
    monkeypatch.setattr(spread, "cut", lambda path, known, size: cut(path, replace(known, size=64), 700))

    def of(path: Path) -> tuple[object, list[str]]:
        told: list[str] = []
        found = stream(path, CARD, *pair, OPTIONS, executor=Inline(), told=told.append)
        return {**found.as_json(), "seconds": 0}, told

    return of


def test_a_line_break_in_a_cell_is_found_and_counted_alike(
    apart: Said, pair: tuple[ModelFile, ModelFile], tmp_path: Path
) -> None:
    head, *rows = [f"{row},remark" if k == 0 else f'{row},"said\nmuch, ""twice"""' for k, row in enumerate(ROWS)]
    (tmp_path / "t.csv").write_text("\n".join([head, *rows]))
    due = stream(tmp_path / "t.csv", CARD, *pair, OPTIONS).as_json() | {"seconds": 0}
    found, told = apart(tmp_path / "t.csv")
    assert json.dumps(found) == json.dumps(due) and due["rows"] == 400
    assert len(told) == 1 and "one process reads it" in told[0]
    (tmp_path / "plain.csv").write_bytes(CSV.read_bytes())
    found, told = apart(tmp_path / "plain.csv")
    assert json.dumps(found) == json.dumps(due | {"file": "plain.csv"}) and not told


def test_everybody_is_asked_by_whoever_reads_them(apart: Said, pair: tuple[ModelFile, ModelFile]) -> None:
    everybody = replace(OPTIONS, people=None)
    one, other = (stream(CSV, CARD, *pair, everybody, executor=e).as_json() for e in (None, Inline()))
    assert json.dumps(one | {"seconds": 0}) == json.dumps(other | {"seconds": 0})
    assert one["everybody"]["asked"] == one["rows"] - one["everybody"]["teacher"] > 60


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("wrong", ["a,b", '"open', "", "\xff"])
def test_a_mistake_is_told_as_by_one_process(
    wrong: str, packed: bool, apart: Said, pair: tuple[ModelFile, ModelFile], tmp_path: Path
) -> None:
    data = "\n".join([*ROWS[:301], wrong, *ROWS[301:]]).encode("latin-1")
    (tmp_path / "t.csv").write_bytes(gzip.compress(data) if packed else data)
    with pytest.raises(BadCard) as due:
        stream(tmp_path / "t.csv", CARD, *pair, OPTIONS)
    with pytest.raises(BadCard) as found:
        apart(tmp_path / "t.csv")
    assert str(found.value) == str(due.value)
    if wrong in ("a,b", ""):
        assert "row 302" in str(due.value)


def test_a_worker_that_sees_another_file_or_none_refuses_in_one_line(tmp_path: Path) -> None:
    for name in ("t.csv", "t.parquet"):
        path = tmp_path / name
        pd.read_csv(CSV).to_csv(path, index=False) if name == "t.csv" else pd.read_csv(CSV).to_parquet(path)
        piece = [*cut(path, KNOWN, 700)][-1]
        piece.check()
        with pytest.raises(CfqError, match=r"a worker cannot read it .* shared folder"):
            replace(piece, path=tmp_path / "none").check()
        path.write_bytes(path.read_bytes()[:-30] + b"x" * 30)
        with pytest.raises(CfqError, match="another file where a worker runs"):
            piece.check()
    with pytest.raises(CfqError, match="a worker has"):
        spread.count_piece(None, piece, "onnxruntime 0.1")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("given", "why"),
    [(["--workers", "2"], "--stream FILE"), (["--stream", str(CSV), "--scheduler", "here"], "an address such as"),
     (["--stream", str(CSV), "--scheduler", "tcp://127.0.0.1:9"], "no Dask scheduler answers")],
)  # fmt: skip
def test_what_cannot_be_asked_is_one_line(
    given: list[str], why: str, pair: tuple[ModelFile, ModelFile], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("distributed", reason="the cluster extra is not installed")
    monkeypatch.setattr("cfq_core.study.executors.CONNECT_TIMEOUT", 1)
    said = CliRunner().invoke(cli, [*_asked(pair, tmp_path), *given])
    assert isinstance(said.exception, CfqError) and why in str(said.exception)


def _asked(pair: tuple[ModelFile, ModelFile], folder: Path) -> list[str]:
    files = [folder / name for name in ("t.onnx", "s.onnx")]
    for path, file in zip(files, pair, strict=True):
        path.write_bytes(file.content)
    return ["audit", "--card", str(CARD), "--teacher", str(files[0]), "--student", str(files[1]), "--people", "5",
            "--rows", "all"]  # fmt: skip


@pytest.mark.gate
def test_a_cluster_counts_alike_and_a_killed_worker_loses_nothing(
    pair: tuple[ModelFile, ModelFile], tmp_path: Path, two_workers: Any
) -> None:
    large = tmp_path / "large.csv"
    large.write_text("\n".join([ROWS[0], *(row for _ in range(900) for row in ROWS[1:])]))
    packed = tmp_path / "packed.csv"
    packed.write_bytes(gzip.compress(large.read_bytes()))
    pd.read_csv(large).to_parquet(tmp_path / "large.parquet", row_group_size=70_000)
    asked = _asked(pair, tmp_path)
    for path in (large, packed, tmp_path / "large.parquet"):
        printed = []
        for given in ([], ["--scheduler", two_workers.scheduler_address]):
            given = [*asked, "--stream", str(path), "--json", *given]
            said = CliRunner().invoke(cli, given, catch_exceptions=False)
            printed.append(json.dumps(json.loads(said.stdout)["stream"] | {"seconds": 0}))
        assert printed[0] == printed[1] and '"rows": 360000' in printed[0]
    killed = []

    def kill_one(question: object, pieces: object, executor: object) -> object:
        for n, each in enumerate(in_order(question, pieces, executor)):  # type: ignore[arg-type]
            if n == 1:
                killed.append(next(iter(two_workers.workers.values())).pid)
                os.kill(killed[0], signal.SIGKILL)
            yield each

    in_order, spread._in_order = spread._in_order, kill_one  # type: ignore[assignment]
    try:
        with dask_executor(two_workers.scheduler_address) as executor:
            found = stream(large, CARD, *pair, OPTIONS, executor=executor)
    finally:
        spread._in_order = in_order
    assert killed and found.rows == 360_000 and found.as_json()["everybody"]["asked"] == 5
    assert found.as_json()["everybody"] == json.loads(printed[0])["everybody"]
