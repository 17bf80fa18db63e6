"""What was seen of a student, to the store and back: `evidence_of` is what its audit had. Without torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from cfq_core.evidence import Evidence, evidence_from
from cfq_core.study.store import Arrays, Row, Store

if TYPE_CHECKING:
    from cfq_core.pipeline import Audited, Compared, TeacherRecourse

#: Of the teacher's evidence, as they are stored with its recourse: field -> array.
OF_TEACHER = {"person": "person", "cost": "cost", "teacher_at": "margin", "teacher": "logits", "outcome": "outcome"}
#: Of the student's, the same raw and at matched approval but for the threshold.
OF_STUDENT = ("student", "student_at", "reaudited")
#: Of the student's own search, which is made twice: raw, and at matched approval as ``matched_NAME``.
OF_SEARCH = ("student_has_recourse", "student_cost", "cosine", "proved")
#: The same, kept of the people searched for alone.
OF_REAUDITED = ("student_after", "student_why", "student_lower")
BOUND = "logit_lower_bound_"
#: Fields of evidence with a value for every test row.
ROWS = ("outcome", "teacher", "student", "groups")


def groups_of(a: Audited) -> dict[str, Any]:
    """What was measured of every group, as plain values."""
    return plain_groups(a.measures.groups)


def plain_groups(groups: Mapping[str, Any]) -> dict[str, Any]:
    """Measures of groups as plain values."""
    return {
        column: {level: {name: dict(vars(m)) for name, m in found.items()} for level, found in levels.items()}
        for column, levels in groups.items()
    }


def codes_of(a: Audited) -> dict[str, np.ndarray]:
    """The integers and steps of the student."""
    from cfq_core.study.models import arrays_of_student  # torch: evidence is read without it

    return arrays_of_student(a.student)


def per_teacher(p: TeacherRecourse[Any]) -> dict[str, np.ndarray]:
    """What is known of a teacher's test rows, besides its recourse."""
    return {"logits": p.logits, "person": p.person, "outcome": p.design.table.outcome[p.design.split.test]}


def per_person(a: Audited | Compared) -> dict[str, np.ndarray]:
    """What was seen of a student, row by row and person by person; the student's own actions are whole rows."""
    out = {k: getattr(a.raw, k) for k in OF_STUDENT}
    out |= {f"{BOUND}{name}": low for name, low in a.raw.logit_lower_bound.items()}
    for prefix, e in (("", a.raw), ("matched_", a.matched)):
        of_all = {k: getattr(e, k) for k in OF_SEARCH}
        asked = {k: of[e.reaudited] for k in OF_REAUDITED if (of := getattr(e, k)) is not None}
        out |= {f"{prefix}{k}": v for k, v in (of_all | asked).items() if v is not None}
    return out


def evidence_of(store: Store, run: Row) -> tuple[Evidence, Evidence]:
    """The evidence of a stored run, raw and at matched approval, as it was; partial where less is stored."""
    return evidence_in(*stored_teacher(store, run["teacher_id"]), store.arrays(run["id"], "people"), run["threshold"])


def stored_teacher(store: Store, teacher: str) -> tuple[Arrays, Arrays]:
    """A teacher's recourse and its test people's groups; the latter empty where an older store has none."""
    groups = store.arrays(teacher, "groups") if store.has_artifact(teacher, "groups") else {}
    return store.arrays(teacher, "people"), groups


def evidence_in(promised: Arrays, groups: Arrays, seen: Arrays, threshold: float) -> tuple[Evidence, Evidence]:
    """The same from what is stored of teacher, test people and student.

    Where no logits of test rows are kept (a gallery), the denied are all the rows there are: ``person`` counts them.
    """
    promised, seen, whole = _double(promised), _double(seen), "logits" in promised
    kept: dict[str, Any] = {k: promised[name] for k, name in OF_TEACHER.items() if name in promised}
    if "person" in promised and not whole:
        kept["person"] = np.arange(len(promised["person"]))
    if "why" in promised:
        kept["has_recourse"] = promised["why"] == 0
    columns = [k.removesuffix(".levels") for k in groups if k.endswith(".levels")]
    part = "test" if whole else "people"
    if all(f"{c}.{part}" in groups for c in columns):
        kept["groups"] = {c: groups[f"{c}.levels"][groups[f"{c}.{part}"]].tolist() for c in columns}
    kept |= {k: seen[k] for k in OF_STUDENT if k in seen}
    bounds = {k.removeprefix(BOUND): seen[k] for k in seen if k.startswith(BOUND)}
    kept |= {"logit_lower_bound": bounds} if bounds else {}
    raw, matched = (kept | _searched(promised, seen, prefix) for prefix in ("", "matched_"))
    for name in ("student", "student_at"):
        if name in kept:
            matched[name] = kept[name] - threshold
    if bounds:
        matched["logit_lower_bound"] = {name: low - threshold for name, low in bounds.items()}
    return evidence_from(raw), evidence_from(matched)


def _double(arrays: Arrays) -> Arrays:
    """A gallery keeps single precision; decisions and differences are those of float64."""
    return {k: a.astype(np.float64) if a.dtype == np.float32 else a for k, a in arrays.items()}


def _searched(promised: Arrays, seen: Arrays, prefix: str) -> dict[str, Any]:
    out: dict[str, Any] = {k: seen[f"{prefix}{k}"] for k in OF_SEARCH if f"{prefix}{k}" in seen}
    if not all(f"{prefix}{k}" in seen for k in OF_REAUDITED) or "before" not in promised:
        return out
    of_nobody = (promised["before"], np.full(len(promised["person"]), -1), np.zeros(len(promised["person"])))
    for name, values in zip(OF_REAUDITED, of_nobody, strict=True):
        out[name] = values.copy()
        out[name][seen["reaudited"]] = seen[f"{prefix}{name}"]
    return out


def denied_only(e: Evidence) -> Evidence:
    """The same evidence with the denied as the only rows, so that a metric of theirs scores them by their position."""
    kept = {k: v for k, v in vars(e).items() if k not in ROWS} | {"person": np.arange(len(e.person))}
    if "groups" in vars(e):
        kept["groups"] = {c: [levels[i] for i in e.person] for c, levels in e.groups.items()}
    return evidence_from(kept)
