"""What is told before a study starts: a line, in time, from seconds that a program measured."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace

import pytest

from benchmarks import estimates
from cfq_core.base import plugins
from cfq_core.pipeline import Setting
from cfq_core.study import estimate, runner
from cfq_core.study.estimate import Work
from cfq_core.study.plan import Plan
from cfq_core.study.runner import _Runner, run_plan
from cfq_core.study.store import Store

AT_LEAST = 6  # configurations that were measured
Open = Callable[[str], Store]


class Started(Exception):
    """Something long began."""


def test_the_estimate_is_told_before_anything_starts(
    plan: Plan, new_store: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []

    def started(done: int, total: int, what: str) -> None:
        raise Started

    monkeypatch.setattr(runner, "LONG", 0.0)
    with pytest.raises(Started):
        run_plan(plan, new_store("long"), 0, started, announce=said.append)
    assert len(said) == 1 and re.fullmatch(r"starting: about [\d.]+ (seconds|minutes?|hours) on a free core", said[0])
    monkeypatch.setattr(runner, "LONG", 1e9)
    with pytest.raises(Started):
        run_plan(plan, new_store("short"), 0, started, announce=said.append)
    assert len(said) == 1


def test_few_people_to_judge_by_are_told_before_anything_starts(
    plan: Plan, new_store: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(_Runner, "go", lambda *_, **__: None)
    hardly_any = replace(plan, setting=replace(plan.setting, people=None, approve=0.9))
    run_plan(hardly_any, new_store("few"), 0, announce=said.append)
    assert re.search(r"about \d+ test people a seed are likely to be denied", said[-1])
    said.clear()
    run_plan(replace(plan, setting=replace(plan.setting, people=3)), new_store("asked"), 0, announce=said.append)
    assert not any("denied" in line for line in said), "who asks for few people knows"


def test_more_of_anything_takes_longer() -> None:
    table = plugins.load("datasets", "diabetes").load()
    less = Work.of(table, Setting(people=20))
    for more in (Setting(people=40), Setting(people=20, hidden=(256, 256))):
        paces = [w.pace() for w in (less, Work.of(table, more))]
        assert estimate.seconds(paces[0], ["ptq"], 3, 2) < estimate.seconds(paces[1], ["ptq"], 3, 2)
    assert less.pace().teacher < replace(less, people=less.people * 10).pace().teacher


def test_the_seconds_are_the_fit_of_what_was_measured() -> None:
    found = json.loads(estimates.OUT.read_text(encoding="utf-8"))
    known = json.loads(estimate.MEASURED.read_text(encoding="utf-8"))
    for part, seconds in estimates.fitted(found).items():
        assert known["seconds"][part] == pytest.approx(seconds, rel=1e-6, abs=1e-12)
    assert set(known["work"]) == set(plugins.names("datasets"))


def test_estimates_are_within_a_factor_of_two_of_what_was_measured() -> None:
    rows = estimates.judged(json.loads(estimates.OUT.read_text(encoding="utf-8")))
    assert len(rows) >= AT_LEAST
    for r in rows:
        assert 1 / estimates.CLOSE <= r["told"] / r["measured"] <= estimates.CLOSE, r["name"]
