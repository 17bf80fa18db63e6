"""The first sentence of a page: its number, how sure it is, and what it does not say. Written from the data."""

from __future__ import annotations

import pandas as pd

from cfq_core.group_tests import LEVEL
from cfq_core.report import by_group, fmt
from cfq_core.report import names as names_of
from cfq_core.report.charts import landscape
from cfq_core.report.frames import Stored


def condition(study: Stored, dataset: str, method: str, budget: float) -> str:
    """On what share of the promises the margin condition holds, and how many are kept though it fails."""
    mine = fmt.line_of(study.lines, dataset, method, budget)
    if "margin_condition" not in mine.index or pd.isna(mine["mean"]["margin_condition"]):
        return f"Nothing to judge by: no denied person of {dataset} has recourse here with {method}."
    text = (
        f"At {fmt.bits(budget)} with {names_of.both(method)} **{fmt.in_100(mine['mean']['margin_condition'])}** "
        "promises are sure to hold: the score moved by less than the margin they were promised with "
        f"({fmt.how_sure(mine.loc['margin_condition'])})"
    )
    if "margin_transferred" in mine.index and "vd" in mine.index:
        text += (
            f"; another **{fmt.in_100(mine['mean']['margin_transferred'])}** "
            f"({fmt.how_sure(mine.loc['margin_transferred'])}) hold all the same, and "
            f"{fmt.in_100(mine['mean']['vd'])} are broken"
        )
    return f"{text}. Beyond the first share nothing is guaranteed (margin condition)."


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


def numbers(
    study: Stored, dataset: str, method: str, budget: float, matched: bool, names: tuple[str, ...]
) -> list[tuple[str, str, str]]:
    """Title, value and how sure it is of some measures of one student; the worst group as the page Groups draws it."""
    mine, items = fmt.line_of(study.lines, dataset, method, budget), []
    for name in names:
        measure = f"{name}_matched" if matched and f"{name}_matched" in mine.index else name
        if measure not in mine.index:
            continue
        measured, m = fmt.measured(measure), mine.loc[measure]
        value = measured.format(m["mean"])
        spread = f"± {measured.scale * m['sd']:.1f} over {m['seeds']:.0f} seeds" if m["sd"] == m["sd"] else "one seed"
        if name == "worst_group_vd":
            worst = by_group.highest(study, dataset, method, budget, measure.replace("worst_group_", ""))
            if worst is not None:
                spread = f"{worst[0]}: {worst[1]}, mean over seeds. Each seed's own largest averages {value}"
                value = measured.format(worst[2])
            spread += by_chance(mine, measure)
        items.append((measured.short.rsplit(" (", 1)[0], value, spread))
    return items


def beside(study: Stored, dataset: str, budget: float, vd: str, one: str, other: str) -> str:
    """What method B (``other``) breaks less or more than method A at one budget, seed by seed."""
    a, b = (fmt.line_of(study.lines, dataset, m, budget) for m in (one, other))
    named = f"**A** {names_of.both(one)}, **B** {names_of.both(other)}, at {fmt.bits(budget)}"
    if any(x.empty or vd not in x.index or pd.isna(x["mean"][vd]) for x in (a, b)):
        return f"{named}: not stored for both."
    d = study.paired(dataset, budget, vd, other, one)
    moved = [x["mean"].get("approval_shift", float("nan")) for x in (a, b)]
    shifts = f"approvals shift by {fmt.points(moved[0])} and {fmt.points(moved[1])}"
    means = f"{100 * a['mean'][vd]:.1f} and {100 * b['mean'][vd]:.1f} of 100 promises fail"
    if d.mean is None or d.low is None or d.high is None:
        return f"{named}: {means}, {shifts}. One paired seed: no claim."
    if d.low <= 0 <= d.high:
        within = f"B less A {100 * d.mean:+z.1f}, 95 % {100 * d.low:+.1f} to {100 * d.high:+.1f}"
        sure = f"that they differ is not shown ({within})"
    else:
        ends = sorted((abs(100 * d.low), abs(100 * d.high)))
        less = "fewer" if d.mean < 0 else "more"
        sure = f"**B breaks {abs(100 * d.mean):.1f} {less} of 100** (95 % {ends[0]:.1f} to {ends[1]:.1f})"
    return f"{named}: {means}, {shifts}; {sure}, {fmt.counted(d.seeds, 'paired seed')}."


def groups(study: Stored, dataset: str, method: str, budget: float, measure: str, crossing: bool = False) -> str:
    """Which group is hit most where the data show one, beside everybody and beside chance; of the measure on show."""
    hit, measured = by_group.hit_most(study, dataset, method, budget, measure, crossing), fmt.measured(measure)
    if hit is None:
        return f"No protected group of {dataset} has people enough on a seed to be judged here."
    where = f"At {fmt.bits(budget)} with {names_of.both(method)}"
    sure = f"p = {hit.p:.2g}, {fmt.counted(hit.seeds, 'seed')}"
    chance = (
        f"Each seed's own {'largest fall' if measure.startswith('approval_shift') else 'largest'} averages "
        f"{measured.format(hit.largest)}, where {measured.format(hit.by_chance)} is expected of equal groups "
        f"({sure}; the same group in {hit.named} of {hit.seeds})."
    )
    if not hit.shown:
        why = (
            "groups differ by more than chance, but the seeds do not agree on which is hit most"
            if hit.p < LEVEL
            else "the highest may be chance"
        )
        return (
            f"{where} **no group is shown to be hit more than the others**: the highest mean of a group is "
            f"{measured.title} {measured.format(hit.value)}; {why}. {chance}"
        )
    d, unit = hit.beyond, "" if measured.unit in ("%", "points") else f" {measured.unit}"
    sure = "this one model" if d.low is None or d.high is None else (
        f"95 %, {measured.scale * d.low:+.1f} to {measured.scale * d.high:+.1f} over {d.seeds} seeds"
    )  # fmt: skip
    apart = f"{abs(measured.scale * (d.mean or 0.0)):.1f}{unit or ' points'}"
    return (
        f"{where} the group hit most is **{hit.column}: {hit.level}**, {measured.title} "
        f"**{measured.format(hit.value)}**, {apart} worse than everybody ({sure}). {chance}"
    )
