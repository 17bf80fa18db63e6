"""What K steps of the gradient teacher add to training: found once, or anew in every training step."""

from __future__ import annotations

from typing import Any

import altair as alt
import pandas as pd

from cfq_core.report import fmt, palette
from cfq_core.report.charts import settings
from cfq_core.report.frames import Stored
from cfq_core.report.picture import Picture

ONCE, EACH = "found once (ours)", "found in every step (computed)"
STYLED = ("cfq_anchored", "qat_lsq")  # whose colours, shapes and dashes the two ways are drawn in


def rows(study: Stored, dataset: str, budget: float) -> pd.DataFrame:
    """One row a (method that learns from recourse, K, way): ``times`` training without any recourse to find."""
    if "steps" not in study.varied:
        return pd.DataFrame()
    names = ("seconds", "training_recourse_seconds", "on_the_fly_seconds")
    frames = [settings.of_methods(study, dataset, n, budget, "steps") for n in names]
    if any(f.empty for f in frames):
        return pd.DataFrame()
    made, once, each = (f.set_index(["method", "steps"])["mean"] for f in frames)
    out = []
    for way, extra in ((ONCE, once), (EACH, each)):
        mine = pd.DataFrame({"seconds": made, "extra": extra}).dropna().reset_index()
        out.append(mine[mine.method.isin(frames[2].method)].assign(way=way))
    both = pd.concat(out, ignore_index=True)
    return both.assign(times=(both.seconds + both.extra) / both.seconds)


def chart(rows: pd.DataFrame, dataset: str, budget: float) -> Any:
    """Both axes logarithmic."""
    ways = [ONCE, EACH]
    styles = [palette.style(m) for m in STYLED]
    legend = alt.Legend(title="training recourse", orient="top", labelLimit=0)
    x = alt.X(
        "steps:Q",
        title=settings.AXES["steps"],
        axis=alt.Axis(values=sorted(rows.steps.unique()), format="~g", grid=False),
        scale=settings.scale_of("steps"),
    )
    hue = alt.Color("way:N", scale=alt.Scale(domain=ways, range=[s.colour for s in styles]), legend=legend)
    mark = alt.Shape("way:N", scale=alt.Scale(domain=ways, range=[s.shape for s in styles]), legend=legend)
    line = alt.StrokeDash("way:N", scale=alt.Scale(domain=ways, range=[list(s.dash) for s in styles]), legend=legend)
    base = alt.Chart(rows).encode(
        x=x,
        y=alt.Y("times:Q", title="training time (times that without)", scale=alt.Scale(type="log")),
        color=hue,
        detail="method:N",
        tooltip=["method:N", "steps:Q", "way:N", alt.Tooltip("times:Q", format=".2f"),
                 alt.Tooltip("seconds:Q", title="training (s)", format=".2f"),
                 alt.Tooltip("extra:Q", title="recourse (s)", format=".2f")],
    )  # fmt: skip
    return alt.layer(
        base.mark_line(strokeWidth=2).encode(strokeDash=line),
        base.mark_point(size=90, filled=True, opacity=1).encode(shape=mark),
    ).properties(height=340)


def alt_text(rows: pd.DataFrame, dataset: str, budget: float) -> str:
    """First and last K of each."""
    parts = []
    for (method, way), line in rows.groupby(["method", "way"], sort=False):
        a, b = line.iloc[0], line.iloc[-1]
        parts.append(f"{method}, {way}: {a.times:.2f} times at K = {a.steps:g}, {b.times:.2f} at K = {b.steps:g}")
    return f"Training time on {dataset} at {fmt.bits(budget)}, times that without recourse: {'; '.join(parts)}."


PICTURE = Picture(
    "What the teacher's steps add to training",
    rows,
    chart,
    alt_text,
    "Once: recourse of the training people is found before training and used in every step. In every step, as the "
    "paper has it: people a step × steps × seconds a person, not run; small batches are slower than that. CPU seconds, "
    "without an interval.",
)
