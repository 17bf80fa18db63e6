"""What the full-precision model did to each group before any quantization: approvals and the cost of recourse."""

from __future__ import annotations

from math import isnan
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from cfq_core.report import fmt, palette
from cfq_core.report.frames import Stored
from cfq_core.report.picture import Picture

ROW, FRAME = 30, 125  # pixels of a group; of axis and legend, which streamlit counts in
MODELS = ("FP32", "student")


def rows(study: Stored, dataset: str, method: str, budget: float) -> pd.DataFrame:
    """One row a group: approval rate on the teacher and on the student, mean over seeds, and the cost of recourse."""
    runs = study.runs[(study.runs.dataset == dataset) & (study.runs.method == method) & (study.runs.budget == budget)]
    g, denied = study.groups[~study.groups.crossing.astype(bool)], study.teachers.set_index("id")
    shifts, found = g[g.measure == "approval_shift"].dropna(subset=["value"]), list[dict[str, Any]]()
    for run, teacher in zip(runs.run, runs.teacher, strict=True):
        people, shift = study.people(run), shifts[shifts.run == run]
        asked = float(denied.denied[teacher]) / max(len(people), 1)  # denied people for each one asked
        siblings = study.runs.run[study.runs.teacher == teacher]
        every = shifts[shifts.run.isin(siblings)].groupby(["column", "level"]).value
        least, most = -every.min(), 1 - every.max()  # no student approves fewer than nobody, or more than everybody
        for column, level, moved, count in zip(shift.column, shift.level, shift.value, shift["count"], strict=True):
            if f"group:{column}" not in people:
                continue
            mine = people[people[f"group:{column}"] == level]
            sampled = 1 - asked * len(mine) / count
            rate = float(np.clip(sampled, max(0.0, least[column, level]), min(1.0, most[column, level])))
            found.append({"column": column, "level": level, "fp32": rate, "student": rate + moved,
                          "cost": mine.cost.mean(), "people": count, "denied": asked * len(mine),
                          "estimated": asked > 1})  # fmt: skip
    if not found:
        return pd.DataFrame()
    return pd.DataFrame(found).groupby(["column", "level"], sort=False).mean().reset_index().assign(seeds=len(runs))


def chart(rows: pd.DataFrame, dataset: str, method: str, budget: float) -> Any:
    """From the teacher's approval rate to the student's, a group a row."""
    label = [f"{c}: {v} (n = {n:.0f})" for c, v, n in zip(rows.column, rows.level, rows.people, strict=True)]
    drawn = rows.assign(label=label, a=100 * rows.fp32, b=100 * rows.student)
    long = pd.concat([
        drawn.assign(model=MODELS[0], at=drawn.a), drawn.assign(model=MODELS[1], at=drawn.b)
    ])  # fmt: skip
    y = alt.Y("label:N", title=None, sort=label, axis=alt.Axis(labelLimit=0))
    ends = [max(0.0, float(long["at"].min()) - 2), min(100.0, float(long["at"].max()) + 2)]
    x = alt.X("at:Q", title="approved (%)", scale=alt.Scale(domain=ends, nice=False))
    legend = alt.Legend(title="model", orient="top")
    between = alt.Chart(drawn).mark_rule(strokeWidth=2, color=palette.TEACHER).encode(y=y, x="a:Q", x2="b:Q")
    colours = [palette.TEACHER, palette.style(method).colour]
    dots = alt.Chart(long).mark_point(size=110, filled=True, opacity=1).encode(
        y=y,
        x=x,
        color=alt.Color("model:N", scale=alt.Scale(domain=list(MODELS), range=colours), legend=legend),
        shape=alt.Shape("model:N", scale=alt.Scale(domain=list(MODELS), range=["circle", "square"]), legend=legend),
        tooltip=["column:N", "level:N", "model:N", alt.Tooltip("at:Q", title="approved (%)", format=".1f"),
                 alt.Tooltip("cost:Q", title="cost of FP32 recourse", format=".2f")],
    )  # fmt: skip
    return alt.layer(between, dots).properties(height=FRAME + ROW * len(drawn))


def _at(cost: float, words: str) -> str:
    return " with nobody told of an action" if isnan(cost) else f"{words}{cost:.2f}"


def alt_text(rows: pd.DataFrame, dataset: str, method: str, budget: float) -> str:
    """The teacher's own gaps."""
    parts = []
    for column, mine in rows.groupby("column", sort=False):
        if len(mine) < 2:
            continue
        low, high = mine.loc[mine.fp32.idxmin()], mine.loc[mine.fp32.idxmax()]
        parts.append(
            f"{column} “{low.level}” {100 * low.fp32:.0f} %{_at(low.cost, ' at a mean cost of ')}, "
            f"“{high.level}” {100 * high.fp32:.0f} %{_at(high.cost, ' at ')}"
        )
    gaps = "; ".join(parts) or "no two groups are large enough"
    seeds = fmt.counted(int(rows.seeds.iloc[0]), "seed")
    return f"Before any quantization the teacher approves on {dataset} (mean over {seeds}, without a test): {gaps}."


PICTURE = Picture(
    "What the full-precision model did before",
    rows,
    chart,
    alt_text,
    "Approval rate of test people by group, teacher and student; the distance between groups in grey is no effect of "
    "quantization. Where only a sample of the denied was asked for recourse, FP32's rates are estimated from it, "
    "within what the exact shifts of all students leave possible. Cost: mean of the promised action, in scale units. "
    "Mean over seeds; which group is first or last is not tested here.",
)
