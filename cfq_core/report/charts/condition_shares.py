"""For every budget of a method: promises that the condition covers, that are kept without it, that are broken."""

from __future__ import annotations

from typing import Any

import altair as alt
import pandas as pd

from cfq_core.report import fmt
from cfq_core.report.charts.condition import BROKEN, COLOURS, HOLDS, LUCKY, STATES
from cfq_core.report.frames import Stored
from cfq_core.report.picture import Picture

MEASURES = {"margin_condition": HOLDS, "margin_transferred": LUCKY, "vd": BROKEN}
ROW, FRAME, LEAST = 62, 120, 360  # pixels of a budget; of axis and legend, which streamlit counts in; as its neighbour


def rows(study: Stored, dataset: str, method: str) -> pd.DataFrame:
    """One row a (budget, what comes of the promise): mean over seeds and its interval."""
    lines = study.lines
    here = lines[(lines.dataset == dataset) & (lines.method == method) & lines.measure.isin(list(MEASURES))]
    here = here.dropna(subset=["mean"])
    kept = ["budget", "state", "mean", "sd", "seed_low", "seed_high", "people", "seeds"]
    return here.assign(state=here.measure.map(MEASURES))[kept].sort_values("budget").reset_index(drop=True)


def chart(rows: pd.DataFrame, dataset: str, method: str) -> Any:
    """Stacked to 100 %; the bar across the first edge is the interval of the condition's share."""
    drawn = rows.assign(
        bits=rows.budget.map("{:g}".format),
        order=rows.state.map({s: i for i, s in enumerate(STATES)}),
        percent=100 * rows["mean"],
        bottom=100 * rows.seed_low,
        top=100 * rows.seed_high,
        text=[f"{100 * m:.0f}" if m > 0.04 else "" for m in rows["mean"]],
    )
    base = alt.Chart(drawn).encode(
        y=alt.Y("bits:N", title="budget (bits)", sort=list(dict.fromkeys(drawn.bits)), axis=alt.Axis(labelAngle=0)),
        tooltip=[
            alt.Tooltip("bits:N", title="budget (bits)"),
            alt.Tooltip("state:N", title="promise"),
            alt.Tooltip("percent:Q", title="% of promises", format=".1f"),
            alt.Tooltip("bottom:Q", title="95 %, t over seeds, from", format=".1f"),
            alt.Tooltip("top:Q", title="to", format=".1f"),
            alt.Tooltip("people:Q"),
            alt.Tooltip("seeds:Q"),
        ],
    )
    x = alt.X("percent:Q", stack="zero", title="% of promised actions", scale=alt.Scale(domain=[0, 100]))
    bars = base.mark_bar(height={"band": 0.7}).encode(
        x=x,
        order="order:Q",
        color=alt.Color(
            "state:N",
            scale=alt.Scale(domain=list(STATES), range=list(COLOURS)),
            legend=alt.Legend(title="promise", orient="top", labelLimit=0, columnPadding=24),
        ),
    )
    interval = (
        base.transform_filter(alt.datum.state == HOLDS)
        .mark_rule(strokeWidth=2.5, color="#1A1A1A")
        .encode(x="bottom:Q", x2="top:Q")
    )
    return alt.layer(bars, interval).properties(height=max(LEAST, FRAME + ROW * drawn.bits.nunique()))


def alt_text(rows: pd.DataFrame, dataset: str, method: str) -> str:
    """The share with the condition at each budget."""
    covered = rows[rows.state == HOLDS]
    parts = [f"{100 * m:.0f} % at {fmt.bits(b)}" for m, b in zip(covered["mean"], covered.budget, strict=True)]
    return f"With {method} on {dataset} the condition holds for {', '.join(parts)} of the promises."


PICTURE = Picture(
    "Where the condition says something",
    rows,
    chart,
    alt_text,
    "Mean over seeds. Black bar, of the condition's share: {interval}. Only the "
    "first part is guaranteed by the condition; the second was kept, and nothing proves it.",
)
