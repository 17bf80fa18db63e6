"""For whom an action exists at all, and what it costs, against what a study varies: the teacher's own numbers."""

from __future__ import annotations

from typing import Any

import pandas as pd

from cfq_core.report import fmt
from cfq_core.report.charts import settings
from cfq_core.report.frames import Stored
from cfq_core.report.picture import Picture


def rows(study: Stored, dataset: str, budget: float, varies: str = "") -> pd.DataFrame:
    """One row a value of ``varies``: FRR as in `settings.rows`, and ``cost``, the mean cost of those who have one."""
    feasible = settings.rows(study, dataset, "frr", budget, varies)
    price = settings.rows(study, dataset, "recourse_cost", budget, varies)
    if feasible.empty:
        return pd.DataFrame()
    return feasible.assign(cost=price["mean"], cost_low=price.seed_low, cost_high=price.seed_high)


def chart(rows: pd.DataFrame, dataset: str, budget: float, varies: str = "") -> Any:
    """FRR; the cost stands in the table and in words."""
    return settings.chart(rows, dataset, "frr", budget, varies)


def alt_text(rows: pd.DataFrame, dataset: str, budget: float, varies: str = "") -> str:
    """Every value."""
    key, frr = settings.drawn_key(rows, varies), fmt.measured("frr")
    each = zip(rows[key], rows["mean"], rows.cost, strict=True)
    parts = [
        f"{settings.format_value(v)}: {frr.format(m)}{'' if pd.isna(c) else f' at a mean cost of {c:.2f}'}"
        for v, m, c in each
    ]
    return f"{frr.title} on {dataset} by {settings.AXES.get(key, key)}: {'; '.join(parts)}."


PICTURE = Picture(
    "For whom there is an action",
    rows,
    chart,
    alt_text,
    "Share of the denied for whom the teacher has a legal action with the promised margin; costs are over those who "
    "have one, so other people at each value. Bars: {interval}.",
)
