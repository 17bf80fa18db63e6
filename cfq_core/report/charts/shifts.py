"""One measure of every model in every population: as audited, reweighted, recorded with noise, one group alone."""

from __future__ import annotations

from typing import Any

import altair as alt
import pandas as pd

from cfq_core.report import fmt, palette
from cfq_core.report.charts import _probed
from cfq_core.report.frames import Stored
from cfq_core.report.picture import Picture

PROBE, PLAIN = "shift", "as audited"
ROW = 15  # pixels a model in a population
AROUND = 150  # pixels of legend and axis, which a chart's height counts where it fits its page


def rows(study: Stored, dataset: str, budget: float, matched: bool = False, shown: str = "vd") -> pd.DataFrame:
    """One row a (population, model). ``shown``: vd, approval_shift or accuracy; the teacher's too where it has one."""
    measure = _probed.known(study, PROBE, shown, matched)
    found = _probed.readings(study, PROBE, dataset, budget, (measure, shown))
    if found.empty:
        return found
    mine = found[(found.measure == measure) | (found.method == _probed.TEACHER)].dropna(subset=["mean"])
    order = {label: i for i, label in enumerate(dict.fromkeys(mine.label))}
    return mine.sort_values("label", key=lambda c: c.map(order), kind="stable").reset_index(drop=True)


def chart(rows: pd.DataFrame, dataset: str, budget: float, matched: bool = False, shown: str = "vd") -> Any:
    """A row a population, a mark a model."""
    measured, methods = fmt.measured(rows.measure.iloc[-1]), list(dict.fromkeys(rows.method))
    drawn = rows.assign(
        value=rows["mean"] * measured.scale, bottom=rows.seed_low * measured.scale, top=rows.seed_high * measured.scale
    )
    populations = list(dict.fromkeys(rows.label))
    base = alt.Chart(drawn).encode(
        y=alt.Y("label:N", sort=populations, title=None, axis=alt.Axis(labelLimit=190, grid=True)),
        yOffset=alt.YOffset("method:N", sort=methods),
        color=palette.colour(methods),
    )
    x = alt.X("value:Q", title=measured.axis, scale=alt.Scale(zero=shown != "accuracy", nice=True))
    bars = base.mark_rule(strokeWidth=1.5).encode(x="bottom:Q", x2="top:Q")
    dots = base.mark_point(size=70, filled=True, opacity=1).encode(
        x=x, shape=palette.shape(methods), tooltip=_probed.tooltip(measured, "population")
    )
    height = AROUND + ROW * (len(methods) + 1) * len(populations)
    return alt.layer(bars, dots).properties(height=height)


def title(shown: str = "vd", **_: Any) -> str:
    """The measure, and where."""
    return f"{fmt.measured(shown).heading} in other populations"


def alt_text(rows: pd.DataFrame, dataset: str, budget: float, matched: bool = False, shown: str = "vd") -> str:
    """Each model as audited, and where it is lowest and highest."""
    measured, parts = fmt.measured(rows.measure.iloc[-1]), []
    for method, mine in rows.groupby("method", sort=False):
        plain = mine[mine.series == PLAIN]["mean"]
        low, high = mine.loc[mine["mean"].idxmin()], mine.loc[mine["mean"].idxmax()]
        parts.append(
            f"{method} {measured.format(plain.iloc[0] if len(plain) else None)} as audited, "
            f"from {measured.format(low['mean'])} ({low.label}) to {measured.format(high['mean'])} ({high.label})"
        )
    where = f"{dataset} at {fmt.bits(budget)} in {rows.label.nunique()} populations"
    return f"{measured.title} on {where}: {'; '.join(parts)}."


PICTURE = Picture(
    title,
    rows,
    chart,
    alt_text,
    "Tilted: test people count exp(t × where they stand along the direction in which people differ most). Noise: what "
    "is recorded of them is off, and teacher and student both decide on the record. One group: only its people come. "
    "Populations that rest on under 30 people (effectively, where weighted) are not shown. Bars: {interval}.",
)
