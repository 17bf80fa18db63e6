"""The dashboard in-process on three stores: the shipped gallery, one own study, nothing at all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from cfq_core.base.shipped import gallery
from cfq_core.pipeline import Setting
from cfq_core.report.frames import Stored
from cfq_core.study.plan import Plan
from cfq_core.study.runner import run_plan
from cfq_core.study.store import Store
from cfq_core.training.loop import TeacherTraining
from dashboard.lib import pages

SCRIPT = Path(__file__).parents[2] / "dashboard" / "lib" / "script.py"


@pytest.fixture(scope="session")
def own_study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with one small study: an embedded table, two methods, three budgets, two seeds."""
    folder = tmp_path_factory.mktemp("own") / "store"
    setting = Setting(
        hidden=(8, 8),
        people=40,
        n_reaudited=20,
        n_training_recourse=40,
        teacher_training=TeacherTraining(epochs=12, rows_per_step=32),
    )
    store = Store(folder)
    run_plan(Plan(("diabetes",), ("ptq", "ptq_minmax"), (2.0, 3.0, 8.0), (0, 1), setting), store)
    store.close()
    return folder


@pytest.fixture(scope="module", params=["own", "gallery"])
def study(request: pytest.FixtureRequest) -> Stored:
    """The newest study of the user's own store, then of the gallery."""
    folder = gallery() if request.param == "gallery" else request.getfixturevalue("own_study")
    store = Store(folder, read_only=request.param == "gallery")
    found = store.studies()[0]
    store.close()
    return Stored(str(folder), found["id"], found["finished"], request.param == "gallery")


@pytest.fixture
def on_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Sets what the dashboard finds: the gallery, one own study, or nothing."""

    def choose(which: str) -> None:
        empty = tmp_path / "empty"
        own = request.getfixturevalue("own_study") if which == "own" else empty
        monkeypatch.setenv("CFQ_STORE", str(own))
        if which == "gallery":
            monkeypatch.delenv("CFQ_GALLERY", raising=False)
        else:
            monkeypatch.setenv("CFQ_GALLERY", str(empty))

    return choose


@pytest.fixture
def open_page() -> Callable[..., AppTest]:
    """Opens a page by its file's name with query parameters, as a browser would with its address."""

    def open_(name: str, **query: str) -> AppTest:
        at = AppTest.from_file(str(SCRIPT), default_timeout=120)
        for key, value in query.items():
            at.query_params[key] = value
        at.run()  # the default page; pages are known from here on
        if not pages.found()[name].default:
            at.switch_page(f"../pages/{name}.py").run()
        return at

    return open_
