"""The first sentence of a page: its number, how sure it is, and what it does not say. Written from the data."""

from __future__ import annotations

import pandas as pd

from cfq_core.report import words
from cfq_core.report.charts import landscape
from cfq_core.report.frames import Stored


def condition(study: Stored, dataset: str, method: str, budget: float) -> str:
    """On what share of the promises the margin condition holds, and how many are kept though it fails."""
    mine = words.line_of(study.lines, dataset, method, budget)
    if "margin_condition" not in mine.index or pd.isna(mine["mean"]["margin_condition"]):
        return f"Nothing to judge by: no denied person of {dataset} has recourse here with {method}."
    text = (
        f"At {words.bits(budget)} with {method} the margin condition |q − f| < f holds for "
        f"**{words.in_100(mine['mean']['margin_condition'])}** promised actions "
        f"({words.how_sure(mine.loc['margin_condition'])})"
    )
    if "margin_transferred" in mine.index and "vd" in mine.index:
        text += (
            f"; another **{words.in_100(mine['mean']['margin_transferred'])}** "
            f"({words.how_sure(mine.loc['margin_transferred'])}) are kept though it fails, and "
            f"{words.in_100(mine['mean']['vd'])} are broken"
        )
    return f"{text}. It is sufficient, not necessary: beyond the first share it guarantees nothing."


def bits(study: Stored, dataset: str, teacher: str, budget: float, matched: bool = False) -> str:
    """What the best allocation within a budget breaks, and what two simple rules break."""
    rows = landscape.rows(study, teacher, budget, matched)
    if rows.empty or not rows.fits.any():
        return f"What each layer gets under {words.bits(budget)} on {dataset}; all allocations are not stored here."
    fitting, marks = rows[rows.fits], landscape.marks(rows).set_index("allocator")
    text = f"At {words.bits(budget)} the best of {len(fitting)} allocations breaks **{words.in_100(fitting.vd.min())}**"
    for told, by in (("uniform", "uniform bits"), ("factual: loss", "factual"), ("recourse", "recourse sensitivity")):
        if told in marks.index:
            text += f", {by} **{words.in_100(marks.vd[told])}**"
    how = ", at the teacher's approval rate" if matched else ""
    return f"{text} promised actions{how} (one teacher, post-training; how sure: see the seeds, and *Curves*)."
