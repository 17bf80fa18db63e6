"""Two stored studies: the gallery's first, and one of a card whose every word tries to be markup."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from cfq_core.base.shipped import gallery, shipped
from cfq_core.pipeline import Setting
from cfq_core.report.frames import Stored
from cfq_core.study.plan import Plan
from cfq_core.study.runner import run_plan
from cfq_core.study.store import Store
from cfq_core.training.loop import TeacherTraining

EVIL = '<script>alert("x")</script><img src=x onerror=alert(1)>'


@pytest.fixture(scope="session")
def evil(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stored]:
    """A study of a card whose every word tries to be markup."""
    folder = tmp_path_factory.mktemp("evil")
    card = (shipped("cards") / "example.toml").read_text(encoding="utf-8")
    card = re.sub(r'title = ".*?"', f"title = '{EVIL}'", card)
    card = card.replace('label = "monthly income"', f"label = '{EVIL}'").replace(
        'source = "made', "source = \"http://evil.example'"
    )
    (folder / "card.toml").write_text(card, encoding="utf-8")
    table = (shipped("cards") / "example.csv").read_text(encoding="utf-8")
    (folder / "example.csv").write_text(table.replace(",woman,", ",<b onclick=x>woman</b>,"), encoding="utf-8")
    setting = Setting(
        hidden=(4,), people=60, n_reaudited=10, n_training_recourse=20, teacher_training=TeacherTraining(epochs=8)
    )
    store = Store(folder / "store")
    plan = Plan((str(folder / "card.toml"),), ("ptq",), (2.0, 4.0, 8.0), (0, 1), setting, name=EVIL)
    study = run_plan(plan, store, workers=0)
    store.close()
    yield Stored(str(folder / "store"), study, 6)


@pytest.fixture(scope="session")
def german() -> Stored:
    store = Store(gallery(), read_only=True)
    row = next(s for s in store.studies() if "german" in s["plan"]["datasets"])
    store.close()
    return Stored(str(gallery()), row["id"], row["finished"], read_only=True)
