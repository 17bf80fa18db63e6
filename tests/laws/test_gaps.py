"""Gaps between groups: p-values held to scipy's permutation test, to Fisher's exact one, and to chance itself."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import fisher_exact, permutation_test

from cfq_core.group_tests import PERMUTATIONS, SMALLEST_GROUP, combined_p, gap

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
