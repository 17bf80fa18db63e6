"""A study runs what is missing, stores what finishes, and gives the same bits however it is cut."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch

from cfq_core import pipeline
from cfq_core.artifacts.layers import TeacherLayers
from cfq_core.base.errors import BadTable, CfqError
from cfq_core.methods.method import Students
from cfq_core.recourse.outcome import Why
from cfq_core.study import promises, runner, summary, tasks
from cfq_core.study.plan import Plan, method_of
from cfq_core.study.runner import run_plan
from cfq_core.study.store import Store

Open = Callable[[str], Store]
Contents = Callable[[Store, str], dict[str, Any]]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, plan: Plan) -> tuple[Store, str]:
    """The study, run at one go."""
    store = Store(tmp_path_factory.mktemp("whole"))
    return store, run_plan(plan, store, workers=0)


def _fails(*_: Any, **__: Any) -> Any:
    raise AssertionError("this was stored and is run again")


def test_every_run_of_the_plan_is_stored_in_its_order(whole: tuple[Store, str], plan: Plan) -> None:
    store, study = whole
    runs = [(r["method"], r["seed"], r["budget"]) for r in store.runs(study)]
    expected = [(m, s, b) for m in plan.methods for s in plan.seeds for b in plan.bits]
    assert runs == expected
    assert [t["seed"] for t in store.teachers(study)] == list(plan.seeds)
    assert store.study(study)["finished"] == len(expected)


def test_a_stored_study_is_not_run_again(whole: tuple[Store, str], plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("audit", "promise", "training_recourse", "prepare"):
        monkeypatch.setattr(runner, name, _fails)
    monkeypatch.setattr(promises, "prepare", _fails)
    store, study = whole
    ticks: list[tuple[int, int]] = []
    assert run_plan(plan, store, 0, lambda done, total, _: ticks.append((done, total))) == study
    assert ticks == [(0, 0)]


def test_a_plan_that_is_part_of_a_stored_one_is_not_run_again(
    whole: tuple[Store, str], plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("audit", "promise", "training_recourse"):
        monkeypatch.setattr(runner, name, _fails)
    store, study = whole
    part = replace(plan, methods=("ptq",), bits=(3.0,))
    assert run_plan(part, store, 0) != study
    assert len(store.runs(run_plan(part, store, 0))) == len(plan.seeds)


@pytest.mark.gate
def test_two_stores_of_one_plan_hold_the_same_bits(
    whole: tuple[Store, str], plan: Plan, new_store: Open, contents_of: Contents
) -> None:
    other = new_store("other")
    study = run_plan(plan, other, workers=0)
    assert study == whole[1]
    assert contents_of(other, study) == contents_of(*whole)


def test_a_half_finished_study_goes_on(
    whole: tuple[Store, str], plan: Plan, new_store: Open, contents_of: Contents, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stops at the third task, then at the fourth result that is stored, then runs to its end."""
    store = new_store("half")
    audit, put_run, calls = runner.audit, Store.put_run, {"audit": 0, "put": 0}

    def stops_second(*args: Any) -> Any:
        calls["audit"] += 1
        if calls["audit"] == 2:
            raise KeyboardInterrupt
        return audit(*args)

    def stops_fourth(self: Store, *args: Any) -> None:
        calls["put"] += 1
        if calls["put"] == 4:
            raise KeyboardInterrupt
        put_run(self, *args)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(runner, "audit", stops_second)
        run_plan(plan, store, 0)
    study = store.study("latest")
    assert 0 < study["finished"] < study["runs"]
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Store, "put_run", stops_fourth)
        patch.setattr(runner, "promise", _fails)
        run_plan(plan, store, 0)
    assert study["finished"] < store.study("latest")["finished"] < study["runs"]
    run_plan(plan, store, 0)
    assert contents_of(store, study["id"]) == contents_of(*whole)


def test_what_shares_an_id_shares_every_bit(
    whole: tuple[Store, str], plan: Plan, new_store: Open, contents_of: Contents
) -> None:
    alone = new_store("alone")
    study = run_plan(replace(plan, bits=(3.0,)), alone, workers=0)
    together = contents_of(*whole)
    shared = [id for id in contents_of(alone, study) if id in together]
    assert shared
    assert all(contents_of(alone, study)[id] == together[id] for id in shared)


@pytest.mark.gate
def test_methods_share_no_time(plan: Plan, new_store: Open) -> None:
    store, trained = new_store("timed"), ("cfq", "cfq_anchored")
    study = run_plan(replace(plan, methods=trained, bits=(3.0,), seeds=(0, 1)), store, workers=0)
    took = {
        m: {store.measures(r["id"])["seconds"]["value"] for r in store.runs(study) if r["method"] == m} for m in trained
    }
    assert not took["cfq"] & took["cfq_anchored"]


def test_two_processes_give_the_bits_of_none(
    whole: tuple[Store, str], plan: Plan, new_store: Open, contents_of: Contents
) -> None:
    store = new_store("workers")
    study = run_plan(plan, store, workers=2)
    assert contents_of(store, study) == contents_of(*whole)


@pytest.mark.gate
def test_any_executor_will_do(whole: tuple[Store, str], plan: Plan, new_store: Open, contents_of: Contents) -> None:
    store = new_store("threads")
    with ThreadPoolExecutor(1) as executor:
        study = run_plan(plan, store, executor=executor)
    assert contents_of(store, study) == contents_of(*whole)


def test_stored_promises_are_the_ones_that_were_made(whole: tuple[Store, str], plan: Plan) -> None:
    store, _ = whole
    seed = 1
    chunk = next(iter(runner.chunks(plan)))
    designs = [pipeline.prepare(chunk.table, s, plan.setting.regime) for s in chunk.seeds]
    made = pipeline.training_recourse(pipeline.promise(designs, plan.setting), plan.setting)[seed]
    id = chunk.teacher(seed).id
    stored = promises.stored_recourse(chunk.table, seed, plan.setting, store, id)
    for a, b in zip(made.teacher.parameters, stored.teacher.parameters, strict=True):
        np.testing.assert_array_equal(a, b)
    assert made.training_recourse is not None and stored.training_recourse is not None
    pairs = [(made.recourse, stored.recourse), (made.training_recourse, stored.training_recourse)]
    for one, other in pairs:
        for name in ("before", "after", "cost", "margin", "why"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    np.testing.assert_array_equal(made.logits, stored.logits)
    np.testing.assert_array_equal(made.person, stored.person)


def test_stored_codes_decide_as_the_student_that_was_audited(whole: tuple[Store, str], plan: Plan) -> None:
    """From the stored integers alone, in plain numpy."""
    store, study = whole
    chunk = next(iter(runner.chunks(plan)))
    for r in store.runs(study)[::4]:
        design = pipeline.prepare(chunk.table, r["seed"], plan.setting.regime)
        a, given = store.arrays(r["id"], "weights"), design.inputs(design.split.test)
        for layer in range(len(r["bits"])):
            step = float(a[f"input_step.{layer}"][0])
            low, high = (-128, 127) if layer == 0 else (0, 255)
            codes = np.clip(np.rint(np.maximum(given, 0) / step if layer else given / step), low, high)
            total = codes @ a[f"codes.{layer}"].T.astype(float) + a[f"bias_codes.{layer}"]
            given = total * (a[f"weight_steps.{layer}"].astype(float) * step)
        np.testing.assert_array_equal(given[:, 0], store.arrays(r["id"], "people")["student"])


def test_progress_reaches_its_total(plan: Plan, new_store: Open) -> None:
    ticks: list[tuple[int, int, str]] = []
    run_plan(replace(plan, seeds=(0,)), new_store("ticks"), 0, lambda *tick: ticks.append(tick))
    assert [done for done, *_ in ticks] == list(range(len(ticks)))
    assert ticks[-1][0] == ticks[-1][1] > 0
    assert all(what for *_, what in ticks)


def test_a_task_that_fails_is_told_and_what_finished_is_kept(
    plan: Plan, new_store: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    audit = runner.audit

    def refuses(promises: Any, methods: Any, *rest: Any) -> Any:
        if "cf_ptq" in methods:
            raise CfqError("no luck")
        return audit(promises, methods, *rest)

    monkeypatch.setattr(runner, "audit", refuses)
    store = new_store("failed")
    with pytest.raises(CfqError, match="no luck"):
        run_plan(plan, store, 0)
    assert store.study("latest")["finished"] == len(plan.seeds) * len(plan.bits)


def test_a_worker_that_dies_is_told_in_one_line(plan: Plan, new_store: Open) -> None:
    """A card whose table cannot be pickled back would hang; a dead process must not."""
    from concurrent.futures.process import BrokenProcessPool

    class Dying(ThreadPoolExecutor):
        def submit(self, *_: Any, **__: Any) -> Any:
            future = super().submit(int)
            future.result()
            future._exception = BrokenProcessPool("killed")
            return future

    with Dying(1) as executor, pytest.raises(CfqError, match="run the same command to go on"):
        run_plan(plan, new_store("dead"), executor=executor)


def test_a_data_set_that_cannot_be_loaded_stores_nothing(
    plan: Plan, new_store: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(name: str) -> Any:
        raise BadTable(f"{name}: wrong")

    monkeypatch.setattr("cfq_core.study.tasks.table_of", wrong)
    store = new_store("none")
    with pytest.raises(BadTable):
        run_plan(plan, store, 0)
    assert store.studies() == []


def test_a_method_that_learns_from_recourse_is_given_it_and_others_are_not_kept_waiting(
    plan: Plan, new_store: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert method_of("cf_ptq").needs_recourse and not method_of("ptq").needs_recourse
    monkeypatch.setattr(runner, "training_recourse", _fails)
    store = new_store("plain")
    study = run_plan(replace(plan, methods=("ptq",), seeds=(0,)), store, 0)
    assert not store.has_artifact(store.teachers(study)[0]["id"], "training_recourse")
    monkeypatch.undo()
    run_plan(replace(plan, seeds=(0,)), store, 0)
    assert store.has_artifact(store.teachers(study)[0]["id"], "training_recourse"), (
        "made for the stored teacher, not anew"
    )


def test_several_margins_are_one_study_whose_runs_are_those_of_each_alone(
    plan: Plan, new_store: Open, contents_of: Contents
) -> None:
    base = replace(plan, methods=("ptq",), bits=(3.0,), seeds=(0,))
    settings = [replace(plan.setting, kappa=k) for k in (0.0, 0.5)]
    store, alone = new_store("several"), new_store("alone")
    study = run_plan(replace(base, setting=settings[0], further=(settings[1],)), store, 0)
    each = [contents_of(alone, run_plan(replace(base, setting=s), alone, 0)) for s in settings]
    assert contents_of(store, study) == each[0] | each[1]
    lines = summary.lines(store, study)
    assert [x.setting for x in lines] == [{"kappa": 0.0}, {"kappa": 0.5}]
    costs = [x.value("recourse_cost") for x in lines]
    assert costs[0] < costs[1], "a promise with a wider margin costs more"  # type: ignore[operator]
    assert "| data set | kappa | method |" in summary.as_markdown(store, study)
    assert "promise margin 0.5 logits" in summary.verdict(lines[1], {"kappa": 0.0})
    assert [r["setting"] for r in summary.as_json(store, study)["runs"]] == [{"kappa": 0.0}, {"kappa": 0.5}]


@dataclass(frozen=True)
class ApprovesEverybody:
    """Rounds as PTQ does, then approves whoever comes."""

    KEY = "approves_everybody"
    title: str = "approves everybody"
    trained = False
    needs_recourse = False
    trained = False

    def students(self, data: Any, budgets: Any) -> Students:
        made = method_of("ptq").students(data, budgets)
        return Students(made.models.raised(torch.full((made.models.runs,), 1e4)), made.plans)


def test_a_model_that_approves_everybody_is_flagged(
    plan: Plan, new_store: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It breaks no promise; the whole way from students to the words, it does not pass for faithful."""
    everybody = ApprovesEverybody()
    for module in (runner, tasks):
        monkeypatch.setattr(module, "method_of", lambda name: everybody if name == "everybody" else method_of(name))
    store = new_store("everybody")
    study = run_plan(replace(plan, methods=("everybody", "ptq"), bits=(8.0,)), store, 0)
    them, ptq = summary.lines(store, study)
    assert them.method == "everybody" and them.value("vd") == 0.0
    assert them.lenient and "leniency" in summary.verdict(them, {"kappa": 0.2})
    assert not ptq.lenient and "leniency" not in summary.verdict(ptq, {"kappa": 0.2})
    table = summary.as_markdown(store, study)
    assert "everybody (lenient)" in table and "ptq (lenient)" not in table


def test_a_teacher_without_training_recourse_is_passed_over_with_a_reason_and_the_others_are_not(
    whole: tuple[Store, str], plan: Plan, new_store: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    training_recourse = runner.training_recourse

    def nobody_of_the_second(*args: Any) -> list[pipeline.TeacherRecourse]:
        first, second, third = training_recourse(*args)
        assert second.training_recourse is not None
        none = replace(second.training_recourse, why=np.full_like(second.training_recourse.why, Why.NO_ACTION))
        return [first, replace(second, training_recourse=none), third]

    monkeypatch.setattr(runner, "training_recourse", nobody_of_the_second)
    store = new_store("passed over")
    study = run_plan(plan, store, 0)
    stored = {(r["method"], r["seed"], r["budget"]) for r in store.runs(study)}
    expected = {(m, s, b) for m in plan.methods for s in plan.seeds for b in plan.bits}
    assert stored == {e for e in expected if e[:2] != ("cf_ptq", 1)}
    reasons = store.skipped(study)
    assert len(reasons) == len(plan.bits) and all("cf_ptq: no training person" in r for r in reasons.values())
    assert store.study(study)["finished"] == store.study(study)["runs"]
    assert "3 runs are not there: cf_ptq: no training person has recourse" in summary.as_markdown(store, study)
    known = [TeacherLayers.of_arrays(store.arrays(t["id"], "layers")).allocators for t in store.teachers(study)]
    assert ["recourse_sensitivity" in names for names in known] == [True, False, True]
    monkeypatch.setattr(runner, "audit", _fails)
    run_plan(plan, store, 0)  # what was passed over is not tried again
    assert whole[0].skipped(whole[1]) == {}
