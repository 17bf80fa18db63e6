"""A stored run as a file: its audited integers written down, and checked on the people it was audited with.

A file stays only if every decision on them, and on the people it carries, is the audited one at every level at which
onnxruntime may run it, and if `cfq audit` reads it.
"""

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
from cfq_core.export import vectors
from cfq_core.export.parity import Parity, ParityFailure, parity
from cfq_core.models import raw, verify
from cfq_core.models.provenance import Provenance, Role, inputs_of
from cfq_core.models.read import parse_model
from cfq_core.models.target import Form, Target
from cfq_core.models.write import student_model, teacher_model
from cfq_core.nets.layers import spelled
from cfq_core.nets.stack import Stack, score
from cfq_core.pipeline import Audited, Design, TeacherRecourse, prepare
from cfq_core.quant.grid import WEIGHT_BITS
from cfq_core.quant.quantized import QuantStack
from cfq_core.study.models import student_of, teacher_of
from cfq_core.study.pair import made_here
from cfq_core.study.store import Row, Store
from cfq_core.study.tables import found_table
from cfq_core.tables.encode import Values

ROLES: tuple[Role, Role] = ("student", "teacher")
MADE = "made people"  # those whom the file carries
Points = Mapping[str, Values]


@dataclass(frozen=True)
class StoredRun:
    """One audited student and its teacher as they are stored, and the people they were audited with."""

    row: Row
    student: QuantStack
    teacher: Stack
    logits: Mapping[Role, Mapping[str, Float[np.ndarray, "_"]]]  # of the audit, by kind of point
    people: Points
    design: Design
    kappa: float  # logits; the margin of its promises

    def model(self, role: Role) -> QuantStack | Stack:
        """The student or the teacher."""
        return self.student if role == "student" else self.teacher

    @property
    def points(self) -> Mapping[str, Float[np.ndarray, "_ d"]]:
        """The same people, encoded."""
        return {kind: self.design.encoding.encode(values) for kind, values in self.people.items()}


@dataclass(frozen=True)
class Exported:
    """A file that was written, and what the runtime said of it."""

    path: Path
    role: str
    size: int  # bytes
    form: Form
    target: Target
    opset: int  # of the file
    ir: int
    points: dict[str, int]  # how many of each kind
    parity: Parity
    why: str  # why the form is not the standard one; empty where it is, or was asked for

    @property
    def words(self) -> str:
        """What was written and what was proved of it, for a reader."""
        kinds = ", ".join(f"{n} {kind}" for kind, n in self.points.items())
        loads = f"opset {self.opset}, IR {self.ir}, {self.form} form, {self.target.inputs} inputs"
        why = f"\n  exact form: {self.why}" if self.why else ""
        return f"{self.path}: {self.role}, {self.size} bytes, {loads}; checked on {kinds}\n  {self.parity.words}{why}"

    def as_json(self) -> dict[str, Any]:
        """The object that ``--json`` prints."""
        levels = [{"level": x.level, "differing": x.differing, "largest": x.largest} for x in self.parity.levels]
        return {
            "path": str(self.path),
            "role": self.role,
            "bytes": self.size,
            "form": self.form,
            "why": self.why,
            "opset": self.opset,
            "ir": self.ir,
            "containers": self.target.containers,
            "inputs": self.target.inputs,
            "points": self.points,
            **verify.runtime(),
            "differing": self.parity.differing,
            "levels": levels,
        }


def stored_run(store: Store, id: str, card: Path | None = None) -> StoredRun:
    """A run by id (or the start of one) with everything its file needs; ``card``: where its card lies now.

    Raises `UnknownName`, `BadStore`, or `BadInput` where its table is not at hand.
    """
    row = store.run(id)
    made_here(row)
    student, teacher = (
        student_of(store.arrays(row["id"], "weights")),
        teacher_of(store.arrays(row["teacher_id"], "weights")),
    )
    if len(row["bits"]) != len(student.weights) or not set(row["bits"]) <= set(WEIGHT_BITS):
        raise BadStore(f"run {row['id']}: its bits {row['bits']} are not those of its {len(student.weights)} layers")
    design = _design(store, row, card)
    seen, promised = store.arrays(row["id"], "people"), store.arrays(row["teacher_id"], "people")
    if "student" not in seen or "logits" not in promised:
        raise BadStore(
            f"{store.folder}: run {row['id']} keeps no decisions of all test people, as in a gallery; run its study "
            "anew into a store of your own (the page Study offers its plan), and take the run from there"
        )
    has_recourse = promised["why"] == 0
    of_student = (seen["student"], seen["student_at"][has_recourse])
    of_teacher = (promised["logits"], promised["margin"][has_recourse])
    solved = store.teacher(row["teacher_id"])["measures"].get("kappa")  # of a setting with a `margin`
    kappa = float(row["spec"]["teacher"]["setting"]["kappa"] if solved is None else solved)
    return _with_people(row, student, teacher, (of_student, of_teacher), promised["after"][has_recourse], design, kappa)


def run_of(p: TeacherRecourse[Stack], a: Audited, kappa: float) -> StoredRun:
    """A student that no store holds, as `pipeline.audit` gives it; ``kappa``: its promises' margin."""
    table, has_recourse = p.design.table, p.recourse.has_recourse
    row: Any = {
        "id": "", "teacher_id": "", "dataset": table.schema.name, "bits": list(a.plan),
        **{k: getattr(a, k) for k in ("seed", "method", "budget", "threshold")},
        "spec": {"teacher": {"data": table.fingerprint()}},
    }  # fmt: skip
    of_student = (a.raw.student, a.raw.student_at[has_recourse])
    of_teacher = (p.logits, p.recourse.margin[has_recourse])
    after = p.recourse.after[has_recourse]
    return _with_people(row, a.student, p.teacher, (of_student, of_teacher), after, p.design, kappa)


def _with_people(
    row: Row, student: QuantStack, teacher: Stack, audited: Any, after: Values, design: Design, kappa: float
) -> StoredRun:
    """``audited``: logits of student and teacher, each of test rows and of recourse points."""
    made = vectors.made_people(design.table, design.split.test, row["seed"])
    people = {"test rows": design.table.values[design.split.test], "recourse points": after, MADE: made}
    encoded = design.encoding.encode(made)
    at_made = _logits(student, encoded), _logits(teacher, encoded)
    logits: dict[Role, Mapping[str, np.ndarray]] = {
        role: dict(zip(people, (*of, made_up), strict=True))
        for role, of, made_up in zip(ROLES, audited, at_made, strict=True)
    }
    return StoredRun(row, student, teacher, logits, people, design, kappa)


def export_student(run: StoredRun, path: Path, form: Form | None = None, target: Target | None = None) -> Exported:
    """Write the student; the file stays only if every decision is the audited one. Raises `ParityFailure`.

    ``form``: None: the standard one where it decides alike on any processor, else the exact one.
    """
    return _exported(run, "student", path, form, target or Target())


def export_teacher(run: StoredRun, path: Path, form: Form | None = None, target: Target | None = None) -> Exported:
    """Write the FP32 teacher of a run, under the same condition."""
    return _exported(run, "teacher", path, form, target or Target())


def _exported(run: StoredRun, role: Role, path: Path, form: Form | None, target: Target) -> Exported:
    if not path.parent.is_dir():
        raise BadInput(f"{path}: the folder {path.parent} is not there")
    if path.is_dir():
        raise BadInput(f"{path}: a folder; name a file")
    if form is not None:
        return _written(run, role, path, form, target, "")
    try:
        return _written(run, role, path, "standard", target, "")
    except ParityFailure as problem:
        return _written(run, role, path, "exact", target, str(problem))


def provenance(run: StoredRun, role: Role) -> Provenance:
    """What the file says about itself."""
    row, spec = run.row, run.row["spec"]["teacher"]
    common = {
        "role": role,
        "dataset": row["dataset"],
        "data": spec["data"],
        "seed": row["seed"],
        "kappa": run.kappa,
        "favourable": run.design.table.schema.favourable,
        "inputs": inputs_of(run.design.encoding),
        "teacher": row["teacher_id"],
    }
    model = run.model(role)
    if any(each.activation != "relu" or each.skip is not None for each in model.architecture[:-1]):
        common["layers"] = spelled(model.architecture)
    if role == "teacher":
        return Provenance(**common)
    common["activation_bits"] = run.student.activations.bits
    own = {k: row[k] for k in ("method", "budget", "threshold")}
    return Provenance(**common, **own, run=row["id"], bits=tuple(row["bits"]))


def _file(run: StoredRun, role: Role, form: Form, target: Target) -> onnx.ModelProto:
    """The model with the people it carries."""
    told = provenance(run, role)
    if role == "student":
        file = student_model(run.student, told, form, target)
    else:
        file = teacher_model(run.teacher, told, form, target)
    logits = run.logits[role][MADE]
    kept = vectors.chosen(logits)
    carried = vectors.text(run.design.table.schema, run.people[MADE][kept], logits[kept])
    file.metadata_props.add(key=verify.VECTORS, value=carried)
    return file


def _written(run: StoredRun, role: Role, path: Path, form: Form, target: Target, why: str) -> Exported:
    file = _file(run, role, form, target)
    given = {k: raw.feed(run.design.table.schema, v) for k, v in run.people.items()}
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".part")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as written:
            written.write(file.SerializeToString())
        content = temporary.read_bytes()
        parse_model(content, path.name)  # what an audit would refuse is not left
        found = parity(content, given if target.inputs == "raw" else run.points, run.logits[role])
        if found.differing:
            raise ParityFailure(f"{path} is not written: {found.words}")
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    sizes, opset = {k: len(v) for k, v in run.people.items()}, file.opset_import[0].version
    return Exported(path, role, len(content), form, target, opset, file.ir_version, sizes, found, why)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


# ---------------------------------------------------------------------- what is stored
def _logits(model: QuantStack | Stack, inputs: np.ndarray) -> Float[np.ndarray, "n"]:
    return score(model.to(torch.float64), torch.tensor(inputs)[None])[0].numpy()


def _design(store: Store, row: Row, card: Path | None) -> Design:
    """The table a run was audited with, split and encoded as it was; raises `BadInput` where it is not here."""
    spec, plans = row["spec"]["teacher"], store.plans_of(row["id"])
    named = [{"datasets": [str(card)]}] if card else []
    found = found_table(row["dataset"], spec["data"], [*named, *plans], store.folder)
    if found.table is None:
        raise BadInput(
            f"run {row['id']}: the table it was audited with is not here, so its file could not say how people become "
            f"inputs ({found.missing}); name its card with --card, or fetch it with cfq data fetch"
        )
    return prepare(found.table, row["seed"], spec["setting"]["regime"])
