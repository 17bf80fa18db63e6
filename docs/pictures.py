"""Draws the pictures of README, RESULTS and the documentation, for light and for dark pages.

From the shipped gallery; the peers' picture from benchmarks/numbers/peers.json.

python docs/pictures.py
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import altair as alt
import pandas as pd
import vl_convert

from benchmarks import peer_tables
from cfq_core.api.stored import Study
from cfq_core.api.studies import open_study
from cfq_core.base.shipped import shipped
from cfq_core.report import palette

FOLDER = Path(__file__).parent / "pages" / "pictures"
INK = {"light": "#1b1f24", "dark": "#e6edf3"}
SHOWN = ["ptq", "qat_distill", "cfq_anchored"]  # rounding, the usual fine-tuning, ours
DATASET, BUDGET = "adult", 3.0
PEERS_ON = ("ptq 4", "ptq 3", "cfq_anchored 4")  # students that others' advice is tried on
WIDTH, HEIGHT = 560, 300  # of a picture with one panel, in pixels


def main() -> None:
    """Write every picture."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    study = next(s for s in studies() if DATASET in s.datasets)
    charts = {
        "answer": answer(study),
        "curves": study.plot("curves", dataset=DATASET, measure="vd", methods=",".join(SHOWN)),
        "faithful": study.plot("faithful", dataset=DATASET, budget=BUDGET),
        "margins": study.plot("margins", dataset=DATASET, method="ptq", budget=BUDGET),
        "peers": peers(peer_tables.read()),
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
    measures = study.measures
    rows = measures[(measures.dataset == DATASET) & measures.method.isin(SHOWN)]
    teachers = study.teachers
    teacher = 100 * float(teachers[teachers.dataset == DATASET].accuracy.mean())
    accuracy = _panel(rows[rows.measure == "accuracy"], "accuracy (%)", "Accuracy barely moves", teacher)
    broken = _panel(rows[rows.measure == "vd_matched"], "promises that break (%)", "Promises break", None)
    under = f"Adult. Lines: mean; dots: each of {rows.seed.nunique()} seeds; promises at the teacher's approval rate."
    return alt.hconcat(accuracy, broken, spacing=40).properties(
        title=alt.TitleParams("The same models, seen twice", subtitle=under, anchor="start", fontSize=15)
    )


def _panel(rows: pd.DataFrame, axis: str, title: str, teacher: float | None) -> Any:
    """One measure against bits, a line a method and a dot a seed."""
    each = rows.assign(at=100 * rows.value)
    means = each.groupby(["method", "budget"], as_index=False)["at"].mean()
    x = alt.X("budget:O", title="bits per weight", sort="descending", axis=alt.Axis(labelAngle=0, format="~g"))
    y = alt.Y("at:Q", title=axis, scale=alt.Scale(domain=[0, 100]))
    hue = palette.colour(SHOWN)
    layers = [
        alt.Chart(means)
        .mark_line(strokeWidth=3, opacity=1)
        .encode(x=x, y=y, color=hue, strokeDash=palette.dash(SHOWN)),
        alt.Chart(each).mark_point(filled=True, size=36, opacity=0.55).encode(x=x, y=y, color=hue),
    ]
    if teacher is not None:
        line = alt.Chart(pd.DataFrame({"at": [teacher]})).mark_rule(strokeDash=[2, 2], color=palette.TEACHER)
        layers.insert(0, line.encode(y=alt.Y("at:Q")))
    return alt.layer(*layers).properties(width=270, height=230, title=title)


def peers(found: dict[str, Any]) -> Any:
    """Whose advice survives: a line a recourse library, a panel a student; dots are means, bars intervals."""
    rows = pd.DataFrame(peer_tables.picture_rows(found, PEERS_ON))
    y = alt.Y("library:N", title=None, sort=None, axis=alt.Axis(labelLimit=260, minExtent=205))  # other fonts are wider
    under = [
        f"Adult, {len(found['students'])} seeds; n: promises. Dots: mean over seeds; bars: 95 % interval (t).",
        "Margins: ours kappa logits, RNCE and TrexNN delta on weights, the others none.",
    ]
    panels = []
    for i, student in enumerate(dict.fromkeys(rows.student)):
        here = alt.Chart(rows[rows.student == student]).encode(y=y if i == 0 else y.axis(None))
        x = alt.X("at:Q", title="promises that break (%)", scale=alt.Scale(domain=[0, 100]))
        bars = here.mark_rule(color=palette.TEACHER, strokeWidth=2).encode(x=alt.X("low:Q", title=""), x2="high:Q")
        dots = here.mark_point(filled=True, size=70, opacity=1, color=palette.BREAKS).encode(x=x)
        panels.append(alt.layer(bars, dots).properties(width=190, height=230, title=student))
    return alt.hconcat(*panels, spacing=18).properties(
        title=alt.TitleParams("Which library's advice survives rounding?", subtitle=under, anchor="start", fontSize=15)
    )


def svg(chart: Any, ink: str) -> str:
    """A chart as SVG without a background, its text and axes in one colour."""
    told = chart.to_dict()
    if "layer" in told or "mark" in told:
        told["width"], told["height"] = WIDTH, HEIGHT
    axis = dict.fromkeys(("labelColor", "titleColor", "domainColor", "tickColor"), ink) | {"gridColor": "#88888844"}
    told["background"] = None
    told["config"] = {**told.get("config", {}), "axis": axis, "legend": {"labelColor": ink, "titleColor": ink},
                      "title": {"color": ink, "subtitleColor": ink}, "view": {"stroke": None},
                      "header": {"labelColor": ink, "titleColor": ink}, "text": {"color": ink}}  # fmt: skip
    text = vl_convert.vegalite_to_svg(told)
    return re.sub(r"(\d+\.\d{2})\d{2,}", r"\1", text)  # hundredths of a pixel are enough; a label's 0.001 stays


if __name__ == "__main__":
    main()
