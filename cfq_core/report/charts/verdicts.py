"""Method x budget: one measure as a heat table, its number in every cell."""

from __future__ import annotations

from typing import Any

import altair as alt
import pandas as pd

from cfq_core.report import fmt, palette
from cfq_core.report.frames import Stored
from cfq_core.report.picture import Picture

DARK = 0.62  # of the range: from here on a cell's number is white, so that it passes 4.5:1 on either side
ROW, AXIS = 28, 70  # pixels a row; and of the axis, which the page counts in


def rows(study: Stored, dataset: str, measure: str = "vd") -> pd.DataFrame:
    """One row a (method, budget)."""
    return study.measured_lines(dataset, measure)


def chart(rows: pd.DataFrame, dataset: str, measure: str = "vd") -> Any:
    """A cell's colour and number are the mean over seeds; what is lenient or cannot be matched carries a mark."""
    measured = fmt.measured(measure)
    cells = rows.assign(
        value=rows["mean"] * measured.scale,
        bits=rows.budget.map("{:g}".format),
        text=[
            f"{measured.scale * m:.1f}{mark}" if pd.notna(m) else "–"
            for m, mark in zip(rows["mean"], _marks(rows), strict=True)
        ],
    )
    top = 100.0 if measured.share else float(max(1.0, cells.value.max()))
    grid = alt.Chart(cells).encode(
        x=alt.X(
            "bits:N",
            title="budget (bits per weight)",
            sort=list(dict.fromkeys(cells.bits)),
            axis=alt.Axis(labelAngle=0, orient="top"),
        ),
        y=alt.Y("method:N", title=None, sort=list(dict.fromkeys(cells.method)), axis=alt.Axis(labelLimit=0)),
        tooltip=[
            alt.Tooltip("method:N"),
            alt.Tooltip("bits:N", title="budget"),
            alt.Tooltip("value:Q", title=measured.axis, format=".2f"),
            alt.Tooltip("sd:Q", title="sd over seeds (raw)", format=".4f"),
            alt.Tooltip("seeds:Q"),
            alt.Tooltip("people:Q"),
            *palette.left_over(rows),
        ],
    )
    fill = alt.Color("value:Q", scale=alt.Scale(domain=[0, top], range=list(palette.SHARE_RANGE)), legend=None)
    ink = alt.condition(alt.datum.value > DARK * top, alt.value("white"), alt.value("#1A1A1A"))
    boxes = grid.mark_rect(stroke="#888888", strokeWidth=0.5).encode(color=fill)
    numbers = grid.mark_text(fontSize=13).encode(text="text:N", color=ink)
    return (boxes + numbers).properties(height=AXIS + ROW * cells.method.nunique())


def _marks(rows: pd.DataFrame) -> list[str]:
    """What stands behind each number: that it is lenient, that its approvals are not the teacher's."""
    lenient = [" (lenient)" if x else "" for x in rows.lenient]
    if "unmatched" not in rows:
        return lenient
    return [f"{a}{' (unmatched)' if pd.notna(x) else ''}" for a, x in zip(lenient, rows.unmatched, strict=True)]


def alt_text(rows: pd.DataFrame, dataset: str, measure: str = "vd") -> str:
    """The best and the worst cell."""
    measured, known = fmt.measured(measure), rows.dropna(subset=["mean"])
    if known.empty:
        return f"{measured.heading} of {dataset}: not defined for any method."
    low, high = known.loc[known["mean"].idxmin()], known.loc[known["mean"].idxmax()]
    return (
        f"{measured.heading} on {dataset}: lowest {measured.format(low['mean'])} with {low.method} "
        f"at {fmt.bits(low.budget)}, "
        f"highest {measured.format(high['mean'])} with {high.method} at {fmt.bits(high.budget)}."
    )


PICTURE = Picture(
    "Every method at every budget",
    rows,
    chart,
    alt_text,
    "Mean over seeds; the table behind it holds sd, denominators and the interval: {interval}.",
)
