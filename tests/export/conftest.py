"""One tiny stored study to export."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cfq_core.export.stored import export_student, export_teacher, stored_run
from cfq_core.models.read import ModelFile, read_model
from cfq_core.pipeline import Setting
from cfq_core.study.plan import Plan
from cfq_core.study.runner import run_plan
from cfq_core.study.store import Store
from cfq_core.training.loop import TeacherTraining

CARD = Path(__file__).parents[2] / "data" / "cards" / "example.toml"


@pytest.fixture(scope="session")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """PTQ and a mixed plan on toy, diabetes and a card, three bit-widths."""
    store = Store(tmp_path_factory.mktemp("export") / "store")
    setting = Setting(
        hidden=(8, 8), people=40, n_reaudited=10, teacher_training=TeacherTraining(epochs=12, rows_per_step=32)
    )
    run_plan(
        Plan(("toy", "diabetes", str(CARD)), ("ptq", "ptq_mixed"), (2.0, 3.4, 8.0), (0,), setting), store, workers=0
    )
    yield store
    store.close()


@pytest.fixture(scope="session")
def pair(stored: Store, tmp_path_factory: pytest.TempPathFactory) -> tuple[ModelFile, ModelFile]:
    """The files of the two-bit student of the example card: its decisions differ from its teacher's."""
    runs = stored.runs(stored.studies()[0]["id"])
    run = stored_run(stored, next(r["id"] for r in runs if r["dataset"] == "example" and r["budget"] == 2))
    folder = tmp_path_factory.mktemp("pair")
    export_teacher(run, folder / "t.onnx")
    export_student(run, folder / "s.onnx")
    return read_model(folder / "t.onnx"), read_model(folder / "s.onnx")
