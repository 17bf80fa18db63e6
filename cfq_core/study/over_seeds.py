"""One measure over the seeds of a method: mean, spread, and an interval for the method. Seeds are the unit.

A method's claim is about the next model it makes, so what counts is how far models differ, not how many people each
was tried on: with ten models of rate .07 ± .05 on 600 people each, an interval over the 6,000 people covers the mean
three times in ten, Student's t over the ten rates 93 times in a hundred (`tests/oracles/test_over_seeds.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import sqrt
from statistics import mean, stdev
from typing import Any

from scipy.special import stdtrit

from cfq_core.evidence import CONFIDENCE, wilson
from cfq_core.group_tests import combined_p


@dataclass(frozen=True)
class OverSeeds:
    """One measure over the seeds of a (data set, setting, method, budget)."""

    mean: float | None
    sd: float | None  # over seeds; None for a single one
    seeds: int  # that have a value
    low: float | None  # of the mean over seeds, 95 %: Student's t; None for a single seed
    high: float | None
    people: int  # denominators of all seeds together
    by_seed: dict[int, float] = field(default_factory=dict)
    counts: dict[int, int] = field(default_factory=dict)  # people of each
    tied: tuple[float, float] | None = None  # of a matched measure: the mean at either side, where logits tie


NOTHING = OverSeeds(None, None, 0, None, None, 0)


def over_seeds(by_seed: Mapping[int, Mapping[str, Any]], share: bool = False, p: bool = False) -> OverSeeds:
    """Measures (``value`` and ``count``) of several seeds as one. ``share``: in [0, 1]; ``p``: a p-value, combined.

    Where all seeds have the very same share there is no spread to tell the method's from: the interval is then Wilson's
    over all their people, wider than nothing.
    """
    known = {s: m for s, m in by_seed.items() if m["value"] is not None}
    values, counts = {s: float(m["value"]) for s, m in known.items()}, {s: int(m["count"]) for s, m in known.items()}
    each, people = list(values.values()), sum(counts.values())
    if not each:
        return NOTHING
    if p:
        return OverSeeds(combined_p(each), None, len(each), None, None, people, values, counts)
    low = high = None
    if len(each) > 1:
        low, high = student_t(each)
        if share and low == high and people:
            low, high = wilson(each[0] * people, people)
        if share:
            low, high = max(0.0, low), min(1.0, high)
    return OverSeeds(mean(each), stdev(each) if len(each) > 1 else None, len(each), low, high, people, values, counts)


def of_seed(m: OverSeeds, seed: int) -> OverSeeds:
    """What is left of a measure of one seed alone."""
    if seed not in m.by_seed:
        return NOTHING
    return over_seeds({seed: {"value": m.by_seed[seed], "count": m.counts[seed]}})


def student_t(values: Sequence[float], confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Student's interval of the mean of two values or more."""
    centre, n = mean(values), len(values)
    half = float(stdtrit(n - 1, (1 + confidence) / 2)) * stdev(values) / sqrt(n)
    return centre - half, centre + half


def difference(one: OverSeeds, other: OverSeeds) -> OverSeeds:
    """``one`` less ``other``, seed by seed: both had the same teacher, table split and people, so pairs tell more."""
    both = [s for s in one.by_seed if s in other.by_seed]
    return over_seeds({s: {"value": one.by_seed[s] - other.by_seed[s], "count": one.counts[s]} for s in both})
