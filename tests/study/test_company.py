"""A run stands on its own: its bits and its id depend on its specification, not on what is made beside it."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from cfq_core.base import numerics, plugins
from cfq_core.base.errors import CfqError
from cfq_core.nets.elementwise import sigmoid, softplus
from cfq_core.pipeline import Setting
from cfq_core.study import executors, tasks
from cfq_core.study.plan import Plan
from cfq_core.study.runner import run_plan
from cfq_core.study.store import Store

Open = Callable[[str], Store]
Contents = Callable[[Store, str], dict[str, Any]]

#: Widths whose products have every alignment there is.
WIDTHS = ((8, 8), (5, 7), (13, 3, 9))
SEEDS, BUDGETS = (0, 1, 2), (2.0, 3.4, 8.0)
COMPANIES = int(os.environ.get("CFQ_COMPANIES", "8"))  # 200 take some 15 minutes of two cores
SHORT = 2


def shortened(part: Any) -> Any:
    """The same method with fewer steps of training: a sum that company changes shows in its first steps."""
    if not is_dataclass(part):
        return part
    fewer = {"epochs": 16, "least_steps": 32, "iterations": 60}
    values = {f.name: getattr(part, f.name) for f in fields(part) if f.init}
    return replace(part, **{k: fewer.get(k, shortened(v)) for k, v in values.items()})  # type: ignore[type-var]


@pytest.fixture(autouse=True)
def short_training(monkeypatch: pytest.MonkeyPatch) -> None:
    load = plugins.load
    monkeypatch.setattr(
        plugins, "load", lambda kind, name: shortened(load(kind, name)) if kind == "methods" else load(kind, name)
    )


class Alone:
    """What every run is when it is made alone; made when it is first compared with."""

    def __init__(self, folder: Path, setting: Setting, contents: Contents) -> None:
        self.store, self.setting, self.contents = Store(folder), setting, contents
        self.known: dict[str, Any] = {}

    def compare(self, plan: Plan, made: dict[str, Any]) -> None:
        """Every run and teacher of a plan equals the one made by a plan of one method, budget and seed."""
        for method in plan.methods:
            for seed in plan.seeds:
                for budget in plan.bits:
                    one = replace(plan, methods=(method,), seeds=(seed,), bits=(budget,))
                    study = run_plan(one, self.store, workers=0)
                    for id, content in self.contents(self.store, study).items():
                        assert made[id] == content, (plan.setting.hidden, method, seed, budget)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory, setting: Setting, contents_of: Contents) -> Alone:
    return Alone(tmp_path_factory.mktemp("alone"), setting, contents_of)


def company(number: int, setting: Setting) -> tuple[Plan, dict[str, Any]]:
    """A drawn plan, in a drawn order, and how it is cut."""
    draw = random.Random(number)
    trained = [n for n, m in plugins.load_all("methods").items() if m.trained]
    others = [n for n in plugins.names("methods") if n not in trained]
    methods = [*draw.sample(trained, draw.choice((1, 1, 2))), *draw.sample(others, draw.choice((0, 1)))]
    draw.shuffle(methods)
    plan = Plan(
        ("diabetes",),
        tuple(methods),
        tuple(draw.sample(BUDGETS, draw.choice((1, 2, 3)))),
        tuple(draw.sample(SEEDS, draw.choice((1, 2, 3)))),
        replace(setting, hidden=draw.choice(WIDTHS), people=8, n_reaudited=4),
    )
    return plan, {"MOST_ROWS": draw.choice((1, 900, 40_000)), "LONGEST": draw.choice((0.1, 1.0, 60.0))}


@pytest.mark.parametrize(
    "number", [pytest.param(n, marks=[] if n < SHORT else [pytest.mark.gate]) for n in range(COMPANIES)]
)
def test_a_run_made_in_any_company_is_the_one_made_alone(
    number: int, setting: Setting, alone: Alone, new_store: Open, contents_of: Contents, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, cut = company(number, setting)
    for name, value in cut.items():
        monkeypatch.setattr(tasks, name, value)
    store = new_store("company")
    workers = {3: 1, 7: 2}.get(number % 20, 0)
    alone.compare(plan, contents_of(store, run_plan(plan, store, workers=workers)))


@pytest.mark.gate
def test_a_run_made_on_a_cluster_is_the_one_made_alone(
    setting: Setting, alone: Alone, new_store: Open, contents_of: Contents, two_workers: Any
) -> None:
    plan = Plan(("diabetes",), ("cfq_anchored", "qat_lsq", "ptq"), (2.0, 3.0), (0, 1, 2), setting)
    store = new_store("cluster")
    with executors.dask_executor(two_workers.scheduler_address) as executor:
        study = run_plan(plan, store, executor=executor)
    alone.compare(plan, contents_of(store, study))


def test_adding_a_method_a_budget_or_a_seed_makes_only_what_is_new(
    setting: Setting, new_store: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []
    put = Store.put_run

    def counted(self: Store, columns: Any, *rest: Any) -> None:
        made.append(columns["id"])
        put(self, columns, *rest)

    monkeypatch.setattr(Store, "put_run", counted)
    store, plan = new_store("grows"), Plan(("diabetes",), ("qat_lsq",), (2.0,), (0,), setting)
    for wider, count in (
        (plan, 1),
        (replace(plan, methods=("cf_ptq", "qat_lsq")), 1),
        (replace(plan, methods=("cf_ptq", "qat_lsq"), bits=(2.0, 3.0)), 2),
        (replace(plan, methods=("qat_lsq", "cf_ptq"), bits=(3.0, 2.0), seeds=(1, 0)), 4),
        (replace(plan, methods=("qat_lsq", "cf_ptq"), bits=(2.0, 3.0), seeds=(0, 1), name="another name"), 0),
    ):
        made.clear()
        run_plan(wider, store, workers=0)
        assert len(made) == count, wider


def test_a_method_that_takes_other_methods_students_takes_the_stored_ones(
    setting: Setting, new_store: Open, contents_of: Contents, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = Plan(("diabetes",), ("qat_lenient",), (3.0,), (0,), setting)
    apart, store = new_store("apart"), new_store("beside")
    expected = contents_of(apart, run_plan(plan, apart, 0))
    run_plan(replace(plan, methods=("qat_lsq", "cfq")), store, 0)

    def never(*_: Any, **__: Any) -> Any:
        raise AssertionError("trained again")

    monkeypatch.setattr("cfq_core.methods.method.finetune", never)
    assert contents_of(store, run_plan(plan, store, 0)) == expected


# ---------------------------------------------------------------------- kernels
def _measured(tmp_path: Path, name: str, **environment: str) -> Any:
    env = {k: v for k, v in os.environ.items() if k not in {*numerics.PINNED, "OMP_NUM_THREADS"}} | environment
    options = "--dataset toy --methods ptq,cf_ptq --bits 2,4 --seeds 2 --hidden 8,8 --people 30 --workers 0 --json"
    command = [sys.executable, "-m", "cfq_core.cli", "run", *options.split(), "--store", str(tmp_path / name)]
    out = json.loads(subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout)
    timed = ("seconds", "training_recourse_seconds", "on_the_fly_seconds")
    return [(r["id"], {k: v for k, v in r["measures"].items() if k not in timed}, r["groups"]) for r in out["runs"]]


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What is measured where the environment says nothing."""
    return _measured(tmp_path_factory.mktemp("usual"), "store")


@pytest.mark.skipif(not numerics.has_avx2(), reason="not an x86-64 processor with AVX2")
@pytest.mark.parametrize(
    "environment",
    [
        {"ATEN_CPU_CAPABILITY": "default"},
        pytest.param({"ATEN_CPU_CAPABILITY": "avx2", "OMP_NUM_THREADS": "4"}, marks=pytest.mark.gate),
        pytest.param({"ATEN_CPU_CAPABILITY": "avx512", "OMP_NUM_THREADS": "1"}, marks=pytest.mark.gate),
        pytest.param({"OMP_NUM_THREADS": "4"}, marks=pytest.mark.gate),
        pytest.param({"MKL_ENABLE_INSTRUCTIONS": "AVX512"}, marks=pytest.mark.gate),
    ],
    ids=str,
)
def test_the_environment_changes_no_id_and_no_measure(environment: dict[str, str], usual: Any, tmp_path: Path) -> None:
    assert _measured(tmp_path, "one", **environment) == usual


@pytest.mark.gate
def test_where_torch_was_loaded_first_a_run_says_so_and_is_another_run(tmp_path: Path) -> None:
    program = """
import torch
torch.ones(9).exp()  # the first kernel that runs decides for all
from cfq_core.base import numerics
from cfq_core.pipeline import Setting
from cfq_core.study.plan import Plan, TeacherSpec
spec = TeacherSpec(4, "x", 0, Setting(), numerics.tag())
print(torch.backends.cpu.get_cpu_capability(), numerics.warning(), spec.id, sep="|")
"""
    said = {}
    for kernels in ("default", "avx2"):
        env = {**os.environ, "ATEN_CPU_CAPABILITY": kernels}
        out = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, check=True)
        said[kernels] = out.stdout.strip().split("|")
    if said["default"][0] == said["avx2"][0]:
        pytest.skip("this processor has one kernel set only")
    assert "torch was loaded before cfq_core" in said["default"][1] and said["avx2"][1] == "None"
    assert said["default"][2] != said["avx2"][2]


def test_a_worker_with_other_kernels_is_refused_in_one_line() -> None:
    assert executors.with_kernels(numerics.tag(), max, 1, 2) == 2
    with pytest.raises(CfqError, match="start workers on machines of one kind"):
        executors.with_kernels("vax-f-floating", max, 1, 2)


@pytest.mark.parametrize("ours, theirs", [(sigmoid, torch.sigmoid), (softplus, torch.nn.functional.softplus)])
def test_functions_of_single_numbers_are_torchs_up_to_rounding_at_every_place(ours: Any, theirs: Any) -> None:
    x = torch.linspace(-120, 120, 1003)
    torch.testing.assert_close(ours(x), theirs(x), rtol=1e-6, atol=1e-7)
    for start in range(1, 20):
        assert torch.equal(ours(x[start:]), ours(x)[start:])
    x = torch.cat([x, torch.zeros(1)]).requires_grad_()
    slopes = [torch.autograd.grad(f(x).sum(), x)[0] for f in (ours, theirs)]
    torch.testing.assert_close(*slopes, rtol=1e-5, atol=1e-7)
