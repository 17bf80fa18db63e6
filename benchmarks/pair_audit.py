"""How long does the audit of two ONNX files on a CSV of 10,000 people take? Writes benchmarks/numbers/pair_audit.json.

python -m benchmarks.pair_audit        # Adult, net 64-64-32; needs CFQ_DATA_DIR
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import fields
from pathlib import Path

import numpy as np
import torch
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from cfq_core.base import plugins
from cfq_core.models.provenance import Provenance, inputs_of
from cfq_core.models.write import student_model, teacher_model
from cfq_core.nets.stack import Stack
from cfq_core.pipeline import Design, Setting, prepare, teachers
from cfq_core.quant.calibrate import Calibration
from cfq_core.tables.schema import Feature, Table
from cfq_core.training.loop import TeacherTraining

OUT = Path(__file__).parent / "numbers" / "pair_audit.json"
ROWS = 10_000
LIMIT = 60  # seconds that an audit may take
BITS = (4, 4, 4, 4)


def main() -> None:
    torch.set_num_threads(1)
    table = plugins.load("datasets", "adult").load()
    design = prepare(table, 0)
    teacher = teachers([design], Setting(teacher_training=TeacherTraining(epochs=5)))
    inputs = torch.tensor(design.inputs(design.split.train), dtype=torch.float32)[None]
    student = Calibration().quantize(teacher, torch.tensor([BITS]), inputs)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        card = write_card(table, folder)
        common = ("adult", table.fingerprint(), 0, 0.2, table.schema.favourable, inputs_of(design.encoding))
        (folder / "ours.onnx").write_bytes(
            student_model(student, Provenance("student", *common, bits=BITS)).SerializeToString()
        )
        (folder / "teacher.onnx").write_bytes(
            teacher_model(teacher, Provenance("teacher", *common)).SerializeToString()
        )
        foreign(teacher, inputs[0].numpy(), folder)
        trees(design, folder)
        pairs = (("teacher", "ours"), ("teacher", "static8"), ("trees50", "trees10"))
        found = [timed(card, *(folder / f"{name}.onnx" for name in pair)) for pair in pairs]
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(json.dumps({"rows": ROWS, "limit": LIMIT, "audits": found}, indent=1) + "\n", encoding="utf-8")
    print(section())


def trees(design: Design, folder: Path) -> None:
    """A forest and a smaller one: nothing is known of them but what onnxruntime computes."""
    from skl2onnx import to_onnx
    from sklearn.ensemble import RandomForestClassifier

    rows = design.split.train
    x, y = design.inputs(rows).astype(np.float32), design.table.outcome[rows]
    for number, depth in ((50, 8), (10, 6)):
        made = RandomForestClassifier(number, max_depth=depth, random_state=0).fit(x, y)
        file = to_onnx(made, x[:1], options={id(made): {"zipmap": False}}, target_opset=17)
        (folder / f"trees{number}.onnx").write_bytes(file.SerializeToString())


def timed(card: Path, teacher: Path, student: Path) -> dict[str, object]:
    """The command as a user types it, from start to exit."""
    command = [sys.executable, "-m", "cfq_core.cli", "audit", "--card", str(card), "--json"]
    command += ["--teacher", str(teacher), "--student", str(student)]
    began, before = time.monotonic(), os.times()
    said = subprocess.run(command, check=True, capture_output=True, text=True)
    after = os.times()
    answer = json.loads(said.stdout)
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return {
        "student": student.name,
        "wall": time.monotonic() - began,
        "cpu": cpu,
        **{k: answer[k] for k in ("rows", "denied", "people")},
        "how": answer["student"]["how"],
        "vd": answer["measures"]["vd"],
        "differing": [answer[s]["differing"] for s in ("teacher", "student")],
    }


def write_card(table: Table, folder: Path) -> Path:
    """The first rows as a CSV with its card, in a folder that is thrown away."""
    frame = table.frame().iloc[:ROWS]
    outcome = np.where(table.outcome[:ROWS], "yes", "no")
    with (folder / "people.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([*frame.columns, "outcome"])
        for row, o in zip(frame.itertuples(index=False), outcome, strict=True):
            writer.writerow([*(int(c) if isinstance(c, float) else c for c in row), o])
    head = ['name = "adult"', 'title = "Adult"', 'csv = "people.csv"', 'target = "outcome"', 'favourable = "yes"']
    parts = [_feature(f) for f in table.schema.features]
    card = folder / "card.toml"
    card.write_text("\n".join(head + parts) + "\n", encoding="utf-8")
    return card


def _feature(f: Feature) -> str:
    lines = ["[[feature]]"]
    for field in fields(Feature):
        value = getattr(f, field.name)
        if value not in ("", None, False, (), field.default):
            lines.append(f"{field.name} = {json.dumps(list(value) if isinstance(value, tuple) else value)}")
    return "\n".join(lines)


class Watched(CalibrationDataReader):
    """Training rows for onnxruntime's own calibration."""

    def __init__(self, rows: np.ndarray) -> None:
        self.batches = iter([{"x": part} for part in np.array_split(rows, 8)])

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self.batches, None)


def foreign(teacher: Stack, rows: np.ndarray, folder: Path) -> None:
    """The teacher in float32 as another tool writes it, and its INT8 file by onnxruntime's static quantization."""
    from onnx import TensorProto, helper, numpy_helper

    nodes, held, given = [], [], "x"
    for i, (w, b) in enumerate(zip(teacher.weights, teacher.biases, strict=True)):
        held += [numpy_helper.from_array(t[0].numpy(), f"{k}{i}") for k, t in (("W", w), ("B", b))]
        last = i == len(teacher.weights) - 1
        nodes.append(helper.make_node("Gemm", [given, f"W{i}", f"B{i}"], ["y" if last else f"s{i}"], transB=1))
        given = f"h{i}"
        if not last:
            nodes.append(helper.make_node("Relu", [f"s{i}"], [given]))
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n", s]) for n, s in (("x", rows.shape[1]), ("y", 1))]
    made = helper.make_graph(nodes, "g", ends[:1], ends[1:], held)
    path = folder / "float.onnx"
    path.write_bytes(
        helper.make_model(made, opset_imports=[helper.make_opsetid("", 13)], ir_version=8).SerializeToString()
    )
    quantize_static(
        path, folder / "static8.onnx", Watched(rows[:2048]), quant_format=QuantFormat.QDQ,
        activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
    )  # fmt: skip


def section(path: Path = OUT) -> str:
    """The table for benchmarks/RESULTS.md, from the stored numbers."""
    found = json.loads(path.read_text(encoding="utf-8"))
    out = [
        "## Audit of any pair of files",
        "",
        f"`cfq audit` on a CSV of {found['rows']:,} people (Adult, net 64-64-32), the whole command; bar: under",
        f"{found['limit']} s. Made by `python -m benchmarks.pair_audit`.",
        "",
        "| student | taken for | people asked | VD | wall, s | CPU, s | reached |",
        "|---|---|---|---|---|---|---|",
    ]
    for a in found["audits"]:
        reached = "yes" if a["wall"] < found["limit"] else "**no**"
        numbers = f"{a['vd']:.3f} | {a['wall']:.1f} | {a['cpu']:.1f} | {reached}"
        out.append(f"| {a['student']} | {a['how']} | {a['people']} | {numbers} |")
    return "\n".join(out)


if __name__ == "__main__":
    main()
