"""An exported file decides as the audited model, at every level a runtime may optimise it, or it is not left."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, numpy_helper
from onnx.reference import ReferenceEvaluator

from cfq_core.base import logbook
from cfq_core.base.errors import BadInput, UnknownName
from cfq_core.base.identity import file_sha256
from cfq_core.base.whole import SystemRefused
from cfq_core.cli import cli
from cfq_core.export import stored as exporting
from cfq_core.export.flags import flags
from cfq_core.export.parity import LEVELS, ParityFailure, computed, parity
from cfq_core.export.stored import export_student, export_teacher, stored_run
from cfq_core.models.integer_nodes import exceeds_16_bits
from cfq_core.models.own_file import own_file
from cfq_core.models.provenance import KEY, read_provenance
from cfq_core.models.read import parse_model
from cfq_core.models.target import Target, target_of
from cfq_core.models.verify import VECTORS
from cfq_core.models.write import FORMS, student_model, teacher_model
from cfq_core.nets.stack import Stack, score
from cfq_core.quant.quantized import QuantStack
from cfq_core.study import tables
from cfq_core.study.store import Store

from .made import made_student, rows, told

CONTAINERS = {2: TensorProto.INT2, 3: TensorProto.INT4, 4: TensorProto.INT4, 5: TensorProto.INT8, 6: TensorProto.INT8}
TARGETS = (Target(), Target(13, "int8"), Target(21, "int8"), Target(25, "native"))


def _logits(student: Any, points: np.ndarray) -> np.ndarray:
    return score(student.to(torch.float64), torch.tensor(points)[None])[0].numpy()


@pytest.mark.parametrize("form", FORMS)
def test_every_stored_student_and_teacher_keeps_every_decision(stored: Store, tmp_path: Path, form: Any) -> None:
    written = 0
    for row in stored.runs(stored.study("latest")["id"]):
        run = stored_run(stored, row["id"])
        assert set(run.points) == {"test rows", "recourse points", "made people"}
        try:
            found = [export_student(run, tmp_path / "s.onnx", form), export_teacher(run, tmp_path / "t.onnx", form)]
        except ParityFailure:
            assert form == "standard", "the exact form differs nowhere"
            continue
        assert all(f.parity.differing == 0 and len(f.parity.levels) == len(LEVELS) for f in found)
        if form == "exact":
            assert found[0].parity.largest == 0.0, "bit for bit"
        written += 1
    assert written >= 6


@given(
    plan=st.lists(st.sampled_from([2, 3, 4, 5, 6, 8]), min_size=1, max_size=4).map(tuple),
    seed=st.integers(0, 10**6),
    target=st.sampled_from(TARGETS),
)
def test_the_exact_form_computes_every_logit_bit_for_bit(plan: tuple[int, ...], seed: int, target: Target) -> None:
    student, points = made_student(plan, seed=seed), rows(200)
    model = student_model(student, told(plan), "exact", target)
    for level in LEVELS:
        np.testing.assert_array_equal(computed(model, level)(points), _logits(student, points))


def test_the_specification_itself_agrees() -> None:
    """ONNX's reference evaluator is nobody's optimizer."""
    student, points = made_student((3, 4, 8)), rows(300)
    found = ReferenceEvaluator(student_model(student, told((3, 4, 8)))).run(None, {"people": points})[0]
    np.testing.assert_allclose(found[:, 0], _logits(student, points), rtol=0, atol=1e-12)


def test_weights_lie_in_the_containers_their_bits_need() -> None:
    plan = (2, 3, 4, 5, 6)
    native = Target(25, "native")
    model = student_model(made_student(plan), told(plan), "exact", native)
    held = {c.name: c for c in model.graph.initializer}
    for layer, bits in enumerate(plan):
        weight = held[f"W{layer}"]
        assert weight.data_type == CONTAINERS[bits]
        assert numpy_helper.to_array(weight).astype(int).min() >= -(2 ** (bits - 1))
        assert held[f"B{layer}"].data_type == TensorProto.INT32
    two, eight = ((b,) * 2 for b in (2, 8))
    sizes = [student_model(made_student(p, 400), told(p, 400), "exact", native).ByteSize() for p in (two, eight)]
    assert sizes[1] - sizes[0] > 0.7 * 400 * 24, "two bits take a quarter of eight"
    for target, types in zip(TARGETS, ({"INT4", "INT8"}, {"INT8"}, {"INT8"}, {"INT2", "INT4", "INT8"}), strict=True):
        model = student_model(made_student(plan), told(plan), "standard", target)
        held = {TensorProto.DataType.Name(c.data_type) for c in model.graph.initializer if c.name.startswith("W")}
        assert held == types
        assert (model.opset_import[0].version, model.ir_version) == (
            target.opset,
            {13: 7, 21: 10, 25: 13}[target.opset],
        )


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("plan", [(8, 8, 8), (4, 8, 2), (8,), (3, 8)])
def test_weights_that_some_processors_would_cut_off_lie_without_a_sign(plan: tuple[int, ...], target: Target) -> None:
    """So the standard form decides alike with VNNI and without, and is recognised as ours."""
    student, points = made_student(plan), rows(2_000)
    model = student_model(student, told(plan), "standard", target)
    held = {c.name: c for c in model.graph.initializer}
    for layer, weight in enumerate(student.weights):
        moved = plan[layer] == 8 and exceeds_16_bits(weight[0].numpy().T).any()
        assert (held[f"W{layer}"].data_type == TensorProto.UINT8) == moved
        codes = numpy_helper.to_array(held[f"W{layer}"]).astype(int) - 128 * moved
        np.testing.assert_array_equal(codes, weight[0].numpy())
    file = parse_model(model.SerializeToString(), "s.onnx")
    assert held[f"W{plan.index(8)}"].data_type == TensorProto.UINT8 and flags(file) == ()
    assert parity(model, {"people": points}, {"people": _logits(student, points)}).differing == 0
    read = own_file(file)
    assert isinstance(read, QuantStack) and all(map(torch.equal, read.weights, student.weights))


def test_a_scale_a_row_has_a_zero_point_a_row() -> None:
    """onnxruntime 1.19 fuses such a layer to QGemm, which then refuses a zero point of another shape at run time."""
    model = student_model(made_student((3, 8, 4)), told((3, 8, 4)), "standard", Target(13, "int8"))
    shapes = {c.name: tuple(c.dims) for c in model.graph.initializer}
    for node in (n for n in model.graph.node if n.output[0] in ("weight0", "weight1")):
        weight, scale, zero = node.input
        assert shapes[scale] == shapes[zero] == shapes[weight][:1]


def test_what_a_file_is_written_for_follows_from_what_is_said() -> None:
    given = [(None, None), (13, None), (21, None), (25, None), (None, "int8"), (None, "native"), (25, "int8")]
    found = [(t.opset, t.containers) for t in (target_of(*g) for g in given)]  # type: ignore[arg-type]
    assert found == [
        (21, "int4"), (13, "int8"), (21, "int4"), (25, "int4"), (13, "int8"), (25, "native"), (25, "int8")
    ]  # fmt: skip
    for opset, containers, said in (
        (13, "int4", "need opset 21"),
        (24, "native", "need opset 25"),
        (9, None, "from 13"),
    ):
        with pytest.raises(BadInput, match=said):
            target_of(opset, containers)  # type: ignore[arg-type]


def test_the_metadata_says_which_run_and_which_encoding(stored: Store, tmp_path: Path) -> None:
    row = next(r for r in stored.runs(stored.study("latest")["id"]) if r["dataset"] == "example")
    run = stored_run(stored, row["id"])
    export_student(run, tmp_path / "s.onnx")
    held = {entry.key: entry.value for entry in onnx.load(tmp_path / "s.onnx").metadata_props}
    assert set(held) == {KEY, VECTORS}
    read = read_provenance(held[KEY], "s.onnx")
    assert (read.run, read.teacher, list(read.bits), read.kappa) == (row["id"], row["teacher_id"], row["bits"], 0.2)
    assert read.threshold == row["threshold"] and read.favourable == "loan approved"
    encoding = run.design.encoding
    assert (tuple(i.mean for i in read.inputs), tuple(i.std for i in read.inputs)) == (encoding.mean, encoding.std)
    assert [i.name for i in read.inputs] == [f.name for f in encoding.schema.features]


# ---------------------------------------------------------------------- the known trap
def _with_float_bias(model: onnx.ModelProto, biases: list[np.ndarray]) -> onnx.ModelProto:
    """The same file with its int32 biases replaced by the float ones they were rounded from."""
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    kept = [n for n in changed.graph.node if not n.name.startswith("bias")]
    del changed.graph.node[:]
    changed.graph.node.extend(kept)
    for layer, bias in enumerate(biases):
        changed.graph.initializer.append(numpy_helper.from_array(bias.astype(np.float32), f"bias{layer}"))
    return changed


def test_a_model_audited_with_float_biases_is_caught_where_the_runtime_rounds_them() -> None:
    plan = (2, 2, 2)
    student, points = made_student(plan), rows(20_000)
    generator = np.random.default_rng(3)
    units = [(s * i[:, None])[0].numpy() for s, i in zip(student.weight_steps, student.input_steps, strict=True)]
    biases = [
        (b[0].numpy() + generator.uniform(-0.5, 0.5, len(u))) * u for b, u in zip(student.biases, units, strict=True)
    ]
    model = _with_float_bias(student_model(student, told(plan), "standard"), biases)
    audited = computed(model, "off")(points)  # fake quantization with float biases, as it is often audited
    found = parity(model, {"people": points}, {"people": audited})
    at = {x.level: x.differing for x in found.levels}
    assert at["off"] == 0, "with optimisation off the file and its audit are one model"
    assert at["all"] > 10, "by default the runtime ships another one"
    assert found.differing == max(at.values()) and "decisions differ" in found.words


def test_a_file_whose_decisions_differ_is_not_left_behind(
    stored: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = stored_run(stored, stored.runs(stored.study("latest")["id"])[0]["id"])
    path = tmp_path / "s.onnx"
    path.write_bytes(b"an earlier file")

    def raised(*given: Any) -> onnx.ModelProto:
        model = student_model(*given)
        last = next(c for c in model.graph.initializer if c.name == "B2")
        last.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(last) + 100_000, "B2"))
        return model

    monkeypatch.setattr(exporting, "student_model", raised)
    with pytest.raises(ParityFailure, match="is not written"):
        export_student(run, path)
    assert [p.name for p in tmp_path.iterdir()] == ["s.onnx"] and path.read_bytes() == b"an earlier file"


def test_without_its_table_a_run_is_not_written_and_the_reason_is_told(
    stored: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such a file would not say how people become inputs, and our own audit would refuse it."""
    monkeypatch.setattr(tables, "_places", lambda *_: iter(["adult"]))
    monkeypatch.setattr(tables, "on_disk", lambda _: None)
    with pytest.raises(BadInput, match=r"adult\.data, adult\.test not on disk.*--card"):
        stored_run(stored, stored.runs(stored.study("latest")["id"])[0]["id"])


def test_parity_counts_a_decision_that_differs() -> None:
    student, points = made_student((4, 4)), rows(100)
    logits = _logits(student, points)
    wrong = logits.copy()
    wrong[70] = -wrong[70]
    model = student_model(student, told((4, 4)))
    assert parity(model, {"people": points}, {"people": wrong}).differing == 1
    assert parity(model, {"people": points}, {"people": logits}).differing == 0


def test_a_teacher_is_written_in_full_precision() -> None:
    teacher, points = Stack.initial(12, [16, 8], [4]), rows(500)
    found = computed(teacher_model(teacher, told()), "all")(points)
    np.testing.assert_allclose(found, _logits(teacher, points), rtol=0, atol=1e-12)


def test_the_command_writes_both_files_and_reports(stored: Store, tmp_path: Path) -> None:
    row = stored.runs(stored.study("latest")["id"])[0]
    files = [str(tmp_path / n) for n in ("s.onnx", "t.onnx")]
    command = ["export", row["id"][:10], "--onnx", files[0], "--teacher", files[1], "--store", str(stored.folder)]
    said = CliRunner().invoke(cli, command, catch_exceptions=False)
    assert said.exit_code == 0 and said.output.count("0 of ") == 2 and "test rows" in said.output
    as_json = CliRunner().invoke(cli, [*command, "--json"], catch_exceptions=False)
    found = json.loads(as_json.output)
    assert found["run"] == row["id"] and [f["differing"] for f in found["files"]] == [0, 0]
    assert all(Path(f).is_file() for f in files)


def test_who_exports_is_logged_and_a_log_that_cannot_be_written_refuses_nothing(
    stored: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, file = stored.runs(stored.study("latest")["id"])[0]["id"], tmp_path / "s.onnx"
    command = ["export", run, "--onnx", str(file), "--store", str(stored.folder)]
    CliRunner().invoke(cli, command, catch_exceptions=False)
    last = json.loads((stored.folder / logbook.FILE).read_text().splitlines()[-1])
    assert (last["action"], last["ids"], last["files"]) == ("export", {"run": run}, {"s.onnx": file_sha256(file)})

    def full(*_: object, **__: object) -> None:
        raise SystemRefused("no room")

    monkeypatch.setattr(logbook, "append", full)
    said = CliRunner().invoke(cli, command, catch_exceptions=False)
    assert said.exit_code == 0 and "not in the log" in said.output and file.is_file()


def test_a_run_that_is_not_stored_is_refused(stored: Store, tmp_path: Path) -> None:
    for name in ("", "zzz"):
        with pytest.raises(UnknownName, match="cfq show STUDY --json"):
            stored_run(stored, name)
    with pytest.raises(BadInput, match="folder"):
        run = stored_run(stored, stored.runs(stored.study("latest")["id"])[0]["id"])
        export_student(run, tmp_path / "nowhere" / "s.onnx")
