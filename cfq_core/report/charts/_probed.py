"""What a probe read, as rows of a picture, and a line a model over a condition with a number."""

from __future__ import annotations

from typing import Any

import altair as alt
import pandas as pd

from cfq_core.report import fmt, palette
from cfq_core.report.frames import Stored

TEACHER = "teacher"
APART = 0.012  # between the marks of two models, of the axis' length
COLUMNS = ["method", "series", "at", "label", "measure", "mean", "seed_low", "seed_high", "sd", "seeds", "people"]


def readings(study: Stored, probe: str, dataset: str, budget: float, measures: tuple[str, ...]) -> pd.DataFrame:
    """One row a (model, condition, measure): the teachers' and those of the students at a budget."""
    p = study.probed
    if p.empty:
        return pd.DataFrame()
    here = p[(p.probe == probe) & (p.dataset == dataset) & p.measure.isin(measures)]
    return here[(here.budget == budget) | here.budget.isna()][COLUMNS].reset_index(drop=True)


def known(study: Stored, probe: str, measure: str, matched: bool) -> str:
    """A measure at matched approval where that is asked for and was read."""
    wanted = f"{measure}_matched"
    return wanted if matched and wanted in set(study.probed[study.probed.probe == probe].measure) else measure


def lines(rows: pd.DataFrame, measure: str, x: alt.X, about: str) -> Any:
    """A line a model: mean over seeds with its interval. ``x`` is of the field ``place``, which is ``at`` set apart."""
    measured, methods = fmt.measured(measure), list(dict.fromkeys(rows.method))
    drawn = rows.assign(
        value=rows["mean"] * measured.scale, bottom=rows.seed_low * measured.scale, top=rows.seed_high * measured.scale
    )
    reach = drawn["at"].max() - drawn["at"].min()  # marks of one condition stand side by side
    drawn["place"] = (
        drawn["at"] + drawn.method.map(methods.index) * APART * reach - APART * reach * (len(methods) - 1) / 2
    )
    base, hue = alt.Chart(drawn).encode(x=x), palette.colour(methods)
    y = alt.Y("value:Q", title=measured.short, scale=alt.Scale(zero=True))
    bars = base.mark_rule(strokeWidth=1.5).encode(y="bottom:Q", y2="top:Q", color=hue)
    line = base.mark_line(strokeWidth=2).encode(y=y, color=hue, strokeDash=palette.dash(methods).legend(None))
    dots = base.mark_point(size=90, filled=True, opacity=1).encode(
        y=y, color=hue, shape=palette.shape(methods), tooltip=tooltip(measured, about)
    )
    return alt.layer(line, bars, dots).properties(height=340)


def tooltip(measured: fmt.Measured, about: str) -> list[Any]:
    """What a mark says: model, condition, value, interval, seeds, people."""
    return [
        "method:N",
        alt.Tooltip("label:N", title=about),
        alt.Tooltip("value:Q", title=measured.axis, format=".2f"),
        alt.Tooltip("bottom:Q", title="95 %, t over seeds, from", format=".2f"),
        alt.Tooltip("top:Q", title="to", format=".2f"),
        "seeds:Q",
        "people:Q",
    ]


def format_each(rows: pd.DataFrame, measure: str) -> str:
    """Each model with its values, in the order of the conditions."""
    measured, parts = fmt.measured(measure), []
    for method, mine in rows.dropna(subset=["mean"]).groupby("method", sort=False):
        each = ", ".join(f"{measured.format(m)} at {at}" for m, at in zip(mine["mean"], mine.label, strict=True))
        parts.append(f"{method} {each}")
    return "; ".join(parts)
