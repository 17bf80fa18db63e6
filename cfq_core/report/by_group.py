"""Values of single people with the groups they belong to, from what is stored of a run: the ground of gap tests."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd

from cfq_core.evidence import Gap, combined_p, gap
from cfq_core.report.frames import Stored

#: Measures that are told by group, where stored.
MEASURES = ("vd", "crg_abs", "approval_shift")


def values(study: Stored, run: str, measure: str) -> pd.DataFrame:
    """One row a person who counts: ``value``, and their group by column and crossing of two; empty if not stored."""
    row = next(r for r in study.run_rows if r["id"] == run)
    groups = study.arrays(row["teacher_id"], "groups")
    promised, seen = study.arrays(row["teacher_id"], "people"), study.arrays(run, "people")
    if measure == "approval_shift":
        if "logits" not in promised or "student" not in seen:  # a gallery holds no test rows
            return pd.DataFrame()
        shift = (seen["student"] > 0).astype(float) - (promised["logits"] > 0)
        return _beside(shift, groups, "test")
    found, q = promised["why"] == 0, seen["student_at"].astype(float)
    matched = measure.endswith("_matched")
    if measure.removesuffix("_matched") == "vd":
        kept, value = found, q <= (row["threshold"] if matched else 0.0)
    elif measure.removesuffix("_matched") == "crg_abs":
        again, cost = (seen[f"{'matched_' if matched else ''}student_{k}"] for k in ("has_recourse", "cost"))
        kept = found & seen["reaudited"] & again
        with np.errstate(invalid="ignore", divide="ignore"):
            value = np.abs((cost - promised["cost"]) / promised["cost"])
    else:
        return pd.DataFrame()
    people = _beside(value.astype(float), groups, "people")
    return people if people.empty else people[kept].reset_index(drop=True)  # a table may have no groups


def _beside(value: np.ndarray, groups: dict[str, np.ndarray], part: str) -> pd.DataFrame:
    labels = {
        k.removesuffix(".levels"): levels[groups[f"{k.removesuffix('.levels')}.{part}"]]
        for k, levels in groups.items()
        if k.endswith(".levels")
    }
    for (a, left), (b, right) in combinations(list(labels.items()), 2):
        labels[f"{a} x {b}"] = np.array([f"{x}, {y}" for x, y in zip(left, right, strict=True)])
    return pd.DataFrame({"value": value, **labels}) if labels else pd.DataFrame()


def gaps(study: Stored, dataset: str, method: str, measure: str) -> pd.DataFrame:
    """One row a (budget, column): mean gap over seeds, its least and largest, p of each seed and of all seeds."""
    runs = study.runs[(study.runs.dataset == dataset) & (study.runs.method == method)]
    found: dict[tuple[float, str], list[Gap]] = {}
    for run, budget in zip(runs.run, runs.budget, strict=True):
        people = values(study, run, measure)
        for column in people.columns.drop("value", errors="ignore"):
            if (one := gap(people["value"].to_numpy(), people[column].tolist())) is not None:
                found.setdefault((budget, column), []).append(one)
    return pd.DataFrame([_over_seeds(b, c, each) for (b, c), each in sorted(found.items())])


def _over_seeds(budget: float, column: str, each: list[Gap]) -> dict[str, object]:
    sizes, ps = [g.value for g in each], [g.p for g in each]
    return {
        "budget": budget,
        "column": column,
        "gap": float(np.mean(sizes)),
        "least": min(sizes),
        "largest": max(sizes),
        "p": combined_p(ps),
        "p_of_seeds": ", ".join(f"{p:.3g}" for p in ps),
        "highest": ", ".join(dict.fromkeys(g.highest for g in each)),
        "seeds": len(each),
        "people": int(np.mean([g.count for g in each])),
    }
