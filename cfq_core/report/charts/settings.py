"""One measure against what a study varies in its setting: the promised margin, the action regime, the solver."""

from __future__ import annotations

from typing import Any

import altair as alt
import pandas as pd

from cfq_core.report import palette, words
from cfq_core.report.frames import Stored
from cfq_core.report.picture import Picture

AXES = {"kappa": "promised margin κ (logits)", "regime": "action regime", "solver": "recourse solver"}


def rows(study: Stored, dataset: str, varies: str, measure: str, budget: float) -> pd.DataFrame:
    """One row a (value of ``varies``, method) at a budget; whatever else the study varies stays at its first value."""
    across = study.across
    if varies not in study.varied or across.empty:
        return pd.DataFrame()
    here = across[(across.dataset == dataset) & (across.measure == measure) & (across.budget == budget)]
    for other in study.varied:
        if other != varies:
            here = here[here[other] == study.first(other)]
    return here.drop(columns=["dataset", "measure"]).reset_index(drop=True)


def chart(rows: pd.DataFrame, dataset: str, varies: str, measure: str, budget: float) -> Any:
    """A line a method where the setting is a number, marks side by side where it is a name."""
    told, shown = words.measured(measure), list(dict.fromkeys(rows.method))
    drawn = rows.assign(
        value=rows["mean"] * told.scale, bottom=rows.seed_low * told.scale, top=rows.seed_high * told.scale
    )
    number = pd.api.types.is_numeric_dtype(rows[varies])
    title = AXES.get(varies, varies)
    if number:
        axis = alt.Axis(values=sorted(rows[varies].unique()), format="~g", grid=False)
        x = alt.X(f"{varies}:Q", title=title, axis=axis, scale=alt.Scale(padding=16, nice=False))
        place: dict[str, Any] = {"x": x}
    else:
        x = alt.X(f"{varies}:N", title=title, sort=list(dict.fromkeys(rows[varies])), axis=alt.Axis(labelAngle=0))
        place = {"x": x, "xOffset": alt.XOffset("method:N", sort=shown)}
    y = alt.Y("value:Q", title=told.short, scale=alt.Scale(zero=True))
    base, hue = alt.Chart(drawn).encode(**place), palette.colour(shown)
    bars = base.mark_rule(strokeWidth=1.5).encode(y="bottom:Q", y2="top:Q", color=hue)
    dots = base.mark_point(size=90, filled=True, opacity=1).encode(
        y=y,
        color=hue,
        shape=palette.shape(shown),
        tooltip=[
            "method:N",
            alt.Tooltip(varies, title=title),
            alt.Tooltip("value:Q", title=told.axis, format=".2f"),
            alt.Tooltip("bottom:Q", title="95 % over seeds, from", format=".2f"),
            alt.Tooltip("top:Q", title="to", format=".2f"),
            "seeds:Q",
            "people:Q",
        ],
    )
    line = base.mark_line(strokeWidth=2).encode(y=y, color=hue, strokeDash=palette.dash(shown))
    return alt.layer(*([line] if number else []), bars, dots).properties(height=340)


def alt_text(rows: pd.DataFrame, dataset: str, varies: str, measure: str, budget: float) -> str:
    """Each method from the first value to the last."""
    told, parts = words.measured(measure), []
    for method, line in rows.dropna(subset=["mean"]).groupby("method", sort=False):
        each = zip(line[varies], line["mean"], strict=True)
        said = [f"{told.said(m)} at {v:g}" if _is_number(v) else f"{told.said(m)} with {v}" for v, m in each]
        parts.append(f"{method} {', '.join(said)}")
    return f"{told.title} on {dataset} at {words.bits(budget)} by {AXES.get(varies, varies)}: {'; '.join(parts)}."


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float)


PICTURE = Picture(
    "What the setting changes",
    rows,
    chart,
    alt_text,
    "Mean over seeds; bars: Student's 95 % interval of that mean, none for a single seed. Each value has its own "
    "teachers' promises; everything else is the same.",
)
