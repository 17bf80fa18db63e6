"""The first sentence of a page: its number, how sure it is, and what it does not say. Written from the data."""

from __future__ import annotations

import pandas as pd

from cfq_core.report import by_group, fmt
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
    """What the best allocation within a budget breaks, and what simple rules and measuring break."""
    rows = landscape.rows(study, teacher, budget, matched)
    if rows.empty or not rows.fits.any():
        return f"What each layer gets under {fmt.bits(budget)} on {dataset}; all allocations are not stored here."
    fitting, marks = rows[rows.fits], landscape.marks(rows).set_index("allocator")
    text = f"At {fmt.bits(budget)} the best of {len(fitting)} allocations breaks **{fmt.in_100(fitting.vd.min())}**"
    for allocator, by in (
        ("uniform", "uniform bits"),
        ("factual: loss", "factual"),
        ("recourse", "recourse sensitivity"),
        (landscape.MEASURED, "trying every allocation on training people"),
    ):
        if allocator in marks.index:
            text += f", {by} **{fmt.in_100(marks.vd[allocator])}**"
    how = ", at the teacher's approval rate" if matched else ""
    return f"{text} promised actions{how} (one teacher, post-training; how sure: see the seeds, and Curves)."


def by_chance(line: pd.DataFrame, measure: str) -> str:
    """What stands behind a worst group: ``; by chance 12.1 %, p = 0.3``; empty where a run is too old to say."""
    base, matched = measure.removesuffix("_matched"), "_matched" if measure.endswith("_matched") else ""
    names = [f"{base}_{what}{matched}" for what in ("by_chance", "p")]
    if not set(names) <= set(line.index) or line["mean"][names].isna().any():
        return ""
    expected, p = (fmt.measured(n).format(line["mean"][n]) for n in names)
    return f"; by chance {expected}, {p}"


def groups(study: Stored, dataset: str, method: str, budget: float, measure: str) -> str:
    """Which group is hit most where the data show one, beside everybody and beside chance."""
    hit, measured = by_group.hit_most(study, dataset, method, budget, measure), fmt.measured(measure)
    if hit is None:
        return f"No protected group of {dataset} has people enough on a seed to be judged here."
    where = f"At {fmt.bits(budget)} with {method}"
    test = f"max-type permutation over all groups, p = {hit.p:.2g}, {fmt.counted(hit.seeds, 'seed')}"
    largest = f"{measured.format(hit.largest)} where {measured.format(hit.by_chance)} is expected of equal groups"
    if not hit.shown:
        return (
            f"{where} **no group is shown to be hit more than the others**: the largest {measured.title} among groups "
            f"is {largest} ({test}; the seeds' largest is the same group in {hit.named} of {hit.seeds})."
        )
    d = hit.beyond
    sure = "this one model" if d.low is None or d.high is None else (
        f"95 %, Student's t over {d.seeds} seeds, {measured.scale * d.low:+.1f} to {measured.scale * d.high:+.1f}"
    )  # fmt: skip
    return (
        f"{where} the group hit most is **{hit.column}: {hit.level}**, {measured.title} "
        f"**{measured.format(hit.value)}**, {measured.scale * (d.mean or 0.0):+.1f} points beside everybody ({sure}). "
        f"Each seed's largest group has {largest} ({test}; this group in {hit.named})."
    )
