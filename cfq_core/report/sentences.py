"""The first sentence of a page: its number, how sure it is, and what it does not say. Written from the data."""

from __future__ import annotations

import pandas as pd

from cfq_core.report import by_group, fmt
from cfq_core.report.charts import groups as group_chart
from cfq_core.report.charts import landscape
from cfq_core.report.frames import Stored


def condition(study: Stored, dataset: str, method: str, budget: float) -> str:
    """On what share of the promises the margin condition holds, and how many are kept though it fails."""
    mine = fmt.line_of(study.lines, dataset, method, budget)
    if "margin_condition" not in mine.index or pd.isna(mine["mean"]["margin_condition"]):
        return f"Nothing to judge by: no denied person of {dataset} has recourse here with {method}."
    text = (
        f"At {fmt.bits(budget)} with {method} the margin condition |q − f| < f holds for "
        f"**{fmt.in_100(mine['mean']['margin_condition'])}** promised actions "
        f"({fmt.how_sure(mine.loc['margin_condition'])})"
    )
    if "margin_transferred" in mine.index and "vd" in mine.index:
        text += (
            f"; another **{fmt.in_100(mine['mean']['margin_transferred'])}** "
            f"({fmt.how_sure(mine.loc['margin_transferred'])}) are kept though it fails, and "
            f"{fmt.in_100(mine['mean']['vd'])} are broken"
        )
    return f"{text}. It is sufficient, not necessary: beyond the first share it guarantees nothing."


def bits(study: Stored, dataset: str, teacher: str, budget: float, matched: bool = False) -> str:
    """What the best allocation within a budget breaks, and what two simple rules break."""
    rows = landscape.rows(study, teacher, budget, matched)
    if rows.empty or not rows.fits.any():
        return f"What each layer gets under {fmt.bits(budget)} on {dataset}; all allocations are not stored here."
    fitting, marks = rows[rows.fits], landscape.marks(rows).set_index("allocator")
    text = f"At {fmt.bits(budget)} the best of {len(fitting)} allocations breaks **{fmt.in_100(fitting.vd.min())}**"
    for allocator, by in (
        ("uniform", "uniform bits"),
        ("factual: loss", "factual"),
        ("recourse", "recourse sensitivity"),
    ):
        if allocator in marks.index:
            text += f", {by} **{fmt.in_100(marks.vd[allocator])}**"
    how = ", at the teacher's approval rate" if matched else ""
    return f"{text} promised actions{how} (one teacher, post-training; how sure: see the seeds, and *Curves*)."


def groups(study: Stored, dataset: str, method: str, budget: float, measure: str) -> str:
    """Which group is hit most, beside everybody, and how sure the gap is."""
    rows = group_chart.rows(study, dataset, method, budget, measure)
    worst = group_chart.worst_of(rows, measure) if not rows.empty else None
    measured = fmt.measured(measure)
    if worst is None:
        return f"No protected group of {dataset} has people enough on a seed to be judged here."
    hit = rows.loc[worst]
    text = (
        f"At {fmt.bits(budget)} with {method} the group hit most is **{hit.column}: {hit.level}**, "
        f"{measured.title} **{measured.format(hit.value)}** beside {measured.format(hit.everybody)} of everybody"
    )
    gaps = by_group.gaps(study, dataset, method, measure)
    mine = gaps[(gaps.budget == budget) & (gaps.column == hit.column)] if not gaps.empty else gaps
    if mine.empty:
        return f"{text}; its gap to other groups could not be tested."
    g = mine.iloc[0]
    return (
        f"{text}. The gap between groups of {hit.column} is {measured.scale * g.gap:.1f} points, p = {g.p:.2g} "
        f"({fmt.counted(int(g.seeds), 'seed')}, {g.people:.0f} people a seed)."
    )
