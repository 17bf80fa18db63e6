"""Values of single people with the groups they belong to, from what is stored of a run: the ground of gap tests."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd

from cfq_core.evidence import NotKept
from cfq_core.group_tests import Gap, combined_p, gap
from cfq_core.metrics import PARTS as METRICS
from cfq_core.report.frames import Stored
from cfq_core.study.audited import evidence_of

#: Measures that are told by group, where stored.
MEASURES = ("vd", "crg_abs", "approval_shift")


def values(study: Stored, run: str, measure: str) -> pd.DataFrame:
    """One row a person who counts: ``value``, and their group by column and crossing of two; empty if not stored."""
    row = next(r for r in study.run_rows if r["id"] == run)
    metric = METRICS[measure.removesuffix("_matched")]
    with study.store() as store:
        evidence = evidence_of(store, row)[measure.endswith("_matched")]
    try:
        scored, groups = metric.score(evidence), evidence.groups
    except NotKept:  # a gallery holds no test rows
        return pd.DataFrame()
    labels = {column: np.asarray(levels)[scored.rows] for column, levels in groups.items()}
    for (a, left), (b, right) in combinations(list(labels.items()), 2):
        labels[f"{a} x {b}"] = np.array([f"{x}, {y}" for x, y in zip(left, right, strict=True)])
    return pd.DataFrame({"value": scored.values, **labels}) if labels else pd.DataFrame()


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
