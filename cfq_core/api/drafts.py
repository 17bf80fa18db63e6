"""A drafted card as a notebook shows it, with the table it was drafted from."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cfq_core.api import shown
from cfq_core.base.door import path_of
from cfq_core.report.files import write_whole


@dataclass(frozen=True)
class CardDraft:
    """A card's text, what only you can answer, what to mend, and the table it was drafted from."""

    card: str  # TOML
    questions: tuple[str, ...]
    problems: tuple[str, ...]
    rows: int
    columns: int
    content: bytes = field(repr=False)
    file: str  # of the table

    def as_dict(self) -> dict[str, Any]:
        """The card as a dict, to answer its questions in Python: ``feature`` is a list of dicts."""
        return tomllib.loads(self.card)

    def save(self, path: str | Path) -> Path:
        """Write the card, and beside it the table under the name that the card gives; gives the card's path."""
        out = path_of(path, "save", "path")
        table = out.parent / str(self.as_dict()["csv"])
        if not table.is_file() or table.read_bytes() != self.content:
            write_whole(table, self.content)
        write_whole(out, self.card.encode())
        return out

    def __str__(self) -> str:
        return self.card

    def _repr_html_(self) -> str:
        lists = [("To answer", self.questions), ("To mend", self.problems)]
        told = [shown.heading(f"{self.file}: {self.rows:,} rows, {self.columns} columns")]
        told += [shown.listed(title, lines) for title, lines in lists if lines]
        return shown.block(*told, shown.pre(self.card))
