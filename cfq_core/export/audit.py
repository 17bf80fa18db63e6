"""Audit of any pair of model files on any table: what the one promises, does the other keep?

The same search, evidence and metrics as everywhere else; here only the models come from files. How a file's input
columns are made from people:

- a file that `cfq export` wrote says so itself (feature order, standardisation of its training rows);
- any other file is given the encoded design of the card: features in the card's order, a category one column a level
  in its order of levels, numbers and ordinals standardised on the whole table (``standardised``), as they are
  (``raw``), or as they are with a category as the index of its level in one column (``levels``). ``auto`` knows the
  last by the number of columns and else takes ``standardised``. Numbers modelled as log(1 + x) are given so.

The favourable decision is a logit above 0, a probability above one half, or the second of two classes.
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
from torch import Tensor

from cfq_core.actions.action_set import ActionSet
from cfq_core.base.errors import BadInput
from cfq_core.export.flags import flags, ties
from cfq_core.export.ways import Audited, SeenAs, seen_as
from cfq_core.models.dense import dense
from cfq_core.models.provenance import BadModel, encoding_of
from cfq_core.models.read import ModelFile
from cfq_core.models.runtime import BlackBox, Running, as_logits
from cfq_core.nets.stack import Scorer, Stack, score
from cfq_core.pipeline import Compared, Design, Setting, TeacherRecourse, compared, prepare, recourse_for
from cfq_core.quant.quantized import QuantStack
from cfq_core.recourse.relaxed import Relaxed
from cfq_core.recourse.search import Search
from cfq_core.tables.encode import Encoding
from cfq_core.tables.schema import Schema, Table
from cfq_core.tables.split import Split

Layout = Literal["auto", "standardised", "raw", "levels"]
Output = Literal["auto", "logit", "probability"]
Rows = Literal["test", "all"]
LAYOUTS: tuple[Layout, ...] = ("auto", "standardised", "raw", "levels")
OUTPUTS: tuple[Output, ...] = ("auto", "logit", "probability")

#: Operators after which a number is a probability.
GIVES_PROBABILITY = (
    "Sigmoid",
    "Softmax",
    "TreeEnsembleClassifier",
    "LinearClassifier",
    "SVMClassifier",
    "QLinearSigmoid",
)
#: How far an imported network may be from the runtime that computes it: float32 rounding, relative to the logit.
TOLERANCE = 1e-3
SATURATED = 8.0  # logits; beyond, a float32 probability cannot tell them apart
#: The search without its gradient steps: all that a graph which is only computed can be asked.
GRADIENT_FREE = Search(relaxed=Relaxed(steps=0))


@dataclass(frozen=True)
class AuditOptions:
    """What is asked of a pair."""

    kappa: float | None = None  # logits; None: what the files were audited with, else the usual margin
    regime: str = "default"
    people: int | None = 2000  # denied people, a seeded sample; None: all
    n_reaudited: int = 1000  # of those, searched a second time on the student
    layout: Layout = "auto"
    output: Output = "auto"
    rows: Rows | None = None  # None: the test rows where the files name this very table, else all
    seconds: float = 300.0  # that each file may be computed for

    def __post_init__(self) -> None:
        if self.people is not None and self.people < 1:
            raise BadInput(f"people = {self.people}; a number from 1, or all")


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
    kappa: float
    rows: int
    denied: int
    promise: TeacherRecourse[Any]
    seen: Compared
    notes: tuple[str, ...]
    seconds: float
    bits: tuple[int, ...] = ()


@dataclass
class _Open:
    """A file being audited: its process, and its model once it is known."""

    file: ModelFile
    running: Running
    probability: bool
    guessed: bool  # nobody said so
    view: Float[Tensor, "h d"]
    model: Scorer
    how: str
    notes: list[str] = field(default_factory=list)


def audit_pair(table: Table, teacher: ModelFile, student: ModelFile, question: AuditOptions | None = None) -> PairAudit:
    """Recourse from the teacher, and what becomes of it on the student; raises `BadModel` in one line."""
    question = _with_layout(question or AuditOptions(), table, (teacher, student))
    began = time.monotonic()
    provenances = [f.provenance for f in (teacher, student)]
    kappa = next((t.kappa for t in reversed(provenances) if t), 0.2) if question.kappa is None else question.kappa
    design, notes = _design(table, (teacher, student), question)
    inputs = design.inputs(design.split.test)
    with ExitStack() as running:
        sides = [_opened(f, running, design, question) for f in (teacher, student)]
        for side in sides:
            _settle(side, inputs)
        blind = any(isinstance(s.model, BlackBox) for s in sides)
        solver = GRADIENT_FREE if blind else Search()
        setting = Setting((), kappa, question.regime, question.people, question.n_reaudited, solver=solver)
        (promise,) = recourse_for(sides[0].model, [design], setting)
        (seen,) = compared([promise], sides[1].model, setting)
        has_recourse, logits = promise.recourse.has_recourse, (promise.logits, seen.raw.student)
        after = design.encoding.encode(promise.recourse.after[has_recourse])
        checks = [_differing(s, np.concatenate([inputs, after])) for s in sides]
        at = (promise.recourse.margin[has_recourse], seen.raw.student_at[has_recourse])
        run = [_as_run(s, inputs, after, (z, a)) for s, z, a in zip(sides, logits, at, strict=True)]
    outcome = table.outcome[design.split.test]
    each = zip(sides, logits, checks, run, strict=True)
    done = [_side(s, z, outcome, c, len(inputs) + len(after), w) for s, z, c, w in each]
    for s in sides:
        notes += s.notes
    return PairAudit(
        table.schema, done[0], done[1], question, kappa, len(inputs), int((promise.logits <= 0).sum()), promise, seen,
        tuple(notes), time.monotonic() - began, provenances[1].bits if provenances[1] else (),
    )  # fmt: skip


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
    if question.rows == "test" and home is None:
        raise BadModel("rows = test: neither file says that it was trained on this very table; ask for all rows")
    if home is not None and question.rows != "all":
        design = prepare(table, home.seed, question.regime)
        note = f"judged on the {len(design.split.test)} test rows of seed {home.seed}: the files name this table"
        return replace(design, encoding=encodings[0]), [note]
    everybody = np.arange(len(table))
    none = np.zeros(0, np.int64)
    actions = ActionSet.fit(table.schema, table.values, question.regime)
    encoding = encodings[0] if encodings else _plain(table, question.layout)
    notes = [] if encodings else [_format_layout(question.layout)]
    if home is not None:
        notes.append("judged on all rows, also those the teacher was trained on")
    return Design(table, 0, Split(everybody, none, everybody), encoding, actions), notes


def _with_layout(question: AuditOptions, table: Table, files: Sequence[ModelFile]) -> AuditOptions:
    """``auto`` resolved: one column a feature where that is what the files take."""
    features = table.schema.features
    encoded = sum(len(f.levels) if f.is_category else 1 for f in features)
    pinned = any(f.provenance is not None and f.provenance.inputs for f in files)
    if question.layout != "auto" or pinned:
        return question
    one_each = len(features) != encoded and all(f.width == len(features) for f in files)
    return replace(question, layout="levels" if one_each else "standardised")


def _plain(table: Table, layout: Layout) -> Encoding:
    if layout in ("raw", "levels"):
        features = len(table.schema.features)
        return Encoding(table.schema, (0.0,) * features, (1.0,) * features)
    return Encoding.fit(table.schema, table.values)


def _format_layout(layout: Layout) -> str:
    how = "as they are" if layout in ("raw", "levels") else "standardised on this whole table"
    return f"the files do not say how their inputs were made: numbers are given {how}"


def _view(file: ModelFile, encoding: Encoding, question: AuditOptions) -> Float[Tensor, "h d"]:
    """The model's input columns as a linear map of the encoded ones; raises `BadModel` where the widths do not fit."""
    features = encoding.schema.features
    if question.layout != "levels" and file.width == encoding.width:
        return torch.eye(encoding.width, dtype=torch.float64)
    if question.layout != "levels" or file.width != len(features):
        raise BadModel(
            f"{file.name}: takes {file.width} columns; this card makes {encoding.width} (a category one a level), or "
            f"{len(features)} with the layout levels (a category as the index of its level)"
        )
    view = torch.zeros(len(features), encoding.width, dtype=torch.float64)
    for i, (f, start) in enumerate(zip(features, encoding.starts, strict=True)):
        for k in range(len(f.levels) if f.is_category else 1):
            view[i, start + k] = float(k) if f.is_category else 1.0
    return view


# ---------------------------------------------------------------------- the two models
def _opened(file: ModelFile, running: ExitStack, design: Design, question: AuditOptions) -> _Open:
    view = _view(file, design.encoding, question)
    last = next((n.op_type for n in reversed(file.proto.graph.node) if n.op_type not in ("Identity", "Flatten")), "")
    probability = question.output == "probability" or (question.output == "auto" and last in GIVES_PROBABILITY)
    process = running.enter_context(Running(file, question.seconds))
    blind = BlackBox(process, probability, view)
    how = "computed by onnxruntime, searched without gradients"
    return _Open(file, process, probability, question.output == "auto", view, blind, how)


def _settle(side: _Open, inputs: Float[np.ndarray, "n d"]) -> None:
    """Take the imported network where it is the one that onnxruntime computes on every row."""
    outputs = side.running.outputs(inputs @ side.view.numpy().T)
    logits = as_logits(outputs, side.probability, side.file.name)
    if side.guessed and not side.probability and outputs.shape[1] == 1 and logits.min() >= 0 and logits.max() <= 1:
        raise BadModel(
            f"{side.file.name}: every output lies between 0 and 1; say whether it is a probability (--output "
            "probability) or a logit (--output logit), by which it would approve everybody"
        )
    imported = dense(side.file)
    if imported is None:
        return
    model = _through(imported, side.view)
    found = score(model, torch.tensor(inputs)[None])[0].numpy()
    differing = int(((found > 0) != (logits > 0)).sum())
    near = np.abs(logits) < SATURATED
    off = float((np.abs(found - logits) / (1 + np.abs(logits)))[near].max(initial=0.0))
    if differing or (off > TOLERANCE and not isinstance(model, QuantStack)):
        side.notes.append(
            f"{side.file.name}: a network was read from it, but onnxruntime decides {differing} of {len(inputs)} rows "
            f"otherwise (logits by up to {off:.2g}); what onnxruntime computes is audited"
        )
        return
    side.model, side.how = model, _described(model)


def _through(model: Scorer, view: Float[Tensor, "h d"]) -> Scorer:
    """The network of encoded people, whose own inputs are ``view`` of them."""
    if view.shape[0] == view.shape[1] or isinstance(model, QuantStack):
        return model
    if isinstance(model, Stack):
        return replace(model, weights=(model.weights[0] @ view, *model.weights[1:]))
    raise TypeError(f"{type(model).__name__} is no imported network")


def _described(model: Scorer) -> str:
    if isinstance(model, QuantStack):
        return "our own quantized file: the integers of the audit, searched with gradients"
    assert isinstance(model, Stack)
    widths = "-".join(str(w.shape[1]) for w in model.weights)
    kinds = ", ".join(sorted({x.activation for x in model.architecture[:-1]})) or "logistic regression"
    residual = ", residual" if any(x.skip is not None for x in model.architecture) else ""
    return f"dense network {widths} ({kinds}{residual}), imported and searched with gradients"


def _differing(side: _Open, inputs: Float[np.ndarray, "n d"]) -> int:
    """Decisions on which what was audited and what onnxruntime computes differ."""
    outputs = side.running.outputs(inputs @ side.view.numpy().T)
    logits = as_logits(outputs, side.probability, side.file.name)
    found = score(side.model.to(torch.float64), torch.tensor(inputs)[None])[0].numpy()
    differing = int(((found > 0) != (logits > 0)).sum())
    if differing:
        side.notes.append(f"{side.file.name}: onnxruntime decides {differing} of {len(inputs)} points otherwise")
    return differing


def _as_run(side: _Open, inputs: Float[np.ndarray, "n d"], after: Float[np.ndarray, "k d"], at: Any) -> dict[str, Any]:
    """The file in every way that a runtime may run it, and what its integers say of others."""
    view = side.view.numpy().T
    line, tied = ties(side.file, after @ view, side.running.left)
    audited = Audited(inputs @ view, after @ view, *at)
    ways = seen_as(side.file, side.running, audited, lambda z: as_logits(z, side.probability, side.file.name))
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
