"""Every allocation of bits that was judged, as plain values: what a bench needs to answer without asking again."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pandas as pd

from cfq_core.report import fmt, names
from cfq_core.report.frames import LEFT, Stored


def of(study: Stored, dataset: str) -> dict[str, Any] | None:
    """Layers, and each plan's mean over seeds; None where allocations were not judged (deep nets, older studies)."""
    landscape = study.landscape
    here = landscape[landscape.dataset == dataset] if len(landscape) else landscape
    teachers = study.teachers[study.teachers.dataset == dataset]
    if here.empty or teachers.empty:
        return None
    stored = study.arrays(str(teachers.id.iloc[0]), "layers")
    sizes = [int(n) for n in stored["sizes"]]
    table = here.assign(plan=here.plans.map(_written))
    over = table.groupby("plan", sort=False)
    mean = over[["average_bits", "vd", "vd_matched", "approval_shift"]].mean()
    mean["low"], mean["high"] = over.vd.min(), over.vd.max()
    mean["left"] = over[LEFT].mean() if LEFT in table else float("nan")
    return {
        "sizes": sizes,
        "choices": [int(b) for b in stored["choices"]],
        "plans": {str(p): _numbers(r, str(p), sizes) for p, r in mean.iterrows()},
        "chosen": _chosen(study, dataset, set(mean.index)),
        "seeds": fmt.counted(here.seed.nunique(), "seed"),
        "note": NOTE,
    }


NOTE = (
    "Post-training rounding of the original models at these bits, judged at the promises made to test people: mean "
    "over seeds, in brackets the seeds' least and most. Methods that train the weights again do better than their "
    "place here. Choosing the best of many on the same people flatters it; see Curves for methods as they were tested."
)


def _numbers(r: Any, plan: str, sizes: list[int]) -> dict[str, Any]:
    weights = sum(n * int(b) for n, b in zip(sizes, plan.split("-"), strict=True))
    left = "" if pd.isna(r["left"]) else f", {fmt.points(r['left'])} left on test people"
    return {
        "bits": round(float(r["average_bits"]), 4),
        "vd": round(100 * float(r["vd"]), 2),
        "says": f"{100 * r['vd']:.1f} of 100 ({100 * r['low']:.0f} to {100 * r['high']:.0f})",
        "matched": f"{100 * r['vd_matched']:.1f} of 100{left}",
        "shift": fmt.points(r["approval_shift"]),
        "bytes": f"{-(-weights // 8):,} bytes of weights",
    }


def _chosen(study: Stored, dataset: str, known: set[str]) -> list[dict[str, str]]:
    """The plan that most seeds of a method have at a budget, where it was judged."""
    runs, found = study.runs[study.runs.dataset == dataset], []
    for (method, budget), of_method in runs.groupby(["method", "budget"], sort=False):
        plan = Counter(map(_written, of_method.bits)).most_common(1)[0][0]
        if plan in known:
            found.append({"name": f"{names.plain(method)}, {fmt.bits(budget)}", "plan": plan})
    return found


def _written(plan: Any) -> str:
    return "-".join(str(int(b)) for b in plan)
