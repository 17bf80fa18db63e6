"""Gap between groups against the bit budget, with the p-value of a permutation test."""

from __future__ import annotations

from typing import Any

import altair as alt
import pandas as pd

from cfq_core.group_tests import LEVEL, PERMUTATIONS, SMALLEST_GROUP
from cfq_core.report import by_group, fmt, palette
from cfq_core.report.frames import Stored
from cfq_core.report.picture import Picture

SIDE = 0.08  # bits between columns, so that their bars do not cover each other


def rows(study: Stored, dataset: str, method: str, measure: str, crossing: bool = False) -> pd.DataFrame:
    """One row a (budget, protected column or crossing)."""
    found = by_group.gaps(study, dataset, method, measure)
    if found.empty:
        return found
    mine = found[found.column.str.contains(" x ", regex=False) == crossing].reset_index(drop=True)
    return mine.assign(gap_of_means=_gaps_of_means(study, dataset, method, measure, mine))


def _gaps_of_means(study: Stored, dataset: str, method: str, measure: str, rows: pd.DataFrame) -> list[float]:
    """Between the largest and the smallest mean over seeds of a column's groups: what the picture above it shows."""
    g = study.groups[(study.groups.dataset == dataset) & (study.groups.method == method)]
    means = g[g.measure == measure].dropna(subset=["value"]).groupby(["budget", "column", "level"]).value.mean()
    ends = means.groupby(["budget", "column"]).agg(["min", "max"])
    return [float(ends["max"][k] - ends["min"][k]) for k in zip(rows.budget, rows.column, strict=True)]


def chart(rows: pd.DataFrame, dataset: str, method: str, measure: str, crossing: bool = False) -> Any:
    """Filled where p < 0.05 over all seeds and marks; bars from the least to the largest gap of a seed."""
    measured, columns = fmt.measured(measure), list(dict.fromkeys(rows.column))
    place = {c: SIDE * (i - (len(columns) - 1) / 2) for i, c in enumerate(columns)}
    drawn = rows.assign(
        at=rows.budget + rows.column.map(place),
        notable=rows.p_of_all < LEVEL,
        **{c: measured.scale * rows[c] for c in ("gap", "least", "largest", "by_chance", "gap_of_means")},
    )
    budgets = sorted(rows.budget.unique())
    x = alt.X(
        "at:Q",
        title="budget (bits per weight)",
        axis=alt.Axis(values=budgets, format="~g", grid=False),
        scale=alt.Scale(domain=[min(budgets) - 0.5, max(budgets) + 0.5], nice=False),
    )
    size = len(columns)
    colours = [palette.COLOURS[i % len(palette.COLOURS)] for i in range(size)] if size > 2 else list(palette.TWO[:size])
    shapes = [palette.SHAPES[i % len(palette.SHAPES)] for i in range(size)]
    legend = alt.Legend(title="groups of", labelLimit=0, orient="top", columns=3)
    colour = alt.Color("column:N", scale=alt.Scale(domain=columns, range=colours), legend=legend)
    shape = alt.Shape("column:N", scale=alt.Scale(domain=columns, range=shapes), legend=legend)
    tips = ["column:N", "budget:Q", alt.Tooltip("gap:Q", title="gap within a seed, on average", format=".1f"),
            alt.Tooltip("gap_of_means:Q", title="gap between the groups' means", format=".1f"),
            alt.Tooltip("p:Q", format=".3f"),
            alt.Tooltip("p_of_all:Q", title="p, all marks together", format=".3f"),
            alt.Tooltip("by_chance:Q", title="gap expected by chance", format=".1f"),
            alt.Tooltip("p_of_seeds:N", title="p of each seed"), "highest:N", "seeds:Q", "people:Q"]  # fmt: skip
    base = alt.Chart(drawn)
    bars = base.mark_rule(strokeWidth=2).encode(x=x, y="least:Q", y2="largest:Q", color=colour)
    chance = base.mark_tick(thickness=2, size=14, orient="horizontal", color=palette.TEACHER).encode(
        x=x, y="by_chance:Q"
    )
    means = base.mark_tick(thickness=3, size=22, orient="horizontal").encode(x=x, y="gap_of_means:Q", color=colour)
    dots = base.mark_point(size=110, opacity=1, strokeWidth=2).encode(
        x=x,
        y=alt.Y("gap:Q", title="gap (points)", scale=alt.Scale(zero=True)),
        color=colour,
        shape=shape,
        fill=alt.condition(alt.datum.notable, colour, alt.value("transparent")),
        tooltip=tips,
    )
    return alt.layer(bars, chance, means, dots).properties(height=320)


def alt_text(rows: pd.DataFrame, dataset: str, method: str, measure: str, crossing: bool = False) -> str:
    """Each column's largest gap with its p."""
    measured, parts = fmt.measured(measure), []
    for column, mine in rows.groupby("column", sort=False):
        top = mine.loc[mine.gap.idxmax()]
        parts.append(
            f"{column} at most {measured.scale * top.gap:.1f} points within a seed, at {fmt.bits(top.budget)} (by "
            f"chance {measured.scale * top.by_chance:.1f}; p = {top.p:.2g}, {top.p_of_all:.2g} with all marks), and "
            f"{measured.scale * top.gap_of_means:.1f} between the groups' means"
        )
    return f"Gap between groups in {measured.title} of {method} on {dataset}: {'; '.join(parts)}."


PICTURE = Picture(
    "Gap between groups within a seed, and how often chance makes one as large",
    rows,
    chart,
    alt_text,
    f"Largest less smallest mean among groups of at least {SMALLEST_GROUP} people; mean over seeds, bars from the "
    "least to the largest. Coloured tick: the gap between the groups' means over seeds, as in the picture above; it is "
    "the smaller where seeds name other groups. Grey tick: the gap expected of groups that do not differ. p: "
    f"permutation test ({PERMUTATIONS:,} deals a seed), the seeds' p combined so that it holds although they "
    "share people (Rüger); "
    "filled where it is below 0.05 for all marks of the picture together (Holm). On the full-precision "
    "model the gap in VD, CRG and approval shift is 0: what it did before stands under its own heading.",
)
