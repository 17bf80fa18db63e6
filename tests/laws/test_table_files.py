"""One table by any door: CSV, gzip, Parquet, a workbook or a DataFrame give the same people and the same identity."""

from __future__ import annotations

import gzip
import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cfq_core.api import tables
from cfq_core.base.errors import BadCard
from cfq_core.datasets.card import parse_card
from cfq_core.datasets.draft import draft
from cfq_core.tables.schema import Table

ROWS = 80
CARD = """
name = "loans"
title = "Loans"
csv = "loans.csv"
target = "status"
favourable = true
reference = 2024-01-01
{head}
[[feature]]
name = "income"
kind = "number"
step = 0.01
missing = "indicator"
[[feature]]
name = "months"
kind = "integer"
missing = "median"
[[feature]]
name = "home"
kind = "category"
missing = "level"
[[feature]]
name = "since"
kind = "date"
immutable = true
"""


def _frame() -> pd.DataFrame:
    random = np.random.default_rng(7)
    income = (random.random(ROWS) * 9000).round(2)
    frame = pd.DataFrame(
        {
            "income": income,
            "months": random.integers(6, 60, ROWS).astype(float),
            "home": random.choice(["rent, furnished", 'own "house"', "é ß 中"], ROWS),
            "since": pd.date_range("2010-03-01", periods=ROWS, freq="31D"),
            "status": income + random.normal(0, 900, ROWS) > 4500,
        }
    )
    for column in ("income", "months", "home"):
        frame.loc[random.random(ROWS) < 0.1, column] = None
    return frame


FRAME = _frame()


def _parquet(frame: pd.DataFrame) -> bytes:
    out = io.BytesIO()
    frame.to_parquet(out)
    return out.getvalue()


def _workbook(frame: pd.DataFrame, *more: str) -> bytes:
    pytest.importorskip("openpyxl")
    out = io.BytesIO()
    with pd.ExcelWriter(out, engine="openpyxl") as writer:
        frame.to_excel(writer, index=False, sheet_name="people")
        for name in more:
            pd.DataFrame({"note": [name]}).to_excel(writer, index=False, sheet_name=name)
    return out.getvalue()


def _csv(frame: pd.DataFrame) -> bytes:
    return frame.to_csv(index=False).encode()


def _gzip(frame: pd.DataFrame) -> bytes:
    half = len(text := _csv(frame)) // 2
    return gzip.compress(text[:half]) + gzip.compress(text[half:])  # two members, as `cat a.gz b.gz` makes


DOORS: dict[str, Callable[[pd.DataFrame], bytes]] = {"csv": _csv, "gz": _gzip, "parquet": _parquet, "xlsx": _workbook}


def read(content: bytes | str, head: str = "") -> Table:
    return parse_card(CARD.format(head=head), content, "loans.toml", "loans.csv")


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("head", ["", 'delimiter = ";"\ndecimal = ","'])
def test_one_table_by_any_door_is_one_table(door: str, head: str, tmp_path: Path) -> None:
    expected = tables.read_card(_card(tmp_path, head), FRAME)
    content = DOORS[door](FRAME)
    if head and door in ("csv", "gz"):
        content = FRAME.to_csv(index=False, sep=";", decimal=",").encode()
    table = read(content, head)
    assert table.fingerprint() == expected.fingerprint()
    pd.testing.assert_frame_equal(table.frame(), expected.frame())
    known = FRAME.income.notna().to_numpy()
    np.testing.assert_array_equal(table.frame().income[known], FRAME.income[known])


def _card(folder: Path, head: str) -> Path:
    (folder / "loans.toml").write_text(CARD.format(head=head), encoding="utf-8")
    return folder / "loans.toml"


@pytest.mark.parametrize("door", DOORS)
def test_a_draft_is_the_same_by_any_door(door: str) -> None:
    frame = FRAME.drop(columns="since").dropna().reset_index(drop=True)
    found, expected = (draft(made(frame), "loans.x", "status", ["True"]) for made in (DOORS[door], _csv))
    assert found == expected


def test_a_workbook_with_several_sheets_is_asked_which() -> None:
    content = _workbook(FRAME, "notes")
    with pytest.raises(BadCard, match='2 sheets with cells \\("people", "notes"\\); say which in the card, sheet'):
        read(content)
    assert read(content, 'sheet = "people"').fingerprint() == read(_csv(FRAME)).fingerprint()
    with pytest.raises(BadCard, match='sheet = "x"; one of "people", "notes"'):
        read(content, 'sheet = "x"')


def _zip() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as packed:
        packed.writestr("loans.csv", _csv(FRAME))
    return out.getvalue()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (gzip.compress(_csv(FRAME))[:-40], "cut off"),
        (b"\x1f\x8b" + b"x" * 40, "cannot be unpacked"),
        (b"PAR1" + b"x" * 40, "cannot be read as Parquet"),
        (_parquet(FRAME)[:-30], "cannot be read as Parquet"),
        (b"PK\x03\x04" + b"x" * 40, "cannot be unpacked"),
        (_zip(), "is a zip file; unpack it"),
    ],
)
def test_a_broken_file_is_one_line(content: bytes, says: str) -> None:
    for use in (read, lambda c: draft(c, "loans.csv", "status")):
        with pytest.raises(BadCard) as refused:
            use(content)
        assert says in str(refused.value) and "\n" not in str(refused.value)


def test_a_file_that_unpacks_to_more_than_a_table_may_have_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cfq_core.datasets.table_files.MAX_CSV", 1000)
    with pytest.raises(BadCard, match="once it is unpacked"):
        read(gzip.compress(b"x" * 10_000))


def test_a_workbook_without_its_extra_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "openpyxl", None)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as packed:
        packed.writestr("xl/workbook.xml", "")
    with pytest.raises(BadCard, match=r"cfq\[xlsx\]"):
        read(out.getvalue())
