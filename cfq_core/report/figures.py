"""Every picture of a study as paper shows it: found in ``charts/``, drawn as SVG without script or network."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from cfq_core.report import picture
from cfq_core.report.frames import Stored

FIRST = ("verdicts", "curves", "faithful")  # the answer; then the others by name
USUAL_METHOD, USUAL_BUDGET = "ptq", 4.0  # what a report is about unless it is told
WIDTH = 640  # pixels of a plain chart: a page of A4 between its margins


@dataclass(frozen=True)
class Chosen:
    """One student of one data set, which its pictures are about."""

    dataset: str
    method: str
    budget: float
    seed: int
    run: str
    teacher: str
    matched: bool = False

    @property
    def options(self) -> dict[str, Any]:
        """Every option that a picture of a study may ask for; a picture that asks for more is not of a study."""
        plain = {k: getattr(self, k) for k in ("dataset", "method", "budget", "seed", "run", "teacher", "matched")}
        return plain | {"measure": "vd_matched" if self.matched else "vd"}


@dataclass(frozen=True)
class Figure:
    """A picture with the name of its file and what it was asked."""

    name: str
    options: dict[str, Any]
    drawn: picture.Drawn


def chosen(
    study: Stored, dataset: str, method: str = "", budget: float = 0.0, seed: int = -1, matched: bool = False
) -> Chosen:
    """The stored student nearest to what is asked for: the usual method, the usual budget, the first seed."""
    runs = study.runs[study.runs.dataset == dataset]
    wanted = [m for m in (method, USUAL_METHOD) if m in set(runs.method)] or [runs.method.iloc[0]]
    runs = runs[runs.method == wanted[0]]
    near = min(runs.budget, key=lambda b: abs(b - (budget or USUAL_BUDGET)))
    runs = runs[runs.budget == near]
    runs = runs[runs.seed == (seed if seed in set(runs.seed) else runs.seed.min())]
    one = runs.iloc[0]
    return Chosen(dataset, one.method, float(near), int(one.seed), one.run, one.teacher, matched)


def figures(study: Stored, of: Chosen) -> Iterator[Figure]:
    """Every picture that this study holds rows for."""
    others = [n for n in picture.names() if n not in FIRST]
    for name in (*FIRST, *others):
        asked = list(inspect.signature(picture.load(name).rows).parameters.values())[1:]
        if any(p.name not in of.options and p.default is p.empty for p in asked):
            continue
        options = {p.name: of.options[p.name] for p in asked if p.name in of.options}
        drawn = picture.draw(name, study, **options)
        if drawn.chart is not None:
            yield Figure(name, options, drawn)


def svg(chart: Any, number: int) -> str:
    """A chart as inline SVG; ``number`` keeps its ids apart from those of the other charts of a page."""
    import vl_convert

    told = chart.to_dict()
    if "layer" in told or "mark" in told:
        told["width"] = WIDTH
    text = vl_convert.vegalite_to_svg(told)
    text = re.sub(r'\sxmlns(:\w+)?="[^"]*"', "", text)  # HTML needs none, so a report holds no address at all
    return re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>f{number}-", text)
