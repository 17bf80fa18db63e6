"""Looks at a model since it shipped: no more false alarms than said, and drifts are found."""

from __future__ import annotations

from math import comb

import numpy as np
import pytest

from cfq_core.base.seeds import numpy_stream
from cfq_core.study.drift import ERROR, QUESTIONS, Batch, differs, look, more, spent

CATEGORY = np.array([False, True])


def people(random: np.random.Generator, size: int, vd: float = 0.1, approved: float = 0.4, moved: float = 0.0) -> Batch:
    """A batch whose promises break, and whose people are approved, at these rates."""
    asked = size // 4
    values = np.stack([np.rint(random.normal(40 + 10 * moved, 10, size)), random.integers(0, 4, size)], axis=1)
    return Batch(int(random.binomial(asked, vd)), asked, int(random.binomial(20, vd)), 20,
                 int(random.binomial(size, approved)), values.astype(np.int64), CATEGORY)  # fmt: skip


def first_alarm(seed: int, looks: int, **drift: float) -> int | None:
    """At which look, from 1, a series raises an alarm; None where it never does."""
    random = numpy_stream(seed, "tests/drift")
    then = people(random, 1000)
    for number in range(1, looks + 1):
        if look(then, people(random, 400, **drift), number).alarm:
            return number
    return None


def test_levels_sum_to_the_error() -> None:
    assert sum(spent(k) for k in range(1, 100_000)) * len(QUESTIONS) == pytest.approx(ERROR, rel=1e-4)


def test_the_exact_test_is_fishers() -> None:
    due = sum(comb(10, 13 - k) * comb(12, k) for k in range(9, 13)) / comb(22, 13)  # 4 of 10 then, 9 of 12 now
    assert more(4, 10, 9, 12) == pytest.approx(due)
    assert more(0, 0, 3, 5) == more(3, 5, 0, 0) == 1.0
    assert differs(4, 10, 9, 12) == pytest.approx(2 * due) and differs(9, 12, 4, 10) == pytest.approx(2 * due)


@pytest.mark.parametrize(("series", "looks"), [(120, 4), pytest.param(500, 20, marks=pytest.mark.gate)])
def test_false_alarms_are_as_rare_as_said(series: int, looks: int) -> None:
    """Where nothing changes: at most 5 % of all series, with room for the noise of so few of them."""
    alarms = sum(first_alarm(seed, looks) is not None for seed in range(series))
    assert alarms <= ERROR * series + 3 * (ERROR * (1 - ERROR) * series) ** 0.5


@pytest.mark.parametrize(
    ("drift", "within"),
    [({"vd": 0.35}, 2), ({"approved": 0.55}, 2), ({"moved": 0.5}, 2)],
    ids=["vd", "approvals", "inputs"],
)
def test_a_drift_is_found_soon(drift: dict[str, float], within: int) -> None:
    found = [first_alarm(seed, within, **drift) for seed in range(6)]
    assert all(f is not None for f in found), found


def test_each_question_is_answered_by_its_own_drift() -> None:
    random = numpy_stream(1, "tests/drift")
    then, now = people(random, 1000), people(random, 400, vd=0.5)
    by = {a.question: a for a in look(then, now, 1, {0: "income"}).answers}
    assert by["promises"].alarm and not by["approvals"].alarm and not by["inputs"].alarm
    assert "of 100" in by["promises"].words and set(by) == set(QUESTIONS)
    nobody = Batch(0, 0, 0, 0, 0, np.zeros((0, 2), np.int64), CATEGORY)
    assert not look(then, nobody, 1).alarm
