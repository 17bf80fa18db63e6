"""Advice from any source, a letter or another library: legal under the card, at what cost, and on which models valid.

``check`` is a function of designs, models and people; the rest reads an advice file and a stored study. The
file has a column ``state`` (``before`` or ``after``), one a feature, and optionally ``person``; every person
has two rows, and an empty cell of the second says "as before", or of a column that follows from others "as it follows".
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int

from cfq_core.actions.action_set import objections
from cfq_core.actions.joint import Joint
from cfq_core.actions.regimes import under
from cfq_core.base.cells import harmless
from cfq_core.base.errors import BadInput, BadStore, did_you_mean
from cfq_core.datasets.dialect import delimiter_of
from cfq_core.nets.stack import Scorer
from cfq_core.pipeline import Design, prepare
from cfq_core.recourse.find import logits64
from cfq_core.study.models import model_of
from cfq_core.study.pair import made_here
from cfq_core.study.plan import table_of
from cfq_core.study.store import Store
from cfq_core.tables.schema import Feature, Schema, Table

LARGEST = 10_000_000  # bytes of an advice file
STATES = ("before", "after")
TEACHER = "teacher"  # the method of a full-precision judge


@dataclass(frozen=True)
class Judge:
    """One stored model and the design it was trained under."""

    design: Design
    model: Scorer  # R = 1
    method: str  # `TEACHER` for FP32
    bits: float


@dataclass(frozen=True)
class Advice:
    """What some people were told, in exact integer form."""

    person: tuple[str, ...]
    before: Int[np.ndarray, "n f"]
    after: Int[np.ndarray, "n f"]


@dataclass(frozen=True)
class OnModel:
    """One piece of advice on one model."""

    seed: int
    method: str
    bits: float
    logit_before: float
    logit: float

    @property
    def approved(self) -> bool:
        """Whether the model approves the person after the change."""
        return self.logit > 0


@dataclass(frozen=True)
class Verdict:
    """One piece of advice: what the card says of it, what it costs, and on which models it holds."""

    person: str
    changes: tuple[str, ...]
    objections: tuple[str, ...]  # empty: legal; of any seed's training rows
    cost: float  # mean over seeds, in scale units
    models: tuple[OnModel, ...]

    @property
    def legal(self) -> bool:
        """Whether the person can do this."""
        return not self.objections


def check(advice: Advice, judges: Sequence[Judge]) -> list[Verdict]:
    """One verdict a piece of advice, every model under its own design."""
    designs = list({id(j.design): j.design for j in judges}.values())
    logits = [[logits64(j.model, 0, j.design.encoding, v) for v in (advice.before, advice.after)] for j in judges]
    out = []
    for k, person in enumerate(advice.person):
        before, after = advice.before[k], advice.after[k]
        against = [line for d in designs for line in objections(d.actions, before, after)]
        cost = [float(d.actions.cost(before[None], after[None])[0]) for d in designs]
        models = [
            OnModel(j.design.seed, j.method, j.bits, float(old[k]), float(new[k]))
            for j, (old, new) in zip(judges, logits, strict=True)
        ]
        changes = designs[0].actions.advice(before, after)
        out.append(Verdict(person, tuple(changes), tuple(dict.fromkeys(against)), float(np.mean(cost)), tuple(models)))
    return out


# ---------------------------------------------------------------------- an advice file
def read_advice(path: Path, schema: Schema) -> Advice:
    """The advice in a CSV; raises `BadInput` in one line."""
    try:
        if path.stat().st_size > LARGEST:
            raise BadInput(f"{path}: larger than {LARGEST / 1e6:g} MB")
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as problem:
        raise BadInput(f"{path}: cannot be read as UTF-8 text ({type(problem).__name__})") from None
    return advice_of(text, schema, str(path))


def advice_of(text: str, schema: Schema, where: str) -> Advice:
    """The advice in a CSV's text; ``where`` names it in messages."""
    try:
        written = csv.reader(
            io.StringIO(text, newline=""), strict=True, skipinitialspace=True, delimiter=delimiter_of(text)
        )
        rows = [r for r in written if any(r)]
    except csv.Error as problem:
        raise BadInput(f"{where}: not a CSV: {problem}") from None
    if not rows:
        raise BadInput(f"{where}: is empty; the first row names the columns: state, {schema.features[0].name}, ...")
    names = {harmless(f.name): f.name for f in schema.features}
    header = [names.get(cell.strip(), cell.strip()) for cell in rows[0]]
    _check_header(header, schema, where)
    listed = [_Row(f"{where}: row {i}", dict(zip(header, r, strict=False)), len(r)) for i, r in enumerate(rows[1:], 2)]
    for row in listed:
        if row.cells != len(header):
            raise BadInput(f"{row.where} has {row.cells} cells; the header has {len(header)}")
    if not listed or len(listed) % 2:
        raise BadInput(f"{where}: has {len(listed)} rows below the header; every person has two, before and after")
    made = {schema.features[i].name: "no" for i in schema.flags.values()}  # nothing is missing unless it is said
    person, before, after = [], [], []
    for k, (old, new) in enumerate(zip(listed[::2], listed[1::2], strict=True), 1):
        for row, state in zip((old, new), STATES, strict=True):
            if row.cell("state") != state:
                given = row.cell("state")
                raise BadInput(f'{row.where}: state "{given}"; rows come in pairs, before then after: {state} here')
        person.append(old.cell("person") or str(k))
        before.append([count_of(f, old.cell(f.name) or made.get(f.name, ""), old.where) for f in schema.features])
        told = zip(schema.features, before[-1], strict=True)
        after.append([count_of(f, new.cell(f.name), new.where) if new.cell(f.name) else own for f, own in told])
    empty = np.array([[not new.cell(f.name) for f in schema.features] for new in listed[1::2]])
    told_of = np.array(before, np.int64), np.array(after, np.int64)
    return Advice(tuple(person), told_of[0], _following(schema, *told_of, empty))


def _following(
    schema: Schema, before: Int[np.ndarray, "n f"], after: Int[np.ndarray, "n f"], empty: Bool[np.ndarray, "n f"]
) -> Int[np.ndarray, "n f"]:
    """The same rows with every column that follows where it follows to, if nothing else was said of it."""
    if not schema.constraints:
        return after
    joint = Joint(under("any", schema))
    return np.where(
        empty & np.isin(np.arange(after.shape[1]), list(joint.follows)), joint.completed(before, after), after
    )


def advice_text(advice: Advice, schema: Schema) -> str:
    """Advice as the CSV that `advice_of` reads; what does not change stays empty in the second row."""
    out = io.StringIO()
    written = csv.writer(out, lineterminator="\n")
    written.writerow(["person", "state", *(harmless(f.name) for f in schema.features)])
    for person, before, after in zip(advice.person, advice.before, advice.after, strict=True):
        old, new = ([_cell(f, int(c)) for f, c in zip(schema.features, row, strict=True)] for row in (before, after))
        written.writerow([harmless(person), STATES[0], *old])
        written.writerow([harmless(person), STATES[1], *("" if a == b else b for a, b in zip(old, new, strict=True))])
    return out.getvalue()


def _cell(f: Feature, count: int) -> str:
    """A value as `count_of` reads it back: a level, or the shortest decimal."""
    return (
        str(harmless(f.levels[count]))
        if f.levels
        else f.date(count) or repr(float(f.raw(np.array([count]))[0])).removesuffix(".0")
    )


@dataclass(frozen=True)
class _Row:
    where: str
    given: Mapping[str, str]
    cells: int

    def cell(self, name: str) -> str:
        return self.given.get(name, "").strip()


def _check_header(header: list[str], schema: Schema, where: str) -> None:
    names = [f.name for f in schema.features]
    for name in header:
        if name not in (*names, "state", "person"):
            raise BadInput(f'{where}: column "{name[:60]}" is no feature{did_you_mean(name, names)}')
        if header.count(name) > 1:
            raise BadInput(f'{where}: column "{name[:60]}" is there {header.count(name)} times')
    made = {schema.features[i].name for i in schema.flags.values()}
    missing = [n for n in ("state", *names) if n not in header and n not in made]
    if missing:
        raise BadInput(f'{where}: column "{missing[0]}" is missing; needed are state, {", ".join(names)}')


def count_of(f: Feature, cell: str, where: str) -> int:
    """A cell of a feature as its grid count; raises `BadInput` in one line."""
    if f.levels:
        cell = cell[1:] if cell not in f.levels and cell[:1] == "'" else cell  # see `harmless`
        if cell not in f.levels:
            raise BadInput(
                f'{where}: {f.name} = "{cell[:60]}"; one of {", ".join(f.levels)}{did_you_mean(cell, f.levels)}'
            )
        return f.levels.index(cell)
    try:
        value = float(cell) if not f.reference or "-" not in cell[1:] else f.days(cell)
    except ValueError:
        raise BadInput(f'{where}: {f.name} = "{cell[:60]}"; a number') from None
    if not np.isfinite(value) or abs(value) > 2**53 * f.step or (f.log and value < 0):
        raise BadInput(f'{where}: {f.name} = "{cell[:60]}"; a finite number{" from 0" if f.log else ""}')
    count = int(f.counts(np.array([value]))[0])
    if abs(float(f.raw(np.array([count]))[0]) - value) > 1e-9 * max(1.0, abs(value)):
        raise BadInput(f'{where}: {f.name} = "{cell[:60]}"; a multiple of {f.step:g}')
    return count


# ---------------------------------------------------------------------- a stored study
def judges_of(store: Store, study: str, dataset: str | None = None) -> list[Judge]:
    """Every stored model of one data set of a study, teachers first; raises `BadInput` where it holds several."""
    row = store.study(study)
    tables = {t.schema.name: t for t in (table_of(d) for d in row["plan"]["datasets"])}
    if dataset is None and len(tables) > 1:
        raise BadInput(f"study {row['id']} is about {', '.join(tables)}; say which with --dataset")
    name = dataset or next(iter(tables))
    if name not in tables:
        raise BadInput(f'study {row["id"]} holds no data set "{name}"; one of {", ".join(tables)}')
    return judges_on(store, row["id"], tables[name])


def judges_on(store: Store, study: str, table: Table) -> list[Judge]:
    """Every stored model of a study that was taught on this table, teachers first."""
    name, judges, designs = table.schema.name, list[Judge](), dict[str, Design]()
    for t in store.teachers(study):
        if t["dataset"] == name:
            designs[t["id"]] = design = prepare(table, t["seed"], t["spec"]["setting"]["regime"])
            judges.append(Judge(design, model_of(store.arrays(t["id"], "weights")), TEACHER, 32.0))
    for run in store.runs(study):
        made_here(run)
        if run["dataset"] == name:
            model = model_of(store.arrays(run["id"], "weights"))
            judges.append(Judge(designs[run["teacher_id"]], model, run["method"], run["budget"]))
    if not judges:
        raise BadStore(f"study {study}: no finished run of {name}")
    return judges
