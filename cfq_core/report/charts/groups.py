"""One measure by protected group: mean over seeds with its interval, groups that are too small with their count."""

from __future__ import annotations

from math import sqrt
from typing import Any

import altair as alt
import numpy as np
import pandas as pd
from scipy.special import stdtrit

from cfq_core.evidence import CONFIDENCE, SMALLEST_GROUP
from cfq_core.report import fmt, palette
from cfq_core.report.frames import Stored
from cfq_core.report.picture import Picture

ROW, FRAME = 26, 80  # pixels of a group; of the axis, which streamlit counts in


def rows(study: Stored, dataset: str, method: str, budget: float, measure: str, crossing: bool = False) -> pd.DataFrame:
    """One row a group: a value where at least one seed has people enough, else only their number."""
    g = study.groups
    mine = (g.dataset == dataset) & (g.method == method) & (g.budget == budget)
    here = g[mine & (g.measure == measure) & (g.crossing == crossing)]
    if here.empty:
        return pd.DataFrame()
    line = fmt.line_of(study.lines, dataset, method, budget)["mean"]
    each = [_group(c, level, one) for (c, level), one in here.groupby(["column", "level"], sort=False)]
    return pd.DataFrame(each).assign(everybody=line.get(measure, np.nan))


def _group(column: str, level: str, seeds: pd.DataFrame) -> dict[str, Any]:
    """Interval: over seeds where there are several, over people where only one seed has enough."""
    judged = seeds.dropna(subset=["value"])
    value, count = judged.value.mean(), len(judged)
    low, high, over = np.nan, np.nan, ""
    if count == 1:
        low, high, over = judged.low.iloc[0], judged.high.iloc[0], "people"
    elif count > 1:
        half = float(stdtrit(count - 1, (1 + CONFIDENCE) / 2)) * judged.value.std() / sqrt(count)
        low, high, over = value - half, value + half, "seeds"
    if over == "seeds" and fmt.measured(seeds.measure.iloc[0]).share:
        low, high = max(0.0, low), min(1.0, high)
    return {
        "column": column,
        "level": level,
        "value": value,
        "low": low,
        "high": high,
        "interval_over": over,
        "seeds_judged": count,
        "seeds": len(seeds),
        "fewest_people": int(seeds["count"].min()),
        "most_people": int(seeds["count"].max()),
    }


def _labels(rows: pd.DataFrame) -> list[str]:
    each = zip(rows.column, rows.level, rows.fewest_people, rows.most_people, rows.seeds_judged, strict=True)
    return [
        f"{column}: {level} (n = {low if low == high else f'{low}–{high}'}{', too few' if not judged else ''})"
        for column, level, low, high, judged in each
    ]


def chart(rows: pd.DataFrame, dataset: str, method: str, budget: float, measure: str, crossing: bool = False) -> Any:
    """A dot and an interval a group; the worst is orange, the dashed line is everybody."""
    told = fmt.measured(measure)
    drawn = rows.assign(label=_labels(rows), **{c: rows[c] * told.scale for c in ("value", "low", "high", "everybody")})
    worst = worst_of(rows, measure)
    drawn["which"] = np.where(drawn.index == worst, "worst group", "group")
    y = alt.Y("label:N", title=None, sort=list(drawn.label), axis=alt.Axis(labelLimit=0))
    scale = alt.Scale(domain=["group", "worst group"], range=list(palette.TWO))
    colour = alt.Color("which:N", scale=scale, legend=None)
    shape = alt.Shape(
        "which:N", scale=alt.Scale(domain=["group", "worst group"], range=["circle", "diamond"]), legend=None
    )
    tips = ["column:N", "level:N", alt.Tooltip("value:Q", title=told.axis, format=".1f"),
            alt.Tooltip("low:Q", title="95 %, from", format=".1f"), alt.Tooltip("high:Q", title="to", format=".1f"),
            alt.Tooltip("interval_over:N", title="interval over"), "seeds_judged:Q",
            "fewest_people:Q", "most_people:Q"]  # fmt: skip
    judged, few = drawn[drawn.seeds_judged > 0], drawn[drawn.seeds_judged == 0]
    base = alt.Chart(judged).encode(y=y)
    bars = base.mark_rule(strokeWidth=2).encode(x="low:Q", x2="high:Q", color=colour)
    dots = base.mark_point(size=110, filled=True, opacity=1).encode(
        x=alt.X("value:Q", title=told.short, scale=alt.Scale(zero=True)), color=colour, shape=shape, tooltip=tips
    )
    everybody = alt.Chart(drawn.head(1)).mark_rule(strokeDash=[4, 3], color=palette.TEACHER).encode(x="everybody:Q")
    unknown = (
        alt.Chart(few)
        .mark_text(align="left", color=palette.TEACHER)
        .encode(y=y, x=alt.value(6), text=alt.value("too few people to judge"))
    )
    layers = [everybody, *([bars, dots] if len(judged) else []), *([unknown] if len(few) else [])]
    return alt.layer(*layers).properties(height=FRAME + ROW * len(drawn))


def worst_of(rows: pd.DataFrame, measure: str) -> Any:
    """Index of the group that is hit most; None where none is judged. For a shift: the least approved."""
    value = -rows.value if measure.startswith("approval_shift") else rows.value
    return value.idxmax() if value.notna().any() else None


def alt_text(rows: pd.DataFrame, dataset: str, method: str, budget: float, measure: str, crossing: bool = False) -> str:
    """The worst and the best group, and how many are too small."""
    told, worst = fmt.measured(measure), worst_of(rows, measure)
    small = rows[rows.seeds_judged == 0]
    few = f" {fmt.counted(len(small), 'group')} of under {SMALLEST_GROUP} people not judged." if len(small) else ""
    if worst is None:
        return f"{told.heading} of {method} at {fmt.bits(budget)} on {dataset}: no group is large enough.{few}"
    label = rows.column + ": " + rows.level
    best = (-rows.value if measure.startswith("approval_shift") else rows.value).idxmin()
    return (
        f"{told.heading} of {method} at {fmt.bits(budget)} on {dataset}: worst {label[worst]} "
        f"{told.format(rows.value[worst])}, best {label[best]} {told.format(rows.value[best])}.{few}"
    )


PICTURE = Picture(
    "By group",
    rows,
    chart,
    alt_text,
    "Mean over the seeds in which a group has people enough; n: people a seed. Bars: Student's 95 % interval of that "
    "mean, or over people where one seed alone counts. Dashed: everybody. Orange: the group hit most, which for the "
    "approval shift is the one whose approvals fall most. On the full-precision model VD and CRG are 0 for all.",
)
