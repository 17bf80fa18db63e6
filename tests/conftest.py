"""What many tests stand on: one tiny cell made once, and real tables that may not be here."""

from __future__ import annotations

import cfq_core  # isort: skip  # noqa: F401  # before torch: it chooses the kernels that torch loads with

import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import settings

from cfq_core import pipeline
from cfq_core.base import plugins
from cfq_core.base.seeds import numpy_stream
from cfq_core.datasets.fetch import FILES, on_disk
from cfq_core.pipeline import Audited, Design, Setting, TeacherRecourse
from cfq_core.tables.schema import Feature, Schema, Table
from cfq_core.training.loop import TeacherTraining

settings.register_profile("law", deadline=None, derandomize=True, max_examples=50)
settings.load_profile("law")

torch.set_num_threads(1)  # as every process of the package; two threads on a busy machine are many times slower


def pytest_configure(config: pytest.Config) -> None:
    """Nobody's own store; beartype (the shape-checked pass) draws what it looks at: hypothesis takes that for ours."""
    for name in ("CFQ_STORE", "CFQ_GALLERY"):  # a developer's own results are no test's
        os.environ.pop(name, None)
    config.addinivalue_line("filterwarnings", "ignore:Do not use the `random` module inside strategies")


# ---------------------------------------------------------------------- what is left to the gate, and told at the end
@pytest.hookimpl(tryfirst=True)  # before -m chooses
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Of a test marked ``short("a", "b")`` the cases with one of these values are short; the others are the gate's."""
    kept: dict[str, bool] = {}
    for item in items:
        if mark := item.get_closest_marker("short"):
            short = any(isinstance(v, str) and v in mark.args for v in item.callspec.params.values())  # type: ignore[attr-defined]
            law = item.nodeid.partition("[")[0]
            kept[law] = kept.get(law, False) or short
            if not short:
                item.add_marker("gate")
    idle = [law for law, any_short in kept.items() if not any_short]
    if idle and config.args_source is pytest.Config.ArgsSource.TESTPATHS:
        raise pytest.UsageError(f"no case of these is short: {', '.join(idle)}")


LEFT = pytest.StashKey[int]()


def pytest_deselected(items: list[pytest.Item]) -> None:
    stash = items[0].config.stash
    stash[LEFT] = stash.get(LEFT, 0) + len(items)


def pytest_sessionfinish(session: pytest.Session) -> None:
    if hasattr(session.config, "workeroutput"):  # one of pytest-xdist's processes: each collects every test
        session.config.workeroutput["left"] = session.config.stash.get(LEFT, 0)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    node.config.stash[LEFT] = getattr(node, "workeroutput", {}).get("left", 0)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    left, skipped = config.stash.get(LEFT, 0), terminalreporter.stats.get("skipped", [])
    if left and config.option.markexpr == "not gate" and not config.option.keyword:
        terminalreporter.write_line(f"{left} tests are left to make gate")
    if absent := sum("not on disk" in str(report.longrepr) for report in skipped):
        terminalreporter.write_line(f"{absent} tests need tables that are not on disk: set CFQ_DATA_DIR")


# ---------------------------------------------------------------------- made people

#: Every kind of feature: a grid of tenths, a logarithm, levels nobody is sent to, facts about the person.
MIXED = Schema(
    name="mixed",
    title="Made people",
    favourable="granted",
    unfavourable="refused",
    features=(
        Feature("income", "number", "income", "kEUR", step=0.1, low=0.0, move="up", easy=True),
        Feature("debt", "integer", "debt", "EUR", log=True, low=0.0, move="down"),
        Feature("hours", "integer", "work", "hours", easy=True),
        Feature("school", "ordinal", "school", levels=("none", "basic", "middle", "high"), move="up"),
        Feature("home", "category", "home", levels=("rent", "own", "unknown"), never=("unknown",), weight=1.5),
        Feature("account", "category", "account", levels=("empty", "some", "full", "none"), move="up", never=("none",)),
        Feature("children", "integer", "children", immutable=True, move="fixed"),
        Feature("age", "integer", "age", "years", protected=True, move="fixed", bands=(40.0,)),
        Feature("group", "category", levels=("a", "b"), protected=True, move="fixed"),
    ),
)


def mixed_table(rows: int = 360) -> Table:
    """People of `MIXED` from a fixed seed; what they earn and owe decides, with noise."""
    random = numpy_stream(0, "tests/mixed")
    income = random.gamma(4.0, 8.0, rows).round(1)
    debt = np.expm1(random.normal(5.0, 2.0, rows).clip(0)).round()
    levels = {f.name: random.integers(0, len(f.levels), rows) for f in MIXED.features if f.levels}
    numbers = {"income": np.rint(income * 10), "debt": debt, "hours": random.integers(10, 60, rows)}
    facts = {"children": random.integers(0, 4, rows), "age": random.integers(18, 80, rows)}
    cells = numbers | levels | facts
    score = 0.08 * (income - 32) - 0.4 * (np.log1p(debt) - 5) + 0.5 * levels["school"] + (levels["home"] == 1)
    outcome = score + 0.03 * (cells["hours"] - 35) + random.normal(0, 0.5, rows) > 1.0
    return Table(MIXED, np.stack([cells[f.name].astype(np.int64) for f in MIXED.features], axis=1), outcome)


@dataclass(frozen=True)
class Cell:
    """A tiny study of one table: two seeds, their promises, and a method's audit when it is asked for."""

    setting: Setting
    designs: list[Design]
    promises: list[TeacherRecourse]
    budgets: tuple[float, ...]

    def audits(self, method: str) -> list[Audited]:
        """One method at every budget for every seed; made once."""
        return _audits(self, method)

    def __hash__(self) -> int:
        return id(self)


@cache
def _audits(cell: Cell, method: str) -> list[Audited]:
    return pipeline.audit(cell.promises, {method: plugins.load("methods", method)}, cell.budgets, cell.setting)


@pytest.fixture
def two_workers(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A Dask cluster in processes that import what ``__main__`` is here, which a page's test changes."""
    distributed = pytest.importorskip("distributed", reason="the cluster extra is not installed")
    monkeypatch.setitem(sys.modules, "__main__", ModuleType("__main__"))
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def cell() -> Cell:
    """Two seeds of the mixed table, nets 8-8, budgets 2, 3.5 and 8."""
    taught = TeacherTraining(epochs=60, rows_per_step=16, learning_rate=5e-3)
    setting = Setting(hidden=(8, 8), people=40, n_reaudited=25, teacher_training=taught)
    designs = [pipeline.prepare(mixed_table(), seed) for seed in (0, 1)]
    promises = pipeline.training_recourse(pipeline.promise(designs, setting), setting)
    promises = pipeline.further_recourse(promises, setting)
    return Cell(setting, designs, promises, (2.0, 3.5, 8.0))


@pytest.fixture(scope="session")
def real_table() -> Callable[[str], Table]:
    """A data set by name; the test is skipped, with the reason, where its files are not on disk."""

    @cache
    def load(name: str) -> Table:
        missing = [f.name for f in FILES.get(name, ()) if on_disk(f) is None]
        if missing:
            pytest.skip(f"{name}: {', '.join(missing)} not on disk; set CFQ_DATA_DIR, or: cfq data fetch {name}")
        return plugins.load("datasets", name).load()

    return load
