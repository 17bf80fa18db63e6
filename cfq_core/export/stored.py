"""A stored run as a file: its audited integers written down, and checked on the people it was audited with."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from jaxtyping import Float

from cfq_core.base.errors import BadInput, BadStore
from cfq_core.base.seeds import numpy_stream
from cfq_core.export.parity import Parity, ParityFailure, parity
from cfq_core.export.provenance import Provenance, Role, inputs_of
from cfq_core.export.write import Form, student_model, teacher_model
from cfq_core.nets.layers import spelled
from cfq_core.nets.stack import Stack, score
from cfq_core.pipeline import Design, prepare
from cfq_core.quant.grid import WEIGHT_BITS
from cfq_core.quant.quantized import QuantStack
from cfq_core.study.models import student_of, teacher_of
from cfq_core.study.store import Row, Store
from cfq_core.study.tables import found_table

MADE_INPUTS = 2000  # standard normal rows a file is checked on where its table is not on disk

Points = Mapping[str, Float[np.ndarray, "_ d"]]


@dataclass(frozen=True)
class StoredRun:
    """One audited student and its teacher as they are stored; ``design`` where their table is at hand."""

    row: Row
    student: QuantStack
    teacher: Stack
    student_logits: Mapping[str, Float[np.ndarray, "_"]]  # of the audit, by kind of point
    teacher_logits: Mapping[str, Float[np.ndarray, "_"]]
    points: Points  # encoded
    design: Design | None
    missing: str  # why there is no design; empty where there is one


@dataclass(frozen=True)
class Exported:
    """A file that was written, and what the runtime said of it."""

    path: Path
    role: str
    size: int  # bytes
    points: dict[str, int]  # how many of each kind
    parity: Parity
    missing: str  # why it was not checked on people; empty where it was

    @property
    def words(self) -> str:
        """What was written and what was proved of it, for a reader."""
        kinds = " and ".join(f"{n} {kind}" for kind, n in self.points.items())
        lacks = f"\n  not checked on people, and without an encoding: {self.missing}" if self.missing else ""
        return f"{self.path}: {self.role}, {self.size} bytes; checked on {kinds}\n  {self.parity.words}{lacks}"

    def as_json(self) -> dict[str, Any]:
        """The object that ``--json`` prints."""
        levels = [{"level": x.level, "differing": x.differing, "largest": x.largest} for x in self.parity.levels]
        return {
            "path": str(self.path),
            "role": self.role,
            "bytes": self.size,
            "points": self.points,
            "runtime": self.parity.runtime,
            "differing": self.parity.differing,
            "levels": levels,
            "missing": self.missing,
        }


def stored_run(store: Store, id: str) -> StoredRun:
    """A run by id (or the start of one) with everything its file needs; raises `UnknownName` or `BadStore`."""
    row = store.run(id)
    student, teacher = (
        student_of(store.arrays(row["id"], "weights")),
        teacher_of(store.arrays(row["teacher_id"], "weights")),
    )
    if len(row["bits"]) != len(student.weights) or not set(row["bits"]) <= set(WEIGHT_BITS):
        raise BadStore(f"run {row['id']}: its bits {row['bits']} are not those of its {len(student.weights)} layers")
    design, missing = _design(store, row)
    seen, promised = store.arrays(row["id"], "people"), store.arrays(row["teacher_id"], "people")
    if design is None:
        made = numpy_stream(0, "export/made").standard_normal((MADE_INPUTS, student.weights[0].shape[2]))
        points: Points = {"made inputs": made}
        logits = [{"made inputs": _logits(model, made)} for model in (student, teacher)]
        return StoredRun(row, student, teacher, logits[0], logits[1], points, None, missing)
    has_recourse = promised["why"] == 0
    points = {
        "test rows": design.inputs(design.split.test),
        "recourse points": design.encoding.encode(promised["after"][has_recourse]),
    }
    of_student = dict(zip(points, (seen["student"], seen["student_at"][has_recourse]), strict=True))
    of_teacher = dict(zip(points, (promised["logits"], promised["margin"][has_recourse]), strict=True))
    return StoredRun(row, student, teacher, of_student, of_teacher, points, design, "")


def export_student(run: StoredRun, path: Path, form: Form = "exact") -> Exported:
    """Write the student; the file stays only if every decision is the audited one. Raises `ParityFailure`."""
    return _written(student_model(run.student, provenance(run, "student"), form), run, run.student_logits, path)


def export_teacher(run: StoredRun, path: Path, form: Form = "exact") -> Exported:
    """Write the FP32 teacher of a run, under the same condition."""
    return _written(teacher_model(run.teacher, provenance(run, "teacher"), form), run, run.teacher_logits, path)


def provenance(run: StoredRun, role: Role) -> Provenance:
    """What the file says about itself."""
    row, spec = run.row, run.row["spec"]["teacher"]
    common = {
        "role": role,
        "dataset": row["dataset"],
        "data": spec["data"],
        "seed": row["seed"],
        "kappa": float(spec["setting"]["kappa"]),
        "favourable": run.design.table.schema.favourable if run.design else "",
        "inputs": inputs_of(run.design.encoding) if run.design else (),
        "teacher": row["teacher_id"],
    }
    model: QuantStack | Stack = run.teacher if role == "teacher" else run.student
    if any(each.activation != "relu" or each.skip is not None for each in model.architecture[:-1]):
        common["layers"] = spelled(model.architecture)
    if role == "teacher":
        return Provenance(**common)
    common["activation_bits"] = run.student.activations.bits
    own = {k: row[k] for k in ("method", "budget", "threshold")}
    return Provenance(**common, **own, run=row["id"], bits=tuple(row["bits"]))


def _written(model: onnx.ModelProto, run: StoredRun, logits: Mapping[str, np.ndarray], path: Path) -> Exported:
    if not path.parent.is_dir():
        raise BadInput(f"{path}: the folder {path.parent} is not there")
    if path.is_dir():
        raise BadInput(f"{path}: a folder; name a file")
    handle, name = tempfile.mkstemp(dir=path.parent, suffix=".part")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(model.SerializeToString())
        found = parity(temporary.read_bytes(), run.points, logits)
        if found.differing:
            raise ParityFailure(f"{path} is not written: {found.words}")
        temporary.chmod(0o666 & ~_umask())
        size = temporary.stat().st_size
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    role = "student" if logits is run.student_logits else "teacher"
    return Exported(path, role, size, {k: len(v) for k, v in run.points.items()}, found, run.missing)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


# ---------------------------------------------------------------------- what is stored
def _logits(model: QuantStack | Stack, inputs: np.ndarray) -> Float[np.ndarray, "n"]:
    return score(model.to(torch.float64), torch.tensor(inputs)[None])[0].numpy()


def _design(store: Store, row: Row) -> tuple[Design | None, str]:
    """The table a run was audited with, split and encoded as it was; or why that is not possible here."""
    spec = row["spec"]["teacher"]
    found = found_table(row["dataset"], spec["data"], store.plans_of(row["id"]))
    if found.table is None:
        return None, found.missing
    return prepare(found.table, row["seed"], spec["setting"]["regime"]), ""
