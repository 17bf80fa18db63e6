"""One tiny study's numbers. A change here is a change of every result: say why in the commit.

Run ids are exact: stored results are found by them. Measures have tolerances: another processor rounds
otherwise, and one person more or less is a hundredth of the sixty to hundred people behind a share.
Changed on purpose: ``pytest tests/golden`` prints the new values.
"""

from __future__ import annotations

import pytest

from cfq_core.base import numerics
from cfq_core.study.plan import read_plan
from cfq_core.study.runner import run_plan
from cfq_core.study.store import Store

PLAN = {"datasets": ["toy"], "methods": ["ptq"], "bits": [2, 4, 8], "seeds": 2, "hidden": [8, 8], "people": 100}
STUDY = "a1edb7f31b22"
#: Seed: id, accuracy, mean recourse cost.
TEACHERS = {0: ("dafeca8acac7", 0.875, 2.454), 1: ("2952dfa1b907", 0.917, 1.746)}
RUNS = {
    (0, 2.0): "3487c659396e",
    (0, 4.0): "8a6ca2797cd0",
    (0, 8.0): "1df337001be1",
    (1, 2.0): "9c7263d103a1",
    (1, 4.0): "d2f4984c389f",
    (1, 8.0): "b17ef21a0c4d",
}
#: How far a measure may be off: a few people of a share, a rounding error of a logit.
TOLERANCE = {
    "accuracy": 0.02,
    "vd": 0.05,
    "vd_matched": 0.05,
    "approval_shift": 0.02,
    "logit_shift": 0.02,
    "crg_median": 0.03,
}
MEASURES = {
    (0, 2.0): (0.739, 0.79, 0.78, -0.075, 0.24, 3.301),
    (0, 4.0): (0.875, 0.0, 0.0, 0.0, 0.128, 0.0),
    (0, 8.0): (0.881, 0.0, 0.0, 0.0, 0.001, -0.002),
    (1, 2.0): (0.733, 0.92, 0.5, -0.267, -0.17, 1.359),
    (1, 4.0): (0.925, 0.0, 0.0, -0.003, 0.024, -0.022),
    (1, 8.0): (0.922, 0.0, 0.0, -0.006, -0.007, -0.005),
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    opened = Store(tmp_path_factory.mktemp("golden"))
    with pytest.MonkeyPatch.context() as patch:  # ids hold which kernels computed: pinned for one name of them
        patch.setattr(numerics, "tag", lambda: "x86_64-avx2-torch2.13-golden")
        assert run_plan(read_plan(PLAN, "golden"), opened, workers=0)
    return opened


@pytest.fixture(scope="module")
def study(store: Store) -> str:
    return store.study("latest")["id"]


def test_ids_are_as_they_were(store: Store, study: str) -> None:
    assert {(r["seed"], r["budget"]): r["id"] for r in store.runs(study)} == RUNS
    assert {t["seed"]: t["id"] for t in store.teachers(study)} == {s: id for s, (id, *_) in TEACHERS.items()}
    assert study == STUDY


def test_teachers_and_their_promises_are_as_they_were(store: Store, study: str) -> None:
    found = {t["seed"]: (t["measures"]["accuracy"], t["measures"]["recourse_cost"]) for t in store.teachers(study)}
    for seed, (_, accuracy, cost) in TEACHERS.items():
        assert found[seed] == (pytest.approx(accuracy, abs=0.01), pytest.approx(cost, rel=0.03)), found
    assert {t["measures"]["people"] for t in store.teachers(study)} == {100}
    assert {t["measures"]["frr"] for t in store.teachers(study)} == {1.0}


def test_measures_are_as_they_were(store: Store, study: str) -> None:
    found = {
        (r["seed"], r["budget"]): tuple(store.measures(r["id"])[name]["value"] for name in TOLERANCE)
        for r in store.runs(study)
    }
    for key, expected in MEASURES.items():
        for name, was, now in zip(TOLERANCE, expected, found[key], strict=True):
            assert now == pytest.approx(was, abs=TOLERANCE[name], rel=0.05), (key, name, found)
    assert found.keys() == MEASURES.keys(), found


def test_eight_bits_keep_the_promises_and_two_bits_do_not(store: Store, study: str) -> None:
    """The story of the study, whatever its digits."""
    vd = {(r["seed"], r["budget"]): store.measures(r["id"])["vd"]["value"] for r in store.runs(study)}
    for seed in (0, 1):
        assert vd[seed, 8.0] <= 0.02 < 0.3 < vd[seed, 2.0]
