"""A table with anything wrong in it is drafted whole, or refused in one line; the drafted card reads all of it."""

from __future__ import annotations

import os
import tomllib
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cfq_core.base.errors import BadCard
from cfq_core.datasets.card import parse_card
from cfq_core.datasets.draft import draft

MORE = int(os.environ.get("CFQ_FUZZ", "1"))  # times as many examples
ROWS = 70
MARKS = [
    '"', ",", ";", "\n", "\r\n", "\t", "\0", "'", "=", "é", " ", "NA", "?", "1.234", "1,5", "-", "03/04/2021",
    "ß\u2028", "1e999", "١", "\ufeff", "x" * 300, '"a\nb"', "€", "%", "{", "\\", "[[feature]]",
]  # fmt: skip


def _rows() -> list[list[str]]:
    random = np.random.default_rng(0)
    income = random.integers(1000, 9000, ROWS)
    status = np.where(income + random.integers(0, 4000, ROWS) > 6000, "repaid", "failed")
    home, day = random.choice(["rent", "own", ""], ROWS), random.integers(1, 28, ROWS)
    rate = random.random(ROWS)
    return [
        ["income", "rate", "home", "since", "status"],
        *(
            [str(i), f"{r:.12g}", h, f"2021-03-{d:02d}", s]
            for i, r, h, d, s in zip(income, rate, home, day, status, strict=True)
        ),
    ]


BEGIN = _rows()


@st.composite
def tables(draw: st.DrawFn) -> bytes:
    """The table above with cells, rows, columns, marks and bytes changed."""
    rows = [list(row) for row in BEGIN]
    for _ in range(draw(st.integers(0, 4))):
        kind = draw(st.sampled_from(["cell", "column", "row", "twice", "short", "name"]))
        i, j = draw(st.integers(0, len(rows) - 1)), draw(st.integers(0, 4))
        mark = draw(st.sampled_from(MARKS))
        if kind == "cell":
            rows[i] = [c if k != j else c + mark for k, c in enumerate(rows[i])]
        elif kind == "column":
            rows = [[c if k != j else draw_one(c, mark, n) for k, c in enumerate(r)] for n, r in enumerate(rows)]
        elif kind == "row":
            rows.insert(i, [mark] * draw(st.integers(0, 6)))
        elif kind == "twice":
            rows = rows[:1] + rows[1:] * 2
        elif kind == "short":
            rows[i] = rows[i][:-1]
        else:
            rows[0] = [c if k != j else mark for k, c in enumerate(rows[0])]
    text = draw(st.sampled_from(["\n", "\r\n"])).join(draw(st.sampled_from([",", ";", "\t"])).join(r) for r in rows)
    data = text.encode(draw(st.sampled_from(["utf-8", "utf-16", "cp1252"])), errors="replace")
    cut = draw(st.integers(0, len(data))) if draw(st.integers(0, 5)) == 0 else len(data)
    return data[:cut]


def draw_one(cell: str, mark: str, row: int) -> str:
    """Every third cell of a column changed, its name kept."""
    return mark if row and row % 3 == 0 else cell


def whole(data: bytes) -> None:
    """The law: one line, or all of the table."""
    try:
        found = draft(data, "t.csv", "status", ["repaid"])
    except BadCard as problem:
        assert "\n" not in str(problem) and str(problem)
        return
    lines = [line for line in _text(data).splitlines() if line.strip()]
    if b'"' not in data and not any(c in _text(data) for c in "\x1c\x1d\x1e\x85\u2028\x0b\x0c"):
        assert found.rows == len(lines) - 1
    tomllib.loads(found.card)
    try:
        table = parse_card(found.card, data, "t.toml", "t.csv")
    except BadCard as problem:
        assert "\n" not in str(problem) and str(problem)
        return
    assert len(table) <= found.rows
    gone = found.rows - len(table)
    assert not gone or "left out" in " ".join(table.warnings)


def _text(data: bytes) -> str:
    for encoding in ("utf-16",) if data[:2] in (b"\xff\xfe", b"\xfe\xff") else ("utf-8", "cp1252", "latin-1"):
        try:
            return data.decode(encoding).rstrip()
        except UnicodeDecodeError:
            continue
    return ""


@settings(max_examples=60, deadline=timedelta(seconds=30), suppress_health_check=list(HealthCheck))
@given(tables())
def test_a_mutated_table_is_drafted_whole_or_refused_in_one_line(data: bytes) -> None:
    whole(data)


@pytest.mark.gate
@settings(max_examples=3000 * MORE, deadline=timedelta(seconds=60), suppress_health_check=list(HealthCheck))
@given(tables())
def test_many_mutated_tables(data: bytes) -> None:
    whole(data)


@pytest.mark.parametrize("rows", [1, 2, 30])
@pytest.mark.parametrize("column", [0, 2, 4])
def test_rows_that_an_open_quote_swallows_are_told(rows: int, column: int) -> None:
    table = [list(row) for row in BEGIN]
    table[5][column] = '"' + table[5][column]
    table[5 + rows][column] += '"'
    data = "\n".join(",".join(row) for row in table).encode()
    with pytest.raises(BadCard, match=f"row 6: a cell holds {rows + 1} lines that look like rows"):
        draft(data, "t.csv", "status", ["repaid"])
