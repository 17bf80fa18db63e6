"""Audits of two files, kept as studies of one teacher and one student, so that the same pages and reports show them.

What was taken for what, and how the files run, stands in the study's plan under ``pair``; what each person was told, in
the run's artifact `TOLD`. In the background both files are read, in a process with limits, before anything is written,
so a hostile or wrong one leaves nothing behind; they lie in a job's folder while it runs. A file that is a list of
layers is kept as its weights, any other as it is, as the artifact `KEPT_FILE`. No torch is imported here; the worker
does.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cfq_core.base.identity import identity
from cfq_core.base.logbook import sha256_of
from cfq_core.datasets.upload import checked_upload
from cfq_core.models.sandbox import sandboxed_parse
from cfq_core.study import jobs
from cfq_core.study.pair import KEPT_FILE, METHOD, PAIR, TOLD, packed
from cfq_core.study.revision import REVISION
from cfq_core.study.store import FILE, Store

if TYPE_CHECKING:
    from cfq_core.export.audit import PairAudit

TEACHER, STUDENT = "teacher", "student"
UNSAID = (None, "", "auto")  # what a question leaves open


@dataclass(frozen=True)
class Upload:
    """A model file somebody hands over."""

    name: str
    content: bytes


def asked(dataset: str, teacher: Upload, student: Upload, question: Mapping[str, Any]) -> dict[str, Any]:
    """What an audit is about, as a job's plain values; raises `BadInput` in one line for a bad file.

    ``dataset``: a name or the path of a card; ``question``: fields of `cfq_core.export.audit.AuditOptions`.
    """
    for upload in (teacher, student):
        checked_upload(upload.name, upload.content)
        sandboxed_parse(upload.content, upload.name)
    files = {
        role: (u.name, hashlib.sha256(u.content).hexdigest()) for role, u in ((TEACHER, teacher), (STUDENT, student))
    }
    return _given(dataset, files, question)


def _given(dataset: str, files: Mapping[str, tuple[str, str]], question: Mapping[str, Any]) -> dict[str, Any]:
    """The same asked twice is the same values: what is not said is left out, and a changed table is another one."""
    named = {role: {"name": name, "sha256": sha256} for role, (name, sha256) in files.items()}
    said = {k: v for k, v in question.items() if v not in UNSAID or k == "people"}  # of people None is all
    data = sorted(sha256_of([dataset]).values())
    return {"kind": jobs.AUDIT, "datasets": [dataset], **named, "question": said, "data": data, "revision": REVISION}


def submit(store: Path, given: Mapping[str, Any], teacher: Upload, student: Upload) -> jobs.Job:
    """Audit two files in the background; ``given`` as `asked` made it."""
    return jobs.submit(store, given, {TEACHER: teacher.content, STUDENT: student.content})


def known(store: Path, given: Mapping[str, Any]) -> str | None:
    """The id of the stored study that answers this already; one that is damaged, or lacks a file, answers nothing."""
    if not (store / FILE).is_file():
        return None
    opened = Store.for_reading(store)
    try:
        run, owner = _id(given, "run"), _id(given, "teacher")
        whole = opened.has_run(run) and opened.has_teacher(owner)
        whole = whole and all(opened.arrays(o, "weights") or opened.has_artifact(o, KEPT_FILE) for o in (owner, run))
        return study_id(given) if whole and study_id(given) in {s["id"] for s in opened.studies()} else None
    finally:
        opened.close()


def study_id(given: Mapping[str, Any]) -> str:
    """Id of the study that an audit becomes."""
    return identity([[_id(given, "run")], []])


def _id(given: Mapping[str, Any], what: str) -> str:
    return identity({"is": what, **given})


def keep_of(folder: Path, dataset: str, a: PairAudit) -> str:
    """Keep an audit that was made in this process, as if a page had asked for it; the study's id."""
    files = {TEACHER: (a.teacher.file, a.teacher.sha256), STUDENT: (a.student.file, a.student.sha256)}
    said = {f.name: v for f in fields(a.question) if (v := getattr(a.question, f.name)) != f.default}
    store = Store(folder)
    try:
        return keep(store, _given(dataset, files, said), a)
    finally:
        store.close()


# ---------------------------------------------------------------------- the worker
def audited(folder: Path, tell: jobs.Tell) -> dict[str, str]:
    """Audit the two files in a job's folder and keep the answer in its store."""
    from cfq_core.export.audit import AuditOptions, audit_pair
    from cfq_core.models.read import parse_model
    from cfq_core.study.plan import table_of

    given = jobs.params(folder)
    content = {role: (folder / jobs.GIVEN / role).read_bytes() for role in (TEACHER, STUDENT)}
    teacher, student = (parse_model(content[role], given[role]["name"]) for role in (TEACHER, STUDENT))
    tell(done=1, total=3, what="searching recourse on both files")
    found = audit_pair(table_of(given["datasets"][0]), teacher, student, AuditOptions(**given["question"]))
    tell(done=2, total=3, what="keeping it")
    store = Store(folder.parents[1])
    try:
        study = keep(store, given, found)
    finally:
        store.close()
    tell(done=3, total=3, what="kept")
    return {"study": study}


def keep(store: Store, given: Mapping[str, Any], a: PairAudit) -> str:
    """Write an audit as a study; one that is there already stays as it is."""
    from cfq_core.artifacts.artifact import ArtifactInput, spec_of
    from cfq_core.base import plugins
    from cfq_core.base.identity import described
    from cfq_core.export import audit_text, people
    from cfq_core.study.audited import per_person, per_teacher, plain_groups
    from cfq_core.study.measured import specs
    from cfq_core.study.models import arrays_of
    from cfq_core.study.promises import recourse_arrays
    from cfq_core.study.runner import teacher_measures, versions

    plan, teacher = _plan(given, a), _teacher(given, a)
    run, owner, p, seen = _id(given, "run"), _id(given, "teacher"), a.promise, a.seen
    arrays = {**per_teacher(p), **recourse_arrays(p.recourse)}
    name, seed = a.schema.name, p.design.seed
    store.put_teacher(owner, name, seed, teacher, teacher_measures(p), arrays_of(p.teacher), arrays)
    groups = plugins.load("artifacts", "groups")
    made = groups.compute(ArtifactInput(p, a.setting)).teacher
    store.put_artifact(owner, "groups", made, spec_of(groups, False))
    columns = {
        "id": run, "teacher_id": owner, "dataset": name, "method": METHOD, "budget": a.bits, "seed": seed,
        "bits": list(a.plan), "avg_bits": a.bits, "threshold": seen.threshold,
        "spec": {"kind": "run", "teacher": teacher, "method": {"kind": METHOD, **given[STUDENT]}, "budget": a.bits},
        "groups": plain_groups(seen.measures.groups),
    }  # fmt: skip
    told = audit_text.as_json(a)
    each = people.results(a)
    measured = specs(plugins.load_all("metrics"))
    store.put_run(columns, seen.measures.overall, arrays_of(a.model), per_person(seen), measured)
    store.put_artifact(run, TOLD, packed(each))
    for id, model, file in zip((owner, run), (p.teacher, a.model), a.files, strict=False):
        if not arrays_of(model):
            store.put_artifact(id, KEPT_FILE, file.arrays())
    pair = {k: told[k] for k in PAIR} | {"question": dict(given["question"])}
    store.put_study(study_id(given), plan.title, described(plan) | {"pair": pair}, versions(), [(run, owner)])
    return study_id(given)


def _plan(given: Mapping[str, Any], a: PairAudit) -> Any:
    from cfq_core.study.plan import Plan, TeacherFile

    title = f"{a.student.file} against {a.teacher.file} on {a.schema.title}"
    file = TeacherFile(a.teacher.file, unseen=a.unseen)
    return Plan(
        tuple(given["datasets"]), (METHOD,), (a.bits,), (a.promise.design.seed,), a.setting, title, teacher=file
    )


def _teacher(given: Mapping[str, Any], a: PairAudit) -> dict[str, Any]:
    """What a teacher's row holds of it, as that of a study does."""
    from cfq_core.base import numerics
    from cfq_core.base.identity import described
    from cfq_core.study.plan import TeacherSpec

    design, encoding = a.promise.design, a.promise.design.encoding
    spec = TeacherSpec(REVISION, design.table.fingerprint(), design.seed, a.setting, numerics.tag())
    constants = {"mean": list(encoding.mean), "std": list(encoding.std)}
    own = {"kind": "audited_file", **given[TEACHER], "rows": a.judged, "encoding": constants}
    return {**described(spec), "own": own}


if __name__ == "__main__":
    jobs.main(audited)
