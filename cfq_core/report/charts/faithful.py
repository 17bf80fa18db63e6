"""Broken promises against approval shift at one budget: who is faithful, and who is only lenient."""

from __future__ import annotations

from typing import Any

import altair as alt
import pandas as pd

from cfq_core.report import fmt, palette
from cfq_core.report.frames import Stored
from cfq_core.report.picture import Picture
from cfq_core.study.marks import ASKS_LESS, LENIENT


def rows(study: Stored, dataset: str, budget: float) -> pd.DataFrame:
    """One row a method: mean and sd over seeds of VD, approval shift and recourse gap, and whether it is lenient."""
    lines = study.lines
    here = lines[(lines.dataset == dataset) & (lines.budget == budget)]
    lenient = here.groupby("method").lenient.first()
    here = here[here.measure.isin(["vd", "approval_shift", "crg_mean"])]
    wide = here.pivot(index="method", columns="measure", values=["mean", "sd", "seed_low", "seed_high"])
    wide.columns = [f"{m}_{what}" if what != "mean" else m for what, m in wide.columns]
    kept = [m for m in dict.fromkeys(here.method) if m in wide.index]
    if not {"vd", "approval_shift"} <= set(wide.columns):
        return pd.DataFrame()
    seeds = here[here.measure == "vd"].set_index("method").seeds
    wide = wide.loc[kept].dropna(subset=["vd", "approval_shift"])
    if wide.empty:  # nobody is denied, or nobody has recourse
        return pd.DataFrame()
    return wide.join(lenient).join(seeds).assign(budget=budget).reset_index()


def chart(rows: pd.DataFrame, dataset: str, budget: float) -> Any:
    """Left and low is faithful; right of the dashed edge, or asking for less, is lenient and says so."""
    methods = list(rows.method)
    drawn = rows.assign(
        **{c: 100 * rows[c] for c in rows.columns if c.startswith(("vd", "approval_shift", "crg_mean"))},
    )
    x = alt.X("approval_shift:Q", title="approval shift (points)", scale=alt.Scale(zero=True, padding=20))
    y = alt.Y("vd:Q", title="VD (%)", scale=alt.Scale(zero=True))
    base, hue = alt.Chart(drawn), palette.colour(methods)
    tooltip = [
        "method:N",
        alt.Tooltip("vd:Q", title="validity drop (%)", format=".1f"),
        alt.Tooltip("approval_shift:Q", title="approval shift (points)", format="+.1f"),
        *([alt.Tooltip("crg_mean:Q", title="recourse gap, mean (%)", format="+.0f")] if "crg_mean" in drawn else []),
    ]
    dots = palette.models(base, methods, 130, x=x, y=y, tooltip=tooltip)
    up = base.mark_rule(strokeWidth=1).encode(x="approval_shift:Q", y="vd_seed_low:Q", y2="vd_seed_high:Q", color=hue)
    across = base.mark_rule(strokeWidth=1).encode(
        y="vd:Q", x="approval_shift_seed_low:Q", x2="approval_shift_seed_high:Q", color=hue
    )
    edges = pd.DataFrame({"approval_shift": [0.0, 100 * LENIENT]})
    limits = alt.Chart(edges).mark_rule(strokeDash=[4, 3], color=palette.TEACHER).encode(x="approval_shift:Q")
    marks = alt.Chart(drawn[drawn.lenient]).mark_text(dy=-14, fontSize=11, text="lenient").encode(x=x, y=y)
    return alt.layer(limits, up, across, dots, marks).properties(height=430)


def alt_text(rows: pd.DataFrame, dataset: str, budget: float) -> str:
    """Every method's place, in a sentence."""
    parts = [
        f"{r.method}: {fmt.in_100(r.vd)} fail at {fmt.points(r.approval_shift)}{', lenient' if r.lenient else ''}"
        for r in rows.itertuples()
    ]
    return f"Broken promises and approval shift on {dataset} at {fmt.bits(budget)}. {'; '.join(parts)}."


PICTURE = Picture(
    "Faithful or lenient",
    rows,
    chart,
    alt_text,
    f"Low is faithful. Dashed: no shift, and {100 * LENIENT:g} points, beyond which validity is leniency; "
    f"so it is where people are asked for over {-100 * ASKS_LESS:g} % less than promised. "
    "Bars: {interval}.",
)
