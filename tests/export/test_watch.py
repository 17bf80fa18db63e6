"""`cfq watch`: the same model on the same kind of people raises no alarm; a worse one does, and says so by its exit."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from cfq_core.cli import cli
from cfq_core.export.newcomers import people_of
from cfq_core.export.stored import StoredRun, export_student, stored_run
from cfq_core.export.watch import history
from cfq_core.pipeline import Setting
from cfq_core.study.plan import Plan
from cfq_core.study.runner import run_plan
from cfq_core.study.store import Store
from cfq_core.tables.encode import Values
from cfq_core.training.loop import TeacherTraining


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[StoredRun]]:
    """A store with a good run (8 bits) and a bad one (2 bits) of one teacher."""
    folder = tmp_path_factory.mktemp("shipped") / "store"
    setting = Setting(hidden=(8, 8), people=60, n_reaudited=5, n_training_recourse=20,
                      teacher_training=TeacherTraining(epochs=12, rows_per_step=32))  # fmt: skip
    store = Store(folder)
    study = run_plan(Plan(("toy",), ("ptq",), (2.0, 8.0), (0,), setting), store, workers=0)
    found = sorted((stored_run(store, r["id"]) for r in store.runs(study)), key=lambda r: -r.row["budget"])
    store.close()
    return folder, found


def csv_of(run: StoredRun, values: Values) -> str:
    features = run.design.table.schema.features
    cell = lambda f, c: f.levels[c] if f.levels else f"{f.raw(np.array([c]))[0]:.10g}"  # noqa: E731
    rows = [",".join(cell(f, c) for f, c in zip(features, row, strict=True)) for row in values]
    return "\n".join([",".join(f.name for f in features), *rows]) + "\n"


def watched(folder: Path, run: StoredRun, data: Path, *options: str) -> tuple[int, dict[str, object]]:
    given = ["watch", run.row["id"], "--data", str(data), "--store", str(folder), "--people", "40", "--json", *options]
    said = CliRunner().invoke(cli, given, catch_exceptions=False, standalone_mode=False)
    code = said.return_value if isinstance(said.return_value, int) else said.exit_code
    return code, json.loads(said.output)


def test_the_same_people_raise_no_alarm_and_worse_files_do(
    shipped: tuple[Path, list[StoredRun]], tmp_path: Path
) -> None:
    folder, (good, bad) = shipped
    table, rows = good.design.table, good.design.split.train[:150]
    (tmp_path / "new.csv").write_text(csv_of(good, table.values[rows]))
    code, said = watched(folder, good, tmp_path / "new.csv")
    assert code == 0 and said["alarm"] is False and said["number"] == 1 and said["people"] == 150
    assert watched(folder, good, tmp_path / "new.csv")[1]["number"] == 1, "the same file is the same look"
    assert len(history(folder / "watch" / f"{good.row['id']}.jsonl")) == 1

    away = table.values[rows].copy()
    numbers = [i for i, f in enumerate(table.schema.features) if not f.levels]
    away[:, numbers[0]] += 3 * int(table.values[:, numbers[0]].std())
    (tmp_path / "away.csv").write_text(csv_of(good, away))
    code, said = watched(folder, good, tmp_path / "away.csv")
    assert code == 3 and said["alarm"] and said["number"] == 2
    export_student(bad, tmp_path / "bad.onnx")
    code, said = watched(folder, good, tmp_path / "new.csv", "--running", str(tmp_path / "bad.onnx"))
    assert {a["question"] for a in said["answers"]} == {"promises", "returned", "approvals", "inputs"}  # type: ignore[attr-defined]


def test_people_who_did_what_they_were_told_are_known_again(
    shipped: tuple[Path, list[StoredRun]], tmp_path: Path
) -> None:
    folder, (good, _) = shipped
    (tmp_path / "back.csv").write_text(csv_of(good, good.people["recourse points"]))
    said = watched(folder, good, tmp_path / "back.csv")[1]
    (returned,) = (a for a in said["answers"] if a["question"] == "returned")  # type: ignore[attr-defined]
    assert f"of {len(good.people['recourse points'])}" in returned["words"]


def test_rows_that_the_card_does_not_allow_are_counted(shipped: tuple[Path, list[StoredRun]]) -> None:
    _, (good, _) = shipped
    table, text = good.design.table, csv_of(good, good.people["test rows"][:3])
    values, unread = people_of(f"{text}nonsense,{'x,' * 9}\n".encode(), table, "new.csv")
    assert len(values) == 3 and unread == 1
    with pytest.raises(Exception, match="is missing"):
        people_of(b"a,b\n1,2\n", table, "new.csv")
