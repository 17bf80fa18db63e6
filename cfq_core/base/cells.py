"""Tables as text that no spreadsheet runs."""

from __future__ import annotations

import re

import pandas as pd

#: First characters of a text that a spreadsheet takes for a formula; what is a plain number stays one.
FORMULA = ("=", "+", "-", "@", "\t", "\r")
NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)


def csv(rows: pd.DataFrame) -> bytes:
    """A table as CSV; text (and a heading) that a spreadsheet would run as a formula is quoted."""
    text = rows.select_dtypes(include=["object", "string"]).columns
    safe = rows.assign(**{c: rows[c].map(harmless) for c in text})
    return safe.rename(columns=harmless).to_csv(index=False).encode()


def harmless(cell: object) -> object:
    """A cell as it is, or with an apostrophe in front, by which a spreadsheet knows a text."""
    if not isinstance(cell, str) or NUMBER.fullmatch(cell):
        return cell
    text = cell.replace("\r\n", "\n").replace("\r", "\n")  # the writer quotes no return, which would end the row
    return f"'{text}" if cell.startswith(FORMULA) else text
