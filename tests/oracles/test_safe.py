"""How few bits are safe: bounds held to scipy, and the whole answer to how often it is wrong."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from scipy.stats import binomtest, nbinom

from cfq_core.base.errors import BadInput
from cfq_core.study.over_seeds import OverSeeds, over_seeds
from cfq_core.study.safe import bound, clopper_pearson, mean_over_models, safe_of
from cfq_core.study.summary import Line

CONFIDENCE, ERROR = 0.95, 0.05
SHORT, LONG = 400, 2000  # repetitions


def _over(rates: np.ndarray, people: int) -> OverSeeds:
    return over_seeds({s: {"value": float(r), "count": people} for s, r in enumerate(rates)}, share=True)


def _line(budget: float, m: OverSeeds, shift: float = 0.0, method: str = "ptq") -> Line:
    told = over_seeds({s: {"value": shift, "count": 100} for s in m.by_seed})
    return Line("toy", method, budget, budget - 0.1, m.seeds, {"vd": m, "approval_shift": told})


def _seen(mean: float, spread: float, shape: tuple[int, int], people: int, seed: int) -> np.ndarray:
    """Shares broken: a beta-distributed rate a model (``spread``: its sd over its mean), of it a binomial sample."""
    rng, size = np.random.default_rng(seed), (1 - mean) / (mean * spread**2) - 1
    return rng.binomial(people, rng.beta(mean * size, (1 - mean) * size, shape)) / people


# ---------------------------------------------------------------------- bounds
@pytest.mark.parametrize(("broken", "people"), [(0, 30), (3, 400), (12, 600), (30, 30)])
@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
def test_the_bound_of_one_model_is_scipys_clopper_pearson(broken: int, people: int, confidence: float) -> None:
    exact = binomtest(broken, people, alternative="less").proportion_ci(confidence, method="exact")
    assert clopper_pearson(broken, people, confidence) == pytest.approx(exact.high, abs=1e-12)
    assert bound(_over(np.array([broken / people]), people), confidence) == pytest.approx(exact.high, abs=1e-12)


@pytest.mark.parametrize("broken", [(0, 0, 0), (4, 5, 6), (3, 9, 5, 4, 6, 2, 7, 5, 4, 5)])
def test_the_bound_of_a_method_is_where_so_few_broken_promises_are_that_rare(broken: tuple[int, ...]) -> None:
    """Exponential rates, Poisson people: scipy's negative binomial has the seen total or less once in twenty."""
    people = 600
    rates = np.array(broken) / people
    got = mean_over_models(rates.tolist(), [people] * len(broken), CONFIDENCE)
    assert nbinom.cdf(sum(broken), len(broken), 1 / (1 + people * got)) == pytest.approx(ERROR, abs=1e-9)
    assert got > clopper_pearson(sum(broken), people * len(broken), CONFIDENCE), "people alone would be surer"


def test_seeds_that_spread_more_are_trusted_less() -> None:
    even, uneven = [0.01] * 5, [0.0, 0.0, 0.0, 0.0, 0.05]
    assert mean_over_models(uneven, [600] * 5, CONFIDENCE) > 2 * mean_over_models(even, [600] * 5, CONFIDENCE)
    more = [mean_over_models(even[:1] * s, [600] * s, CONFIDENCE) for s in (2, 3, 5, 10, 50)]
    assert all(a > b > 0.01 for a, b in pairwise(more))


def test_people_of_one_seed_that_are_few_count_as_few() -> None:
    assert mean_over_models([0.01] * 3, [600, 600, 50], CONFIDENCE) > mean_over_models(
        [0.01] * 3, [600] * 3, CONFIDENCE
    )


#: Mean, sd over mean: as measured of anchored students, rounded ones at 4 and 3 bits; and the widest that is assumed.
MODELS = ((0.01, 0.5), (0.02, 1.0), (0.07, 0.7), (0.3, 0.53), (0.05, 1.0), (0.2, 1.0))
REPETITIONS = [pytest.param(SHORT, id="short"), pytest.param(LONG, id="long", marks=pytest.mark.gate)]


@pytest.mark.parametrize("repetitions", REPETITIONS)
@pytest.mark.parametrize("seeds", [3, 5, 10])
@pytest.mark.parametrize("people", [70, 600])
def test_the_bound_of_a_method_holds_as_often_as_it_says(repetitions: int, seeds: int, people: int) -> None:
    for i, (mean, spread) in enumerate(MODELS):
        seen = _seen(mean, spread, (repetitions, seeds), people, seed=100 * seeds + i)
        missed = np.mean([mean_over_models(s.tolist(), [people] * seeds, CONFIDENCE) < mean for s in seen])
        assert missed <= ERROR + 2 * np.sqrt(ERROR * (1 - ERROR) / repetitions), (mean, spread)


def test_students_t_would_not_have_held() -> None:
    """Why the bound is not Student's: low means come with low spreads."""
    from scipy.stats import t

    seen = _seen(0.02, 1.0, (LONG, 5), 600, seed=1)
    upper = seen.mean(1) + t.ppf(CONFIDENCE, 4) * seen.std(1, ddof=1) / np.sqrt(5)
    assert np.mean(upper < 0.02) > 2 * ERROR


# ---------------------------------------------------------------------- the answer
@pytest.mark.parametrize("repetitions", REPETITIONS)
@pytest.mark.parametrize("seeds", [1, 5, 10])
@pytest.mark.parametrize("limit", [0.02, 0.1])
def test_the_answer_is_wrong_at_most_as_often_as_it_says(repetitions: int, seeds: int, limit: float) -> None:
    """Nine budgets, of which five are a hair above the limit: trying many of them costs nothing."""
    rates = [*(limit * np.array([0.05, 0.1, 0.3, 0.6])), *[limit * 1.001] * 5]
    spread = 1e-6 if seeds == 1 else 1.0  # of one seed the claim is about that very model
    seen = [_seen(r, spread, (repetitions, seeds), 600, seed=7 + i) for i, r in enumerate(rates)]
    budgets = np.linspace(8, 2, len(rates))
    wrong = useful = 0
    for i in range(repetitions):
        (got,) = safe_of([_line(b, _over(s[i], 600)) for b, s in zip(budgets, seen, strict=True)], limit, CONFIDENCE)
        assert got.claim == ("model" if seeds == 1 else "method")
        wrong += got.answer is not None and got.answer.budget < budgets[3] - 1e-9
        useful += got.answer is not None
    assert wrong / repetitions <= ERROR + 2 * np.sqrt(ERROR * (1 - ERROR) / repetitions)
    assert useful / repetitions > 0.7, "and it does not always say none of these"


def test_budgets_are_tried_from_the_most_bits_down_to_the_first_that_fails() -> None:
    good, bad = _over(np.full(10, 0.002), 600), _over(np.full(10, 0.05), 600)
    (got,) = safe_of([_line(2, good), _line(3, bad), _line(8, good), _line(4, good)], 0.02, CONFIDENCE)
    assert [t.budget for t in got.tried] == [8, 4, 3] and [t.safe for t in got.tried] == [True, True, False]
    assert got.answer is not None and (got.answer.budget, got.answer.avg_bits) == (4, 3.9)
    (none,) = safe_of([_line(8, bad), _line(4, good)], 0.02, CONFIDENCE)
    assert none.answer is None and len(none.tried) == 1


def test_an_answer_bought_by_leniency_says_so_and_nobody_asked_is_not_safe() -> None:
    (bought,) = safe_of([_line(4, _over(np.zeros(10), 600), shift=0.05)], 0.02, CONFIDENCE)
    assert bought.answer is not None and bought.answer.lenient
    (nobody,) = safe_of([Line("toy", "ptq", 4, 4, 1, {"vd": over_seeds({0: {"value": None, "count": 0}})})], 0.02, 0.95)
    assert nobody.answer is None and nobody.tried[0].bound is None


@pytest.mark.parametrize(("at_most", "confidence"), [(0.0, 0.95), (1.0, 0.95), (0.02, 1.0), (0.02, 0.2), (2.0, 95.0)])
def test_a_limit_that_is_none_is_refused(at_most: float, confidence: float) -> None:
    with pytest.raises(BadInput, match="at most"):
        safe_of([], at_most, confidence)
