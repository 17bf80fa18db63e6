"""The schedules of the methods are those that one program chose, with as many trials for each of them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from benchmarks import tune
from cfq_core.base import plugins
from cfq_core.base.identity import identity
from cfq_core.methods.adaround import AdaRoundPtq
from cfq_core.methods.method import Qat

OURS = ("cfq_anchored",)  # its losses and sources are chosen elsewhere; here it has the same trials as the others


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    return json.loads(tune.OUT.read_text(encoding="utf-8"))


def test_every_method_was_tried_as_often_on_every_table(found: dict[str, Any]) -> None:
    assert set(found["methods"]) == set(tune.TRIALS)
    for name, trials in found["methods"].items():
        assert [t["id"] for t in trials] == [identity(m) for m in tune.TRIALS[name]], name
        assert len({t["id"] for t in trials}) == found["trials"] == len(tune.TRIALS[name])
        assert all(set(t["tables"]) == set(tune.SEEDS) for t in trials), name
    assert all(seed >= 100 for seeds in found["seeds"].values() for seed in seeds)


@pytest.mark.parametrize("name", [n for n in tune.TRIALS if n not in OURS])
def test_a_method_has_the_losses_and_the_schedule_that_were_chosen(name: str, found: dict[str, Any]) -> None:
    trials, method = found["methods"][name], plugins.load("methods", name)
    best = tune.chosen(trials)
    wanted = tune.TRIALS[name][best]
    if isinstance(wanted, AdaRoundPtq):
        assert isinstance(method, AdaRoundPtq) and method.rounding == wanted.rounding
        return
    small = tune.TRIALS[name][tune.chosen_small(trials, best)]
    assert isinstance(small, Qat) and isinstance(method, Qat)
    assert method.config == wanted.config
    for field in ("epochs", "most_steps", "learning_rate"):
        assert getattr(method.schedule, field) == getattr(wanted.schedule, field)
    assert method.schedule.small_learning_rate == small.schedule.small_learning_rate


def test_methods_of_the_same_losses_have_the_same_schedule() -> None:
    for one, other in (("qat_lsq", "qat_mixed"), ("cf_ptq", "cf_ptq_alloc")):
        a, b = plugins.load("methods", one), plugins.load("methods", other)
        assert (a.config, a.schedule) == (b.config, b.schedule)


def test_qat_with_its_schedule_loses_at_most_a_fifth_of_a_point_of_accuracy_on_adult(found: dict[str, Any]) -> None:
    trials = found["methods"]["qat_lsq"]
    drops = trials[tune.chosen(trials)]["tables"]["adult"]["accuracy_drop"][tune.BITS.index(4.0) :: len(tune.BITS)]
    assert sum(drops) / len(drops) <= 0.002


def test_the_section_names_what_was_chosen(found: dict[str, Any]) -> None:
    text = tune.section()
    assert found["command"] in text
    assert text.count("**best**") == len(tune.TRIALS)
