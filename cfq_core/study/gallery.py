"""The shipped gallery: stored studies without any row of a raw table.

What describes a person in their own features is left out (recourse before and after, training
recourse, logits of all test rows); what was measured of the denied stays: costs, margins, validity,
groups. Teachers and students stay too: their weights are the result. What is measured of the arrays that
go along is what the study measured, to every digit that is kept.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cfq_core.artifacts.artifact import artifact
from cfq_core.base.errors import UnknownName, unknown
from cfq_core.base.identity import identity
from cfq_core.base.plugins import load_all
from cfq_core.evidence import OTHER_THRESHOLD, Measure, NotKept, measure
from cfq_core.study.audited import evidence_in, plain_groups, stored_teacher
from cfq_core.study.measured import Measured, Values, current_measures
from cfq_core.study.store import FILE, Arrays, Row, Store

#: Artifacts of a teacher that go along besides its weights and people; what is not named here stays behind.
KEPT = ("layers", "groups")
#: Arrays of an artifact "people" that go along, per denied person.
KEPT_PEOPLE = (
    "person", "cost", "margin", "why", "lower", "proved", "student_at", "reaudited",
    "student_has_recourse", "student_cost",
    "cosine", "matched_student_has_recourse", "matched_student_cost", "matched_cosine",
)  # fmt: skip
#: Logits of all test rows, of which only those of the denied go along, as ``denied_NAME``.
OF_DENIED = ("logits", "student")
#: Measures by group that the pages show; a run's full table of groups is larger than everything else together.
KEPT_GROUPS = ("approval_shift", "crg_abs", "crg_abs_matched", "recourse_lost", "vd", "vd_matched")
#: Ending of arrays with a value for every test row.
OF_TEST_ROWS = ".test"
DIGITS, GROUP_DIGITS = 6, 4  # significant ones of a measure: more than any interval resolves


@dataclass(frozen=True)
class Share:
    """Which part of a study goes along: a gallery is small. None: all of it."""

    methods: tuple[str, ...] | None = None
    seeds: int | None = None  # the first so many

    def of(self, runs: list[Row]) -> list[Row]:
        """The runs that go along; raises `UnknownName` for a method that the study does not have."""
        known = list(dict.fromkeys(r["method"] for r in runs))
        for name in self.methods or ():
            if name not in known:
                raise UnknownName(unknown("method", name, known))
        chosen = [r for r in runs if r["method"] in (self.methods or known)]
        kept = {dataset: self._seeds(chosen, dataset) for dataset in {r["dataset"] for r in chosen}}
        return [r for r in chosen if r["seed"] in kept[r["dataset"]]]

    def _seeds(self, runs: list[Row], dataset: str) -> list[int]:
        """The first seeds that every method has: means are over the same teachers."""
        here = [r for r in runs if r["dataset"] == dataset]
        cells = {(r["method"], r["budget"]) for r in here}
        counted = Counter(r["seed"] for r in here)
        return sorted(seed for seed, number in counted.items() if number == len(cells))[: self.seeds]


def pack(store: Store, studies: Iterable[str], to: Path, share: Share = Share()) -> dict[str, int]:
    """Copy (a share of) studies into the gallery at ``to``; gives the bytes of each kind of artifact."""
    target = Store(to)
    written: dict[str, int] = {}
    try:
        for study in studies:
            _pack_study(store, target, store.study(study), share, written)
        target.db.execute("PRAGMA journal_mode = DELETE")  # one file, readable where nothing can be written
        target.db.execute("VACUUM")
    finally:
        target.close()
    return {**written, FILE: (to / FILE).stat().st_size}


def _pack_study(store: Store, target: Store, row: Row, share: Share, written: dict[str, int]) -> None:
    stored = store.runs(row["id"])
    runs = share.of(stored)
    teachers = [t for t in store.teachers(row["id"]) if t["id"] in {r["teacher_id"] for r in runs}]
    id, name, plan = row["id"], row["name"], row["plan"]
    if len(runs) < row["runs"]:  # another study than the full one: it says so, and has an id of its own
        methods, seeds = (list(dict.fromkeys(r[k] for r in runs)) for k in ("method", "seed"))
        what = ", ".join(methods) if len(methods) < 3 else f"{len(methods)} methods"
        name = f"{name.split(':')[0]}: {what}, {len(seeds)} seed{'s' if len(seeds) > 1 else ''}"
        plan = {**plan, "name": name, "methods": methods, "seeds": seeds}
        id = identity([name, [r["id"] for r in runs]])
    target.put_study(id, name, plan, row["versions"], [(r["id"], r["teacher_id"]) for r in runs])
    denied: dict[str, np.ndarray] = {}
    for t in teachers:
        people = store.arrays(t["id"], "people")
        denied[t["id"]] = people["person"]
        weights = store.arrays(t["id"], "weights")
        kept = _of_the_denied(people, people["person"])
        target.put_teacher(t["id"], t["dataset"], t["seed"], t["spec"], _rounded(t["measures"]), weights, kept)
        _pack_probes(store, target, t["id"], plan)
        for name in KEPT:
            if store.has_artifact(t["id"], name):
                arrays = {k: a for k, a in store.arrays(t["id"], name).items() if not k.endswith(OF_TEST_ROWS)}
                target.put_artifact(t["id"], name, _small(arrays))
    found = current_measures(store, row["id"], runs)
    for r in runs:
        _pack_run(store, target, r, found[r["id"]], denied[r["teacher_id"]])
        _pack_probes(store, target, r["id"], plan)
    for name, size in target.db.execute("SELECT name, sum(bytes) FROM artifact GROUP BY name"):
        written[name] = size


def _pack_probes(store: Store, target: Store, owner: str, plan: dict[str, Any]) -> None:
    """What the study's probes read, to the last digit: conditions are found by their numbers, and nobody is in it."""
    for name in map(artifact, plan.get("probes", ())):
        if store.has_artifact(owner, name):
            target.put_artifact(owner, name, store.arrays(owner, name))


def _pack_run(store: Store, target: Store, r: Row, of_run: Measured, person: np.ndarray) -> None:
    kept = _of_the_denied(store.arrays(r["id"], "people"), person)
    told = *stored_teacher(target, r["teacher_id"]), r["threshold"]
    measures = {name: Measure(**v) for name, v in _overall(of_run.overall).items()}
    columns = {**r.columns, "groups": _by_group(of_run.groups)}
    weights = store.arrays(r["id"], "weights")
    target.put_run(columns, measures, weights, in_few_bytes(kept, *told), of_run.specs)


def in_few_bytes(people: dict[str, np.ndarray], promised: Arrays, groups: Arrays, threshold: float) -> Arrays:
    """A run's arrays in single precision, unless anything that is measured of them would then be another number.

    A threshold may lie as near to a logit as single precision rounds, and then decides otherwise.
    """
    small, metrics = _small(people), load_all("metrics")
    try:
        one, other = (measure(metrics, *evidence_in(promised, groups, x, threshold)) for x in (people, small))
    except NotKept:
        return people  # an older store without groups
    told = [
        (_overall({n: vars(v) for n, v in m.overall.items()}), _by_group(plain_groups(m.groups))) for m in (one, other)
    ]
    return small if told[0] == told[1] else people


def _overall(measures: Values) -> Values:
    """What is measured of a run, in the digits that go along; a threshold in all of them."""
    return {name: v if name == OTHER_THRESHOLD else _rounded(v) for name, v in measures.items()}


def _by_group(groups: dict[str, dict[str, Values]]) -> dict[str, dict[str, Values]]:
    """What is measured of groups, as far as it goes along."""
    return {
        column: {
            level: {m: _rounded(v, GROUP_DIGITS) for m, v in found.items() if m in KEPT_GROUPS}
            for level, found in levels.items()
        }
        for column, levels in groups.items()
    }


def _of_the_denied(arrays: dict[str, np.ndarray], person: np.ndarray) -> dict[str, np.ndarray]:
    """What a gallery holds of an artifact "people"."""
    kept = {k: arrays[k] for k in KEPT_PEOPLE if k in arrays}
    logits = {f"denied_{k}": arrays[k][person] for k in OF_DENIED if k in arrays}
    already = {f"denied_{k}": arrays[f"denied_{k}"] for k in OF_DENIED if f"denied_{k}" in arrays}
    return kept | logits | already


def _small(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Single precision: a picture shows no more."""
    return {k: a.astype(np.float32) if a.dtype == np.float64 else a for k, a in arrays.items()}


def _rounded(value: Any, digits: int = DIGITS) -> Any:
    if isinstance(value, dict):
        return {k: _rounded(v, digits) for k, v in value.items()}
    return float(f"{value:.{digits}g}") if isinstance(value, float) else value
