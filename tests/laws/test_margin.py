"""A margin in people's own terms: solved on each teacher, kept with it, and told in words."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cfq_core.base.errors import BadPlan
from cfq_core.base.plugins import load
from cfq_core.pipeline import Setting, prepare, promise
from cfq_core.recourse.find import find_recourse, logits64
from cfq_core.recourse.problem import RecourseQuery
from cfq_core.report.frames import Stored
from cfq_core.study import summary
from cfq_core.study.plan import Plan, read_plan
from cfq_core.study.promises import stored_recourse
from cfq_core.study.runner import run_plan
from cfq_core.study.store import Store
from cfq_core.study.tasks import chunks
from cfq_core.training.loop import TeacherTraining

SETTING = Setting(hidden=(8,), people=40, n_reaudited=10, teacher_training=TeacherTraining(epochs=8), margin=0.1)


@pytest.mark.parametrize(
    "share", [pytest.param(0.02, marks=pytest.mark.gate), 0.1, pytest.param(0.5, marks=pytest.mark.gate)]
)
def test_the_solved_margin_costs_validation_people_that_share_more(share: float) -> None:
    table, setting = load("datasets", "toy").load(), replace(SETTING, margin=share)
    for p in promise([prepare(table, s) for s in (0, 1)], setting):
        d, kappa = p.design, p.margin(setting)
        valid = d.table.values[d.split.valid]
        denied = valid[logits64(p.teacher, 0, d.encoding, valid) <= 0]
        free, held = (
            find_recourse(p.teacher, [RecourseQuery(denied, d.encoding, d.actions)], setting.solver, k)
            for k in (0.0, kappa)
        )
        both = free.has_recourse & held.has_recourse & (free.cost > 0)
        assert held.cost[both].sum() / free.cost[both].sum() - 1 == pytest.approx(share, abs=0.01 + 0.05 * share)
        assert (p.recourse.margin[p.recourse.has_recourse] >= kappa - 1e-9).all(), "and the promise holds it"


def test_nobody_with_recourse_gives_no_margin() -> None:
    from cfq_core.recourse.margin import margin_costing

    (p,) = promise([prepare(load("datasets", "toy").load(), 0)], replace(SETTING, margin=None))
    d = p.design
    nobody = RecourseQuery(d.table.values[:0], d.encoding, d.actions)
    assert margin_costing(0.1, p.teacher, nobody, SETTING.solver) == 0.0


def test_a_stored_study_keeps_each_teachers_margin_and_says_it(tmp_path: Path) -> None:
    plan = read_plan({"datasets": ["toy"], "methods": ["ptq"], "bits": [4], "seeds": 2, "margin": "cost:10%"}, "test")
    assert plan.setting.margin == pytest.approx(0.1)
    plan = replace(plan, setting=SETTING)
    with_store = Store(tmp_path / "store")
    study = run_plan(plan, with_store, workers=0)
    (chunk,) = chunks(plan)
    made = promise([prepare(chunk.table, s) for s in (0, 1)], SETTING)
    for p in made:
        kept = stored_recourse(chunk.table, p.design.seed, SETTING, with_store, chunk.teacher(p.design.seed).id)
        assert kept.kappa == p.kappa and np.array_equal(kept.recourse.cost, p.recourse.cost)
    said = summary.verdict(summary.lines(with_store, study)[0], with_store.study(study)["plan"]["setting"])
    assert "promise margin of 10 % more cost" in said
    with_store.close()
    stored = Stored(str(tmp_path / "store"), study, 2)
    assert stored.kappa(chunk.teacher(1).id) == made[1].kappa and "logits" in stored.margin_words
    from cfq_core.report.facts import plan_text

    assert 'margin = "cost:10%"' in plan_text(stored) and "kappa" not in plan_text(stored)


@pytest.mark.parametrize("given", ["10%", "cost:10", "cost:", "cost:-3%", "cost:nan%", "price:10%", 0.1, "cost:0%"])
def test_a_margin_that_is_none_is_refused(given: Any) -> None:
    with pytest.raises(BadPlan, match="margin"):
        read_plan({"datasets": ["toy"], "margin": given}, "test")


def test_kappa_and_margin_are_one_choice() -> None:
    with pytest.raises(BadPlan, match="one of them"):
        read_plan({"datasets": ["toy"], "margin": "cost:10%", "kappa": 0.2}, "test")


def test_a_plan_without_one_is_what_it_was() -> None:
    assert Plan(("toy",), ("ptq",)).setting.margin is None
