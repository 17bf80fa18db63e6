"""The proof that a file decides as the audited model: a runtime computes it, at every level it may optimise it.

Optimisation is what a deployer does not choose: onnxruntime fuses and rounds by default. A file that agrees with
optimisation off and not with it on is another model where it ships. The known trap: a float bias is rounded to
int32 at the fused scale (onnxruntime's WeightBiasQuantization), and with few bits that alone flips decisions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from jaxtyping import Float

from cfq_core.base.errors import CfqError
from cfq_core.models import verify
from cfq_core.models.raw import INPUT, Feed

#: What a file is given: the encoded design, or its named columns.
Given = Float[np.ndarray, "_ d"] | Feed
Compute = Callable[[Given], Float[np.ndarray, "n"]]

LEVELS = verify.levels()
FEW = 64  # rows that are also computed one and seven at a time


class ParityFailure(CfqError):
    """A file whose decisions are not those of the model that was audited."""


@dataclass(frozen=True)
class AtLevel:
    """One optimisation level against the audit."""

    level: str
    differing: int  # decisions
    largest: float  # absolute difference of logits


@dataclass(frozen=True)
class Parity:
    """Every level on every point."""

    points: int
    levels: tuple[AtLevel, ...]
    runtime: str

    @property
    def differing(self) -> int:
        """Decisions that differ at the worst level."""
        return max(x.differing for x in self.levels)

    @property
    def largest(self) -> float:
        """Largest difference of logits at any level."""
        return max(x.largest for x in self.levels)

    @property
    def words(self) -> str:
        """One line for a reader."""
        worst = max(self.levels, key=lambda x: x.differing)
        at = f" (optimisation {worst.level})" if worst.differing else ""
        levels = ", ".join(x.level for x in self.levels)
        return (
            f"{self.runtime} at optimisation {levels}: {self.differing} of {self.points} decisions differ from "
            f"the audited model{at}; largest difference of logits {self.largest:.2g}"
        )


def computed(model: onnx.ModelProto | bytes, level: str) -> Compute:
    """A file of ours as a function from encoded people, or from raw columns, to logits."""
    content = model if isinstance(model, bytes) else model.SerializeToString()
    run = verify.logits(verify.session(content, level))
    return lambda given: run(_feed(given))


def parity(
    model: onnx.ModelProto | bytes, inputs: Mapping[str, Given], audited: Mapping[str, Float[np.ndarray, "_"]]
) -> Parity:
    """Compare a file with what the audit saw, point by point; both by kind of point (test rows, recourse points).

    Raises `ParityFailure` where the runtime refuses the file.
    """
    feeds = [_feed(given) for given in inputs.values()]
    points = {name: np.concatenate([f[name] for f in feeds]) for name in feeds[0]}
    logits = np.concatenate([audited[k] for k in inputs])
    levels = tuple(_at(model, level, points, logits) for level in LEVELS)
    return Parity(len(logits), levels, verify.runtime()["runtime"])


def _feed(given: Given) -> dict[str, np.ndarray]:
    return {INPUT: given} if isinstance(given, np.ndarray) else dict(given)


def _at(model: onnx.ModelProto | bytes, level: str, points: Feed, logits: Float[np.ndarray, "n"]) -> AtLevel:
    few = {name: column[:FEW] for name, column in points.items()}
    try:
        compute = computed(model, level)
        found = compute(points)
        parts = [verify.in_batches(compute, few, size) for size in verify.BATCHES if size]
    except (
        Exception
    ) as problem:  # onnxruntime raises a family of its own; each of them means that the file does not run
        raise ParityFailure(f"onnxruntime refuses the file at optimisation {level}: {problem}") from problem
    differs = (found > 0) != (logits > 0)
    for part in parts:
        differs[: len(part)] |= (part > 0) != (logits[: len(part)] > 0)
    return AtLevel(level, int(differs.sum()), float(np.abs(found - logits).max(initial=0.0)))
