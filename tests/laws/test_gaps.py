"""Gaps between groups: p-values held to scipy's permutation test, to Fisher's exact one, and to chance itself."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import fisher_exact, permutation_test

from cfq_core.group_tests import DEALS, PERMUTATIONS, SMALLEST_GROUP, adjusted_p, combined_p, gap, largest

SIZES = ((31, 40), (30, 30, 45), (60, 200))


def _people(sizes: tuple[int, ...], effect: float, seed: int) -> tuple[np.ndarray, list[str]]:
    rng = np.random.default_rng(seed)
    values = np.concatenate([rng.exponential(1 + effect * i, n) for i, n in enumerate(sizes)])
    return values, [f"g{i}" for i, n in enumerate(sizes) for _ in range(n)]


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("effect", [0.0, 0.25])
def test_p_is_scipys(sizes: tuple[int, ...], effect: float) -> None:
    values, groups = _people(sizes, effect, seed=len(sizes))
    mine = gap(values, groups)
    assert mine is not None
    parts = np.split(values, np.cumsum(sizes)[:-1])

    def statistic(*samples: np.ndarray, axis: int) -> np.ndarray:
        return np.ptp(np.stack([s.mean(axis=axis) for s in samples]), axis=0)

    theirs = permutation_test(
        parts, statistic, vectorized=True, n_resamples=20_000, alternative="greater", batch=2_000, rng=1
    )
    assert mine.value == pytest.approx(theirs.statistic)
    noise = np.sqrt(theirs.pvalue * (1 - theirs.pvalue) / PERMUTATIONS)
    assert abs(mine.p - theirs.pvalue) < 4 * noise + 2 / PERMUTATIONS


def test_p_of_shares_is_fishers() -> None:
    broken = np.array([1.0] * 12 + [0.0] * 28 + [1.0] * 4 + [0.0] * 36)
    mine = gap(broken, ["a"] * 40 + ["b"] * 40)
    assert mine is not None and mine.value == pytest.approx(0.2) and (mine.highest, mine.lowest) == ("a", "b")
    exact = fisher_exact([[12, 28], [4, 36]]).pvalue
    assert abs(mine.p - exact) < 4 * np.sqrt(exact / PERMUTATIONS)


def test_small_groups_take_no_part() -> None:
    values, groups = _people((40, 40), 0.0, seed=3)
    small = SMALLEST_GROUP - 1
    with_few = gap(np.concatenate([values, np.full(small, 1e6)]), [*groups, *["few"] * small])
    assert with_few == gap(values, groups)
    assert gap(values[:40], groups[:40]) is None
    assert gap(np.ones(40 + small), ["a"] * 40 + ["few"] * small) is None


def test_p_is_repeatable_and_knows_no_order_of_names() -> None:
    values, groups = _people((50, 60), 0.1, seed=5)
    first = gap(values, groups)
    assert first == gap(values.copy(), list(groups))
    renamed = gap(values, ["z" if g == "g0" else "a" for g in groups])
    assert first is not None and renamed is not None and renamed.p == first.p


def test_chance_alone_is_below_a_twentieth_a_twentieth_of_the_time() -> None:
    rng = np.random.default_rng(11)
    groups = ["a"] * 35 + ["b"] * 45
    ps = [g.p for _ in range(120) if (g := gap(rng.normal(size=80), groups)) is not None]
    assert np.mean(np.array(ps) <= 0.05) < 0.05 + 3 * np.sqrt(0.05 * 0.95 / len(ps))


@pytest.mark.parametrize(
    ("ps", "expected"), [([0.03], 0.03), ([0.01, 0.5], 0.02), ([0.2, 0.01, 0.04], 0.06), ([0.9] * 4, 1.0)]
)
def test_p_of_several_seeds_is_rugers(ps: list[float], expected: float) -> None:
    assert combined_p(ps) == pytest.approx(expected)


# ---------------------------------------------------------------------- the largest of several groups
def _members(columns: dict[str, list[str]]) -> np.ndarray:
    return np.array([np.array(levels) == level for levels in columns.values() for level in sorted(set(levels))])


def _two_columns(seed: int, n: int = 300) -> np.ndarray:
    rng = np.random.default_rng(seed)
    age = rng.choice(["a", "b", "c"], n, p=[0.2, 0.3, 0.5])
    return _members({"sex": list(rng.choice(["f", "m"], n)), "age": list(age)})


@pytest.mark.parametrize("effect", [0.0, 0.12])
def test_the_largest_shares_chances_are_those_of_permuting_people(effect: float) -> None:
    """Drawn from counts alone; scipy permutes the people themselves, each with all their groups."""
    members = _two_columns(1)
    broken = (np.random.default_rng(2).random(300) < 0.1 + effect * members[2]).astype(float)
    mine = largest(broken, members)
    assert mine is not None and mine.people == 300

    def statistic(x: np.ndarray, axis: int) -> np.ndarray:
        return (x @ (members.T / members.sum(1))).max(-1)

    theirs = permutation_test(
        (broken,), statistic, permutation_type="pairings", vectorized=True, n_resamples=6000, alternative="greater",
        batch=2000, rng=3,
    )  # fmt: skip
    assert mine.value == pytest.approx(theirs.statistic)
    noise = np.sqrt(theirs.pvalue * (1 - theirs.pvalue) * (1 / DEALS + 1 / 6000))
    assert abs(mine.p - theirs.pvalue) < 4 * noise + 2 / DEALS
    assert mine.by_chance == pytest.approx(theirs.null_distribution.mean(), abs=4 * theirs.null_distribution.std() / 31)
    assert (mine.low, mine.high) == pytest.approx(np.quantile(theirs.null_distribution, (0.025, 0.975)), abs=0.02)
    assert (mine.p < 0.05) == (effect > 0)


def test_what_is_no_share_is_permuted_and_a_share_is_the_same_either_way() -> None:
    members = _two_columns(4)
    broken = (np.random.default_rng(5).random(300) < 0.15).astype(float)
    share, scaled = largest(broken, members), largest(3 * broken, members)  # 0 and 3 are dealt person by person
    assert share is not None and scaled is not None
    assert scaled.group == share.group and scaled.value == pytest.approx(3 * share.value)
    assert scaled.by_chance == pytest.approx(3 * share.by_chance, rel=0.03)
    assert scaled.p == pytest.approx(share.p, abs=4 * np.sqrt(0.5 / DEALS))


def test_the_largest_of_equal_groups_is_below_a_twentieth_a_twentieth_of_the_time() -> None:
    """The largest of five is above the average: an uncorrected test of that group cries wolf."""
    rng, ps, naive = np.random.default_rng(6), [], []
    members = _two_columns(7)
    for _ in range(300):
        broken = (rng.random(300) < 0.2).astype(float)
        found = largest(broken, members)
        assert found is not None and found.value >= broken.mean()
        ps.append(found.p)
        inside = members[found.group]
        counts = [[broken[of].sum(), (1 - broken[of]).sum()] for of in (inside, ~inside)]
        naive.append(fisher_exact(counts, "greater").pvalue)
    allowed = 0.05 + 3 * np.sqrt(0.05 * 0.95 / 300)
    assert np.mean(np.array(ps) <= 0.05) <= allowed < np.mean(np.array(naive) <= 0.05)


def test_small_groups_are_not_the_largest_and_nobody_is_not_judged() -> None:
    members = np.array([[True] * 20 + [False] * 40, [False] * 20 + [True] * 40])
    found = largest(np.array([1.0] * 20 + [0.0] * 40), members)
    assert found is not None and (found.group, found.value, found.people) == (1, 0.0, 60)
    assert largest(np.ones(20), np.ones((1, 20), bool)) is None and largest(np.ones(0), np.ones((0, 0), bool)) is None


def test_several_ps_together_are_holms() -> None:
    assert adjusted_p([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert adjusted_p([0.9, 0.8]) == [1.0, 1.0] and adjusted_p([]) == []
