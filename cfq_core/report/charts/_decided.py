"""Method x budget for one person: approved or not in colour and sign, the logit as number. Shared by two pictures."""

from __future__ import annotations

from typing import Any

import altair as alt
import pandas as pd

from cfq_core.report import fmt, palette
from cfq_core.report.frames import Stored

ROW, HEAD = 30, 70  # pixels; the head is the axis above the cells, which a page counts in
YES, NO = "approves", "refuses"
FP32 = "FP32"  # the teacher's row


def of_runs(study: Stored, teacher: str) -> pd.DataFrame:
    """The students of a teacher: run, method, budget, threshold; in the study's order."""
    return study.runs[study.runs.teacher == teacher][["run", "method", "budget", "threshold"]].reset_index(drop=True)


def decided(of: pd.DataFrame, logit: Any, matched: bool) -> pd.DataFrame:
    """With each student's logit and its decision, raw or with the threshold at the teacher's approval rate."""
    level = of.threshold if matched else 0.0
    return of.assign(logit=logit, approves=logit > level).drop(columns="threshold")


def refusing(rows: pd.DataFrame) -> list[str]:
    """Which models refuse: ``ptq at 2 bits``."""
    no = rows[~rows.approves]
    return [f"{method} at {fmt.bits(budget)}" for method, budget in zip(no.method, no.budget, strict=True)]


def cells(rows: pd.DataFrame) -> Any:
    """One cell a (method, budget)."""
    drawn = rows.assign(
        bits=rows.budget.map("{:g}".format),
        decision=rows.approves.map({True: YES, False: NO}),
        text=[f"{'✓' if ok else '✗'} {z:+.2f}" for ok, z in zip(rows.approves, rows.logit, strict=True)],
    )
    grid = alt.Chart(drawn).encode(
        x=alt.X(
            "bits:N",
            title="budget (bits per weight)",
            sort=[f"{b:g}" for b in sorted(set(rows.budget))],
            axis=alt.Axis(labelAngle=0, orient="top"),
        ),
        y=alt.Y("method:N", title=None, sort=list(dict.fromkeys(rows.method)), axis=alt.Axis(labelLimit=0)),
        tooltip=[
            "method:N",
            alt.Tooltip("bits:N", title="budget"),
            alt.Tooltip("logit:Q", format="+.4f"),
            "decision:N",
        ],
    )
    hue = alt.Color(
        "decision:N",
        scale=alt.Scale(domain=[YES, NO], range=[palette.HOLDS, palette.BREAKS]),
        legend=None,  # the signs say it
    )
    boxes = grid.mark_rect(stroke="#888888", strokeWidth=0.5).encode(color=hue)
    numbers = grid.mark_text(fontSize=13, fontWeight="bold", color="#111111").encode(text="text:N")
    return (boxes + numbers).properties(height=HEAD + ROW * rows.method.nunique())
