"""Perturbation against margin at each person's new point, with the line under which the condition holds."""

from __future__ import annotations

from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from cfq_core.base.streams import numpy_stream
from cfq_core.report import fmt, palette
from cfq_core.report.frames import Stored
from cfq_core.report.picture import Picture

#: What can come of a promise; the condition cannot hold where it is broken.
HOLDS, LUCKY, BROKEN = "condition holds", "kept without it", "broken"
STATES = (HOLDS, LUCKY, BROKEN)
COLOURS = (palette.HOLDS, palette.COLOURS[1], palette.BREAKS)
SHAPES = ("circle", "square", "cross")
MOST = 1500  # points drawn, a seeded sample: beyond 2,000 marks a browser turns slow
INSIDE = 0.99  # share of the points that the axes hold


def rows(study: Stored, dataset: str, run: str) -> pd.DataFrame:
    """One row a person with a promised action."""
    people = study.people(run) if run else pd.DataFrame()
    if people.empty or not people.has_recourse.any():
        return pd.DataFrame()
    p = people[people.has_recourse]
    state = np.where(p.condition, HOLDS, np.where(p.holds, LUCKY, BROKEN))
    about = {"person": p.person, "margin": p.teacher_at, "after": p.student_at}
    return pd.DataFrame({**about, "perturbation": (p.student_at - p.teacher_at).abs(), "state": state}).reset_index(
        drop=True
    )


def chart(rows: pd.DataFrame, dataset: str, run: str) -> Any:
    """Points carry the person, so that a click selects them."""
    drawn = rows
    if len(rows) > MOST:
        drawn = rows.iloc[np.sort(numpy_stream(0, "report/condition").permutation(len(rows))[:MOST])]
    ends = [float(np.quantile(drawn[c], INSIDE)) * 1.05 for c in ("margin", "perturbation")]
    x = alt.X("margin:Q", title="margin f, promised (logits)", scale=alt.Scale(domain=[0, ends[0]], nice=False))
    y = alt.Y("perturbation:Q", title="|q − f| (logits)", scale=alt.Scale(domain=[0, max(ends)], nice=False))
    legend = alt.Legend(title="promise", orient="top", labelLimit=0, symbolOpacity=1, columnPadding=24)
    pick = alt.selection_point(name="pick", fields=["person"])
    dots = (
        alt.Chart(drawn)
        .mark_point(size=45, filled=True, opacity=0.75, clip=True)
        .encode(
            x=x,
            y=y,
            color=alt.Color("state:N", scale=alt.Scale(domain=list(STATES), range=list(COLOURS)), legend=legend),
            shape=alt.Shape("state:N", scale=alt.Scale(domain=list(STATES), range=list(SHAPES)), legend=legend),
            tooltip=[
                alt.Tooltip("person:Q"),
                alt.Tooltip("margin:Q", title="f after the action", format=".3f"),
                alt.Tooltip("after:Q", title="q after the action", format=".3f"),
                alt.Tooltip("state:N", title="promise"),
            ],
        )
        .add_params(pick)
    )
    line = pd.DataFrame({"margin": [0.0, ends[0]], "perturbation": [0.0, ends[0]]})
    limit = alt.Chart(line).mark_line(strokeDash=[4, 3], color=palette.TEACHER, clip=True).encode(x=x, y=y)
    return alt.layer(limit, dots).properties(height=340)


def alt_text(rows: pd.DataFrame, dataset: str, run: str) -> str:
    """How many of each state."""
    counted = rows.state.value_counts()
    parts = [f"{state} {fmt.in_100(counted.get(state, 0) / len(rows))}" for state in STATES]
    return f"Of {len(rows):,} promised actions of this model on {dataset}: {', '.join(parts)}."


PICTURE = Picture(
    "The condition, person by person",
    rows,
    chart,
    alt_text,
    "Under the dashed line |q − f| < f: such a promise is certain to hold. Above it nothing is proved, and many hold "
    f"all the same. One model (the selected seed); up to {MOST:,} people, but for the outermost 1 in 100.",
)
