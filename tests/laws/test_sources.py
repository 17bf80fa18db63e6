"""Promises of further sources: who learns from them, how many of each, and where they are kept."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from cfq_core.base.errors import CfqError
from cfq_core.base.plugins import load
from cfq_core.methods.method import has_several_sources
from cfq_core.nets.stack import score
from cfq_core.pipeline import (
    FURTHER,
    Setting,
    TeacherRecourse,
    audit,
    further_recourse,
    prepare,
    promise,
    training_data_of,
    training_recourse,
)
from cfq_core.study.plan import Plan
from cfq_core.study.promises import stored_recourse
from cfq_core.study.runner import run_plan
from cfq_core.study.store import Store
from cfq_core.study.tasks import chunks
from cfq_core.training.finetune import _Batches
from cfq_core.training.loop import TeacherTraining

SETTING = Setting(
    hidden=(6,), people=20, n_reaudited=5, n_training_recourse=40, teacher_training=TeacherTraining(epochs=8)
)


@pytest.fixture(scope="module")
def promises() -> list[TeacherRecourse]:
    found = promise([prepare(load("datasets", "toy").load(), s) for s in (0, 1)], SETTING)
    return further_recourse(training_recourse(found, SETTING), SETTING)


def test_each_source_asks_the_same_people_and_is_asked_once(promises: list[TeacherRecourse]) -> None:
    for p in promises:
        assert p.training_recourse is not None and len(p.further_recourse) == len(FURTHER)
        for (_, _, one_in), further in zip(FURTHER, p.further_recourse, strict=True):
            assert np.array_equal(further.before, p.training_recourse.before[::one_in])
    assert further_recourse(promises, SETTING)[0].further_recourse is promises[0].further_recourse


def test_sources_take_equal_turns(promises: list[TeacherRecourse]) -> None:
    data, method = training_data_of(promises), load("methods", "cfq_anchored")
    marked = [
        replace(pairs, start=torch.full_like(pairs.start, k), end=torch.full_like(pairs.end, k))
        for k, pairs in enumerate((data.pairs, *data.further))
    ]
    data = replace(data, recourse=marked[0], further=tuple(marked[1:]))
    _, points, ends = _Batches(data, method.schedule, True, None).draw().inputs
    sizes = [int((ends[0, :, 0] == k).sum()) for k in range(len(marked))]
    assert sizes == [method.schedule.pairs_per_step // len(marked)] * len(marked)
    assert torch.equal(points, ends), "a point between two ends of one source is of that source"


@pytest.mark.parametrize("name", ["cfq", "cf_ptq", "qat_distill"])
def test_other_methods_do_not_see_further_sources(promises: list[TeacherRecourse], name: str) -> None:
    method = load("methods", name)
    assert not has_several_sources(method)
    with_, without = training_data_of(promises), replace(training_data_of(promises), further=())
    each = [method.students(data, [3.0]).models for data in (with_, without)]
    x = with_.inputs[:, :50].double()
    assert torch.equal(score(each[0], x), score(each[1], x))


def test_a_method_of_several_sources_never_makes_do_with_one(promises: list[TeacherRecourse]) -> None:
    one = [replace(p, further_recourse=(), further_seconds=None) for p in promises]
    with pytest.raises(CfqError, match="further sources, and none was computed"):
        load("methods", "cfq_anchored").students(training_data_of(one), [3.0])
    methods = {"cfq_anchored": load("methods", "cfq_anchored")}
    for mixed in (one, [promises[0], one[1]]):  # found where they are missing; the company changes nothing
        for a, b in zip(audit(mixed, methods, [3.0], SETTING), audit(promises, methods, [3.0], SETTING), strict=True):
            assert np.array_equal(a.raw.student, b.raw.student)


def test_further_sources_are_stored_where_a_method_asks_for_them_and_found_again_where_they_are_lost(
    tmp_path: Path,
) -> None:
    logits = {}
    for name in ("whole", "lost"):
        store = Store(tmp_path / name)
        run_plan(Plan(("toy",), ("cf_ptq",), (4.0,), (0,), SETTING), store, workers=0)
        plan = Plan(("toy",), ("cfq_anchored",), (4.0,), (0,), SETTING)
        (chunk,) = chunks(plan)
        teacher = chunk.teacher(0).id
        assert store.has_artifact(teacher, "training_recourse") and not store.has_artifact(teacher, "further_recourse")
        if name == "lost":  # kept, lost, and asked for again
            run_plan(replace(plan, bits=(3.0,)), store, workers=0)
            store.db.execute("DELETE FROM artifact WHERE name = 'further_recourse'")
        study = run_plan(plan, store, workers=0)
        kept = stored_recourse(chunk.table, 0, SETTING, store, teacher)
        assert len(kept.further_recourse) == len(FURTHER) and (kept.further_seconds or 0) > 0
        (run,) = store.runs(study)
        logits[name] = store.arrays(run["id"], "people")["student"]
        store.close()
    assert np.array_equal(logits["whole"], logits["lost"])
