"""The first look at a study, as plain values: for every budget the verdict in a line, people as icons, who is hit.

One view shows all of it and moves between the budgets without asking again; so every word stands here, and a test can
read what a reader sees.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any
from urllib.parse import urlencode

import pandas as pd

from cfq_core.report import fmt, names
from cfq_core.report.figures import USUAL_BUDGET, USUAL_METHOD
from cfq_core.report.frames import Stored
from cfq_core.study.pair import METHOD
from cfq_core.study.safe import AT_MOST, CONFIDENCE, Safe, Tried

NOTE = (
    "Each figure is one of 100 people whom the original model (FP32) refused and told what to do. In orange: they did "
    "it, and the compressed model refuses them all the same. Click on figures or numbers to meet these people."
)
LEGEND = (
    "Failing promises of 100 (validity drop, VD). * lenient: it approves over 2 of 100 more people, or asks for less "
    "than was promised, so part of this was bought, not kept."
)
ICONS = 100  # people drawn for a share
YES, NO, UNSURE = "yes", "no", "unsure"
MOST_GROUPS = 6


@dataclass(frozen=True)
class Side:
    """One method at one budget: of 100 promised actions so many fail, between so many, at what approvals."""

    name: str
    code: str
    icons: int  # of 100, in the colour of a broken promise
    failing: str  # ``8`` or ``less than 1``
    interval: str
    approvals: str
    lenient: bool
    link: str  # the people behind it


@dataclass(frozen=True)
class Look:
    """Everything about one budget."""

    bits: str
    verdict: str  # yes, no or unsure
    line: str
    other: str  # what the most faithful method does; empty where that is the chosen one
    mine: Side
    best: Side | None
    groups: list[dict[str, Any]]


@dataclass(frozen=True)
class Place:
    """Which people a link opens: the selection that the address of People writes out."""

    study: str
    dataset: str
    matched: bool
    seed: int
    usual: Mapping[str, str] = field(default_factory=dict)  # what an address leaves out, as the selection opens with it
    budgets: Mapping[str, str] = field(default_factory=dict)  # the usual budget of each method

    @staticmethod
    def of(study: Stored, dataset: str, matched: bool, seed: int) -> Place:
        """With what a study opens with: a part of an address that says just that is taken out by the browser's side,
        and each time leaves one more step in its history."""
        runs = study.runs[study.runs.dataset == dataset]
        methods = list(dict.fromkeys(runs.method))
        several = study.runs.dataset.nunique() > 1
        usual = {"method": USUAL_METHOD if USUAL_METHOD in methods else methods[0], "approval": "raw", "fate": "all"}
        usual |= {"seed": str(min(runs.seed))} | ({"dataset": str(study.runs.dataset.iloc[0])} if several else {})
        near = {
            m: min(sorted(of.budget.unique()), key=lambda b: abs(b - USUAL_BUDGET)) for m, of in runs.groupby("method")
        }
        return Place(study.id, dataset, matched, seed, usual, {str(m): f"{b:g}" for m, b in near.items()})

    def people(self, method: str, bits: str, fate: str = "broken", **more: str) -> str:
        """Address of the page People, filtered to those."""
        about = {"study": self.study, "dataset": self.dataset, "method": method, "budget": bits}
        about |= {"seed": str(self.seed), "approval": "matched" if self.matched else "raw"}
        usual = {**self.usual, "budget": self.budgets.get(method)}
        said = {k: v for k, v in {**about, "fate": fate}.items() if v != usual.get(k)}
        return f"person?{urlencode({**said, 'seeds': 'true', **more})}"


def of(study: Stored, dataset: str, method: str, place: Place) -> dict[str, Any]:
    """What the view is given: a `Look` for each budget of the method, and every method at every budget."""
    lines = study.lines[study.lines.dataset == dataset]
    vd = "vd_matched" if place.matched else "vd"
    known = lines[lines.measure == vd].dropna(subset=["mean"])
    budgets = sorted(known[known.method == method].budget)
    safe = {a.method: a for a in study.safe(dataset, AT_MOST, CONFIDENCE, place.matched)}
    looks = [_look(study, dataset, method, b, place, safe.get(method)) for b in budgets]
    return {
        "looks": [asdict(x) for x in looks],
        "table": [_row(known, m, place, safe.get(m)) for m in dict.fromkeys(known.method)],
        "budgets": [f"{b:g}" for b in sorted(set(known.budget))],
        "at_most": f"{100 * AT_MOST:g} of 100",
        "sure": f"{100 * CONFIDENCE:g} %",
        "chosen": method,
        "note": NOTE,
        "legend": f"{LEGEND} Safe: at most {100 * AT_MOST:g} of 100 fail among people not seen, {100 * CONFIDENCE:g} % "
        "sure. None of these: not shown safe at any number of bits of this study.",
    }


def _look(study: Stored, dataset: str, method: str, budget: float, place: Place, safe: Safe | None) -> Look:
    mine = _side(study, dataset, method, budget, place)
    best = fmt.most_faithful(study.lines, dataset, budget)
    other = _side(study, dataset, best, budget, place) if best and best != method else None
    share = float(fmt.line_of(study.lines, dataset, method, budget)["mean"]["vd_matched" if place.matched else "vd"])
    verdict = judged(share, budget, safe)
    words = {YES: "Yes", NO: "No", UNSURE: "Not sure"}[verdict]
    if mine.lenient and verdict != NO:
        words = "Only by leniency"
    line = f"{words}: at {fmt.bits(budget)} {mine.failing} of 100 promised actions {_fail(mine)}."
    said = (
        f"Best here: {other.name}, {other.failing} of 100."
        if other
        else "No method here does better."
        if best and method != METHOD
        else ""
    )
    return Look(f"{budget:g}", verdict, line, said, mine, other, _groups(study, dataset, method, budget, place))


def judged(share: float, budget: float, safe: Safe | None) -> str:
    """Yes where the upper bound is within the limit, no where the share itself is not, else not sure."""
    if share > AT_MOST:
        return NO
    tried: Sequence[Tried] = safe.tried if safe else ()
    here = next((t for t in tried if t.budget == budget), None)
    return YES if here is not None and here.safe else UNSURE


def _side(study: Stored, dataset: str, method: str, budget: float, place: Place) -> Side:
    line = fmt.line_of(study.lines, dataset, method, budget)
    vd = "vd_matched" if place.matched else "vd"
    m = line.loc[vd]
    left = "approval_shift_matched" if place.matched and "approval_shift_matched" in line.index else "approval_shift"
    shift = line["mean"].get(left)
    return Side(
        names.plain(method), method, round(ICONS * m["mean"]), failing(m["mean"]),
        _of_people(study, vd) if method == METHOD else "one seed: no interval" if pd.isna(m["sd"]) else
        f"between {_whole(m['seed_low'])} and {_whole(m['seed_high'])}, 95 % sure, {m['seeds']:.0f} seeds",
        approvals(shift),
        bool(m["lenient"]), place.people(method, f"{budget:g}"),
    )  # fmt: skip


def _of_people(study: Stored, vd: str) -> str:
    """Of a file there are no seeds: the interval is over people, and says so."""
    m = study.measures.set_index("measure").loc[vd]
    if pd.isna(m["low"]):
        return "too few people for an interval"
    return f"between {_whole(m['low'])} and {_whole(m['high'])}, 95 % sure for people like these {m['count']:.0f}"


def _fail(side: Side) -> str:
    return "fails" if side.failing == "1" else "fail"


def approvals(shift: float | None) -> str:
    """The approval shift in plain words: it stands beside every claim, since approving more people buys validity."""
    if shift is None or pd.isna(shift):
        return "approvals not measured"
    if abs(shift) < 0.0005:
        return "approves as many people"
    return f"approves {100 * abs(shift):.1f} of 100 {'more' if shift > 0 else 'fewer'}"


def failing(share: float) -> str:
    """A share as people of 100, without decimals: ``8``, ``less than 1``, ``none``."""
    if share == 0:
        return "none"
    return "less than 1" if share < 0.005 else f"{100 * share:.0f}"


def _whole(share: float) -> str:
    return f"{100 * share:.0f}"


def _groups(study: Stored, dataset: str, method: str, budget: float, place: Place) -> list[dict[str, Any]]:
    """Groups with people enough in a seed, the largest first: mean over seeds, as the page Groups draws them."""
    g, measure = study.groups, "vd_matched" if place.matched else "vd"
    mine = g[(g.dataset == dataset) & (g.method == method) & (g.budget == budget) & (g.measure == measure)]
    mine = mine[~mine.crossing.astype(bool)].dropna(subset=["value"])
    if mine.empty:
        return []
    means = mine.groupby(["column", "level"], sort=False).value.mean().sort_values(ascending=False, kind="stable")
    return [
        {"name": f"{column}: {level}", "share": float(100 * v), "text": f"{100 * v:.0f}",
         "link": place.people(method, f"{budget:g}", **{f"in-{column}": level})}
        for (column, level), v in means.head(MOST_GROUPS).items()
    ]  # fmt: skip


def _row(known: pd.DataFrame, method: str, place: Place, safe: Safe | None) -> dict[str, Any]:
    cells = {}
    for m in known[known.method == method].itertuples():
        cells[f"{m.budget:g}"] = {
            "share": float(100 * m.mean), "text": failing(m.mean).replace("less than 1", "<1").replace("none", "0"),
            "lenient": bool(m.lenient), "link": place.people(method, f"{m.budget:g}"),
            "says": f"{names.both(method)} at {fmt.bits(m.budget)}: {failing(m.mean)} of 100 promised actions fail"
            f"{', lenient' if m.lenient else ''}; open these people",
        }  # fmt: skip
    answer = safe.answer if safe else None
    return {
        "name": names.plain(method), "code": method, "cells": cells,
        "least": f"{answer.budget:g} bits" if answer else "none of these",
        "bought": bool(answer and answer.lenient),
    }  # fmt: skip
