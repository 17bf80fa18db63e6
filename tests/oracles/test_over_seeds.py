"""Intervals over seeds, held to scipy and to how often they hold the truth: seeds are the unit, not their people."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import sem, t, ttest_rel

from cfq_core.evidence import wilson
from cfq_core.study.over_seeds import NOTHING, OverSeeds, difference, over_seeds, student_t

#: Mean and sd over models of promise-breaking rates as they were measured (RESULTS: anchored, rounded at 4 and 3 bits).
SEEN = ((0.01, 0.005), (0.07, 0.05), (0.3, 0.16))
PEOPLE, MODELS = 600, 10


def _of(rates: np.ndarray) -> OverSeeds:
    return over_seeds({s: {"value": float(r), "count": PEOPLE} for s, r in enumerate(rates)}, share=True)


def _studies(mean: float, sd: float, count: int, seed: int) -> np.ndarray:
    """Shares broken in studies: each model's true rate is beta-distributed, what is seen of it binomial."""
    rng, size = np.random.default_rng(seed), mean * (1 - mean) / sd**2 - 1
    rates = rng.beta(mean * size, (1 - mean) * size, (count, MODELS))
    return rng.binomial(PEOPLE, rates) / PEOPLE


@pytest.mark.parametrize("n", [2, 3, 10])
def test_the_interval_is_scipys_student_t(n: int) -> None:
    values = np.random.default_rng(n).normal(0.4, 0.05, n)
    expected = t.interval(0.95, n - 1, loc=values.mean(), scale=sem(values))
    assert student_t(values.tolist()) == pytest.approx(expected)
    mine = _of(values)
    assert (mine.low, mine.high) == pytest.approx((max(0.0, expected[0]), min(1.0, expected[1])))


@pytest.mark.parametrize(("mean", "sd"), SEEN)
def test_t_over_seeds_holds_the_truth_and_wilson_over_their_people_does_not(mean: float, sd: float) -> None:
    studies = _studies(mean, sd, 2000, seed=round(1000 * mean))
    by_seeds = by_people = 0
    for rates in studies:
        mine = _of(rates)
        assert mine.low is not None and mine.high is not None
        by_seeds += mine.low <= mean <= mine.high
        low, high = wilson(round(rates.sum() * PEOPLE), MODELS * PEOPLE)
        by_people += low <= mean <= high
    assert by_seeds / 2000 > 0.93 - 2 * np.sqrt(0.93 * 0.07 / 2000)
    assert by_people / 2000 < 0.85


def test_a_difference_is_scipys_paired_test() -> None:
    """Teachers differ more than methods do: pairs see what two intervals side by side do not."""
    rng = np.random.default_rng(0)
    hard = rng.uniform(0.1, 0.5, MODELS)
    one, other = hard - 0.03 + rng.normal(0, 0.01, MODELS), hard + rng.normal(0, 0.01, MODELS)
    found = difference(_of(one), _of(other))
    low, high = ttest_rel(one, other).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((low, high)) and found.seeds == MODELS
    assert high < 0 and _of(one).high > _of(other).low  # type: ignore[operator]


def test_only_seeds_of_both_are_paired_and_one_pair_is_no_claim() -> None:
    one, other = _of(np.array([0.1, 0.2, 0.3])), _of(np.array([0.2]))
    found = difference(one, other)
    assert (found.mean, found.seeds, found.low) == (pytest.approx(-0.1), 1, None)
    assert difference(one, NOTHING).mean is None
