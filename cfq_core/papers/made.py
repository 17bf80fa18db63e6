"""The papers of one stored run: its file is exported, reasons are run on it, the rest is read from the store."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cfq_core.base.cells import csv
from cfq_core.base.errors import BadInput, CfqError
from cfq_core.evidence import Evidence
from cfq_core.papers import page, sheets, shipped
from cfq_core.papers.impact import impact
from cfq_core.papers.reasons import RULE, reasons_of
from cfq_core.papers.sheets import Stated
from cfq_core.papers.told import Told
from cfq_core.pipeline import Design
from cfq_core.report import facts
from cfq_core.report.files import packed, write_whole
from cfq_core.report.frames import Stored
from cfq_core.study.audited import evidence_of
from cfq_core.study.measured import current_measures
from cfq_core.study.models import design_of, student_of
from cfq_core.study.store import Row, Store

FILES = ("papers.html", "papers.json", "reasons.csv", "inventory.csv", "challengers.csv", "impact.csv")
SUMS = "SHA256SUMS"


@dataclass(frozen=True)
class Papers:
    """Everything that is filed about one run."""

    run: str
    study: str
    dataset: str
    made: str  # a date
    title: str
    inventory: Mapping[str, str]
    limits: list[str]
    decided_by: str
    told: Told
    challengers: list[dict[str, Any]]
    impact: list[dict[str, Any]]

    def frames(self) -> dict[str, pd.DataFrame]:
        """Every paper as a table."""
        entry = [*self.inventory.items(), *(("limit", line) for line in self.limits)]
        return {
            "inventory": pd.DataFrame(entry, columns=["entry", "value"]),
            "reasons": self.told.frame(),
            "challengers": pd.DataFrame(self.challengers),
            "impact": pd.DataFrame(self.impact),
        }

    def as_json(self) -> dict[str, Any]:
        """The same as one plain object."""
        reasons = {"rule": RULE, "decided_by": self.decided_by, **self.told.counts(),
                   "by_feature": self.told.by_feature(), "reviewers": self.told.warnings(),
                   "people": self.told.people()}  # fmt: skip
        about = {k: getattr(self, k) for k in ("run", "study", "dataset", "made", "title", "limits")}
        return about | {
            "inventory": dict(self.inventory), "reasons": reasons, "challengers": self.challengers,
            "missing_challengers": sheets.missing(self.challengers), "impact": self.impact,
        }  # fmt: skip

    def contents(self) -> dict[str, bytes]:
        """Every file but the models, by name."""
        tables = {f"{name}.csv": csv(frame) for name, frame in self.frames().items()}
        plain = json.dumps(self.as_json(), allow_nan=False, indent=1, ensure_ascii=False)
        return {"papers.html": page.page(self).encode(), "papers.json": plain.encode(), **tables}


def papers(
    store: Store, run: str, folder: Path, stated: Stated, made: str, card: Path | None = None, study: str = ""
) -> tuple[Papers, dict[str, str]]:
    """Write the papers of a run into a folder, and the files they are about; the sha256 of each file by name.

    ``made``: today's date; ``study``: whose methods are its challengers [the newest that holds the run].
    """
    row = store.run(run)
    of, evidence = _study(store, row["id"], study), evidence_of(store, row)[0]
    measured = current_measures(store, of["id"], [row])[row["id"]]
    table = impact(evidence, measured.overall, measured.groups)  # first: a store that lacks it is told at once
    design, folder = design_of(store, row, card), _folder(folder)
    model, about = _shipped(store, row, design, folder, card)
    told = _told(design, model, evidence)
    view = Stored(str(store.folder), of["id"], of["finished"], store.read_only)
    found = Papers(
        row["id"], of["id"], row["dataset"], made, design.table.schema.title,
        sheets.inventory(stated, about, of, row, design), facts.limits(view, [row["dataset"]]), model.says, told,
        sheets.challengers(store, of, row), table,
    )  # fmt: skip
    return found, write(found, folder)


def _folder(folder: Path) -> Path:
    if folder.exists() and not folder.is_dir():
        raise BadInput(f"{folder}: a file; papers are written into a folder")
    if not folder.absolute().parent.is_dir():
        raise BadInput(f"{folder}: the folder {folder.absolute().parent} is not there")
    folder.mkdir(exist_ok=True)
    return folder


def _study(store: Store, run: str, id: str) -> Row:
    """The study that is named, or the newest one that holds the run."""
    studies = [store.study(id)] if id else store.studies()
    for study in studies:
        if any(r["id"] == run for r in store.runs(study["id"])):
            return study
    raise BadInput(f"run {run}: is not in study {id}" if id else f"run {run}: no study of {store.folder} holds it")


def _shipped(
    store: Store, row: Row, design: Design, folder: Path, card: Path | None
) -> tuple[shipped.Shipped, dict[str, str]]:
    """What decides, and what is to be said of the files; they are written where the export extra is installed."""
    if any(importlib.util.find_spec(m) is None for m in ("onnx", "onnxruntime")):
        for name in ("student.onnx", "teacher.onnx"):  # of an earlier time: these papers are not about them
            with suppress(FileNotFoundError):
                (folder / name).unlink()
        model = shipped.of_integers(student_of(store.arrays(row["id"], "weights")), design.encoding)
        return model, {"shipped file": "none was written: the export extra is not installed", "decided by": model.says}
    from cfq_core.export.stored import export_student, export_teacher, stored_run

    run = stored_run(store, row["id"], card)
    about = {}
    for name, role, export in (("student.onnx", "shipped file", export_student),
                               ("teacher.onnx", "original file", export_teacher)):  # fmt: skip
        written = export(run, folder / name)
        about[role] = f"{name}, {written.size:,} bytes, opset {written.opset}, {written.form} form"
        about[f"{role} sha256"] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        about[f"{role} proved"] = written.parity.words
    model = shipped.of_file((folder / "student.onnx").read_bytes(), "student.onnx", design.encoding)
    return model, about | {"decided by": model.says}


def _told(design: Design, model: shipped.Shipped, evidence: Evidence) -> Told:
    test = design.table.values[design.split.test]
    logits = model.decide(test)
    known = {}
    with suppress(AttributeError):  # an older store does not keep the student's own actions
        if evidence.student_after is not None:
            own = evidence.reaudited & evidence.student_has_recourse
            known = {int(evidence.person[k]): evidence.student_after[k] for k in np.flatnonzero(own)}
    training = design.table.values[design.split.train]
    denied = reasons_of(test, np.flatnonzero(logits <= 0), design.actions, model, training, known)
    return Told(denied, design.actions, design.split.test, logits)


def write(found: Papers, folder: Path) -> dict[str, str]:
    """Every file whole, their hashes last: a folder without them was not finished."""
    (folder / SUMS).unlink(missing_ok=True)
    for name, content in found.contents().items():
        write_whole(folder / name, content)
    there = [n for n in (*FILES, "student.onnx", "teacher.onnx") if (folder / n).is_file()]
    sums = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in there}
    write_whole(folder / SUMS, "".join(f"{sha256}  {name}\n" for name, sha256 in sums.items()).encode())
    return sums


def zipped(view: Stored, run: str, made: str) -> bytes:
    """The folder of a run as one zip, nothing stated; where it cannot be made, a text that says why."""
    with tempfile.TemporaryDirectory() as name, view.store() as store:
        folder = Path(name)
        try:
            papers(store, run, folder, Stated(), made, study=view.id)
        except CfqError as problem:
            return packed({"why-there-are-none.txt": f"{problem.line()}\n".encode()})
        return packed({p.name: p.read_bytes() for p in sorted(folder.iterdir())})
