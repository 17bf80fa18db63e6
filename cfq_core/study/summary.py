"""A stored study in numbers a reader can use: mean and spread over seeds, intervals over people, verdicts."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from dataclasses import dataclass
from statistics import mean, stdev
from typing import Any

from cfq_core.base import plugins
from cfq_core.evidence import wilson
from cfq_core.study.store import Store

#: Approval shift, in share of people, beyond which a student's validity is leniency rather than faithfulness.
LENIENT = 0.02


@dataclass(frozen=True)
class OverSeeds:
    """One measure over the seeds of a (data set, method, budget)."""

    mean: float | None
    sd: float | None  # over seeds; None for a single one
    seeds: int  # that have a value
    low: float | None  # shares: Wilson over all seeds' people together
    high: float | None
    people: int  # denominators of all seeds together


@dataclass(frozen=True)
class Line:
    """All seeds of one (data set, method, budget)."""

    dataset: str
    method: str
    budget: float
    avg_bits: float
    seeds: int
    measures: dict[str, OverSeeds]

    @property
    def lenient(self) -> bool:
        """Approves so many more people than its teachers that its validity says nothing."""
        shift = self.value("approval_shift")
        return shift is not None and shift > LENIENT

    def measure(self, name: str) -> OverSeeds:
        """One measure; empty where the runs are older than its metric."""
        return self.measures.get(name, OverSeeds(None, None, 0, None, None, 0))

    def value(self, name: str) -> float | None:
        """Mean over seeds."""
        return self.measure(name).mean


def as_json(store: Store, study: str) -> dict[str, Any]:
    """The object that ``--json`` prints."""
    runs = []
    for row in store.runs(study):
        measured = store.measures(row["id"])
        runs.append({
            **{k: row[k] for k in ("id", "dataset", "method", "budget", "seed", "bits", "avg_bits")},
            "measures": {name: m["value"] for name, m in measured.items()},
            "intervals": {name: {k: m[k] for k in ("low", "high", "count")} for name, m in measured.items()},
            "groups": row["groups"],
        })  # fmt: skip
    teachers = [
        {**{k: t[k] for k in ("id", "dataset", "seed")}, "measures": t["measures"]} for t in store.teachers(study)
    ]
    return {"study": study, "store": str(store.folder), "runs": runs, "teachers": teachers}


def lines(store: Store, study: str) -> list[Line]:
    """One line a (data set, method, budget), in the study's order."""
    gathered: dict[tuple[str, str, float], list[Any]] = defaultdict(list)
    for row in store.runs(study):
        gathered[row["dataset"], row["method"], row["budget"]].append((row["avg_bits"], store.measures(row["id"])))
    out = []
    for (dataset, method, budget), runs in gathered.items():
        names = sorted({name for _, measured in runs for name in measured})  # a run may be older than a metric
        measures = {name: _over_seeds(name, [m[name] for _, m in runs if name in m]) for name in names}
        out.append(Line(dataset, method, budget, mean(b for b, _ in runs), len(runs), measures))
    return out


def _is_share(name: str) -> bool:
    base = name.removesuffix("_matched")
    return base in plugins.names("metrics") and plugins.load("metrics", base).summary == "share"


def _over_seeds(name: str, measured: list[dict[str, Any]]) -> OverSeeds:
    known = [m for m in measured if m["value"] is not None]
    values = [m["value"] for m in known]
    if not values:
        return OverSeeds(None, None, 0, None, None, 0)
    low = high = None
    n = sum(m["count"] for m in known)
    if _is_share(name):
        low, high = wilson(round(sum(m["value"] * m["count"] for m in known)), n)
    return OverSeeds(mean(values), stdev(values) if len(values) > 1 else None, len(values), low, high, n)


#: Title, measure, factor and digits of each column of the Markdown table.
MARKDOWN = (
    ("accuracy", "accuracy", 100, 2),
    ("approval shift", "approval_shift", 100, 2),
    ("VD", "vd", 1, 3),
    ("VD matched", "vd_matched", 1, 3),
    ("worst group VD", "worst_group_vd", 1, 3),
    ("CRG median", "crg_median", 1, 3),
    ("CRG abs", "crg_abs", 1, 3),
    ("flip rate", "flip_rate", 1, 4),
    ("direction", "direction", 1, 3),
    ("condition holds", "margin_condition", 1, 3),
    ("recourse cost", "recourse_cost", 1, 2),
)


def as_markdown(store: Store, study: str) -> str:
    """A study as Markdown: its setting, mean and sd over seeds, and every allocation."""
    row, found = store.study(study), lines(store, study)
    setting = row["plan"]["setting"]
    seeds = len(row["plan"]["seeds"])
    hidden = "-".join(map(str, setting["hidden"]))
    out = [
        f"net {hidden}, {seeds} seeds, promise margin {setting['kappa']:g} logits, actions `{setting['regime']}`, "
        f"study `{study}`; mean ± sd over seeds, accuracy in %, approval shift in points, test people only",
        "",
        "| data set | method | bits | spent | " + " | ".join(title for title, *_ in MARKDOWN) + " |",
        "|" + "---|" * (4 + len(MARKDOWN)),
    ]
    for x in found:
        cells = [shown(x.measure(name), scale, digits) for _, name, scale, digits in MARKDOWN]
        flag = " (lenient)" if x.lenient else ""
        out.append(f"| {x.dataset} | {x.method}{flag} | {x.budget:g} | {x.avg_bits:.2f} | " + " | ".join(cells) + " |")
    out += ["", "Allocations (weight bits of every layer; how many seeds chose them):", ""]
    plans: dict[tuple[str, str, float], Counter[str]] = defaultdict(Counter)
    for run in store.runs(study):
        plans[run["dataset"], run["method"], run["budget"]]["-".join(map(str, run["bits"]))] += 1
    for (dataset, method, budget), counted in plans.items():
        if len(counted) > 1 or len(set(next(iter(counted)).split("-"))) > 1:
            listed = ", ".join(f"{plan} ({n})" for plan, n in counted.most_common())
            out.append(f"- {dataset}, {method}, {budget:g} bits: {listed}")
    return "\n".join(out)


def verdict(line: Line, kappa: float) -> str:
    """The answer for one method and budget, in one sentence."""
    vd, drop, shift = line.measure("vd"), line.value("accuracy_drop"), line.value("approval_shift")
    if vd.mean is None or drop is None or shift is None or vd.low is None or vd.high is None:
        return f"{line.dataset}, {line.method} at {line.budget:g} bits: nobody with recourse to judge by."
    spread = f"± {100 * vd.sd:.1f} over {line.seeds} seeds" if vd.sd is not None else "one seed, so no claim"
    caution = " It approves more people than its teacher: part of this validity is leniency." if line.lenient else ""
    return (
        f"{line.dataset}, {line.method} at {line.budget:g} bits: accuracy {_falls(drop)}; {100 * vd.mean:.1f} in 100 "
        f"promised actions fail ({spread}; 95 % over {vd.people} people {100 * vd.low:.1f} to {100 * vd.high:.1f}; "
        f"promise margin {kappa:g} logits); approvals shift by {100 * shift:+.1f} points.{caution}"
    )


def _falls(drop: float) -> str:
    points = 100 * drop
    return "does not move" if abs(points) < 0.05 else f"{'falls' if points > 0 else 'rises'} {abs(points):.1f} points"


def shown(measure: OverSeeds, scale: float = 1.0, digits: int = 3) -> str:
    """``0.120 ± 0.031``; a dash where nothing is defined."""
    if measure.mean is None or math.isnan(measure.mean):
        return "-"
    spread = f" ± {scale * measure.sd:.{digits}f}" if measure.sd is not None else ""
    return f"{scale * measure.mean:.{digits}f}{spread}"
