"""One measure by protected group: mean over seeds with its interval, groups that are too small with their count."""

from __future__ import annotations

from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from cfq_core.group_tests import SMALLEST_GROUP
from cfq_core.report import by_group, fmt, palette
from cfq_core.report.frames import Stored
from cfq_core.report.picture import Picture
from cfq_core.study.over_seeds import over_seeds

HIT = "group hit most"
ROW, FRAME = 26, 80  # pixels of a group; of the axis, which streamlit counts in


def rows(study: Stored, dataset: str, method: str, budget: float, measure: str, crossing: bool = False) -> pd.DataFrame:
    """One row a group: a value where at least one seed has people enough, else only their number."""
    g = study.groups
    mine = (g.dataset == dataset) & (g.method == method) & (g.budget == budget)
    here = g[mine & (g.measure == measure) & (g.crossing == crossing)]
    if here.empty:
        return pd.DataFrame()
    line = fmt.line_of(study.lines, dataset, method, budget)["mean"]
    each = [_group(c, level, one) for (c, level), one in here.groupby(["column", "level"], sort=False)]
    found, hit = pd.DataFrame(each).assign(everybody=line.get(measure, np.nan)), None
    if found.value.notna().any():
        hit = by_group.hit_most(study, dataset, method, budget, measure, crossing)
    shown = hit is not None and hit.shown
    found["hit_most"] = shown & (found.column == hit.column) & (found.level == hit.level) if hit else False
    return found.assign(by_chance=hit.by_chance if hit else np.nan, p=hit.p if hit else np.nan)


def _group(column: str, level: str, seeds: pd.DataFrame) -> dict[str, Any]:
    """Interval: over seeds where there are several, over people where only one seed has enough."""
    judged = seeds.dropna(subset=["value"])
    value, count = judged.value.mean(), len(judged)
    low: float | None = None
    high, over = low, ""
    if count == 1:
        low, high, over = judged.low.iloc[0], judged.high.iloc[0], "people"
    elif count > 1:
        share = fmt.measured(seeds.measure.iloc[0]).share
        m = over_seeds(judged.set_index("seed")[["value", "count"]].to_dict("index"), share)
        low, high, over = m.low, m.high, "seeds"
    return {
        "column": column,
        "level": level,
        "value": value,
        "low": low,
        "high": high,
        "interval_over": over,
        "seeds_judged": count,
        "seeds": len(seeds),
        "fewest_people": int(seeds["count"].min()),
        "most_people": int(seeds["count"].max()),
    }


def _labels(rows: pd.DataFrame) -> list[str]:
    each = zip(rows.column, rows.level, rows.fewest_people, rows.most_people, rows.seeds_judged, strict=True)
    return [
        f"{column}: {level} (n = {low if low == high else f'{low}–{high}'}{', too few' if not judged else ''})"
        for column, level, low, high, judged in each
    ]


def chart(rows: pd.DataFrame, dataset: str, method: str, budget: float, measure: str, crossing: bool = False) -> Any:
    """A dot and an interval a group; the dashed line is everybody, the dotted one the largest group by chance."""
    measured = fmt.measured(measure)
    drawn = rows.assign(
        label=_labels(rows), **{c: rows[c] * measured.scale for c in ("value", "low", "high", "everybody", "by_chance")}
    )
    drawn["which"] = np.where(drawn.hit_most, HIT, "group")
    y = alt.Y("label:N", title=None, sort=list(drawn.label), axis=alt.Axis(labelLimit=0))
    scale = alt.Scale(domain=["group", HIT], range=list(palette.TWO))
    colour = alt.Color("which:N", scale=scale, legend=None)
    shape = alt.Shape("which:N", scale=alt.Scale(domain=["group", HIT], range=["circle", "diamond"]), legend=None)
    tips = ["column:N", "level:N", alt.Tooltip("value:Q", title=measured.axis, format=".1f"),
            alt.Tooltip("low:Q", title="95 %, from", format=".1f"), alt.Tooltip("high:Q", title="to", format=".1f"),
            alt.Tooltip("interval_over:N", title="interval over"), "seeds_judged:Q",
            "fewest_people:Q", "most_people:Q"]  # fmt: skip
    judged, few = drawn[drawn.seeds_judged > 0], drawn[drawn.seeds_judged == 0]
    base = alt.Chart(judged).encode(y=y)
    bars = base.mark_rule(strokeWidth=2).encode(x="low:Q", x2="high:Q", color=colour)
    dots = base.mark_point(size=110, filled=True, opacity=1).encode(
        x=alt.X("value:Q", title=measured.short, scale=alt.Scale(zero=True)), color=colour, shape=shape, tooltip=tips
    )
    lines: dict[str, Any] = {
        "color": palette.TEACHER,
        "aria": False,
    }  # told in words; a line of no value would be a mark without a name
    everybody = alt.Chart(drawn.head(1)).mark_rule(strokeDash=[4, 3], **lines).encode(x="everybody:Q")
    chance = alt.Chart(drawn.head(1)).mark_rule(strokeDash=[1, 3], **lines).encode(x="by_chance:Q")
    unknown = (
        alt.Chart(few)
        .mark_text(align="left", color=palette.TEACHER)
        .encode(y=y, x=alt.value(6), text=alt.value("too few people to judge"))
    )
    layers = [everybody, chance, *([bars, dots] if len(judged) else []), *([unknown] if len(few) else [])]
    return alt.layer(*layers).properties(height=FRAME + ROW * len(drawn))


def alt_text(rows: pd.DataFrame, dataset: str, method: str, budget: float, measure: str, crossing: bool = False) -> str:
    """Largest and smallest group, which of them is shown to be hit most, and how many groups are too small."""
    measured, known = fmt.measured(measure), rows.dropna(subset=["value"])
    small = rows[rows.seeds_judged == 0]
    few = f" {fmt.counted(len(small), 'group')} of under {SMALLEST_GROUP} people not judged." if len(small) else ""
    about = f"{measured.heading} of {method} at {fmt.bits(budget)} on {dataset}"
    if known.empty:
        return f"{about}: no group is large enough.{few}"
    low, high = known.value.min(), known.value.max()
    text = f"{about}: from {measured.format(low)} to {measured.format(high)} among {len(known)} groups"
    if pd.isna(rows.p.iloc[0]):
        return f"{text}; whether they differ could not be tested.{few}"
    hit = rows[rows.hit_most]
    which = f"{hit.column.iloc[0]}: {hit.level.iloc[0]} is hit most" if len(hit) else "no group is shown to be hit most"
    return f"{text}; {which} (p = {rows.p.iloc[0]:.2g}; by chance {measured.format(rows.by_chance.iloc[0])}).{few}"


PICTURE = Picture(
    "By group",
    rows,
    chart,
    alt_text,
    "Mean over the seeds in which a group has people enough; n: people a seed. Bars: 95 %, Student's t over those "
    "seeds, or over the people of one model where one seed alone counts. Dashed: everybody. Dotted: the largest of as "
    "many groups that do not differ, by chance. Orange: the group hit most (of the approval shift: whose approvals "
    "fall most), named only where a max-type permutation test over all groups has p < 0.05 and the seeds agree. On the "
    "full-precision model VD and CRG are 0 for all.",
)
