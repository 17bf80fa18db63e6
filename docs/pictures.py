"""Draws the pictures of README and the documentation from the shipped gallery, for light and for dark pages.

python docs/pictures.py
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import altair as alt
import pandas as pd
import vl_convert

from cfq_core.api.stored import Study
from cfq_core.api.studies import open_study
from cfq_core.base.shipped import shipped
from cfq_core.report import palette

FOLDER = Path(__file__).parent / "pages" / "pictures"
INK = {"light": "#1b1f24", "dark": "#e6edf3"}
SHOWN = ["ptq", "qat_distill", "cfq_anchored"]  # rounding, the usual fine-tuning, ours
DATASET, BUDGET = "adult", 3.0


def main() -> None:
    """Write every picture."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    study = next(s for s in studies() if DATASET in s.datasets)
    charts = {
        "answer": answer(study),
        "curves": study.plot("curves", dataset=DATASET, measure="vd", methods=",".join(SHOWN)),
        "faithful": study.plot("faithful", dataset=DATASET, budget=BUDGET),
        "margins": study.plot("margins", dataset=DATASET, method="ptq", budget=BUDGET),
    }
    for name, chart in charts.items():
        for mode, ink in INK.items():
            (FOLDER / f"{name}-{mode}.svg").write_text(svg(chart, ink), encoding="utf-8")


def studies() -> list[Study]:
    """Every study of the gallery."""
    from cfq_core.study.store import Store

    folder = shipped("gallery")
    store = Store.for_reading(folder)
    ids = [s["id"] for s in store.studies()]
    store.close()
    return [open_study(i, folder) for i in ids]


def answer(study: Study) -> Any:
    """What accuracy says of fewer bits, beside what becomes of promises."""
    summary = study.summary()
    rows = summary[(summary.dataset == DATASET) & summary.method.isin(SHOWN)]
    teacher = 100 * float(study.teachers[study.teachers.dataset == DATASET].accuracy.mean())
    accuracy = _panel(rows, "accuracy", "accuracy (%)", "Accuracy barely moves", [0, 100], teacher)
    broken = _panel(rows, "vd_matched", "promises that break (%)", "Promises break", [0, 60], None)
    seeds = int(rows.seeds.max())
    under = f"Adult, at the teacher's approval rate; bars: 95 %, Student's t over {seeds} seeds."
    return alt.hconcat(accuracy, broken, spacing=40).properties(
        title=alt.TitleParams("The same models, twice", subtitle=under, anchor="start", fontSize=15)
    )


def _panel(rows: pd.DataFrame, measure: str, axis: str, title: str, domain: list[float], teacher: float | None) -> Any:
    """One measure against bits, a line a method."""
    tidy = rows.assign(
        **{k: (100 * rows[measure + e]).clip(*domain) for k, e in (("at", ""), ("low", "_low"), ("high", "_high"))}
    )
    x = alt.X("budget:O", title="bits per weight", sort="descending", axis=alt.Axis(labelAngle=0, format="~g"))
    y = alt.Y("at:Q", title=axis, scale=alt.Scale(domain=domain))
    base = alt.Chart(tidy)
    hue = palette.colour(SHOWN)
    layers = [
        base.mark_line(strokeWidth=2.5).encode(x=x, y=y, color=hue, strokeDash=palette.dash(SHOWN)),
        base.mark_rule(strokeWidth=1.5).encode(x=x, y="low:Q", y2="high:Q", color=hue),
        base.mark_point(filled=True, size=60).encode(x=x, y=y, color=hue),
    ]
    if teacher is not None:
        line = alt.Chart(pd.DataFrame({"at": [teacher]})).mark_rule(strokeDash=[2, 2], color=palette.TEACHER)
        layers.insert(0, line.encode(y=alt.Y("at:Q")))
    return alt.layer(*layers).properties(width=260, height=230, title=title)


def svg(chart: Any, ink: str) -> str:
    """A chart as SVG without a background, its text and axes in one colour."""
    told = chart.to_dict()
    axis = dict.fromkeys(("labelColor", "titleColor", "domainColor", "tickColor"), ink) | {"gridColor": "#88888844"}
    told["background"] = None
    told["config"] = {**told.get("config", {}), "axis": axis, "legend": {"labelColor": ink, "titleColor": ink},
                      "title": {"color": ink, "subtitleColor": ink}, "view": {"stroke": None},
                      "header": {"labelColor": ink, "titleColor": ink}, "text": {"color": ink}}  # fmt: skip
    text = vl_convert.vegalite_to_svg(told)
    return re.sub(r"(\d+\.\d{2})\d+", r"\1", text)  # hundredths of a pixel are enough


if __name__ == "__main__":
    main()
