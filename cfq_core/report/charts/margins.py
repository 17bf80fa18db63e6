"""Margins at recourse points as distribution functions: what the teacher promised, what is left on the student."""

from __future__ import annotations

from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from cfq_core.report import fmt, palette
from cfq_core.report.frames import Stored
from cfq_core.report.picture import Picture

FP32 = "FP32"
STEPS = 200  # of a curve; beside them it is exact at 0 and at the promise
SHOWN = (0.005, 0.995)  # quantiles of all margins between which the axis runs


def rows(
    study: Stored, dataset: str, method: str, budget: float, matched: bool = False, beside: str = ""
) -> pd.DataFrame:
    """One row a step of a curve: share of promised actions whose margin is at most ``margin``; all seeds' people.

    ``beside``: comma-separated methods to draw beside it.
    """
    kappa = study.kappa()
    frames: list[pd.DataFrame] = []
    for name in [method, *filter(None, beside.split(","))]:
        people = study.pooled(dataset, name, budget)
        if people.empty or not people.has_recourse.any():
            continue
        asked = people[people.has_recourse]
        left = asked.student_at - (asked.threshold if matched else 0.0)
        curves = [] if frames else [(FP32, asked.teacher_at)]
        frames += [_curve(model, values, kappa) for model, values in [*curves, (name, left)]]
    return pd.concat(frames, ignore_index=True).assign(budget=budget, kappa=kappa) if frames else pd.DataFrame()


def _curve(model: str, margins: pd.Series, kappa: float) -> pd.DataFrame:
    ranked = np.sort(margins.to_numpy())
    at = np.unique(np.concatenate([np.quantile(ranked, np.linspace(0, 1, STEPS)), [0.0, kappa]]))
    share = np.searchsorted(ranked, at, side="right") / len(ranked)
    return pd.DataFrame({"model": model, "margin": at, "share": share, "people": len(ranked)})


def chart(rows: pd.DataFrame, dataset: str, method: str, budget: float, matched: bool = False, beside: str = "") -> Any:
    """Left of 0 a promise is broken: where a curve crosses 0 stands its validity drop."""
    models, kappa = list(dict.fromkeys(rows.model)), rows.kappa.iloc[0]
    low, high = np.quantile(rows.margin, SHOWN)
    colours = [palette.TEACHER if m == FP32 else palette.style(m).colour for m in models]
    dashes = [[1, 0] if m == FP32 else list(palette.style(m).dash) for m in models]
    legend = alt.Legend(title="model", labelLimit=0, orient="top", columns=6)
    scale = alt.Scale(domain=[min(low, -kappa), max(high, 2 * kappa)], clamp=True, nice=False)
    line = (
        alt.Chart(rows.assign(percent=100 * rows.share))
        .mark_line(interpolate="step-after", strokeWidth=2.5, clip=True)
        .encode(
            x=alt.X("margin:Q", title="margin at the person's new point (logits)", scale=scale),
            y=alt.Y("percent:Q", title="% at most", scale=alt.Scale(domain=[0, 100])),
            color=alt.Color("model:N", scale=alt.Scale(domain=models, range=colours), legend=legend),
            strokeDash=alt.StrokeDash("model:N", scale=alt.Scale(domain=models, range=dashes), legend=legend),
            tooltip=["model:N", alt.Tooltip("margin:Q", format=".3f"), alt.Tooltip("percent:Q", format=".1f")],
        )
    )
    marks = pd.DataFrame({"at": [0.0, kappa], "what": ["boundary: refused up to here", f"promised: κ = {kappa:g}"]})
    marks = marks.drop_duplicates("at")
    rules = alt.Chart(marks).mark_rule(strokeDash=[4, 3], color=palette.TEACHER).encode(x="at:Q", tooltip="what:N")
    return alt.layer(rules, line).properties(height=340)


def alt_text(
    rows: pd.DataFrame, dataset: str, method: str, budget: float, matched: bool = False, beside: str = ""
) -> str:
    """What each model refuses, and how far inside half of its people are."""
    parts = []
    for model, curve in rows.groupby("model", sort=False):
        refused = float(curve.share[curve.margin == 0.0].iloc[0])
        middle = float(curve.margin[curve.share >= 0.5].iloc[0])
        parts.append(f"{model} refuses {fmt.in_100(refused)}, half of the margins are below {middle:.2f} logits")
    people = f"{int(rows.people.iloc[0]):,} promised actions"
    return f"Margins of {people} on {dataset} at {fmt.bits(budget)}: {'; '.join(parts)}."


PICTURE = Picture(
    "How far inside the boundary the promised actions land",
    rows,
    chart,
    alt_text,
    "The height of a curve at 0 is its validity drop. Dashed: the boundary, and the promised margin κ. "
    "All seeds' people together.",
)
