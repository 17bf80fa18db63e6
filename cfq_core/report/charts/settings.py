"""One measure against what a study varies in its setting: the margin, the action regime, the teacher's steps."""

from __future__ import annotations

from typing import Any

import altair as alt
import pandas as pd

from cfq_core.report import fmt, palette
from cfq_core.report.frames import LEFT, Stored
from cfq_core.report.picture import Picture

AXES = {
    "kappa": "promised margin κ (logits)",
    "regime": "action regime",
    "solver": "recourse solver",
    "steps": "steps K of the gradient teacher",
}
#: Measures of the promise itself: the same whatever is deployed, so they are told once, of the teacher.
OF_TEACHER = ("frr", "recourse_cost")
TEACHER = "teacher"


def rows(study: Stored, dataset: str, measure: str, budget: float, varies: str = "") -> pd.DataFrame:
    """One row a (value of ``varies``, method) at a budget; whatever else the study varies stays at its first value.

    ``varies``: a key of `Stored.varied`; empty: the first. What is the teacher's own has one method, the teacher.
    """
    here = of_methods(study, dataset, measure, budget, varies)
    if measure in OF_TEACHER and not here.empty:
        here = here[here.method == here.method.iloc[0]].assign(method=TEACHER).reset_index(drop=True)
    return here


def of_methods(study: Stored, dataset: str, measure: str, budget: float, varies: str) -> pd.DataFrame:
    """`rows` with every method's own, where they are equal too."""
    across, varies = study.across, chosen(study, varies)
    if varies not in study.varied or across.empty:
        return pd.DataFrame()
    here = across[(across.dataset == dataset) & (across.measure == measure) & (across.budget == budget)]
    for other in study.varied:
        if other != varies:
            here = here[here[other] == study.first(other)]
    rest = [c for c in here.columns if c not in ("dataset", "measure", "method", varies)]
    here = here[["method", varies, *rest]].reset_index(drop=True)
    if not measure.endswith("_matched") or measure == LEFT:
        return here
    left = of_methods(study, dataset, LEFT, budget, varies).set_index(["method", varies])["mean"].rename(LEFT)
    return here.join(left, on=["method", varies])


def chosen(study: Stored, varies: str) -> str:
    """The key that is drawn: the asked one, else the first that the study varies; empty where it varies none."""
    return varies or next(iter(study.varied), "")


def drawn_key(rows: pd.DataFrame, varies: str) -> str:
    """The same from the rows alone, whose second column it is."""
    return varies or str(rows.columns[1])


def chart(rows: pd.DataFrame, dataset: str, measure: str, budget: float, varies: str = "") -> Any:
    """A line a method where the setting is a number, marks side by side where it is a name."""
    measured, methods, varies = fmt.measured(measure), list(dict.fromkeys(rows.method)), drawn_key(rows, varies)
    drawn = rows.assign(
        value=rows["mean"] * measured.scale, bottom=rows.seed_low * measured.scale, top=rows.seed_high * measured.scale
    )
    if measured.unit == fmt.UNITS["cost"][0]:  # no action costs less than nothing, whatever a few seeds spread
        drawn["bottom"] = drawn.bottom.clip(lower=0.0)
    number = pd.api.types.is_numeric_dtype(rows[varies])
    title = AXES.get(varies, varies)
    if number:
        axis = alt.Axis(values=sorted(rows[varies].unique()), format="~g", grid=False)
        x = alt.X(f"{varies}:Q", title=title, axis=axis, scale=scale_of(varies))
        place: dict[str, Any] = {"x": x}
    else:
        x = alt.X(f"{varies}:N", title=title, sort=list(dict.fromkeys(rows[varies])), axis=alt.Axis(labelAngle=0))
        place = {"x": x, "xOffset": alt.XOffset("method:N", sort=methods)}
    y = alt.Y("value:Q", title=measured.short, scale=alt.Scale(zero=True))
    base, hue = alt.Chart(drawn).encode(**place), palette.colour(methods)
    bars = base.mark_rule(strokeWidth=1.5).encode(y="bottom:Q", y2="top:Q", color=hue)
    dots = base.mark_point(size=90, filled=True, opacity=1).encode(
        y=y,
        color=hue,
        shape=palette.shape(methods),
        tooltip=[
            "method:N",
            alt.Tooltip(varies, title=title),
            alt.Tooltip("value:Q", title=measured.axis, format=".2f"),
            alt.Tooltip("bottom:Q", title="95 %, t over seeds, from", format=".2f"),
            alt.Tooltip("top:Q", title="to", format=".2f"),
            "seeds:Q",
            "people:Q",
        ],
    )
    line = base.mark_line(strokeWidth=2).encode(y=y, color=hue, strokeDash=palette.dash(methods))
    return alt.layer(*([line] if number else []), bars, dots).properties(height=340)


def title(measure: str, varies: str = "", **_: Any) -> str:
    """The measure, and what it is drawn against."""
    return f"{fmt.measured(measure).heading}, by {AXES.get(varies, varies or 'setting').split(' (')[0]}"


def scale_of(varies: str) -> alt.Scale:
    """Numbers of steps double; everything else is evenly spaced."""
    kind: dict[str, Any] = {"type": "log"} if varies == "steps" else {}
    return alt.Scale(padding=16, nice=False, **kind)


def alt_text(rows: pd.DataFrame, dataset: str, measure: str, budget: float, varies: str = "") -> str:
    """Each method from the first value to the last."""
    measured, varies, parts = fmt.measured(measure), drawn_key(rows, varies), []
    for method, line in rows.dropna(subset=["mean"]).groupby("method", sort=False):
        each = zip(line[varies], line["mean"], strict=True)
        values = [
            f"{measured.format(m)} at {v:g}" if _is_number(v) else f"{measured.format(m)} with {v}" for v, m in each
        ]
        parts.append(f"{method} {', '.join(values)}")
    return f"{measured.title} on {dataset} at {fmt.bits(budget)} by {AXES.get(varies, varies)}: {'; '.join(parts)}."


def format_value(value: Any) -> str:
    """A setting's value in words and on marks."""
    return f"{value:g}" if _is_number(value) else str(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float)


PICTURE = Picture(
    title,
    rows,
    chart,
    alt_text,
    "Mean over seeds; bars: {interval}. Each value has its own teachers' promises; everything else is the same.",
)
