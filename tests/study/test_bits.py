"""A stored study draws profiles, allocations, landscapes and groups without the raw table, and they are the audit's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from cfq_core import pipeline
from cfq_core.allocators.loss_sensitivity import LossSensitivity
from cfq_core.artifacts.groups import GroupLabels
from cfq_core.artifacts.layers import PLUGIN as LAYERS
from cfq_core.artifacts.layers import Layers, TeacherLayers
from cfq_core.base.errors import BadStore, UnknownName
from cfq_core.pipeline import Setting
from cfq_core.quant.bits import average_bits
from cfq_core.study import artifact_tasks, runner
from cfq_core.study.plan import Plan
from cfq_core.study.runner import run_plan
from cfq_core.study.store import Store

ALLOCATED = {"ptq": "uniform", "ptq_mixed": "loss_sensitivity", "ptq_hawq": "hessian_trace"}
ALLOCATED |= {"ptq_recourse": "recourse_sensitivity", "ptq_measured": "measured"}


def _fails(*_: Any, **__: Any) -> Any:
    raise AssertionError("this was stored and is run again")


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory, setting: Setting) -> tuple[Store, str, Plan]:
    """Rounding methods with every sensitivity, four budgets, two seeds."""
    plan = Plan(("diabetes",), tuple(ALLOCATED), (2.0, 3.0, 4.0, 8.0), (0, 1), setting)
    store = Store(tmp_path_factory.mktemp("bits"))
    return store, run_plan(plan, store, workers=0), plan


def test_the_plan_of_a_stored_profile_is_the_one_its_method_chose(study: tuple[Store, str, Plan]) -> None:
    store, id, plan = study
    seen = 0
    for t in store.teachers(id):
        found = TeacherLayers.of_arrays(store.arrays(t["id"], "layers"))
        assert set(found.allocators) == set(ALLOCATED.values())
        for r in (r for r in store.runs(id) if r["teacher_id"] == t["id"]):
            assert found.plan(ALLOCATED[r["method"]], r["budget"]) == tuple(r["bits"])
            assert r["avg_bits"] == pytest.approx(average_bits(tuple(r["bits"]), found.sizes))
            seen += 1
    assert seen == len(ALLOCATED) * len(plan.bits) * len(plan.seeds)


def test_the_landscape_holds_every_run_at_its_measures(study: tuple[Store, str, Plan]) -> None:
    """What is drawn of a plan among all plans is what its audit says, up to a person on the boundary."""
    store, id, _ = study
    spread = set()
    for r in store.runs(id):
        found = TeacherLayers.of_arrays(store.arrays(r["teacher_id"], "layers"))
        table = found.landscape
        assert table is not None and len(table.plans) == 4 ** len(r["bits"])
        at, measured = table.of(tuple(r["bits"])), store.measures(r["id"])
        person = 1.01 / max(1, measured["vd"]["count"])
        assert table.average_bits[at] == pytest.approx(r["avg_bits"])
        assert table.vd[at] == pytest.approx(measured["vd"]["value"], abs=person)
        assert table.vd_matched[at] == pytest.approx(measured["vd_matched"]["value"], abs=person)
        assert table.approval_shift[at] == pytest.approx(measured["approval_shift"]["value"], abs=0.03)
        spread.add(round(float(table.vd[at]), 3))
    assert len(spread) > 2, "a landscape of one height holds nothing"


def test_labels_are_the_tables_groups(study: tuple[Store, str, Plan]) -> None:
    store, id, plan = study
    table = next(iter(runner.chunks(plan))).table
    for t in store.teachers(id):
        labels = GroupLabels.of_arrays(store.arrays(t["id"], "groups"))
        design = pipeline.prepare(table, t["seed"])
        person = store.arrays(t["id"], "people")["person"]
        assert set(labels.levels) == set(table.groups())
        for column, words in table.groups().items():
            of_test = [words[i] for i in design.split.test]
            assert [labels.levels[column][i] for i in labels.test[column]] == of_test
            assert [labels.levels[column][i] for i in labels.people[column]] == [of_test[i] for i in person]


def test_teachers_of_an_older_store_get_what_they_lack_and_nothing_is_run_again(
    plan: Plan, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path / "older")
    part = replace(plan, methods=("ptq",), bits=(3.0,), seeds=(0, 1))
    id = run_plan(part, store, 0)
    before = {t["id"]: store.arrays(t["id"], "layers") for t in store.teachers(id)}
    store.db.execute("DELETE FROM artifact WHERE name IN ('layers', 'groups')")
    with pytest.raises(BadStore):
        TeacherLayers.of_arrays(store.arrays(next(iter(before)), "layers"))

    for name in ("audit", "promise", "training_recourse"):
        monkeypatch.setattr(runner, name, _fails)
    run_plan(part, store, 0)
    for teacher, arrays in before.items():
        now = store.arrays(teacher, "layers")
        assert set(now) == set(arrays) and "sensitivity.recourse_sensitivity" not in now
        assert all(np.array_equal(now[k], arrays[k]) for k in arrays)
        assert GroupLabels.of_arrays(store.arrays(teacher, "groups")).levels


def test_the_recourse_profile_joins_when_training_recourse_does(plan: Plan, tmp_path: Any) -> None:
    store = Store(tmp_path / "grows")
    for methods in (("ptq",), ("ptq", "ptq_recourse")):
        id = run_plan(replace(plan, methods=methods, bits=(3.0,), seeds=(0,)), store, 0)
    found = TeacherLayers.of_arrays(store.arrays(store.teachers(id)[0]["id"], "layers"))
    assert "recourse_sensitivity" in found.sensitivity
    with pytest.raises(UnknownName, match="hessian_trace"):
        found.plan("hessian_trac", 3.0)


def test_a_deep_net_has_profiles_but_no_landscape(cell: Any) -> None:
    for found in map(Layers(deepest=2).of, cell.promises):
        assert found.landscape is None
        again = TeacherLayers.of_arrays(found.arrays())
        assert again.landscape is None and again.sizes == found.sizes
        for name, table in found.sensitivity.items():
            np.testing.assert_array_equal(again.sensitivity[name], table)


def test_the_stored_form_is_the_whole(cell: Callable[..., Any]) -> None:
    for found in map(LAYERS.of, cell.promises):  # type: ignore[attr-defined]
        again = TeacherLayers.of_arrays(found.arrays())
        assert found.landscape is not None and again.landscape is not None
        assert again.choices == found.choices and again.allocators == found.allocators
        np.testing.assert_array_equal(again.landscape.vd_matched, found.landscape.vd_matched)
        assert again.landscape.best(3.0) == found.landscape.best(3.0)


def test_changed_allocator_makes_profiles_anew_and_nothing_else(
    plan: Plan, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, part = Store(tmp_path / "changed"), replace(plan, methods=("ptq",), bits=(3.0,), seeds=(0,))
    id = run_plan(part, store, 0)
    (teacher,) = (t["id"] for t in store.teachers(id))
    profile = TeacherLayers.of_arrays(store.arrays(teacher, "layers")).sensitivity["loss_sensitivity"]
    changed = replace(LAYERS, profilers=LAYERS.profilers | {"loss_sensitivity": LossSensitivity(rows=20)})
    monkeypatch.setattr("cfq_core.artifacts.layers.PLUGIN", changed)
    assert artifact_tasks.missing(store, teacher, False) == ("layers",)
    for name in ("audit", "promise", "training_recourse"):
        monkeypatch.setattr(runner, name, _fails)
    assert run_plan(part, store, 0) == id
    assert not artifact_tasks.missing(store, teacher, False)
    now = TeacherLayers.of_arrays(store.arrays(teacher, "layers")).sensitivity["loss_sensitivity"]
    assert (now != profile).any()
    store.close()


@pytest.mark.parametrize("harmed", ["people", "weights", "groups", "layers"])
@pytest.mark.parametrize("owner", ["teacher", "run"])
def test_damaged_file_counts_as_not_stored_and_is_made_again(
    owner: str, harmed: str, plan: Plan, tmp_path: Any
) -> None:
    if owner == "run" and harmed in ("groups", "layers"):
        pytest.skip("of teachers only")
    store, part = Store(tmp_path / "harmed"), replace(plan, methods=("ptq",), bits=(3.0,), seeds=(0,))
    id = run_plan(part, store, 0)
    (run,) = store.runs(id)
    of = run["teacher_id"] if owner == "teacher" else run["id"]
    (path,) = (store.folder / "artifacts").rglob(f"{of}-{harmed}.*")
    whole = path.read_bytes()
    for harm in (lambda: path.write_bytes(whole[:-9] + b"\0" * 9), path.unlink):
        harm()
        assert not store.has_artifact(of, harmed)
        assert run_plan(part, store, 0) == id
        assert store.has_artifact(of, harmed) and path.read_bytes() == whole
    assert store.runs(id)[0]["measured"] and store.measures(run["id"])["vd"]["count"] > 0
    store.close()
