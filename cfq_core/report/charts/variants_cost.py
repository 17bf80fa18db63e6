"""Success on unseen deployment variants against the cost of the action: robust recourse and two plain baselines."""

from __future__ import annotations

from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from cfq_core.report import fmt, palette
from cfq_core.report.charts import _probed
from cfq_core.report.frames import Stored
from cfq_core.report.picture import Picture

PROBE, SHIPPED = "deployment_variants", "variants"
COST = "mean cost, times that of the plan's own promise (same people)"
ROBUST, ROBUST_AT = "robust", 0.2  # the strategy and strength that words compare the others with


def rows(study: Stored, dataset: str, matched: bool = False, shown: str = "robust") -> pd.DataFrame:
    """One row a (strategy, strength) of the teachers. ``shown``: robust (on all variants), held (a share), served."""
    measure = _probed.known(study, PROBE, shown, matched)
    found = _probed.readings(study, PROBE, dataset, float("nan"), (measure, "cost_ratio", "frr"))
    if found.empty:
        return found
    mine = found[(found.method == _probed.TEACHER) & (found.series != SHIPPED)]
    key = ["series", "at"]
    beside = {n: mine[mine.measure == n].set_index(key)["mean"].rename(n) for n in ("cost_ratio", "frr")}
    found = mine[mine.measure == measure].join(beside["cost_ratio"], on=key).join(beside["frr"], on=key)
    return found.drop(columns="method").reset_index(drop=True)


def chart(rows: pd.DataFrame, dataset: str, matched: bool = False, shown: str = "robust") -> Any:
    """Up and left is better."""
    measured, strategies = fmt.measured(rows.measure.iloc[0]), list(dict.fromkeys(rows.series))
    drawn = rows.dropna(subset=["cost_ratio"]).assign(found=100 * rows.frr)
    drawn = drawn.assign(**{c: measured.scale * drawn[c] for c in ("mean", "seed_low", "seed_high")})
    x = alt.X("cost_ratio:Q", title=COST, scale=alt.Scale(type="log", nice=False, padding=20))
    y = alt.Y("mean:Q", title=measured.short, scale=alt.Scale(domain=[0, 100]))
    hue = palette.colour(strategies, "series:N", "strategy")
    base = alt.Chart(drawn).encode(x=x, color=hue)
    line = base.mark_line(strokeWidth=2).encode(
        y=y, strokeDash=palette.dash(strategies, "series:N").legend(None), order=alt.Order("at:Q")
    )
    bars = base.mark_rule(strokeWidth=1.5).encode(y="seed_low:Q", y2="seed_high:Q")
    dots = base.mark_point(size=90, filled=True, opacity=1).encode(
        y=y,
        shape=palette.shape(strategies, "series:N", "strategy"),
        tooltip=["series:N", alt.Tooltip("label:N", title="strength"),
                 alt.Tooltip("cost_ratio:Q", title="cost (times)", format=".2f"),
                 alt.Tooltip("mean:Q", title=measured.axis, format=".1f"),
                 alt.Tooltip("seed_low:Q", title="95 %, t over seeds, from", format=".1f"),
                 alt.Tooltip("seed_high:Q", title="to", format=".1f"),
                 alt.Tooltip("found:Q", title="have such an action (%)", format=".1f"), "seeds:Q", "people:Q"],
    )  # fmt: skip
    return alt.layer(line, bars, dots).properties(height=340)


def title(shown: str = "robust", **_: Any) -> str:
    """What counts as success."""
    return f"{fmt.measured(shown).heading}, and at which cost"


def at_equal_cost(rows: pd.DataFrame) -> pd.DataFrame:
    """Robust recourse at its usual margin, and each other strategy at the strength whose cost is nearest to that."""
    rows = rows.dropna(subset=["cost_ratio", "mean"])
    usual = rows[(rows.series == ROBUST) & (rows["at"] == ROBUST_AT)]
    if usual.empty:
        return usual
    apart = (rows.cost_ratio / usual.cost_ratio.iloc[0]).map(np.log).abs()
    nearest = apart.groupby(rows.series, sort=False).idxmin()
    return rows.loc[[usual.index[0], *nearest[nearest.index != ROBUST]]]


def alt_text(rows: pd.DataFrame, dataset: str, matched: bool = False, shown: str = "robust") -> str:
    """Each strategy at its least and greatest strength, and all of them at about one cost."""
    measured, parts = fmt.measured(rows.measure.iloc[0]), []
    for strategy, line in rows.groupby("series", sort=False):
        parts.append(
            f"{strategy} from {_cost_and_share(measured, line.iloc[0])} to {_cost_and_share(measured, line.iloc[-1])}"
        )
    equal = "; ".join(f"{r.series} {_cost_and_share(measured, r)}" for _, r in at_equal_cost(rows).iterrows())
    return f"{measured.heading} on {dataset}: {'; '.join(parts)}. At about one cost: {equal}."


def _cost_and_share(measured: fmt.Measured, r: Any) -> str:
    return (
        f"{measured.format(r['mean'])} at {r.cost_ratio:.2f} times the cost ({r.label}, found for {100 * r.frr:.0f} %)"
    )


PICTURE = Picture(
    title,
    rows,
    chart,
    alt_text,
    "Unseen: stochastic roundings at 8, 4 and 3 bits under two clip rules, drawn anew. Share of those who have such an "
    "action, except ‘denied people with …’, which counts whoever has none as failed. Bars: {interval}. Costs are "
    "over people who have both actions.",
)
