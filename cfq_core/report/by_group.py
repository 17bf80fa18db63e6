"""Values of single people with the groups they belong to, from what is stored of a run: the ground of gap tests."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from cfq_core.evidence import NotKept
from cfq_core.group_tests import LEVEL, SMALLEST_GROUP, Gap, adjusted_p, combined_p, gap, largest
from cfq_core.metrics import PARTS as METRICS
from cfq_core.report.frames import Stored
from cfq_core.study.audited import evidence_of
from cfq_core.study.over_seeds import OverSeeds, over_seeds

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
    """One row a (budget, column): mean gap over seeds, its least and largest, p of each seed and of all seeds.

    ``by_chance``: the gap expected of groups that do not differ. ``p_of_all``: p of all seeds where every row of a
    picture is looked at together (Holm).
    """
    runs = study.runs[(study.runs.dataset == dataset) & (study.runs.method == method)]
    found: dict[tuple[float, str], list[Gap]] = {}
    for run, budget in zip(runs.run, runs.budget, strict=True):
        people = values(study, run, measure)
        for column in people.columns.drop("value", errors="ignore"):
            if (one := gap(people["value"].to_numpy(), people[column].tolist())) is not None:
                found.setdefault((budget, column), []).append(one)
    rows = pd.DataFrame([_over_seeds(b, c, each) for (b, c), each in sorted(found.items())])
    if rows.empty:
        return rows
    crossing = rows.column.str.contains(" x ", regex=False)  # what is looked at together: columns, or crossings
    for together in (crossing, ~crossing):
        rows.loc[together, "p_of_all"] = adjusted_p(rows[together].p.tolist())
    return rows


@dataclass(frozen=True)
class HitMost:
    """The group with the largest mean over seeds, and whether the data show that it is hit more than the others."""

    column: str
    level: str
    value: float  # of that group, mean over the seeds that judge it
    largest: float  # mean over seeds of each seed's largest, whichever group has it
    by_chance: float  # the same of groups that do not differ
    p: float  # max-type permutation test over all groups, the seeds' p combined
    named: int  # seeds in which this group is the one with the largest
    seeds: int
    beyond: OverSeeds  # of the group less everybody, seed by seed; the worse the higher

    @property
    def shown(self) -> bool:
        """p below 0.05, most seeds name this group, and over seeds it is above everybody (t interval)."""
        apart = self.seeds < 2 or (self.beyond.low is not None and self.beyond.low > 0)
        return self.p < LEVEL and 2 * self.named > self.seeds and apart


def highest(
    study: Stored, dataset: str, method: str, budget: float, measure: str, crossing: bool = False
) -> tuple[str, str, float] | None:
    """The group whose mean over seeds is the largest, of those that most seeds judge; what the picture of groups shows.

    For the approval shift: the group that falls most. Whether chance explains it is `hit_most`'s to say.
    """
    g = study.groups
    here = g[(g.dataset == dataset) & (g.method == method) & (g.budget == budget) & (g.measure == measure)]
    here = here[here.crossing == crossing].dropna(subset=["value"])
    if here.empty:
        return None
    over = here.groupby(["column", "level"], sort=False).value.agg(["mean", "size"])
    known = over[2 * over["size"] > here.seed.nunique()]["mean"]
    means = known if len(known) else over["mean"]
    best: Any = means.idxmin() if measure.startswith("approval_shift") else means.idxmax()
    return str(best[0]), str(best[1]), float(means[best])


@lru_cache(maxsize=64)  # half of the time of a page of groups
def hit_most(
    study: Stored, dataset: str, method: str, budget: float, measure: str, crossing: bool = False
) -> HitMost | None:
    """Of levels of single columns, or of crossings of two. For the approval shift: the group that falls most."""
    runs = study.runs[(study.runs.dataset == dataset) & (study.runs.method == method) & (study.runs.budget == budget)]
    sign, tested, means = -1.0 if measure.startswith("approval_shift") else 1.0, [], []
    for run, seed in zip(runs.run, runs.seed, strict=True):
        people = values(study, run, measure)
        columns = [c for c in people.columns.drop("value", errors="ignore") if (" x " in c) == crossing]
        names = [(c, level) for c in columns for level in sorted(set(people[c]))]
        if not names:
            continue
        members, mine = np.array([people[c] == level for c, level in names]), sign * people["value"].to_numpy(float)
        if (found := largest(mine, members)) is not None:
            tested.append((found, names[found.group]))
            means += [
                (*name, seed, mine[of].mean(), mine.mean())
                for name, of in zip(names, members, strict=True)
                if of.sum() >= SMALLEST_GROUP
            ]
    if not tested:
        return None
    frame = pd.DataFrame(means, columns=["column", "level", "seed", "value", "everybody"])
    over = frame.groupby(["column", "level"], sort=False).value.agg(["mean", "size"])
    known = over[2 * over["size"] > len(tested)]["mean"]  # a group that few seeds judge is no method's
    best: Any = (known if len(known) else over["mean"]).idxmax()
    name = (str(best[0]), str(best[1]))
    of = frame[(frame.column == name[0]) & (frame.level == name[1])].set_index("seed")
    apart = {int(s): {"value": v - e, "count": 1} for s, v, e in zip(of.index, of.value, of.everybody, strict=True)}
    return HitMost(
        name[0], name[1], float(sign * of.value.mean()),
        float(sign * np.mean([f.value for f, _ in tested])), float(sign * np.mean([f.by_chance for f, _ in tested])),
        combined_p([f.p for f, _ in tested]), Counter(n for _, n in tested)[name], len(tested), over_seeds(apart),
    )  # fmt: skip


def _over_seeds(budget: float, column: str, each: list[Gap]) -> dict[str, object]:
    sizes, ps = [g.value for g in each], [g.p for g in each]
    return {
        "budget": budget,
        "column": column,
        "gap": float(np.mean(sizes)),
        "least": min(sizes),
        "largest": max(sizes),
        "by_chance": float(np.mean([g.by_chance for g in each])),
        "p": combined_p(ps),
        "p_of_seeds": ", ".join(f"{p:.3g}" for p in ps),
        "highest": ", ".join(dict.fromkeys(g.highest for g in each)),
        "seeds": len(each),
        "people": int(np.mean([g.count for g in each])),
    }
