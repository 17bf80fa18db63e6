"""One measure of every model on people like those it was trained on, and on people none of whom were in training."""

from __future__ import annotations

from typing import Any

import pandas as pd

from cfq_core.datasets.slices import Slice, slice_of
from cfq_core.report import fmt
from cfq_core.report.charts import shifts
from cfq_core.report.frames import Stored
from cfq_core.report.picture import Picture

OWN, NEVER, SEEN = "own slice", "never seen", "taught on everybody"
HOME, GROUP = "own slice", "one group"  # series of the probe


def rows(study: Stored, dataset: str, budget: float, matched: bool = False, shown: str = "vd") -> pd.DataFrame:
    """One row a (slice, people, model) of a data set, or of one slice of it. ``shown`` as in `shifts`."""
    if study.probed.empty:
        return pd.DataFrame()
    asked = {name: s for name in dict.fromkeys(study.probed.dataset) if (s := slice_of(name))}
    parts = [
        part.assign(slice=name, where=where, label=f"{where}: {people}")
        for name, s in asked.items()
        if dataset in (name, s.base)
        for where, people, part in _populations(study, s, (budget, matched, shown))
    ]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def _populations(study: Stored, s: Slice, how: tuple[float, bool, str]) -> list[tuple[str, str, pd.DataFrame]]:
    """Held-out people of the slice, the others, and the others where another teacher was taught on everybody."""
    own, others = f"{s.column} {s.level}", f"{s.column} not {s.level}"
    own, others = (others, own) if s.without else (own, others)
    sliced = shifts.rows(study, s.name, *how)
    if sliced.empty:
        return []
    found = [(OWN, own, sliced[sliced.series == HOME]), (NEVER, others, sliced[sliced.series == shifts.PLAIN])]
    whole = shifts.rows(study, s.base, *how)
    if s.without and not whole.empty:  # only then are the others one group
        mine = (whole.series == GROUP) & (whole.label == f"{s.column}: {s.level}")
        found.append((SEEN, others, whole[mine]))
    return found


def title(shown: str = "vd", **_: Any) -> str:
    """The measure, and where."""
    return f"{fmt.measured(shown).heading} among people unlike those in training"


def alt_text(rows: pd.DataFrame, dataset: str, budget: float, matched: bool = False, shown: str = "vd") -> str:
    """Each model on each of the populations."""
    measured, parts = fmt.measured(rows.measure.iloc[-1]), []
    for (name, method), mine in rows.groupby(["slice", "method"], sort=False):
        each = ", ".join(f"{measured.format(m)} {label}" for m, label in zip(mine["mean"], mine.label, strict=True))
        parts.append(f"{method} of {name}: {each}")
    return f"{measured.title} at {fmt.bits(budget)}: {'; '.join(parts)}."


PICTURE = Picture(
    title,
    rows,
    shifts.chart,
    alt_text,
    "Teacher and student are trained on one slice of people. Own slice: held-out people of that slice. Never seen: the "
    "others, none of whom were in training; the teacher promises to them too. Taught on everybody: the same kind of "
    "people, where teacher and student were trained on all. Under 30 people are not shown. Bars: {interval}.",
)
