"""Results as HTML for a notebook. Everything that comes from a table, a card or a file is escaped."""

from __future__ import annotations

import html
from collections.abc import Iterable

import pandas as pd

MOST_ROWS = 60  # of a table in a notebook


def block(*parts: str) -> str:
    """Parts below each other."""
    return f'<div class="cfq">{"".join(p for p in parts if p)}</div>'


def heading(text: str) -> str:
    """A line in bold."""
    return f"<p><strong>{html.escape(text)}</strong></p>"


def line(text: str) -> str:
    """A paragraph."""
    return f"<p>{html.escape(text)}</p>" if text else ""


def listed(title: str, lines: Iterable[str]) -> str:
    """A list under its title."""
    return f"<p>{html.escape(title)}</p><ul>" + "".join(f"<li>{html.escape(x)}</li>" for x in lines) + "</ul>"


def pre(text: str) -> str:
    """Text as it stands."""
    return f"<details><summary>card</summary><pre>{html.escape(text)}</pre></details>"


def table(frame: pd.DataFrame) -> str:
    """A DataFrame without its index; numbers in four digits."""
    return str(
        frame.to_html(index=False, border=0, escape=True, max_rows=MOST_ROWS, na_rep="–", float_format="{:.4g}".format)
    )
