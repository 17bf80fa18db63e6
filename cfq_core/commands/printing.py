"""Answers on the terminal: aligned columns, or one JSON object."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import click


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Rows below their head, each column as wide as its widest cell; an empty head is left out."""
    cells = [[str(c) for c in row] for row in ([list(head)] if head else []) + [list(r) for r in rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))] if cells else []
    for row in cells:
        click.echo("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip())


def print_json(value: Any) -> None:
    """One line of JSON; a number that is nan is an error, for JSON has none."""
    click.echo(json.dumps(value, allow_nan=False))
