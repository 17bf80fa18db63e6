"""Broken promises against approval shift at one budget: who is faithful, and who is only lenient."""

from __future__ import annotations

from typing import Any

import altair as alt
import pandas as pd

from cfq_core.report import fmt, palette
from cfq_core.report.frames import Stored
from cfq_core.report.picture import Picture
from cfq_core.study.summary import LENIENT


def rows(study: Stored, dataset: str, budget: float) -> pd.DataFrame:
    """One row a method: mean and sd over seeds of VD and approval shift."""
    lines = study.lines
    here = lines[(lines.dataset == dataset) & (lines.budget == budget) & lines.measure.isin(["vd", "approval_shift"])]
    wide = here.pivot(index="method", columns="measure", values=["mean", "sd", "seed_low", "seed_high"])
    wide.columns = [f"{m}_{what}" if what != "mean" else m for what, m in wide.columns]
    kept = [m for m in dict.fromkeys(here.method) if m in wide.index]
    if not {"vd", "approval_shift"} <= set(wide.columns):
        return pd.DataFrame()
    seeds = here[here.measure == "vd"].set_index("method").seeds
    wide = wide.loc[kept].dropna(subset=["vd", "approval_shift"]).assign(budget=budget, seeds=seeds)
    return wide.reset_index()


def chart(rows: pd.DataFrame, dataset: str, budget: float) -> Any:
    """Left and low is faithful; right of the grey band's edge is lenient."""
    methods = list(rows.method)
    drawn = rows.assign(
        **{c: 100 * rows[c] for c in rows.columns if c.startswith(("vd", "approval_shift"))},
    )
    x = alt.X("approval_shift:Q", title="approval shift (points)", scale=alt.Scale(zero=True, padding=20))
    y = alt.Y("vd:Q", title="VD (%)", scale=alt.Scale(zero=True))
    base, hue = alt.Chart(drawn), palette.colour(methods)
    tooltip = [
        "method:N",
        alt.Tooltip("vd:Q", title="validity drop (%)", format=".1f"),
        alt.Tooltip("approval_shift:Q", title="approval shift (points)", format="+.1f"),
    ]
    dots = palette.models(base, methods, 130, x=x, y=y, tooltip=tooltip)
    up = base.mark_rule(strokeWidth=1).encode(x="approval_shift:Q", y="vd_seed_low:Q", y2="vd_seed_high:Q", color=hue)
    across = base.mark_rule(strokeWidth=1).encode(
        y="vd:Q", x="approval_shift_seed_low:Q", x2="approval_shift_seed_high:Q", color=hue
    )
    edges = pd.DataFrame({"approval_shift": [0.0, 100 * LENIENT]})
    limits = alt.Chart(edges).mark_rule(strokeDash=[4, 3], color=palette.TEACHER).encode(x="approval_shift:Q")
    return alt.layer(limits, up, across, dots).properties(height=430)


def alt_text(rows: pd.DataFrame, dataset: str, budget: float) -> str:
    """Every method's place, in a sentence."""
    parts = [f"{r.method}: {fmt.in_100(r.vd)} fail at {fmt.points(r.approval_shift)}" for r in rows.itertuples()]
    return f"Broken promises and approval shift on {dataset} at {fmt.bits(budget)}. {'; '.join(parts)}."


PICTURE = Picture(
    "Faithful or lenient",
    rows,
    chart,
    alt_text,
    f"Low is faithful. Dashed: no shift, and {100 * LENIENT:g} points, beyond which validity is leniency. "
    "Bars: {interval}.",
)
