"""A stored study as tidy pandas frames: the table behind every picture.

Opened by folder and id, read when asked for and kept; every read opens the store anew, so a `Stored`
may be shared between threads. What an older study does not hold is an empty frame, never an error.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import pandas as pd

from cfq_core.artifacts.artifact import artifact
from cfq_core.evidence import Evidence
from cfq_core.metrics import PARTS as METRICS
from cfq_core.study import summary
from cfq_core.study.audited import denied_only, evidence_of
from cfq_core.study.measured import Measured, current_measures
from cfq_core.study.over_seeds import NOTHING, OverSeeds, difference
from cfq_core.study.safe import Safe, safe_of
from cfq_core.study.store import Row, Store

LINES = ("dataset", "method", "budget", "avg_bits", "seeds", "lenient", "unmatched", "measure", "mean", "sd",
         "seed_low", "seed_high", "people", "tied_low", "tied_high")  # fmt: skip
LEFT = "approval_shift_matched"  # what stands beside every matched measure: how far test people are from matched
MEASURES = ("run", "dataset", "method", "budget", "seed", "avg_bits", "measure", "value", "low", "high", "count")
GROUPS = ("run", "dataset", "method", "budget", "seed", "column", "level", "crossing", "measure", "value", "low",
          "high", "count")  # fmt: skip
NUMBERS = (
    "unmatched",
    "tied_low",
    "tied_high",
    "budget",
    "at",
    "avg_bits",
    "mean",
    "sd",
    "seed_low",
    "seed_high",
    "value",
    "low",
    "high",
)
PROBED = ("probe", "dataset", "method", "budget", "series", "at", "label", "measure", "mean", "sd", "seed_low",
          "seed_high", "seeds", "people")  # fmt: skip
PLANS = ("run", "dataset", "method", "budget", "seed", "layer", "bits")


@dataclass(frozen=True)
class Stored:
    """One study of one store. Two are equal where folder, id and number of finished runs are."""

    folder: str
    id: str
    finished: int  # runs stored when it was opened: a study that runs gives new frames as it grows
    read_only: bool = False

    @contextmanager
    def store(self) -> Iterator[Store]:
        """The open store, for as long as it is read."""
        store = Store(self.folder, read_only=True) if self.read_only else Store.for_reading(self.folder)
        try:
            yield store
        finally:
            store.close()

    @cached_property
    def row(self) -> Row:
        """The study's own row: id, name, plan, versions, created, runs, finished."""
        with self.store() as store:
            return store.study(self.id)

    @property
    def setting(self) -> dict[str, Any]:
        """What its plan fixes: hidden, kappa, regime, people, ..."""
        return self.row["plan"]["setting"]

    @cached_property
    def varied(self) -> tuple[str, ...]:
        """Keys of the setting in which a study over several settings varies; empty for most studies."""
        return summary.varied(self.row["plan"])

    def first(self, key: str) -> Any:
        """The value of a key in the study's first setting, as `across` holds it."""
        return _plain(summary.value_of(self.setting, key))

    @cached_property
    def run_rows(self) -> list[Row]:
        """Its stored runs under its first setting, in order. Every frame but `across` is of that setting alone."""
        with self.store() as store:
            return [r for r in store.runs(self.id) if self._is_first(r["spec"]["teacher"])]

    def _is_first(self, teacher: Mapping[str, Any]) -> bool:
        return summary.same(teacher["setting"], self.setting, self.varied)

    @cached_property
    def teachers(self) -> pd.DataFrame:
        """One row a teacher: id, dataset, seed and what was measured of it."""
        with self.store() as store:
            rows = [{**{k: t[k] for k in ("id", "dataset", "seed")}, **t["measures"]}
                for t in store.teachers(self.id) if self._is_first(t["spec"])]  # fmt: skip
        return pd.DataFrame(rows, columns=None if rows else ["id", "dataset", "seed"])

    @property
    def margin_words(self) -> str:
        """How far a promise goes beyond the boundary, in words."""
        return summary.margin_words(self.setting, list(self.teachers.get("kappa", ())))

    def kappa(self, teacher: str = "") -> float:
        """The promise's margin in logits: of one teacher (its id), or the mean over all whose margin was solved."""
        solved = self.teachers.get("kappa")
        if self.setting.get("margin") is None or solved is None:
            return float(self.setting["kappa"])
        return float(solved[self.teachers.id == teacher].iloc[0] if teacher else solved.mean())

    @cached_property
    def runs(self) -> pd.DataFrame:
        """One row a run: run, teacher, dataset, method, budget, seed, avg_bits, threshold, bits (a tuple a layer)."""
        names = ("dataset", "method", "budget", "seed", "avg_bits", "threshold")
        rows = [
            {"run": r["id"], "teacher": r["teacher_id"], **{n: r[n] for n in names}, "bits": tuple(r["bits"])}
            for r in self.run_rows
        ]
        return pd.DataFrame(rows, columns=["run", "teacher", *names, "bits"])

    @cached_property
    def ids(self) -> dict[tuple[str, str, float, int], tuple[str, str]]:
        """Of (dataset, method, budget, seed): the run's id and its teacher's."""
        rows = reversed(self.run_rows)
        return {(r["dataset"], r["method"], r["budget"], r["seed"]): (r["id"], r["teacher_id"]) for r in rows}

    @cached_property
    def lines(self) -> pd.DataFrame:
        """One row a (data set, method, budget, measure): mean, sd and Student's 95 % interval over seeds."""
        mine = {k: summary.value_of(self.setting, k) for k in self.varied}
        found = [x for x in self._all_lines if x.setting == mine]
        return _floats(pd.DataFrame([_line(x, name) for x in found for name in x.measures], columns=list(LINES)))

    def measured_lines(self, dataset: str, measure: str) -> pd.DataFrame:
        """`lines` of one measure of a data set; a matched one with the approval shift that is left there."""
        here = self.lines[self.lines.dataset == dataset]
        rows = here[here.measure == measure].drop(columns=["dataset", "measure"]).reset_index(drop=True)
        if not measure.endswith("_matched") or measure == LEFT:
            return rows.drop(columns=["unmatched", "tied_low", "tied_high"])
        left = here[here.measure == LEFT].set_index(["method", "budget"])["mean"].rename(LEFT)
        return rows.join(left, on=["method", "budget"])

    def paired(self, dataset: str, budget: float, measure: str, one: str, other: str) -> OverSeeds:
        """A measure of one method less that of another, seed by seed, under the first setting."""
        mine = {k: summary.value_of(self.setting, k) for k in self.varied}
        here = [x for x in self._all_lines if x.setting == mine and (x.dataset, x.budget) == (dataset, budget)]
        of = {x.method: x.measure(measure) for x in here}
        return difference(of.get(one, NOTHING), of.get(other, NOTHING))

    def safe(self, dataset: str, at_most: float, confidence: float, matched: bool = False) -> tuple[Safe, ...]:
        """How few bits are safe, of each method of a data set."""
        return safe_of([x for x in self._all_lines if x.dataset == dataset], at_most, confidence, matched)

    @cached_property
    def across(self) -> pd.DataFrame:
        """`lines` under every setting, with a column for each key in `varied`."""
        rows = [
            {**_line(x, name), **{k: _plain(v) for k, v in x.setting.items()}}
            for x in self._all_lines
            for name in x.measures
        ]
        return _floats(pd.DataFrame(rows, columns=[*LINES, *self.varied]))

    @cached_property
    def _all_lines(self) -> list[summary.Line]:
        with self.store() as store:
            return summary.lines(store, self.id)

    @cached_property
    def measured(self) -> dict[str, Measured]:
        """What is measured of its runs under the metrics there are now, by run."""
        with self.store() as store:
            return current_measures(store, self.id, self.run_rows)

    @cached_property
    def measures(self) -> pd.DataFrame:
        """One row a (run, measure): value with its interval over people."""
        rows = [
            {**_about(r), "avg_bits": r["avg_bits"], "measure": name, **m}
            for r in self.run_rows
            for name, m in self.measured[r["id"]].overall.items()
        ]
        return _floats(pd.DataFrame(rows, columns=list(MEASURES)))

    @cached_property
    def groups(self) -> pd.DataFrame:
        """One row a (run, group, measure); ``crossing`` where two columns meet; no value where people are too few."""
        rows = [
            {**_about(r), "column": column, "level": level, "crossing": " x " in column, "measure": name, **m}
            for r in self.run_rows
            for column, levels in self.measured[r["id"]].groups.items()
            for level, of_level in levels.items()
            for name, m in of_level.items()
        ]
        return _floats(pd.DataFrame(rows, columns=list(GROUPS)))

    @cached_property
    def plans(self) -> pd.DataFrame:
        """One row a (run, layer): its weight bits."""
        rows = [{**_about(r), "layer": i, "bits": b} for r in self.run_rows for i, b in enumerate(r["bits"], start=1)]
        return pd.DataFrame(rows, columns=list(PLANS))

    @cached_property
    def sensitivities(self) -> pd.DataFrame:
        """One row a (teacher, allocator, layer, bits): what rounding that layer alone does; empty in older studies."""
        columns = ("dataset", "seed", "allocator", "layer", "size", "bits", "value")
        rows = [
            (t.dataset, t.seed, k.split(".", 1)[1], i, size, b, value)
            for t, stored in self._teacher_bits
            for k, profile in stored.items()
            if k.startswith("sensitivity.")
            for i, (size, of_layer) in enumerate(zip(stored["sizes"], profile, strict=True), start=1)
            for b, value in zip(stored["choices"], of_layer, strict=True)
        ]
        return pd.DataFrame(rows, columns=list(columns))

    @cached_property
    def landscape(self) -> pd.DataFrame:
        """One row a (teacher, allocation): its plan, average bits and what it does; empty where it was not judged."""
        frames = [table_of(stored).assign(dataset=t.dataset, seed=t.seed) for t, stored in self._teacher_bits]
        return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()

    @cached_property
    def _teacher_bits(self) -> list[tuple[Any, dict[str, np.ndarray]]]:
        return [(t, stored) for t in self.teachers.itertuples() if (stored := self.arrays(str(t.id), "layers"))]

    @cached_property
    def probed(self) -> pd.DataFrame:
        """One row a (probe, model, condition, measure) under the first setting; the teachers' have no budget."""
        with self.store() as store:
            found = summary.probe_lines(store, self.id)
        mine = {k: self.first(k) for k in self.varied}
        return _floats(pd.DataFrame([_probe_line(x) for x in found if x.setting == mine], columns=list(PROBED)))

    def has_probe(self, name: str) -> bool:
        """Whether every run has been asked; read anew each time, since probes come after the last run."""
        if name not in self.row["plan"].get("probes", ()):
            return False
        with self.store() as store:
            return store.holds(self.id, artifact(name))

    def arrays(self, owner: str, name: str) -> dict[str, np.ndarray]:
        """An artifact of a teacher or run; empty where it is not stored."""
        with self.store() as store:
            return store.arrays(owner, name) if store.has_artifact(owner, name) else {}

    def people(self, run: str) -> pd.DataFrame:
        """One row a person whom the run's teacher denied: see `PEOPLE`; group columns are named ``group:NAME``."""
        return _people(self, run)

    def pooled(self, dataset: str, method: str, budget: float) -> pd.DataFrame:
        """`people` of every seed of one (data set, method, budget), with ``seed`` and the run's ``threshold``."""
        mine = [r for r in self.run_rows if (r["dataset"], r["method"], r["budget"]) == (dataset, method, budget)]
        frames = [self.people(r["id"]).assign(seed=r["seed"], threshold=r["threshold"]) for r in mine]
        return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


#: Columns of `Stored.people` besides the groups. Logits are judged in float64; costs are in scale units.
PEOPLE = {
    "person": "position among the teacher's test rows; the same for every run of that teacher",
    "teacher_logit": "of the person as they are (at most 0: denied)",
    "has_recourse": "whether the teacher's model has an action for them",
    "cost": "of that action",
    "teacher_at": "teacher's logit after the action: the promised margin",
    "student_logit": "of the person as they are",
    "student_at": "student's logit after the action",
    "holds": "whether the promise holds on the student",
    "holds_matched": "the same at the teacher's approval rate",
    "condition": "whether |q - f| < f at that point",
    "reaudited": "whether recourse was searched on the student too",
    "student_has_recourse": "whether it was found",
    "student_cost": "its cost; 0 where the student needs no action",
    "gap": "relative change of cost, where both models have an action",
    "cosine": "of the two actions",
}


@lru_cache(maxsize=512)
def _people(study: Stored, run: str) -> pd.DataFrame:
    row = next(r for r in study.run_rows if r["id"] == run)
    with study.store() as store:
        raw, matched = (denied_only(e) for e in evidence_of(store, row))
    promised, seen = study.arrays(row["teacher_id"], "people"), study.arrays(run, "people")
    person = promised["person"]

    def scored(metric: str, e: Evidence) -> np.ndarray:
        """A metric's value of each person; NaN of those who do not count."""
        out, found = np.full(len(person), np.nan), METRICS[metric].score(e)
        out[found.rows] = found.values
        return out

    frame = {
        "person": person,
        "teacher_logit": of_denied(promised, "logits", person),
        "has_recourse": raw.has_recourse,
        "cost": np.where(raw.has_recourse, raw.cost, np.nan),
        "teacher_at": np.where(raw.has_recourse, raw.teacher_at, np.nan),
        "student_logit": of_denied(seen, "student", person),
        "student_at": raw.student_at,
        "holds": scored("vd", raw) == 0,
        "holds_matched": scored("vd", matched) == 0,
        "condition": scored("margin_condition", raw) == 1,
        "reaudited": raw.reaudited,
        "student_has_recourse": raw.student_has_recourse,
        "student_cost": np.where(raw.student_has_recourse, raw.student_cost, np.nan),
        "gap": scored("crg_mean", raw),
        "cosine": raw.cosine,
    }
    groups = study.arrays(row["teacher_id"], "groups")
    return pd.DataFrame(frame | group_labels(groups))


def of_denied(arrays: dict[str, np.ndarray], name: str, person: np.ndarray) -> np.ndarray:
    """Logits of the denied, from those of all test rows or, in a gallery, from ``denied_NAME``."""
    if f"denied_{name}" in arrays:
        return arrays[f"denied_{name}"].astype(float)
    return arrays[name][person]


def group_labels(groups: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Group of each denied person by column (see `cfq_core.artifacts.groups`); empty where an older study has none."""
    columns = [k.removesuffix(".levels") for k in groups if k.endswith(".levels")]
    return {f"group:{c}": groups[f"{c}.levels"][groups[f"{c}.people"]] for c in columns}


def table_of(stored: dict[str, np.ndarray]) -> pd.DataFrame:
    """The landscape of one teacher (see `cfq_core.allocators.landscape.Landscape`); its plans as tuples."""
    table = {k.split(".", 1)[1]: v for k, v in stored.items() if k.startswith("landscape.")}
    return pd.DataFrame({k: list(map(tuple, v.tolist())) if v.ndim == 2 else v for k, v in table.items()})


def _floats(frame: pd.DataFrame) -> pd.DataFrame:
    """Numbers as floats, NaN where they are not defined: a column of None alone would be of no type."""
    return frame.astype({c: float for c in NUMBERS if c in frame})


def _plain(value: Any) -> Any:
    """A setting's value in a frame: a number, or a name."""
    return value if isinstance(value, int | float) else summary.format_setting(value)


def _about(r: Row) -> dict[str, Any]:
    return {"run": r["id"], **{k: r[k] for k in ("dataset", "method", "budget", "seed")}}


def _line(line: summary.Line, name: str) -> dict[str, Any]:
    m = line.measure(name)
    about = (line.dataset, line.method, line.budget, line.avg_bits, m.seeds, line.lenient, line.unmatched)
    numbers = (m.mean, m.sd, m.low, m.high, m.people, *(m.tied or (None, None)))
    return dict(zip(LINES, (*about, name, *numbers), strict=True))


def _probe_line(x: summary.ProbeLine) -> dict[str, Any]:
    m = x.over
    about = (x.probe, x.dataset, x.method, x.budget, x.series, x.at, x.label, x.measure)
    return dict(zip(PROBED, (*about, m.mean, m.sd, m.low, m.high, m.seeds, m.people), strict=True))
