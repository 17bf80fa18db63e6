"""Whatever stands in a file, a reader gives its content or one line: no traceback, no hang, no write elsewhere.

Card, CSV and plan are edited at random in tests/laws; here are models and stores. ``CFQ_FUZZ=100`` tries a hundred
times as much: ``CFQ_FUZZ=100 pytest tests/export/test_fuzz.py tests/laws/test_card.py tests/laws/test_plan.py``.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cfq_core.base.errors import BadStore, CfqError
from cfq_core.base.identity import file_sha256
from cfq_core.cli import cli
from cfq_core.models.dense import dense
from cfq_core.models.provenance import KEY, BadModel
from cfq_core.models.read import parse_model
from cfq_core.models.runtime import Running
from cfq_core.models.write import student_model
from cfq_core.pipeline import Setting
from cfq_core.study.plan import Plan
from cfq_core.study.runner import run_plan
from cfq_core.study.store import FILE, Store
from cfq_core.training.loop import TeacherTraining

from .made import made_student, network, rows, told

MORE = int(os.environ.get("CFQ_FUZZ", "1"))
LIMIT = timedelta(seconds=20)  # one file; a hang is what takes longer
ALL = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large]

Edits = list[tuple[float, int, bytes]]
EDITS: st.SearchStrategy[Edits] = st.lists(
    st.tuples(st.floats(0, 1), st.integers(0, 6), st.binary(max_size=6)), min_size=1, max_size=5
)
WIDTH = 4
MODELS = [
    network(WIDTH),
    network(WIDTH, "Tanh", "Sigmoid", scaled=True),
    network(WIDTH, outputs=2, end="Softmax"),
    student_model(made_student((2, 3), WIDTH), told((2, 3), WIDTH)).SerializeToString(),
    student_model(made_student((4, 8), WIDTH), told((4, 8), WIDTH), "standard").SerializeToString(),
]


def edited(content: bytes, edits: Edits) -> bytes:
    """Some bytes dropped, some put in."""
    for at, drop, put in edits:
        start = int(at * len(content))
        content = content[:start] + put + content[start + drop :]
    return content


def _is_one_line(problem: CfqError) -> None:
    line = problem.line()
    assert "\n" not in line and len(line) < 600, line


# ---------------------------------------------------------------------- models
def _read(content: bytes) -> bool:
    try:
        dense(parse_model(content, "a.onnx"))
    except BadModel as problem:
        _is_one_line(problem)
        return False
    return True


@settings(max_examples=400 * MORE, deadline=LIMIT, suppress_health_check=ALL)
@given(st.sampled_from(MODELS), EDITS)
def test_any_edit_of_a_model_is_read_or_refused(content: bytes, edits: Edits) -> None:
    _read(edited(content, edits))


@settings(max_examples=150 * MORE, deadline=LIMIT, suppress_health_check=ALL)
@given(st.binary(max_size=400))
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    _read(content)


PLACES = ("op_type", "input", "dims", "data_type", "attribute", "metadata", "raw_data", "name", "drop")


@settings(max_examples=300 * MORE, deadline=LIMIT, suppress_health_check=ALL)
@given(st.sampled_from(MODELS), st.data())
def test_a_model_that_is_well_formed_and_wrong_is_read_or_refused(content: bytes, data: st.DataObject) -> None:
    _read(_wrong(content, data.draw))


def _wrong(content: bytes, draw: Callable[[Any], Any]) -> bytes:
    """Changes that leave a protocol buffer: the operators, shapes, types and names of a graph mixed up."""
    model = onnx.ModelProto.FromString(content)
    graph = model.graph
    names = ["x", "people", "", *(c.name for c in graph.initializer), *(o for n in graph.node for o in n.output)]
    kinds = ["Gemm", "MatMul", "Add", "Relu", "Cast", "DequantizeLinear", "Transpose", "Softmax", "Sigmoid", "Constant"]
    for _ in range(draw(st.integers(1, 3))):
        node, held = draw(st.sampled_from(list(graph.node))), draw(st.sampled_from(list(graph.initializer)))
        match draw(st.sampled_from(PLACES)):
            case "op_type":
                node.op_type = draw(st.sampled_from(kinds))
            case "input" if node.input:
                node.input[draw(st.integers(0, len(node.input) - 1))] = draw(st.sampled_from(names))
            case "dims":
                held.dims[:] = draw(st.lists(st.integers(-2, 2**40), max_size=4))
            case "data_type":
                held.data_type = draw(st.integers(0, 40))
            case "attribute":
                node.attribute.append(
                    onnx.helper.make_attribute(draw(st.sampled_from(["axis", "alpha", "to", "perm"])), 7)
                )
            case "metadata":
                text = draw(st.sampled_from([*(p.value for p in model.metadata_props), "{}"]))
                text = edited(text.encode(), draw(EDITS)).decode(errors="replace")
                onnx.helper.set_model_props(model, {KEY: text})
            case "raw_data":
                held.raw_data = draw(st.binary(max_size=40))
            case "name":
                held.name = draw(st.sampled_from(names))
            case "drop":
                del node.input[:]
    return model.SerializeToString()


@settings(max_examples=6 * MORE, deadline=None, suppress_health_check=ALL)
@given(st.sampled_from(MODELS), st.data())
def test_what_is_read_and_wrong_is_refused_by_the_process_that_runs_it(content: bytes, data: st.DataObject) -> None:
    changed = _wrong(content, data.draw)
    try:
        file = parse_model(changed, "a.onnx")
        with Running(file, 30) as running:
            assert len(running.outputs(rows(2, file.width))) == 2
    except BadModel as problem:
        _is_one_line(problem)


# ---------------------------------------------------------------------- stores
@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small store, closed."""
    place = tmp_path_factory.mktemp("fuzz") / "store"
    store = Store(place)
    setting = Setting(
        hidden=(4,), people=10, n_reaudited=5, teacher_training=TeacherTraining(epochs=2, rows_per_step=64)
    )
    run_plan(Plan(("diabetes",), ("ptq",), (2.0, 8.0), (0,), setting), store, workers=0)
    store.db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    store.close()
    return place


@pytest.fixture
def copy(whole: Path, tmp_path: Path) -> Iterator[Callable[[], Path]]:
    """Fresh copies of that store, beside a file nobody may touch."""
    (tmp_path / "outside.txt").write_text("untouched")

    def fresh() -> Path:
        place = tmp_path / "store"
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(whole, place)
        return place

    yield fresh
    assert sorted(p.name for p in tmp_path.iterdir()) in (["outside.txt"], ["outside.txt", "store"])
    assert (tmp_path / "outside.txt").read_text() == "untouched"


def _said(place: Path) -> list[int]:
    """Every command that reads a store; each ends with an answer or one line."""
    run = "0"
    try:
        store = Store(place)
        run = next(iter(store.runs(store.study("latest")["id"])))["id"]
        store.close()
    except (CfqError, StopIteration):
        pass
    commands = [["ls"], ["show"], ["show", "--json"], ["show", "--markdown"]]
    commands.append(["export", str(run), "--onnx", str(place / "a.onnx")])
    codes = []
    for command in commands:
        said = CliRunner().invoke(cli, [*command, "--store", str(place)])
        if isinstance(said.exception, CfqError):
            _is_one_line(said.exception)
        elif said.exception is not None and not isinstance(said.exception, SystemExit):
            raise said.exception
        codes.append(said.exit_code)
    return codes


def test_the_unedited_store_is_read(copy: Callable[[], Path]) -> None:
    assert _said(copy()) == [0, 0, 0, 0, 0]


@settings(max_examples=25 * MORE, deadline=LIMIT, suppress_health_check=ALL)
@given(edits=EDITS)
def test_any_edit_of_the_database_is_read_or_refused(copy: Callable[[], Path], edits: Edits) -> None:
    place = copy()
    content = (place / FILE).read_bytes()
    (place / FILE).write_bytes(edited(content, edits))
    _said(place)


TABLES = {
    "study": ["name", "plan", "versions", "created"],
    "run": ["bits", "spec", "groups", "method", "dataset", "budget", "threshold"],
    "teacher": ["measures", "spec", "seed"],
    "measure": ["value", "low", "count"],
    "artifact": ["path", "sha256"],
}
VALUES = [
    "",
    "{}",
    "[]",
    "null",
    "[" * 5000,
    '{"setting": 3}',
    '{"teacher": []}',
    "../outside.txt",
    "/etc/passwd",
    -1,
    1e300,
]


@settings(max_examples=40 * MORE, deadline=LIMIT, suppress_health_check=ALL)
@given(data=st.data())
def test_any_value_in_the_database_is_read_or_refused(copy: Callable[[], Path], data: st.DataObject) -> None:
    place = copy()
    table = data.draw(st.sampled_from(list(TABLES)))
    column, value = data.draw(st.sampled_from(TABLES[table])), data.draw(st.sampled_from(VALUES))
    with sqlite3.connect(place / FILE) as db:
        db.execute("PRAGMA foreign_keys = OFF")
        try:
            db.execute(f"UPDATE {table} SET {column} = ?", [value])
        except sqlite3.Error:
            return  # the table itself refuses the type
    _said(place)


@settings(max_examples=25 * MORE, deadline=LIMIT, suppress_health_check=ALL)
@given(edits=EDITS, which=st.integers(0, 10), honest=st.booleans())
def test_any_edit_of_an_artifact_is_read_or_refused(
    copy: Callable[[], Path], edits: Edits, which: int, honest: bool
) -> None:
    """``honest``: with the sha256 of what it now is, so that the reader of arrays itself is asked."""
    place = copy()
    files = sorted(p for p in (place / "artifacts").rglob("*.*") if p.is_file())
    path = files[which % len(files)]
    path.write_bytes(edited(path.read_bytes(), edits))
    if honest:
        with sqlite3.connect(place / FILE) as db:
            name = str(path.relative_to(place))
            db.execute("UPDATE artifact SET sha256 = ? WHERE path = ?", [file_sha256(path), name])
    _said(place)


def test_arrays_outside_the_store_and_pickled_ones_are_refused(copy: Callable[[], Path]) -> None:
    place = copy()
    np.savez(place / "evil.npz", a=np.array([{"pickled": 1}], dtype=object))
    outside = place.parent / "outside.txt"
    for path, says in (("../outside.txt", "outside the store"), ("evil.npz", "cannot be read as arrays")):
        with sqlite3.connect(place / FILE) as db:
            sha = file_sha256(outside if "outside" in path else place / path)
            db.execute("UPDATE artifact SET path = ?, sha256 = ? WHERE name = 'people'", [path, sha])
        store = Store(place)
        run = store.runs(store.study("latest")["id"])[0]["id"]
        with pytest.raises(BadStore, match=says):
            store.arrays(run, "people")
        store.close()
