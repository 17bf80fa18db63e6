"""A stored run since it shipped: are promises kept by the file that runs now, on people nobody had seen?

New people need no outcome. Whom the teacher refuses are told what to do by the search of the study, and the running
model judges it; people who came back having done what somebody was told then are judged as they are. Every look is
kept beside the store, in ``watch/RUN.jsonl``; the same file of people is one look, however often it is given.
"""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from cfq_core.base.errors import BadInput, BadStore
from cfq_core.base.seeds import numpy_stream
from cfq_core.base.whole import write_whole
from cfq_core.export.newcomers import people_of
from cfq_core.export.stored import StoredRun
from cfq_core.models.verify_promises import Model
from cfq_core.nets.stack import score
from cfq_core.recourse.problem import RecourseQuery
from cfq_core.study.drift import Batch, Look, look
from cfq_core.study.models import searched
from cfq_core.study.store import Store
from cfq_core.tables.encode import Values

FOLDER = "watch"  # of a store
LARGEST = 500_000_000  # bytes of a file of people


@dataclass(frozen=True)
class Watched:
    """One look at a run."""

    run: str
    data: str  # sha256 of the file of people
    when: str
    people: int
    unread: int  # rows that the table's card does not allow, left out
    look: Look

    def as_json(self) -> dict[str, Any]:
        """The object that ``--json`` prints and the history keeps."""
        plain = {k: v for k, v in vars(self).items() if k != "look"}
        return {**plain, **asdict(self.look), "alarm": self.look.alarm}

    @property
    def words(self) -> str:
        """For a reader."""
        told = f"{self.people:,} people{f', {self.unread:,} rows not read' if self.unread else ''}"
        out = [f"run {self.run}, look {self.look.number}: {told}; {'ALARM' if self.look.alarm else 'no alarm'}"]
        for a in self.look.answers:
            mark, at = "ALARM " if a.alarm else "", f"p = {a.p:.2g}, alarm at {self.look.spends:.2g}"
            out.append(f"  {mark}{a.question}: {a.words} ({at})")
        return "\n".join(out)


def watch(store: Store, run: StoredRun, data: Path, running: Path | None = None, people: int = 500) -> Watched:
    """One look at a run, kept in its history; ``running``: the file that runs now, else the stored integers.

    ``people``: at most so many refused newcomers are told what to do. Raises `BadInput` in one line.
    """
    content = _content(data)
    sha = hashlib.sha256(content).hexdigest()
    home = store.folder / FOLDER / f"{run.row['id']}.jsonl"
    past = history(home)
    table = run.design.table
    values, unread = people_of(content, table, str(data))
    same = [p["number"] for p in past if p["data"] == sha]
    number = same[0] if same else len(past) + 1
    decide = _decider(run, running)
    names = {i: f.words for i, f in enumerate(run.design.table.schema.features)}
    found = look(_then(store, run), _now(store, run, values, decide, people), number, names)
    seen = Watched(run.row["id"], sha, time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), len(values), unread, found)
    if not same:
        home.parent.mkdir(parents=True, exist_ok=True)
        write_whole(home, "".join(json.dumps(p) + "\n" for p in [*past, seen.as_json()]).encode())
    return seen


def history(file: Path) -> list[dict[str, Any]]:
    """Every look so far, the first at first; raises `BadStore` where the file is damaged."""
    if not file.is_file():
        return []
    try:
        found = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
        if any(p["number"] != n or not isinstance(p["data"], str) for n, p in enumerate(found, 1)):
            raise ValueError("looks are missing")
    except (ValueError, LookupError, TypeError) as problem:
        raise BadStore(f"{file}: is no history of looks ({problem}); move it away to begin anew") from None
    return found


# ---------------------------------------------------------------------- the two batches
def _then(store: Store, run: StoredRun) -> Batch:
    """The people of the audit."""
    told, seen = store.arrays(run.row["teacher_id"], "people"), store.arrays(run.row["id"], "people")
    asked = told["why"] == 0
    values = run.people["test rows"]
    broken = int((seen["student_at"][asked] <= 0).sum())
    approved = int((run.logits["student"]["test rows"] > 0).sum())
    return Batch(broken, int(asked.sum()), 0, 0, approved, values, _categories(run))


def _now(store: Store, run: StoredRun, values: Values, decide: Any, people: int) -> Batch:
    """New people: whom the teacher refuses ask, and some may be those who were told then."""
    design, row = run.design, run.row
    told = store.arrays(row["teacher_id"], "people")
    were_told = {r.tobytes() for r in np.ascontiguousarray(told["after"][told["why"] == 0], np.int64)}
    back = np.array([r.tobytes() in were_told for r in np.ascontiguousarray(values, np.int64)], bool)
    decisions = decide(values)
    encoded = torch.tensor(design.encoding.encode(values))[None]
    denied = np.flatnonzero(score(run.teacher.to(torch.float64), encoded)[0].numpy() <= 0)
    if len(denied) > people:
        denied = np.sort(numpy_stream(0, "watch").choice(denied, people, replace=False))
    promised = broken = 0
    if len(denied):
        ask = RecourseQuery(values[denied], design.encoding, design.actions)
        found = searched(store.arrays(row["teacher_id"], "weights"), ask, row["spec"]["teacher"]["setting"], run.kappa)
        after = found.after[found.has_recourse]
        promised, broken = len(after), int((decide(after) <= 0).sum()) if len(after) else 0
    refused, returned = int((decisions[back] <= 0).sum()), int(back.sum())
    return Batch(broken, promised, refused, returned, int((decisions > 0).sum()), values, _categories(run))


def _categories(run: StoredRun) -> np.ndarray:
    return np.array([f.is_category for f in run.design.table.schema.features])


def _decider(run: StoredRun, running: Path | None) -> Any:
    """Logits of the model that runs now."""
    if running is None:
        student = run.student.to(torch.float64)

        def of_integers(values: Values) -> Float[np.ndarray, "n"]:
            return score(student, torch.tensor(run.design.encoding.encode(values))[None])[0].numpy()

        return of_integers
    try:
        model = Model(running.read_bytes())
    except Exception as problem:  # whatever the runtime says of a file that is none
        said = " ".join(str(problem).split())[:200]
        raise BadInput(f"{running}: cannot be run ({said}); cfq export writes what is needed") from None
    seen = [i for i, f in enumerate(run.design.table.schema.features) if not f.aside]
    return lambda values: model.least(values[:, seen])


# ---------------------------------------------------------------------- new people
def _content(data: Path) -> bytes:
    try:
        if data.stat().st_size > LARGEST:
            raise BadInput(f"{data}: larger than {LARGEST / 1e6:g} MB; give a batch at a time")
        return data.read_bytes()
    except OSError as problem:
        raise BadInput(f"{data}: cannot be read ({problem.strerror})") from None
