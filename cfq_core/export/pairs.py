"""Audits of two files in the background, kept in a store and found again.

    STORE/audits/ID/  audit.json (what `cfq audit --json` prints, and what was asked)  report.html  people.csv

Both files are read, in a process with limits, before anything is written, so a hostile or wrong one leaves nothing
behind; they lie in a job's folder while it runs. No torch is imported here; the worker does.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Any

from cfq_core.base.errors import BadInput, BadStore
from cfq_core.base.identity import identity, of_kinds, read_object
from cfq_core.datasets.upload import checked_upload
from cfq_core.models.sandbox import sandboxed_parse
from cfq_core.study import jobs

if TYPE_CHECKING:
    from cfq_core.export.audit import PairAudit
    from cfq_core.models.read import ModelFile

FOLDER = "audits"
TEACHER, STUDENT = "teacher", "student"
TOLD, REPORT, PEOPLE = "audit.json", "report.html", "people.csv"
_NUMBER = (int, float, NoneType)
#: What an audit's file, a model in it and an interval in it hold.
KINDS: dict[str, tuple[type, ...]] = {
    "verdict": (str,), "dataset": (str,), "created": (int, float), "lines": (list,), "notes": (list,),
    "measures": (dict,), "intervals": (dict,), "groups": (dict,),
}  # fmt: skip
SIDE: dict[str, tuple[type, ...]] = {
    "file": (str,), "how": (str,), "sha256": (str,), "differing": (int,), "checked": (int,),
    "accuracy": (int, float), "approval_rate": (int, float),
}  # fmt: skip
INTERVAL: dict[str, tuple[type, ...]] = {"value": _NUMBER, "low": _NUMBER, "high": _NUMBER, "count": (int,)}


@dataclass(frozen=True)
class Upload:
    """A model file somebody hands over."""

    name: str
    content: bytes


@dataclass(frozen=True)
class StoredAudit:
    """A stored audit."""

    id: str
    folder: Path

    @cached_property
    def result(self) -> dict[str, Any]:
        """Everything that was found, as `cfq audit --json` prints it, with ``created`` and ``lines``."""
        try:
            result = read_object(self.folder / TOLD, KINDS)
            for role in (TEACHER, STUDENT):
                of_kinds(result[role], SIDE, role)
            for line in result["lines"]:
                of_kinds(line, {"title": (str,), "measure": (str,)}, "lines")
            for name, interval in result["intervals"].items():
                of_kinds(interval | {"value": result["measures"].get(name)}, INTERVAL, name)
            for level in (x for levels in result["groups"].values() for x in levels.values()):
                of_kinds(level["vd"], {}, "groups")
                for name, measured in level.items():
                    of_kinds(measured, INTERVAL, name)
            if not all(isinstance(line, str) for line in result.setdefault("as_run", [])):  # none in older ones
                raise ValueError("as_run holds something else than text")
            if not (self.folder / REPORT).is_file():
                raise ValueError(f"{REPORT} is missing")
        except (OSError, ValueError, LookupError, TypeError, AttributeError) as problem:
            raise BadStore(f"{self.folder}: holds no audit of this version ({problem})") from None
        return result

    @property
    def title(self) -> str:
        """``student.onnx against teacher.onnx on german``."""
        return f"{self.result[STUDENT]['file']} against {self.result[TEACHER]['file']} on {self.result['dataset']}"

    def people(self) -> bytes:
        """What each person was told, and whether it holds, as CSV; empty where an older version kept the audit."""
        file = self.folder / PEOPLE
        return file.read_bytes() if file.is_file() else b""

    def page(self) -> bytes:
        """Its report: one HTML file."""
        return (self.folder / REPORT).read_bytes()


def asked(dataset: str, teacher: Upload, student: Upload, question: Mapping[str, Any]) -> dict[str, Any]:
    """What an audit is about, as a job's plain values; raises `BadInput` in one line for a bad file.

    ``dataset``: a name or the path of a card; ``question``: fields of `cfq_core.export.audit.AuditOptions`.
    """
    files = {}
    for role, upload in ((TEACHER, teacher), (STUDENT, student)):
        checked_upload(upload.name, upload.content)
        sandboxed_parse(upload.content, upload.name)
        files[role] = {"name": upload.name, "sha256": hashlib.sha256(upload.content).hexdigest()}
    return {"kind": jobs.AUDIT, "datasets": [dataset], **files, "question": dict(question)}


def submit(store: Path, given: Mapping[str, Any], teacher: Upload, student: Upload) -> jobs.Job:
    """Audit two files in the background; ``given`` as `asked` made it."""
    return jobs.submit(store, given, {TEACHER: teacher.content, STUDENT: student.content})


def kept(store: Path) -> list[StoredAudit]:
    """The stored audits, newest first; what cannot be read as one is left out."""
    found = []
    for file in (store / FOLDER).glob(f"[!.]*/{TOLD}"):
        one = StoredAudit(file.parent.name, file.parent)
        try:
            found.append((one.result["created"], one.id, one))
        except BadStore:
            continue  # of another version, or damaged: the others can be read all the same
    return [one for _, _, one in sorted(found, key=lambda f: f[:2], reverse=True)]


def keep(
    store: Path, card: Path, question: Mapping[str, Any], teacher: ModelFile, student: ModelFile, found: PairAudit
) -> str:
    """Keep an audit that was made in this process, as if a page had asked for it; its id."""
    files = {r: {"name": f.name, "sha256": f.sha256} for r, f in ((TEACHER, teacher), (STUDENT, student))}
    given = {"kind": jobs.AUDIT, "datasets": [str(card.absolute())], **files, "question": dict(question)}
    try:
        return _keep(store, identity(given), found, question)
    except OSError as problem:
        raise BadInput(f"{store}: the audit cannot be kept there ({problem.strerror}); name another --store") from None


def known(store: Path, given: Mapping[str, Any]) -> str | None:
    """The id of the stored audit that answers this already; a damaged one answers nothing."""
    id = identity(dict(given))
    try:
        _ = StoredAudit(id, store / FOLDER / id).result
    except BadStore:
        return None
    return id


# ---------------------------------------------------------------------- the worker
def audited(folder: Path, tell: jobs.Tell) -> dict[str, str]:
    """Audit the two files in a job's folder and keep the answer in its store."""
    from cfq_core.export.audit import AuditOptions, audit_pair
    from cfq_core.models.read import parse_model
    from cfq_core.study.plan import table_of

    given = jobs.params(folder)
    content = {role: (folder / jobs.GIVEN / role).read_bytes() for role in (TEACHER, STUDENT)}
    teacher, student = (parse_model(content[role], given[role]["name"]) for role in (TEACHER, STUDENT))
    table = table_of(given["datasets"][0])
    tell(done=1, total=3, what="searching recourse on both files")
    found = audit_pair(table, teacher, student, AuditOptions(**given["question"]))
    tell(done=2, total=3, what="writing the report")
    id = _keep(folder.parents[1], identity(given), found, given["question"])
    tell(done=3, total=3, what="kept")
    return {"audit": id}


def _keep(store: Path, id: str, found: PairAudit, question: Mapping[str, Any]) -> str:
    """Write an audit whole or not at all; one that is there already is replaced by its like."""
    from cfq_core.base import cells
    from cfq_core.export import audit_text, people

    home = store / FOLDER
    home.mkdir(parents=True, exist_ok=True)
    lines = [{"title": title, "measure": name} for title, name, _ in audit_text.LINES]
    result = audit_text.as_json(found)
    each = cells.csv(people.frame(result.pop("per_person")))  # apart: a list of audits reads every answer
    result |= {"title": found.schema.title, "created": time.time(), "lines": lines}
    draft = Path(tempfile.mkdtemp(dir=home, prefix="."))
    try:
        (draft / TOLD).write_text(json.dumps(result | {"question": dict(question)}, allow_nan=False), encoding="utf-8")
        (draft / PEOPLE).write_bytes(each)
        (draft / REPORT).write_text(audit_text.page(found), encoding="utf-8")
        draft.chmod(0o755)
        shutil.rmtree(home / id, ignore_errors=True)
        draft.replace(home / id)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return id


if __name__ == "__main__":
    jobs.main(audited)
