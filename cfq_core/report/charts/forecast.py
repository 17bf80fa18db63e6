"""Odds that a promise breaks, forecast before anything was quantized, against what broke."""

from __future__ import annotations

from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from cfq_core.base.streams import numpy_stream
from cfq_core.evidence import CONFIDENCE, RESAMPLES, SMALLEST_GROUP
from cfq_core.quant.break_probability import break_probability
from cfq_core.report import fmt, palette
from cfq_core.report.frames import Stored
from cfq_core.report.picture import Picture

ARTIFACT = "forecasts"
EDGES = (0.0, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5)  # of the odds; a promise has a margin, so none is above a half
METHODS = ("ptq_minmax", "ptq")  # rounded as forecast first, then as usual
ALL = "all"
SHADES = ("#D55E00", "#B58900", "#009E73", "#648FFF", "#785EF0", "#AA4499")
MARKS = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down")


def rows(study: Stored, dataset: str) -> pd.DataFrame:
    """One row a (bits, class of odds) and one a bit-width over all: mean forecast and the share that broke."""
    people = promises(study, dataset)
    if people.empty:
        return people
    people["class"] = pd.cut(people.odds, list(EDGES), include_lowest=True, labels=False)
    out = []
    for bits, mine in people.groupby("bits"):
        out.append({"bits": bits, "class": ALL, **_calibrated(mine)})
        for number, part in mine.groupby("class"):
            if len(part) >= SMALLEST_GROUP:
                label = f"{EDGES[int(number)]:g} to {EDGES[int(number) + 1]:g}"
                out.append({"bits": bits, "class": label, **_calibrated(part)})
    return pd.DataFrame(out)


def promises(study: Stored, dataset: str) -> pd.DataFrame:
    """One row a promise and uniform bit-width of a rounding method: seed, bits, odds, broken."""
    runs = study.runs[study.runs.dataset == dataset]
    method = next((m for m in METHODS if m in set(runs.method)), None)
    frames = []
    mine = runs[runs.method == method]
    for seed, teacher, run, bits in zip(mine.seed, mine.teacher, mine.run, mine.bits, strict=True):
        safety = study.arrays(teacher, ARTIFACT)
        if safety and len(set(bits)) == 1 and bits[0] in safety["bits"]:
            noise = safety["noise"][list(safety["bits"]).index(bits[0])]
            has_margin = np.isfinite(safety["margin"])
            broken = study.arrays(run, "people")["student_at"][has_margin] <= 0
            odds = break_probability(safety["margin"][has_margin], noise[has_margin])
            frames.append(pd.DataFrame({"seed": seed, "bits": bits[0], "odds": odds, "broken": broken}))
    return pd.concat(frames, ignore_index=True).assign(method=method) if frames else pd.DataFrame()


def _calibrated(people: pd.DataFrame) -> dict[str, Any]:
    """Mean forecast, share broken, and its interval over teachers: all of a teacher's promises share one rounding."""
    by = people.groupby("seed").broken.agg(["sum", "size"]).to_numpy(float)
    low = high = float("nan")
    if len(by) > 1:
        drawn = by[numpy_stream(0, "report/forecast").integers(0, len(by), (RESAMPLES, len(by)))].sum(1)
        low, high = np.quantile(drawn[:, 0] / drawn[:, 1], [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return {
        "forecast": people.odds.mean(), "broken": people.broken.mean(), "low": low, "high": high,
        "seeds": len(by), "people": len(people), "method": people.method.iloc[0],
    }  # fmt: skip


def chart(rows: pd.DataFrame, dataset: str) -> Any:
    """On the dashed line as many broke as were forecast."""
    drawn = rows[rows["class"] != ALL].assign(**{c: 100 * rows[c] for c in ("forecast", "broken", "low", "high")})
    drawn = drawn.assign(width=drawn.bits.map(lambda b: fmt.bits(b)))
    widths = list(dict.fromkeys(drawn.width))
    legend = alt.Legend(title="quantized to", orient="top", labelLimit=0)
    hue = alt.Color("width:N", scale=alt.Scale(domain=widths, range=list(SHADES[: len(widths)])), legend=legend)
    mark = alt.Shape("width:N", scale=alt.Scale(domain=widths, range=list(MARKS[: len(widths)])), legend=legend)
    x = alt.X("forecast:Q", title="forecast: promises that break (%)", scale=alt.Scale(domain=[0, 50]))
    y = alt.Y("broken:Q", title="broke (%)", scale=alt.Scale(domain=[0, max(50.0, float(drawn.high.max()))]))
    base = alt.Chart(drawn).encode(x=x, color=hue)
    bars = base.mark_rule(strokeWidth=1.5).encode(y="low:Q", y2="high:Q")
    dots = base.mark_point(size=90, filled=True, opacity=1).encode(
        y=y,
        shape=mark,
        tooltip=["width:N", alt.Tooltip("class:N", title="odds"), alt.Tooltip("forecast:Q", format=".1f"),
                 alt.Tooltip("broken:Q", title="broke (%)", format=".1f"),
                 alt.Tooltip("low:Q", title="95 % over teachers, from", format=".1f"),
                 alt.Tooltip("high:Q", title="to", format=".1f"), "seeds:Q", "people:Q"],
    )  # fmt: skip
    ends = pd.DataFrame({"forecast": [0.0, 50.0], "broken": [0.0, 50.0]})
    line = alt.Chart(ends).mark_line(strokeDash=[4, 3], color=palette.TEACHER).encode(x=x, y=y)
    return alt.layer(line, bars, dots).properties(height=340)


def alt_text(rows: pd.DataFrame, dataset: str) -> str:
    """Forecast and outcome at every bit-width."""
    over_all = rows[rows["class"] == ALL]
    each = zip(over_all.bits, over_all.forecast, over_all.broken, strict=True)
    parts = [f"at {fmt.bits(b)} {100 * f:.1f} % forecast, {100 * share:.1f} % broke" for b, f, share in each]
    return f"A forecast, not a guarantee. On {dataset} with {over_all.method.iloc[0]}: {'; '.join(parts)}."


PICTURE = Picture(
    "Forecast and outcome",
    rows,
    chart,
    alt_text,
    "A forecast, not a guarantee: odds from first-order rounding noise at each person's point, before anything is "
    "quantized. Promises in classes of forecast odds; classes of under 30 are not shown. Bars: 95 %, bootstrap over "
    "teachers, since all of one teacher's promises share one rounding.",
)
