"""Share of promises kept against what the promised action costs, a point a promised margin."""

from __future__ import annotations

from typing import Any

import altair as alt
import pandas as pd

from cfq_core.report import fmt, palette
from cfq_core.report.charts import settings
from cfq_core.report.frames import Stored
from cfq_core.report.picture import Picture


def rows(study: Stored, dataset: str, measure: str, budget: float, varies: str = "") -> pd.DataFrame:
    """One row a (value, method): ``kept`` is 1 - VD, raw or matched by ``measure``; ``cost`` that of the promise."""
    varies = settings.chosen(study, varies)
    broken = settings.of_methods(study, dataset, measure, budget, varies)
    price = settings.of_methods(study, dataset, "recourse_cost", budget, varies)
    if broken.empty or price.empty:
        return pd.DataFrame()
    both = broken.merge(price[["method", varies, "mean"]], on=["method", varies], suffixes=("", "_cost"))
    kept = both.assign(kept=1 - both["mean"], low=1 - both.seed_high, high=1 - both.seed_low, cost=both.mean_cost)
    return kept[["method", varies, "budget", "cost", "kept", "low", "high", "seeds", "people"]]


def chart(rows: pd.DataFrame, dataset: str, measure: str, budget: float, varies: str = "") -> Any:
    """Up and left is better: more promises kept for less."""
    varies = settings.drawn_key(rows, varies)
    methods = list(dict.fromkeys(rows.method))
    drawn = rows.assign(
        **{c: 100 * rows[c] for c in ("kept", "low", "high")}, text=rows[varies].map(settings.format_value)
    )
    x = alt.X("cost:Q", title="mean cost of the promised action (scale units)", scale=alt.Scale(zero=False, padding=20))
    y = alt.Y("kept:Q", title="promises kept (%)", scale=alt.Scale(domain=[min(0.0, drawn.low.min()), 100], nice=True))
    base, hue = alt.Chart(drawn), palette.colour(methods)
    line = base.mark_line(strokeWidth=2).encode(
        x=x, y=y, color=hue, strokeDash=palette.dash(methods), order=alt.Order(f"{varies}")
    )
    bars = base.mark_rule(strokeWidth=1.5).encode(x=x, y="low:Q", y2="high:Q", color=hue)
    dots = base.mark_point(size=90, filled=True, opacity=1).encode(
        x=x,
        y=y,
        color=hue,
        shape=palette.shape(methods),
        tooltip=["method:N", alt.Tooltip("text:N", title=settings.AXES.get(varies, varies)),
                 alt.Tooltip("cost:Q", format=".2f"), alt.Tooltip("kept:Q", title="kept (%)", format=".1f"), "seeds:Q"],
    )  # fmt: skip
    first = drawn[drawn.method == methods[0]]
    labels = alt.Chart(first).mark_text(dy=16, color=palette.TEACHER).encode(x=x, y=y, text="text:N")
    return alt.layer(line, bars, dots, labels).properties(height=340)


def alt_text(rows: pd.DataFrame, dataset: str, measure: str, budget: float, varies: str = "") -> str:
    """Each method from the cheapest promises to the dearest."""
    parts = []
    for method, line in rows.dropna(subset=["kept"]).groupby("method", sort=False):
        ends = line.sort_values("cost").iloc[[0, -1]]
        a, b = (f"{fmt.in_100(k)} kept at a cost of {c:.2f}" for k, c in zip(ends.kept, ends.cost, strict=True))
        parts.append(f"{method} from {a} to {b}")
    return f"Promises kept on {dataset} at {fmt.bits(budget)} against their cost: {'; '.join(parts)}."


PICTURE = Picture(
    "What keeping promises costs",
    rows,
    chart,
    alt_text,
    "Kept: 1 − VD on this one student. Beside a mark of the first method: the setting. Bars: {interval}. The cost "
    "is the teacher's promise, the same for every method.",
)
