"""A file's outputs as logits of the favourable decision: above 0 is approved."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float

from cfq_core.models.contract import HIGH, LOW, Contract
from cfq_core.models.provenance import BadModel
from cfq_core.models.ranking import slope

if TYPE_CHECKING:
    from cfq_core.models.entries import Gives
    from cfq_core.nets.stack import Stack

LEAST_PROBABILITY = 1e-6  # a probability of 0 or 1 is a logit of -13.8 or 13.8: trees give such
SUM = 1e-4  # how far the probabilities of all classes may be from 1, as float16 keeps them
Outputs = Float[np.ndarray, "n c"]
Logits = Float[np.ndarray, "n"]


@dataclass(frozen=True)
class Scale:
    """``logit = sign * slope * (t(u) - t(cut))`` of one output u, or of the favourable class among two.

    t is the logit of a probability, else nothing. ``inclusive``: a person at the cut is approved.
    """

    kind: str  # logit, probability, score, label
    classes: int  # columns
    column: int = 0  # of the favourable class
    sign: float = 1.0
    cut: float = 0.0
    slope: float = 1.0  # logits per unit of a score
    inclusive: bool = False

    def oriented(self, outputs: Outputs, name: str) -> Logits:
        """The one number a person that is compared with the cut; raises `BadModel`."""
        if outputs.shape[1] != self.classes:
            raise BadModel(f"{name}: gives {outputs.shape[1]} numbers a person, {self.classes} before")
        if not np.isfinite(outputs).all():
            raise BadModel(f"{name}: gives numbers that are not finite")
        if self.kind == "label":
            return (outputs[:, 0] == self.column).astype(float)
        if self.classes == 1:
            return outputs[:, 0]
        other = outputs[:, 1 - self.column] if self.classes == 2 and self.kind != "probability" else 0.0
        return outputs[:, self.column] - other

    def logits(self, outputs: Outputs, name: str) -> Logits:
        """Logits; raises `BadModel` where the numbers are not what they should be."""
        u, cut = self.oriented(outputs, name), self.cut
        if self.inclusive:
            cut = float(np.nextafter(cut, -np.inf * self.sign))
        if self.kind not in ("probability", "label"):
            return self.sign * self.slope * (u - cut)
        if u.min(initial=0.0) < -LEAST_PROBABILITY or u.max(initial=0.0) > 1 + LEAST_PROBABILITY:
            raise BadModel(f"{name}: gives numbers outside 0 to 1, so they are no probabilities")
        z = self.sign * (_logit(u) - _logit(np.array(cut)))
        # a logarithm does not tell the nearest numbers apart, and cuts both ends
        right = self.sign * (u - cut) > 0
        return np.where(right, np.maximum(z, 1e-12), np.minimum(z, 0.0))

    def network(self, raw: Stack) -> Stack:
        """A network whose output is the last layer's, or the difference of two classes, scaled likewise."""
        turned = -1.0 if self.classes == 2 and self.column == 0 else 1.0
        cut = float(_logit(np.array(self.cut))) if self.kind == "probability" else self.cut
        if (self.sign * self.slope * turned, cut) == (1.0, 0.0):
            return raw
        by = self.sign * self.slope
        weights, biases = list(raw.weights), list(raw.biases)
        weights[-1], biases[-1] = by * turned * weights[-1], by * (turned * biases[-1] - cut)
        return replace(raw, weights=tuple(weights), biases=tuple(biases))

    @property
    def words(self) -> str:
        """For a reader."""
        good = "high" if self.sign > 0 else "low"
        if self.kind == "label":
            return f"class {self.column}"
        of = f"class {self.column + 1} of {self.classes}" if self.classes > 1 else f"{good} is favourable"
        slopes = f", {self.slope:.3g} logits a unit (fitted to the outcomes)" if self.kind == "score" else ""
        return f"a {self.kind}, {of}, cut at {self.cut:g}{slopes}"


def _logit(p: np.ndarray) -> np.ndarray:
    p = np.clip(p, LEAST_PROBABILITY, 1 - LEAST_PROBABILITY)
    return np.log(p) - np.log1p(-p)


def scale_of(
    gives: Gives,
    ends_in_probability: bool,
    contract: Contract,
    outputs: Outputs,
    outcome: Bool[np.ndarray, "n"],
    cells: tuple[str, ...],
    name: str,
) -> Scale:
    """The scale of a file whose outputs on known rows these are; raises `BadModel` in one line."""
    classes = outputs.shape[1]
    if not np.isfinite(outputs).all():
        raise BadModel(f"{name}: gives numbers that are not finite")
    column, sign, named = _side(gives, contract, classes, cells, name)
    if gives.is_label:
        return Scale("label", 1, _class_number(gives, column), cut=0.5)
    if classes < 1 or (classes > 2 and not (named and contract.threshold is not None)):
        raise BadModel(
            f"{name}: gives {classes} numbers a person; one or two are read, and more where --favourable names the "
            "class and --threshold its cut"
        )
    kind = _kind(contract, ends_in_probability, outputs, name)
    default = 0.5 if kind == "probability" else 0.0
    if kind == "score" and contract.threshold is None:
        u = Scale("score", classes, column, sign).oriented(outputs, name)
        raise BadModel(f"{name}: a score needs --threshold; its output runs from {_range(u)}")
    if kind == "probability" and contract.threshold is not None and not 0 < contract.threshold < 1:
        raise BadModel(f"{name}: threshold = {contract.threshold:g}; between 0 and 1, its output is a probability")
    cut = default if contract.threshold is None else contract.threshold
    scale = Scale(kind, classes, column, sign, cut, 1.0, contract.threshold is not None)
    if kind != "score":
        return scale
    fitted = abs(slope(scale.oriented(outputs, name), outcome))
    return replace(scale, slope=fitted or 1.0)


def _side(gives: Gives, contract: Contract, classes: int, cells: tuple[str, ...], name: str) -> tuple[int, float, bool]:
    """Column of the favourable class, sign of a single output, and whether a label said so."""
    said, labels = contract.favourable, gives.labels
    of_classes = len(labels) if gives.is_label else classes
    if said in ("", HIGH, LOW):
        named = [labels.index(cell) for cell in cells if cell in labels]
        if said == "" and len(named) == 1 and of_classes == len(labels):
            return named[0], 1.0, True
        last = max(of_classes - 1, 1 if gives.is_label else 0)
        if of_classes > 1 or gives.is_label:
            return (0 if said == LOW else last), 1.0, False
        return 0, (-1.0 if said == LOW else 1.0), False
    if said not in labels:
        known = f"; one of high, low, {', '.join(x[:40] for x in labels[:8])}" if labels else "; high or low"
        raise BadModel(f'{name}: favourable = "{said[:40]}", but the file names no such class{known}')
    at = labels.index(said)
    if classes == 1 and not gives.is_label:  # one number of two classes is that of the second
        return 0, (1.0 if at == len(labels) - 1 else -1.0), True
    return at, 1.0, True


def _class_number(gives: Gives, column: int) -> int:
    """What a label output says for a class."""
    word = gives.labels[column] if gives.labels and not gives.words else str(column)
    return int(word) if word.lstrip("-").isdecimal() else column


def _kind(contract: Contract, ends_in_probability: bool, outputs: Outputs, name: str) -> str:
    if contract.output != "auto":
        return contract.output
    inside = bool(outputs.min(initial=0.0) >= 0 and outputs.max(initial=1.0) <= 1)
    sums = outputs.shape[1] > 1 and inside and bool((np.abs(outputs.sum(1) - 1) <= SUM).all())
    if (ends_in_probability and inside) or sums:
        return "probability"
    if inside and outputs.shape[1] == 1:
        raise BadModel(
            f"{name}: every output lies between 0 and 1; say whether it is a probability (--output "
            "probability) or a logit (--output logit), by which it would approve everybody"
        )
    if contract.threshold not in (None, 0.0):
        return "score"
    return "logit"


def _range(u: Logits) -> str:
    return f"{u.min():.6g} to {u.max():.6g}, median {np.median(u):.6g}"


def described_range(scale: Scale, outputs: Outputs, name: str) -> str:
    """What the number that is compared with the cut was."""
    return _range(scale.oriented(outputs, name))
