"""Shares, means and intervals, held to scipy; groups, crossings and the worst of them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, bootstrap

from cfq_core.base.plugins import load_all
from cfq_core.evidence import (
    LARGE,
    SMALLEST_GROUP,
    Evidence,
    Measure,
    Metric,
    PerRow,
    difference,
    measure,
    summarise,
    wilson,
)


def _rows(values: np.ndarray, weight: np.ndarray | None = None) -> PerRow:
    return PerRow(np.asarray(values, float), np.arange(len(values)), weight)


def _evidence(groups: dict[str, list[str]], values: np.ndarray) -> Evidence:
    """People whose validity is ``values``: everybody is denied and promised something."""
    n = len(values)
    yes, one = np.ones(n, bool), np.ones(n)
    return Evidence(
        outcome=yes, teacher=-one, student=-one, groups=groups, person=np.arange(n), has_recourse=yes, cost=one,
        teacher_at=one, student_at=np.where(values > 0, -1.0, 1.0), reaudited=yes, student_has_recourse=yes,
        student_cost=one,
        cosine=one,
    )  # fmt: skip


# ---------------------------------------------------------------------- intervals
@given(st.integers(1, 3000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_is_scipys(successes_of: tuple[int, int]) -> None:
    successes, n = successes_of
    expected = binomtest(successes, n).proportion_ci(0.95, method="wilson")
    np.testing.assert_allclose(wilson(successes, n), (expected.low, expected.high), atol=1e-12)


def test_wilson_holds_the_share_itself() -> None:
    """Nobody in three is 0 to 56 in a hundred; not 0.00000000000000006 to 56, which leaves nobody out."""
    for n in range(1, 60):
        for successes in range(n + 1):
            low, high = wilson(successes, n)
            assert 0 <= low <= successes / n <= high <= 1, (successes, n)


@pytest.mark.parametrize("n", [40, 300, LARGE, LARGE + 1, 5000])
def test_the_interval_of_a_mean_is_close_to_the_normal_one(n: int) -> None:
    values = np.random.default_rng(n).gamma(2.0, 1.0, n)
    got = summarise(_rows(values), "mean")
    half = 1.959964 * values.std(ddof=1) / math.sqrt(n)
    assert got.value == pytest.approx(values.mean(), rel=1e-12)
    assert got.low == pytest.approx(values.mean() - half, abs=0.25 * half)
    assert got.high == pytest.approx(values.mean() + half, abs=0.25 * half)


@pytest.mark.parametrize("n", [50, 400])
@pytest.mark.parametrize(("summary", "statistic"), [("median", np.median), ("sd", np.std), ("mean", np.mean)])
def test_a_bootstrap_interval_is_close_to_scipys(n: int, summary: str, statistic) -> None:  # type: ignore[no-untyped-def]
    values = np.random.default_rng(7).lognormal(0, 0.7, n)
    got = summarise(_rows(values), summary)  # type: ignore[arg-type]
    theirs = bootstrap((values,), statistic, method="percentile", n_resamples=2000, rng=np.random.default_rng(1))
    width = theirs.confidence_interval.high - theirs.confidence_interval.low
    assert got.value == pytest.approx(statistic(values), rel=1e-6)
    assert got.low == pytest.approx(theirs.confidence_interval.low, abs=0.25 * width)
    assert got.high == pytest.approx(theirs.confidence_interval.high, abs=0.25 * width)


@pytest.mark.parametrize("summary", ["mean", "median", "sd"])
def test_an_interval_covers_the_truth_about_as_often_as_it_says(summary: str) -> None:
    random, hits = np.random.default_rng(3), 0
    truth = {"mean": 0.0, "median": 0.0, "sd": 1.0}[summary]
    for _ in range(300):
        got = summarise(_rows(random.normal(0, 1, 150)), summary)  # type: ignore[arg-type]
        assert got.low is not None and got.high is not None
        hits += got.low <= truth <= got.high
    assert 0.88 < hits / 300 < 0.99


def test_a_weighted_mean_is_a_ratio_of_sums() -> None:
    values, weight = np.array([1.0, 0.0, 3.0] * 40), np.array([1.0, 2.0, 5.0] * 40)
    got = summarise(_rows(values, weight), "mean")
    assert got.value == pytest.approx(4 / 8)
    assert got.low is not None and got.high is not None and got.low < 0.5 < got.high


def test_the_same_rows_have_the_same_interval_again() -> None:
    values = np.random.default_rng(0).normal(0, 1, 77)
    assert summarise(_rows(values), "median") == summarise(_rows(values), "median")


@pytest.mark.parametrize("summary", ["share", "mean", "median", "sd"])
def test_nobody_has_no_value_and_one_person_has_one(summary: str) -> None:
    assert summarise(_rows(np.zeros(0)), summary) == Measure(None, None, None, 0)  # type: ignore[arg-type]
    one = summarise(_rows(np.ones(1)), summary)  # type: ignore[arg-type]
    assert (one.value, one.count) == (0.0 if summary == "sd" else 1.0, 1)
    assert one.low is not None and one.high is not None


def test_weights_that_sum_to_nothing_have_no_mean() -> None:
    assert summarise(_rows(np.zeros(5), np.zeros(5)), "mean") == Measure(None, None, None, 5)


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=40), st.floats(-10, 10))
def test_moving_everybody_moves_a_median_and_leaves_a_deviation(values: list[float], by: float) -> None:
    here, there = _rows(np.array(values)), _rows(np.array(values) + by)
    for summary, moves in (("median", by), ("mean", by), ("sd", 0.0)):
        a, b = summarise(here, summary), summarise(there, summary)  # type: ignore[arg-type]
        assert a.value is not None and b.value is not None
        assert b.value == pytest.approx(a.value + moves, abs=1e-3)


# ---------------------------------------------------------------------- groups
VD = {"vd": load_all("metrics")["vd"], "worst_group_vd": load_all("metrics")["worst_group_vd"]}


def test_a_group_under_thirty_has_a_count_and_no_number() -> None:
    groups = {"sex": ["f"] * SMALLEST_GROUP + ["m"] * (SMALLEST_GROUP - 1)}
    e = _evidence(groups, np.arange(2 * SMALLEST_GROUP - 1) % 2)
    found = measure(VD, e, e).groups["sex"]
    assert found["f"]["vd"].value == 0.5
    assert found["m"]["vd"] == Measure(None, None, None, SMALLEST_GROUP - 1)


def test_a_group_is_small_by_the_people_who_count_not_by_its_rows() -> None:
    """Forty rows of which twenty were promised something are twenty people."""
    e = _evidence({"sex": ["f"] * 40}, np.zeros(40))
    few = Evidence(**{**e.__dict__, "has_recourse": np.arange(40) < 20})
    assert measure(VD, few, few).groups["sex"]["f"]["vd"] == Measure(None, None, None, 20)


def test_groups_partition_the_people_and_crossings_partition_the_groups() -> None:
    random = np.random.default_rng(0)
    groups = {n: list(random.choice(list("abc"), 600)) for n in ("sex", "race", "age")}
    e = _evidence(groups, random.integers(0, 2, 600))
    measures = measure(VD, e, e)
    assert set(measures.groups) == {"sex", "race", "age", "sex x race", "sex x age", "race x age"}
    for levels in measures.groups.values():
        assert sum(m["vd"].count for m in levels.values()) == 600
    crossed = measures.groups["sex x race"]
    inside = [crossed[f"a, {r}"]["vd"] for r in "abc"]
    weighted = sum((m.value or 0) * m.count for m in inside)
    assert weighted / sum(m.count for m in inside) == pytest.approx(measures.groups["sex"]["a"]["vd"].value)


def test_an_empty_crossing_is_not_listed() -> None:
    groups = {"sex": ["f"] * 50 + ["m"] * 50, "race": ["x"] * 50 + ["y"] * 50}
    e = _evidence(groups, np.zeros(100))
    assert set(measure(VD, e, e).groups["sex x race"]) == {"f, x", "m, y"}


def test_the_worst_group_is_the_largest_share_among_groups_that_are_large_enough() -> None:
    """Ten people whose promises all break are too few to be the worst group; a crossing is no group here."""
    groups = {"sex": ["f"] * 100 + ["m"] * 100 + ["x"] * 10}
    broken = np.concatenate([np.arange(100) < 20, np.arange(100) < 35, np.ones(10)])
    e = _evidence(groups, broken)
    worst = measure(VD, e, e).overall["worst_group_vd"]
    assert (worst.value, worst.count) == (0.35, 100)
    crossed = {"sex": ["f", "m"] * 100, "race": ["x"] * 100 + ["y"] * 100}
    concentrated = np.array([s == "f" and r == "x" for s, r in zip(crossed["sex"], crossed["race"], strict=True)])
    e = _evidence(crossed, concentrated)
    assert measure(VD, e, e).overall["worst_group_vd"].value == 0.5
    assert measure(VD, e, e).groups["sex x race"]["f, x"]["vd"].value == 1.0


def test_no_group_large_enough_means_no_worst_group() -> None:
    e = _evidence({"sex": ["f"] * 20}, np.ones(20))
    assert measure(VD, e, e).overall["worst_group_vd"].value is None


def test_matched_values_come_from_the_matched_evidence() -> None:
    raw, matched = _evidence({}, np.ones(50)), _evidence({}, np.zeros(50))
    measures = measure(VD, raw, matched).overall
    assert (measures["vd"].value, measures["vd_matched"].value) == (1.0, 0.0)


def test_a_metric_that_does_not_depend_on_decisions_has_no_matched_twin() -> None:
    plain = Metric("m", "share", "lower", lambda e: PerRow(e.cost, e.person), "mean", decision=False)
    e = _evidence({}, np.ones(50))
    assert list(measure({"m": plain}, e, e).overall) == ["m"]


def test_a_difference_of_shares_has_the_published_interval() -> None:
    """Newcombe 1998, table II, example (a), method 10: 56 of 70 and 48 of 80."""
    found = difference(np.arange(70) < 56, np.arange(80) < 48)
    assert (found.value, found.low, found.high) == pytest.approx((0.2, 0.0524, 0.3339), abs=5e-5)
    assert difference(np.ones(29, bool), np.ones(80, bool)) == Measure.missing(29)
