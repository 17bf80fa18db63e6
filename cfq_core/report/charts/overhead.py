"""What a method costs to make, as a multiple of plain rounding, beside the promises it breaks."""

from __future__ import annotations

from typing import Any

import altair as alt
import pandas as pd

from cfq_core.report import fmt, palette
from cfq_core.report.frames import Stored
from cfq_core.report.picture import Picture

ROUNDED, TRAINED = "ptq", "qat_lsq"  # what the others are multiples of


def rows(study: Stored, dataset: str, budget: float, measure: str = "vd") -> pd.DataFrame:
    """One row a method: ``made`` and ``training_recourse`` (s), their sum, multiples of PTQ and QAT, VD, shift."""
    lines = study.lines
    here = lines[(lines.dataset == dataset) & (lines.budget == budget)]
    wide = here.pivot_table(index="method", columns="measure", values="mean", sort=False)
    if not {"seconds", "training_recourse_seconds", measure} <= set(wide):
        return pd.DataFrame()
    wide = wide.dropna(
        subset=["seconds", "training_recourse_seconds"]
    )  # an older run does not say what its recourse took
    if ROUNDED not in wide.index or len(wide) < 2:
        return pd.DataFrame()
    broken = here[here.measure == measure].set_index("method")
    out = pd.DataFrame(
        {"method": wide.index, "made": wide.seconds, "training_recourse": wide.training_recourse_seconds}
    )
    out = out.assign(total=out.made + out.training_recourse)
    out["times_ptq"] = out.total / out.total[ROUNDED]
    out["times_qat"] = out.total / (out.total[TRAINED] if TRAINED in out.index else float("nan"))
    for name in ("mean", "seed_low", "seed_high", "seeds", "people"):
        out[name] = broken[name]
    out["approval_shift"] = wide.approval_shift
    return out.reset_index(drop=True)


def chart(rows: pd.DataFrame, dataset: str, budget: float, measure: str = "vd") -> Any:
    """Down and left is better; multiples on a logarithmic axis."""
    measured, methods = fmt.measured(measure), list(dict.fromkeys(rows.method))
    drawn = rows.assign(
        value=measured.scale * rows["mean"], bottom=measured.scale * rows.seed_low, top=measured.scale * rows.seed_high
    )
    x = alt.X(
        "times_ptq:Q", title="time to make, times that of PTQ", scale=alt.Scale(type="log", padding=24, nice=False)
    )
    base = alt.Chart(drawn).encode(x=x, color=palette.colour(methods))
    bars = base.mark_rule(strokeWidth=1.5).encode(y="bottom:Q", y2="top:Q")
    dots = base.mark_point(size=100, filled=True, opacity=1).encode(
        y=alt.Y("value:Q", title=measured.short, scale=alt.Scale(zero=True)),
        shape=palette.shape(methods),
        tooltip=["method:N", alt.Tooltip("times_ptq:Q", title="times PTQ", format=",.1f"),
                 alt.Tooltip("times_qat:Q", title="times QAT", format=".2f"),
                 alt.Tooltip("total:Q", title="seconds a model", format=".2f"),
                 alt.Tooltip("training_recourse:Q", title="of them for training recourse", format=".2f"),
                 alt.Tooltip("value:Q", title=measured.axis, format=".1f"), "seeds:Q"],
    )  # fmt: skip
    return alt.layer(bars, dots).properties(height=340)


def alt_text(rows: pd.DataFrame, dataset: str, budget: float, measure: str = "vd") -> str:
    """Every method."""
    measured = fmt.measured(measure)
    each = zip(rows.method, rows.times_ptq, rows.total, rows.training_recourse, rows["mean"], strict=True)
    parts = [
        f"{method} {times:,.0f} times ({total:.2f} s, of them {training_recourse:.2f} s for training recourse), "
        f"{measured.format(broken)} broken"
        for method, times, total, training_recourse, broken in each
    ]
    return f"Time to make a model on {dataset} at {fmt.bits(budget)} in multiples of PTQ: {'; '.join(parts)}."


PICTURE = Picture(
    "What keeping promises takes to make",
    rows,
    chart,
    alt_text,
    "CPU seconds a model, without an interval. Training recourse is counted in full to whatever learns from it. "
    "Each method trains in a stack of its own. Vertical bars: {interval}.",
)
