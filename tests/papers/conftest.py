"""Papers of one run of a card whose words try to be markup and formulas."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from cfq_core.base.shipped import shipped
from cfq_core.papers.made import Papers, papers
from cfq_core.papers.sheets import Stated
from cfq_core.pipeline import Setting
from cfq_core.study.plan import Plan
from cfq_core.study.runner import run_plan
from cfq_core.study.store import Store
from cfq_core.training.loop import TeacherTraining

EVIL = '<script>alert("x")</script><img src=x onerror=alert(1)>'
FORMULA = '=HYPERLINK("http://evil.example")'
STATED = Stated(owner=FORMULA, purpose=EVIL, expires="2027-06-30")


@pytest.fixture(scope="session")
def evil(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A stored study of that card: two methods, one seed."""
    folder = tmp_path_factory.mktemp("evil")
    card = (shipped("cards") / "example.toml").read_text(encoding="utf-8")
    card = re.sub(r'title = ".*?"', f"title = '{EVIL}'", card)
    card = card.replace('label = "monthly income"', f"label = '{EVIL}'")
    card = card.replace('label = "duration of the loan"', f"label = '{FORMULA}'")
    (folder / "card.toml").write_text(card, encoding="utf-8")
    table = (shipped("cards") / "example.csv").read_text(encoding="utf-8")
    (folder / "example.csv").write_text(table.replace(",woman,", ",<b onclick=x>woman</b>,"), encoding="utf-8")
    setting = Setting(
        hidden=(4,), people=60, n_reaudited=10, n_training_recourse=20, teacher_training=TeacherTraining(epochs=8)
    )
    store = Store(folder / "store")
    run_plan(Plan((str(folder / "card.toml"),), ("ptq", "ptq_minmax"), (3.0,), (0,), setting), store, workers=0)
    yield store
    store.close()


@pytest.fixture(scope="session")
def run(evil: Store) -> str:
    return str(evil.runs(evil.studies()[0]["id"])[0]["id"])


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the papers of the first run lie, once they are `made`."""
    return tmp_path_factory.mktemp("papers") / "of it"


@pytest.fixture(scope="session")
def made(evil: Store, run: str, folder: Path) -> Papers:
    """The same as an object."""
    return papers(evil, run, folder, STATED, "2026-11-26")[0]
