"""What rounding one layer alone does, on the facts and at recourse points: the profiles that allocators see."""

from __future__ import annotations

from typing import Any

import altair as alt
import pandas as pd

from cfq_core.report import fmt, palette
from cfq_core.report.frames import Stored
from cfq_core.report.picture import Picture

#: An allocator's profile in words, and the method that allocates by it, whose style it is drawn in.
ALLOCATORS = {
    "loss_sensitivity": ("factual: loss", "ptq_mixed"),
    "hessian_trace": ("factual: Hessian trace", "ptq_hawq"),
    "recourse_sensitivity": ("recourse", "ptq_recourse"),
}
SIDE = 0.18  # layers between the three profiles of one layer


def rows(study: Stored, dataset: str, bits: int = 3) -> pd.DataFrame:
    """One row a (profile, layer, seed): sensitivity at these bits, and its share of the sum over layers."""
    found = study.sensitivities
    here = found[(found.dataset == dataset) & (found.bits == bits)]
    if here.empty:
        return pd.DataFrame()
    raised = here.value.clip(lower=0)  # a loss that falls by rounding is no sensitivity
    whole = raised.groupby([here.allocator, here.seed]).transform("sum")
    names = here.allocator.map({k: v for k, (v, _) in ALLOCATORS.items()}).fillna(here.allocator)
    kept = ["profile", "layer", "size", "seed", "bits", "value", "share"]
    return here.assign(profile=names, share=(raised / whole).where(whole > 0))[kept].reset_index(drop=True)


def chart(rows: pd.DataFrame, dataset: str, bits: int = 3) -> Any:
    """Large marks are means over seeds, small ones single seeds."""
    profiles = [profile for profile, _ in ALLOCATORS.values() if profile in set(rows.profile)]
    profiles += [p for p in dict.fromkeys(rows.profile) if p not in profiles]
    method = dict(ALLOCATORS.values())
    styles = [palette.style(method.get(p, p)) for p in profiles]
    place = {p: SIDE * (i - (len(profiles) - 1) / 2) for i, p in enumerate(profiles)}
    drawn = rows.assign(at=rows.layer + rows.profile.map(place), percent=100 * rows.share)
    means = drawn.groupby(["profile", "layer", "at"], sort=False).percent.mean().reset_index()
    legend = alt.Legend(title="sensitivity", labelLimit=0, orient="top", symbolOpacity=1, columns=2)
    layers = sorted(rows.layer.unique())
    x = alt.X(
        "at:Q",
        title="layer, from input to output",
        axis=alt.Axis(values=layers, format="d", grid=False),
        scale=alt.Scale(domain=[min(layers) - 0.5, max(layers) + 0.5], nice=False),
    )
    y = alt.Y("percent:Q", title="% of the sum over layers", scale=alt.Scale(domain=[0, 100]))
    colour = alt.Color("profile:N", scale=alt.Scale(domain=profiles, range=[s.colour for s in styles]), legend=legend)
    shape = alt.Shape("profile:N", scale=alt.Scale(domain=profiles, range=[s.shape for s in styles]), legend=legend)
    tips = ["profile:N", "layer:Q", "size:Q", "seed:Q", alt.Tooltip("percent:Q", format=".1f"),
            alt.Tooltip("value:Q", title="as measured", format=".3g")]  # fmt: skip
    single = alt.Chart(drawn).mark_point(size=22, opacity=0.6, filled=True)
    line = alt.Chart(means).mark_line(strokeWidth=2, opacity=1).encode(x=x, y=y, color=colour)
    whole = alt.Chart(means).mark_point(size=120, filled=True, opacity=1).encode(x=x, y=y, color=colour, shape=shape)
    return alt.layer(line, single.encode(x=x, y=y, color=colour, shape=shape, tooltip=tips), whole).properties(
        height=340
    )


def alt_text(rows: pd.DataFrame, dataset: str, bits: int = 3) -> str:
    """The most sensitive layer of each profile."""
    means, parts = rows.groupby(["profile", "layer"], sort=False).share.mean(), []
    for profile in dict.fromkeys(rows.profile):
        mine = means[profile].dropna()
        if not mine.empty:
            parts.append(f"{profile} most in layer {mine.idxmax()} ({100 * mine.max():.0f} %)")
    return (
        f"What rounding one layer of the {dataset} teacher to {fmt.bits(bits)} does: {'; '.join(parts) or 'nothing'}."
    )


PICTURE = Picture(
    "Which layer is sensitive, and to what",
    rows,
    chart,
    alt_text,
    "One layer rounded at a time, the others in full precision. Factual: rise of the loss on training rows, or by the "
    "trace of its Hessian. Recourse: mean (q − f)² at training recourse points. Each profile is scaled to its own sum; "
    "small marks are seeds, large ones their mean.",
)
