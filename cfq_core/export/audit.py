"""Audit of any pair of model files on any table: what the one promises, does the other keep?

The same search, evidence and metrics as everywhere else; here only the models come from files. How a file's inputs are
made from people and what its outputs mean is said (`models.contract`), or found on the judged rows (`models.reading`).
A file that is a list of layers is searched as such; any other is computed by onnxruntime, searched without gradients.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from cfq_core.actions.action_set import ActionSet
from cfq_core.base.errors import BadInput
from cfq_core.export.flags import flags, ties
from cfq_core.export.ways import Audited, SeenAs, seen_as
from cfq_core.models.blackbox import BlackBox
from cfq_core.models.columns import Layout
from cfq_core.models.contract import Contract, Output
from cfq_core.models.imported import COMPUTED, imported
from cfq_core.models.provenance import BadModel, encoding_of
from cfq_core.models.read import ModelFile
from cfq_core.models.reading import Reading, running_of, settle
from cfq_core.models.rerun import Rerun
from cfq_core.nets.stack import Scorer, Stack, score
from cfq_core.pipeline import Compared, Design, Setting, TeacherRecourse, compared, prepare, recourse_for, solver_on
from cfq_core.quant.bits import average_bits
from cfq_core.quant.quantized import QuantStack
from cfq_core.recourse.find import Solver
from cfq_core.recourse.relaxed import Relaxed
from cfq_core.recourse.search import Search
from cfq_core.tables.encode import Encoding, Values
from cfq_core.tables.fitted import fitted
from cfq_core.tables.schema import Schema, Table
from cfq_core.tables.split import Split, split

Rows = Literal["test", "all"]

#: The search without its gradient steps: all that a graph which is only computed can be asked.
GRADIENT_FREE = Search(relaxed=Relaxed(steps=0))
KAPPA = 0.2  # logits, where no file was audited with another margin


@dataclass(frozen=True)
class AuditOptions:
    """What is asked of a pair."""

    kappa: float | None = None  # logits; None: what the files were audited with, else the usual margin
    regime: str = "default"
    people: int | None = 2000  # denied people, a seeded sample; None: all
    n_reaudited: int = 1000  # of those, searched a second time on the student
    favourable: str = ""  # of both files, where nothing else is said of the student: see `models.contract`
    threshold: float | None = None
    output: Output = "auto"
    layout: Layout = "auto"
    student_favourable: str = ""
    student_threshold: float | None = None
    student_output: Output = "auto"
    student_layout: Layout = "auto"
    rows: Rows | None = None  # None: the test rows where the files name this very table, else all
    seconds: float = 300.0  # that each file may be computed for

    def __post_init__(self) -> None:
        if self.people is not None and self.people < 1:
            raise BadInput(f"people = {self.people}; a number from 1, or all")
        _ = self.contract(True), self.contract(False)

    @property
    def both(self) -> Contract:
        """What is said of both files."""
        return Contract(self.favourable, self.threshold, self.output, self.layout)

    @property
    def of_student(self) -> Contract:
        """What is said of the student alone."""
        return Contract(self.student_favourable, self.student_threshold, self.student_output, self.student_layout)

    def contract(self, is_teacher: bool) -> Contract:
        """What is said of one of the files."""
        return self.both if is_teacher else self.of_student.over(self.both)


@dataclass(frozen=True)
class Side:
    """One file as the audit sees it."""

    file: str
    sha256: str
    how: str  # what it was taken for
    accuracy: float
    approval_rate: float
    differing: int  # decisions on which the import differs from onnxruntime, of the rows and recourse points
    checked: int
    ways: tuple[SeenAs, ...] = ()  # every way a runtime may run it
    flags: tuple[str, ...] = ()  # where other processors and runtimes may decide otherwise
    tied: Bool[np.ndarray, "k"] = field(default_factory=lambda: np.zeros(0, bool))  # promised points that meet a tie


@dataclass(frozen=True)
class PairAudit:
    """What one file promises and whether the other keeps it."""

    schema: Schema
    teacher: Side
    student: Side
    question: AuditOptions
    setting: Setting
    judged: Rows
    unseen: bool  # the judged rows are known to be none that the teacher was trained on
    rows: int
    denied: int
    promise: TeacherRecourse[Any]
    model: Scorer  # the student
    seen: Compared
    notes: tuple[str, ...]
    seconds: float
    bits: float  # of a weight of the student, on average
    plan: tuple[int, ...] = ()  # of each of its layers, where the file says them
    files: tuple[Rerun, ...] = ()  # teacher and student, to be asked again as they were read

    @property
    def kappa(self) -> float:
        """The promise's margin, in logits."""
        return self.setting.kappa


@dataclass
class _Open:
    """A file being audited: how it is read, and its model once it is known."""

    reading: Reading
    model: Scorer
    how: str
    notes: list[str] = field(default_factory=list)

    @property
    def file(self) -> ModelFile:
        """The file."""
        return self.reading.file


def audit_pair(table: Table, teacher: ModelFile, student: ModelFile, question: AuditOptions | None = None) -> PairAudit:
    """Recourse from the teacher, and what becomes of it on the student; raises `BadModel` in one line."""
    question = question or AuditOptions()
    began = time.monotonic()
    provenances = [f.provenance for f in (teacher, student)]
    kappa = _kappa((student, teacher), question)
    design, notes = _design(table, (teacher, student), question)
    test = design.table.values[design.split.test]
    judged: Rows = "all" if len(test) == len(design.table) else "test"
    with ExitStack() as running:
        first = _opened(teacher, running, design, question)
        sides = [first, _opened(student, running, design, question, first.reading)]
        promise, seen, checks = _searched(sides, design, setting := _setting(sides, kappa, question))
        if any(checks):  # layers or integers that the runtime does not quite compute
            sides = [_blind(s, n, design) if n else s for s, n in zip(sides, checks, strict=True)]
            promise, seen, checks = _searched(sides, design, setting := _setting(sides, kappa, question))
        has_recourse, logits = promise.recourse.has_recourse, (promise.logits, seen.raw.student)
        after = promise.recourse.after[has_recourse]
        at = (promise.recourse.margin[has_recourse], seen.raw.student_at[has_recourse])
        run = [_as_run(s, test, after, (z, a)) for s, z, a in zip(sides, logits, at, strict=True)]
    outcome = table.outcome[design.split.test]
    each = zip(sides, logits, checks, run, strict=True)
    done = [_side(s, z, outcome, c, len(test) + len(after), w) for s, z, c, w in each]
    for s in sides:
        notes += s.notes
    plan, denied = provenances[1].bits if provenances[1] else (), int((promise.logits <= 0).sum())
    bits = _bits(student, sides[1].model, plan)
    return PairAudit(
        table.schema, done[0], done[1], question, setting, judged, judged == "test", len(test), denied, promise,
        sides[1].model, seen, tuple(notes), time.monotonic() - began, bits, plan,
        tuple(Rerun.of(s.reading) for s in sides),
    )  # fmt: skip


@dataclass(frozen=True)
class OpenedPair:
    """How an audit reads both files, and the table with what is learned of the rows that taught them."""

    design: Design
    teacher: Reading
    student: Reading
    model: Scorer  # the teacher
    kappa: float  # the promise's margin, in logits

    @property
    def solver(self) -> Solver:
        """How the teacher is searched."""
        return solver_on(self.design, GRADIENT_FREE if isinstance(self.model, BlackBox) else Search())


def opened_pair(
    table: Table, teacher: ModelFile, student: ModelFile, question: AuditOptions, running: ExitStack
) -> OpenedPair:
    """The pair for as long as ``running`` is open; raises `BadModel` in one line."""
    design, _ = _design(table, (teacher, student), question)
    first = _opened(teacher, running, design, question)
    second = _opened(student, running, design, question, first.reading)
    return OpenedPair(design, first.reading, second.reading, first.model, _kappa((student, teacher), question))


def _kappa(files: Sequence[ModelFile], question: AuditOptions) -> float:
    said = (f.provenance.kappa for f in files if f.provenance)
    return next(said, KAPPA) if question.kappa is None else question.kappa


# ---------------------------------------------------------------------- rows and encoding
def _design(table: Table, files: Sequence[ModelFile], question: AuditOptions) -> tuple[Design, list[str]]:
    """Whom the files judge, and how people become inputs."""
    known = [f for f in files if f.provenance is not None and f.provenance.inputs]
    pinned = [(f.name, f.provenance) for f in known if f.provenance is not None]
    encodings = [encoding_of(t, table.schema, name) for name, t in pinned]
    if len({(e.mean, e.std) for e in encodings}) > 1:
        names = " and ".join(f.name for f in known)
        raise BadModel(f"{names} were trained with different standardisations; they are no teacher and student")
    home = next((t for _, t in pinned if t.data == table.fingerprint()), None)
    if question.rows == "test" and home is None and table.part is None:
        raise BadModel("rows = test: neither file says that it was trained on this very table; ask for all rows")
    if (home is not None or table.part is not None) and question.rows != "all":
        design = prepare(table, home.seed if home else 0, question.regime)
        whose = f"of seed {home.seed}: the files name this table" if home else "of the card's own split"
        encoding = encodings[0] if encodings else design.encoding
        return replace(design, encoding=encoding), [f"judged on the {len(design.split.test)} test rows {whose}"]
    everybody = np.arange(len(table))
    unseen = everybody if home is None else split(table, home.seed).valid
    table = fitted(table, everybody)
    actions = ActionSet.fit(table.schema, table.values, question.regime)
    encoding = encodings[0] if encodings else Encoding.fit(table.schema, table.values)
    notes = [] if encodings else ["the files do not say whom they were trained on: some of these people, maybe"]
    if home is not None:
        notes.append("judged on all rows, also those the teacher was trained on")
    else:
        notes.append(
            "the files do not say which rows they were not trained on: the threshold at matched approval is set on all "
            "rows, so it may be off for a student that was trained on some of them"
        )
    return Design(table, 0, Split(everybody, unseen, everybody), encoding, actions), notes


# ---------------------------------------------------------------------- the two models
def _opened(
    file: ModelFile, running: ExitStack, design: Design, question: AuditOptions, teacher: Reading | None = None
) -> _Open:
    """A file as a model: layers where it is some and onnxruntime computes the same of every row, else a black box."""
    contract = question.contract(teacher is None).over(Contract.read(design.table.model, "card, [model]"))
    if file.says_itself:  # neither the card's words nor its teacher's are of it
        contract = question.both if teacher is None else question.of_student
    process = running.enter_context(running_of(file, design.table, question.seconds))
    reading, notes = settle(process, contract, design.table, design.split.test, teacher is None, teacher)
    found = imported(reading, design.encoding, design.table.values[design.split.test])
    notes += [found.problem] if found.problem else []
    return _Open(reading, found.model, found.how, notes)


def _setting(sides: Sequence[_Open], kappa: float, question: AuditOptions) -> Setting:
    """What a study of this would fix, with the layers of the teacher where it is some."""
    solver = GRADIENT_FREE if any(isinstance(s.model, BlackBox) for s in sides) else Search()
    of = sides[0].model
    hidden = tuple(w.shape[1] for w in of.weights[:-1]) if isinstance(of, Stack) else ()
    return Setting(hidden, kappa, question.regime, question.people, question.n_reaudited, solver=solver)


def _bits(file: ModelFile, model: Scorer, plan: Sequence[int]) -> float:
    """Average bits of a weight: as a file of ours says, else those of the tensors that hold them."""
    if plan and isinstance(model, QuantStack):
        return average_bits(tuple(plan), [w[0].numel() for w in model.weights])
    return file.bits_per_weight


def _searched(
    sides: Sequence[_Open], design: Design, setting: Setting
) -> tuple[TeacherRecourse[Any], Compared, list[int]]:
    """What is promised, what becomes of it, and of each file the decisions that onnxruntime makes otherwise."""
    (promise,) = recourse_for(sides[0].model, [design], setting)
    (seen,) = compared([promise], sides[1].model, setting)
    after = promise.recourse.after[promise.recourse.has_recourse]
    points = np.concatenate([design.table.values[design.split.test], after])
    return promise, seen, [_differing(s, points, design) for s in sides]


def _differing(side: _Open, people: Values, design: Design) -> int:
    """Decisions on which what was audited and what onnxruntime computes differ."""
    logits = side.reading.logits(people)
    inputs = torch.tensor(design.encoding.encode(people))[None]
    found = score(side.model.to(torch.float64), inputs)[0].numpy()
    return int(((found > 0) != (logits > 0)).sum())


def _blind(side: _Open, differing: int, design: Design) -> _Open:
    """The file itself in place of what was read from it."""
    note = (
        f"{side.file.name}: was read ({side.how}), but onnxruntime decides {differing} people or promised points "
        "otherwise; what onnxruntime computes is audited"
    )
    return _Open(side.reading, BlackBox(side.reading, design.encoding), COMPUTED, [*side.notes, note])


def _as_run(side: _Open, test: Values, after: Values, at: Any) -> dict[str, Any]:
    """The file in every way that a runtime may run it, and what its integers say of others."""
    reading, people, promised = side.reading, *(side.reading.columns.make(v) for v in (test, after))
    line, tied = ties(side.file, promised, reading.running.left, reading.running.feeds)
    ways = seen_as(side.file, reading.running, Audited(people, promised, *at), reading.of_outputs)
    if missing := ", ".join(reading.running.unlimited):
        side.notes.append(f"{side.file.name}: ran without a limit of {missing}: this system has none")
    return {"ways": ways, "flags": (*flags(side.file), *filter(None, [line])), "tied": tied}


def _side(
    side: _Open,
    logits: Float[np.ndarray, "n"],
    outcome: Int[np.ndarray, "n"],
    differing: int,
    checked: int,
    as_run: dict[str, Any],
) -> Side:
    right, approved = float(((logits > 0) == outcome).mean()), float((logits > 0).mean())
    return Side(side.file.name, side.file.sha256, side.how, right, approved, differing, checked, **as_run)
