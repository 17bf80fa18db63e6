"""Logit of every model on the straight way from a person to their promised action."""

from __future__ import annotations

from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from cfq_core.report import fmt, palette
from cfq_core.report import person as people
from cfq_core.report.charts import _decided
from cfq_core.report.frames import Stored
from cfq_core.report.picture import Picture

POINTS = 41  # on the way


def rows(study: Stored, teacher: str, person: int, budget: float) -> pd.DataFrame:
    """One row a (model, point); ``way`` from 0 (as they are) to 1 (as promised). Needs the table."""
    action, who = people.promised(study, teacher, person), people.test_people(study, teacher)
    if action is None or isinstance(who, str):
        return pd.DataFrame()
    start, end = who.encoding.encode(np.array([action.before, action.after]))
    way = np.linspace(0.0, 1.0, POINTS)
    teacher_at, students_at = people.logits_at(study, teacher, start + way[:, None] * (end - start))
    parts = [pd.DataFrame({"method": _decided.FP32, "budget": 32.0, "way": way, "logit": teacher_at})]
    for run, line in zip(_decided.of_runs(study, teacher).itertuples(), students_at, strict=True):
        parts.append(pd.DataFrame({"method": run.method, "budget": run.budget, "way": way, "logit": line}))
    return pd.concat(parts, ignore_index=True)


def chart(rows: pd.DataFrame, teacher: str, person: int, budget: float) -> Any:
    """The teacher and the students of the chosen budget strong, those of other budgets faint."""
    methods = [m for m in dict.fromkeys(rows.method) if m != _decided.FP32]
    drawn = rows.assign(model=rows.method + rows.budget.map(" {:g}".format), percent=100 * rows.way)
    x = alt.X("percent:Q", title="of the way to the promised action (%)", scale=alt.Scale(domain=[0, 100]))
    y = alt.Y("logit:Q", title="logit")
    colour = alt.Color(
        "method:N",
        scale=alt.Scale(
            domain=[_decided.FP32, *methods], range=[palette.TEACHER, *(palette.style(m).colour for m in methods)]
        ),
        legend=alt.Legend(
            title=f"model at {fmt.bits(budget)}",
            orient="top",
            labelLimit=0,
            titleLimit=0,
            columns=6,
            symbolOpacity=1,
        ),
    )
    base = alt.Chart(drawn).encode(x=x, y=y, color=colour, detail="model:N")
    tip = ["method:N", alt.Tooltip("budget:Q", title="bits"), alt.Tooltip("logit:Q", format="+.3f")]
    strong = (alt.datum.budget == budget) | (alt.datum.method == _decided.FP32)
    others = base.transform_filter(~strong).mark_line(strokeWidth=1, opacity=0.25)
    mine = base.transform_filter(alt.datum.budget == budget).mark_line(strokeWidth=2)
    fp32 = base.transform_filter(alt.datum.method == _decided.FP32).mark_line(strokeWidth=3.5, strokeDash=[7, 3])
    ends = base.transform_filter(strong & (alt.datum.way == 1)).mark_point(size=70, filled=True).encode(tooltip=tip)
    zero = alt.Chart(pd.DataFrame({"logit": [0.0]})).mark_rule(color=palette.TEACHER).encode(y="logit:Q")
    return alt.layer(zero, others, mine, fp32, ends).properties(height=440)


def alt_text(rows: pd.DataFrame, teacher: str, person: int, budget: float) -> str:
    """Where the teacher and the chosen budget's students end."""
    ends = rows[(rows.way == 1) & ((rows.budget == budget) | (rows.method == _decided.FP32))]
    logits = ", ".join(f"{r.method} {r.logit:+.2f}" for r in ends.itertuples())
    return f"After the promised action the logit of person {person} is: {logits} (students at {fmt.bits(budget)})."


PICTURE = Picture(
    "Logit on the way to the promised action",
    rows,
    chart,
    alt_text,
    "Above 0 a model approves. Faint: other budgets. Between the ends nobody stands: categories are mixed there.",
)
