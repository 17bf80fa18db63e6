"""One measure against the bit budget, a line a method, with its interval over seeds."""

from __future__ import annotations

from typing import Any

import altair as alt
import pandas as pd

from cfq_core.report import fmt, palette
from cfq_core.report.frames import Stored
from cfq_core.report.picture import Picture

FEW = 4  # methods whose intervals are drawn as ribbons
JITTER = 0.05  # bits between methods, so that their bars do not cover each other


def rows(study: Stored, dataset: str, measure: str, methods: str = "") -> pd.DataFrame:
    """One row a (method, budget); ``methods``: comma-separated, empty for all."""
    here = study.measured_lines(dataset, measure)
    return here[here.method.isin(methods.split(","))].reset_index(drop=True) if methods else here


def chart(rows: pd.DataFrame, dataset: str, measure: str, methods: str = "") -> Any:
    """Points carry (method, budget), so that a click on one selects that model."""
    measured, names = fmt.measured(measure), list(dict.fromkeys(rows.method))
    ribbons = len(names) <= FEW  # more of them would be mud: then bars, set apart
    place = {m: 0.0 if ribbons else JITTER * (i - (len(names) - 1) / 2) for i, m in enumerate(names)}
    drawn = rows.assign(
        at=rows.budget + rows.method.map(place),
        value=rows["mean"] * measured.scale,
        bottom=rows.seed_low * measured.scale,
        top=rows.seed_high * measured.scale,
    )
    budgets = sorted(rows.budget.unique())
    x = alt.X(
        "at:Q",
        title="budget (bits per weight)",
        axis=alt.Axis(values=budgets, format="~g", grid=False),
        scale=alt.Scale(domain=[min(budgets) - 0.3, max(budgets) + 0.3], nice=False),
    )
    y = alt.Y("value:Q", title=measured.short, scale=alt.Scale(zero=measured.share))
    base = alt.Chart(drawn)
    hue = palette.colour(names)
    lines = base.mark_line(strokeWidth=2).encode(x=x, y=y, color=hue, strokeDash=palette.dash(names))
    if ribbons:
        spread = base.mark_area(opacity=0.16).encode(
            x=x, y=alt.Y("bottom:Q", title=measured.short), y2="top:Q", color=hue
        )
    else:
        spread = base.mark_rule(strokeWidth=1.5).encode(x=x, y="bottom:Q", y2="top:Q", color=hue)
    tooltip = [
        alt.Tooltip("method:N"),
        alt.Tooltip("budget:Q", title="budget (bits)"),
        alt.Tooltip("value:Q", title=measured.axis, format=".2f"),
        alt.Tooltip("bottom:Q", title="95 %, t over seeds, from", format=".2f"),
        alt.Tooltip("top:Q", title="to", format=".2f"),
        alt.Tooltip("seeds:Q"),
        alt.Tooltip("people:Q"),
        *palette.left_over(rows),
    ]
    dots = palette.models(base, names, 90, x=x, y=y, tooltip=tooltip)
    zero = (
        alt.Chart(pd.DataFrame({"value": [0.0]}))
        .mark_rule(strokeDash=[2, 2], color=palette.TEACHER)
        .encode(y="value:Q")
    )
    layers = [zero, spread, lines, dots] if measured.better == "near 0" else [spread, lines, dots]
    return alt.layer(*layers).properties(height=430)


def alt_text(rows: pd.DataFrame, dataset: str, measure: str, methods: str = "") -> str:
    """Each method from its largest to its smallest budget."""
    measured, parts = fmt.measured(measure), []
    for method, line in rows.dropna(subset=["mean"]).groupby("method", sort=False):
        ends = line.sort_values("budget").iloc[[-1, 0]]
        first, last = (f"{measured.format(e['mean'])} at {fmt.bits(e.budget)}" for _, e in ends.iterrows())
        parts.append(f"{method} {first}" if len(line) == 1 else f"{method} from {first} to {last}")
    return f"{measured.heading} on {dataset}: {'; '.join(parts) or 'not defined'}."


PICTURE = Picture(
    "Against the bit budget",
    rows,
    chart,
    alt_text,
    "Points: mean over seeds. Ribbons or bars: {interval}.",
)
