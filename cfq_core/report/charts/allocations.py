"""Bits of each layer, a row a method, at one budget."""

from __future__ import annotations

from typing import Any

import altair as alt
import pandas as pd

from cfq_core.report import fmt
from cfq_core.report.frames import Stored
from cfq_core.report.picture import Picture

ROW, FRAME = 30, 70  # pixels of a method; of the axis, which streamlit counts in
FEW, MANY = 2.0, 8.0  # bits at the ends of the colours
RANGE = ("#E8EEF7", "#8FB0E0", "#3F6FB5", "#1B2F5B")
DARK = 4.5  # bits from which a cell's number is white


def rows(study: Stored, dataset: str, budget: float) -> pd.DataFrame:
    """One row a (method, layer): mean, least and most bits over seeds, and the average bits of the whole net."""
    plans = study.plans
    here = plans[(plans.dataset == dataset) & (plans.budget == budget)]
    if here.empty:
        return pd.DataFrame()
    over = here.groupby(["method", "layer"], sort=False).bits.agg(["mean", "min", "max", "count"]).reset_index()
    runs = study.runs[(study.runs.dataset == dataset) & (study.runs.budget == budget)]
    spent = runs.groupby("method").avg_bits.mean()
    names = {"mean": "bits", "min": "fewest", "max": "most", "count": "seeds"}
    return over.rename(columns=names).assign(budget=budget, spent=over.method.map(spent))


def chart(rows: pd.DataFrame, dataset: str, budget: float) -> Any:
    """Where seeds differ a cell says its mean and from where to where."""
    spread = [
        f"{b:g}" if low == high else f"{b:.1f} ({low}–{high})"
        for b, low, high in zip(rows.bits, rows.fewest, rows.most, strict=True)
    ]
    labels = rows.method + rows.spent.map("  ({:.2f} spent)".format)
    drawn = rows.assign(text=spread, of=labels, at=rows.layer.map("layer {}".format))
    grid = alt.Chart(drawn).encode(
        x=alt.X(
            "at:N",
            title=None,
            sort=list(dict.fromkeys(drawn["at"])),
            axis=alt.Axis(labelAngle=0, orient="top"),
        ),
        y=alt.Y("of:N", title=None, sort=list(dict.fromkeys(labels)), axis=alt.Axis(labelLimit=0)),
        tooltip=["method:N", "layer:Q", alt.Tooltip("bits:Q", title="bits, mean over seeds", format=".2f"),
                 "fewest:Q", "most:Q", "seeds:Q", alt.Tooltip("spent:Q", title="average bits spent", format=".2f")],
    )  # fmt: skip
    scale = alt.Scale(domain=[FEW, MANY], range=list(RANGE), type="log")
    boxes = grid.mark_rect(stroke="#888888", strokeWidth=0.5).encode(
        color=alt.Color("bits:Q", scale=scale, legend=None)
    )
    ink = alt.condition(alt.datum.bits > DARK, alt.value("white"), alt.value("#1A1A1A"))
    numbers = grid.mark_text(fontSize=13).encode(text="text:N", color=ink)
    return (boxes + numbers).properties(height=FRAME + ROW * drawn.method.nunique())


def alt_text(rows: pd.DataFrame, dataset: str, budget: float) -> str:
    """Each method's plan from the input to the output."""
    plans: dict[str, list[str]] = {}
    for method, layers in rows.groupby("method", sort=False):
        plans.setdefault("-".join(f"{b:.3g}" for b in layers.bits), []).append(str(method))
    parts = [f"{fmt.listed(methods)} {plan}" for plan, methods in plans.items()]
    return f"Weight bits of the layers from input to output on {dataset} at {fmt.bits(budget)}: {'; '.join(parts)}."


PICTURE = Picture(
    "Bits of each layer",
    rows,
    chart,
    alt_text,
    "Mean over seeds, with the fewest and the most bits where seeds differ. In brackets beside a method: average bits "
    "per weight that it spent of the budget.",
)
