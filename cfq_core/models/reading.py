"""One file under everything that is known of it: people in, logits of the favourable decision out.

What nobody said is found on rows whose outcomes are known (`settle`): of the layouts that fit, the one under which the
file ranks the outcomes best. What looks wrong there (it ranks backwards, approves nobody or everybody, knows nothing)
is refused unless somebody said that it is meant so.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from cfq_core.models.columns import Columns, feeds, fitting
from cfq_core.models.contract import Contract
from cfq_core.models.provenance import BadModel
from cfq_core.models.ranking import Ranked, ranked
from cfq_core.models.read import ModelFile
from cfq_core.models.runtime import Running
from cfq_core.models.scale import Scale, described_range, scale_of
from cfq_core.tables.encode import Values
from cfq_core.tables.schema import Table

MOST_ROWS = 20_000  # on which layouts are compared
FEWEST_APPROVED = 0.01  # share; fewer approved, or refused, is no decision that recourse is asked of
WIDEST_LOGITS = 30.0  # standard deviation; wider numbers are no logits that somebody trained

#: Operators after which a number is a probability.
GIVES_PROBABILITY = (
    "Sigmoid",
    "Softmax",
    "TreeEnsembleClassifier",
    "LinearClassifier",
    "SVMClassifier",
    "QLinearSigmoid",
    "QLinearSoftmax",
)
#: And those behind which it still is one.
PASSED_ON = (
    "Identity",
    "Flatten",
    "Cast",
    "Reshape",
    "Squeeze",
    "Unsqueeze",
    "QuantizeLinear",
    "DequantizeLinear",
)


@dataclass(frozen=True)
class Reading:
    """A file, how its inputs are made and its outputs meant, and the process that computes it."""

    file: ModelFile
    columns: Columns
    scale: Scale
    running: Running
    auc: Ranked
    tried: str = ""  # which layouts there were, with numbers; empty where there was one

    def logits(self, values: Values) -> Float[np.ndarray, "n"]:
        """Above 0 is approved."""
        return self.of_outputs(self.running.outputs(self.columns.make(values)))

    def of_outputs(self, outputs: Float[np.ndarray, "n c"]) -> Float[np.ndarray, "n"]:
        """The same from the file's outputs."""
        return self.scale.logits(outputs, self.file.name)

    @property
    def words(self) -> str:
        """How the file was read."""
        of = f" ({self.tried})" if self.tried else ""
        own = self.columns.layout == "own"
        inputs = "inputs as the file says itself" if own else f"inputs {self.columns.words}{of}"
        return f"{self.file.name}: read as {self.scale.words}; {inputs}; AUC {self.auc.auc:.3f}"


Tried = tuple[Reading, Float[np.ndarray, "n"], Float[np.ndarray, "n c"]]  # with its logits and outputs


def running_of(file: ModelFile, table: Table, seconds: float) -> Running:
    """The process that computes a file for a table's people."""
    return Running(file, seconds, feeds(file, table.schema))


def settle(
    running: Running,
    contract: Contract,
    table: Table,
    rows: np.ndarray,
    is_teacher: bool,
    beside: Reading | None = None,
) -> tuple[Reading, list[str]]:
    """The file as it is to be read, and what a reader must know of it; raises `BadModel` in one line.

    ``beside``: of a student, how its teacher is read on the same rows.
    """
    file = running.file
    values, outcome = table.values[rows], table.outcome[rows]
    if len(rows) > MOST_ROWS:
        keep = np.linspace(0, len(rows) - 1, MOST_ROWS).astype(int)
        values, outcome = values[keep], outcome[keep]
    training = table.values if table.part is None else table.values[table.part == 0]
    cells = table.schema.favourable_cells
    ways = fitting(file, table.schema, training, contract.layout)
    tried, problem = _tried(running, ways, contract, cells, values, outcome)
    if not tried:
        assert problem is not None
        raise problem
    reading, z, outputs = _best(tried, file.name, beside)
    home = beside is not None and beside.columns.layout == contract.layout  # a student may be as bad as it is
    if contract.layout != "auto" and not contract.favourable and not home:
        others = list[Columns]()
        with suppress(BadModel):  # nothing else fits its width
            others = [c for c in fitting(file, table.schema, training, "auto") if c.layout != contract.layout]
        _against_others(reading, z, _tried(running, others, contract, cells, values, outcome)[0])
    notes = [reading.words]
    _doubts(reading, z, outputs, outcome, contract, is_teacher, notes)
    return reading, notes


def _tried(
    running: Running,
    ways: list[Columns],
    contract: Contract,
    cells: tuple[str, ...],
    values: Values,
    outcome: Bool[np.ndarray, "n"],
) -> tuple[list[Tried], BadModel | None]:
    """The file under every layout that it can be read by, and why it cannot by the first of the others."""
    file, tried, problem = running.file, [], None
    for columns in ways:
        try:
            outputs = running.outputs(columns.make(values))
            scale = scale_of(file.gives, ends_in_probability(file), contract, outputs, outcome, cells, file.name)
            z = scale.logits(outputs, file.name)
        except BadModel as refused:
            problem = problem or refused
            continue
        tried.append((Reading(file, columns, scale, running, ranked(z, outcome)), z, outputs))
    return tried, problem


def _against_others(said: Reading, z: Float[np.ndarray, "n"], others: list[Tried]) -> None:
    """Refuse a layout that was said where by another the file clearly ranks better, and decides otherwise."""
    for other, other_z, _ in others:
        differing = int(((z > 0) != (other_z > 0)).sum())
        if differing and other.auc.beats(said.auc):
            mine, its = said.columns.layout, other.columns.layout
            raise BadModel(
                f"{said.file.name}: its layout was said to be {mine}, but it ranks the outcomes better (AUC "
                f"{other.auc.auc:.3f}, not {said.auc.auc:.3f}) and decides {differing} of {len(z)} people otherwise as "
                f"{its}: say --layout {its}, or --favourable too if it is meant so"
            )


def _best(tried: list[Tried], name: str, beside: Reading | None) -> Tried:
    """The layout under which the file ranks the outcomes best; refuses where two fit equally and decide otherwise.

    A student is read as its teacher is, unless it clearly ranks better by another layout, and as well as its teacher.
    """
    order = sorted(tried, key=lambda t: -t[0].auc.strength)
    words = ", ".join(f"{r.columns.words} {r.auc.auc:.3f}" for r, _, _ in order)
    mine = [t for t in order if beside is not None and t[0].columns.words == beside.columns.words]
    best = (mine or order)[0]
    for other in (t for t in order if t is not best):
        one, its = best[0].auc, other[0].auc
        differing = int(((other[1] > 0) != (best[1] > 0)).sum())
        if not differing or one.beats(its) or (mine and not its.beats(one)):
            continue
        if mine and beside is not None and not beside.auc.beats(its):
            best = other
            break
        how = "better by the second, but not as its teacher," if mine else "alike"
        raise BadModel(
            f"{name}: its inputs may be {best[0].columns.words} or {other[0].columns.words}: it ranks the outcomes "
            f"{how} (AUC {words}) but decides {differing} of {len(best[1])} people otherwise; say which with --layout"
        )
    if len(order) == 1:
        return best
    r, z, outputs = best
    return Reading(r.file, r.columns, r.scale, r.running, r.auc, f"AUC {words}"), z, outputs


def _doubts(
    reading: Reading,
    z: Float[np.ndarray, "n"],
    outputs: Float[np.ndarray, "n c"],
    outcome: Bool[np.ndarray, "n"],
    contract: Contract,
    is_teacher: bool,
    notes: list[str],
) -> None:
    """Refuse, or note, what looks like a file that was read wrongly."""
    file, auc, share = reading.file, reading.auc, float((z > 0).mean())
    own = reading.columns.layout == "own"
    seen = f"AUC {auc.auc:.3f} ± {auc.half:.3f} on {len(z)} rows"
    if auc.backwards and not contract.favourable and not own:
        raise BadModel(
            f"{file.name}: ranks the outcomes backwards ({seen}): say --favourable low if a high output is bad, "
            "or --favourable high if it is meant so"
        )
    guessed = (contract.output, contract.threshold, reading.scale.kind) == ("auto", None, "logit") and not own
    if guessed and z.std() > WIDEST_LOGITS:
        raise BadModel(
            f"{file.name}: looks like a score, not a logit: its output runs from "
            f"{described_range(reading.scale, outputs, file.name)}; say where the cut is with --threshold, or that it "
            "is a logit with --output logit"
        )
    if not FEWEST_APPROVED <= share <= 1 - FEWEST_APPROVED:
        whom = "nobody" if share == 0 else "everybody" if share == 1 else f"{100 * share:.1f} %"
        line = (
            f"{file.name}: approves {whom} of {len(z)} people at the cut {reading.scale.cut:g}; its output runs from "
            f"{described_range(reading.scale, outputs, file.name)}: say where the cut is with --threshold"
        )
        if is_teacher:
            raise BadModel(f"{line} (and what it is with --output)")
        notes.append(line)
    if own or contract.favourable or auc.knows:
        _against_majority(reading, z, outcome, contract, notes)
    elif is_teacher:
        raise BadModel(
            f"{file.name}: ranks the outcomes no better than chance ({seen}); say how its inputs are made with "
            "--layout, and which side is good with --favourable, if it is meant so"
        )


def _against_majority(
    reading: Reading,
    z: Float[np.ndarray, "n"],
    outcome: Bool[np.ndarray, "n"],
    contract: Contract,
    notes: list[str],
) -> None:
    right, usual = float(((z > 0) == outcome).mean()), float(max(outcome.mean(), 1 - outcome.mean()))
    if right <= usual and reading.columns.layout != "own":
        cut = "" if contract.threshold is not None else "; another cut is given with --threshold"
        notes.append(
            f"{reading.file.name}: right about {100 * right:.1f} % of outcomes, no more than the majority's "
            f"{100 * usual:.1f} %{cut}"
        )


def ends_in_probability(file: ModelFile) -> bool:
    """Whether the output that is read comes out of an operator that gives probabilities."""
    makers = {o: n for n in file.proto.graph.node for o in n.output}
    name = file.gives.name
    for _ in range(len(makers)):
        node = makers.get(name)
        if node is None or node.op_type not in PASSED_ON:
            return node is not None and node.op_type in GIVES_PROBABILITY
        name = node.input[0]
    return False
