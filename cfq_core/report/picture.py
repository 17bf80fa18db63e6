"""A picture: the rows behind it, the chart of those rows, and the same in words.

Every file of ``charts/`` ends in ``PICTURE = Picture(...)``; the dashboard and the report find it by its name.
``rows`` takes a `Stored` and plain values only, so that a picture can be cached by them.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from cfq_core.report import fmt

CHARTS = Path(__file__).parent / "charts"


@dataclass(frozen=True)
class Picture:
    """What to draw. All three functions take the same keyword options after their first argument."""

    title: str | Callable[..., str]  # (**options), where it depends on what is asked
    rows: Callable[..., pd.DataFrame]  # (Stored, **options) -> the table behind the picture, tidy
    chart: Callable[..., Any]  # (rows, **options) -> an altair chart with explicit scales
    alt: Callable[..., str]  # (rows, **options) -> its takeaway in words, written from the rows
    note: str = ""  # how to read it: definition, unit; {interval} stands for that of the rows' seeds


@dataclass(frozen=True)
class Drawn:
    """A picture of one study: nothing is left to compute."""

    title: str
    rows: pd.DataFrame
    chart: Any  # None where there are no rows
    alt: str
    note: str


def names() -> tuple[str, ...]:
    """Every picture there is."""
    return tuple(sorted(p.stem for p in CHARTS.glob("*.py") if not p.stem.startswith("_")))


def load(name: str) -> Picture:
    """The picture of a file of ``charts/``."""
    return importlib.import_module(f"cfq_core.report.charts.{name}").PICTURE


def draw(name: str, study: Any, **options: Any) -> Drawn:
    """One picture of a stored study; without a chart where the study holds no rows for it."""
    picture = load(name)
    title = picture.title if isinstance(picture.title, str) else picture.title(**options)
    rows = picture.rows(study, **options)
    if rows.empty:
        return Drawn(title, rows, None, "Nothing stored for this picture.", picture.note)
    note = picture.note.replace("{interval}", fmt.interval(rows))
    return Drawn(title, rows, picture.chart(rows, **options), picture.alt(rows, **options), note)
