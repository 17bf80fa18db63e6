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
import onnxruntime
from jaxtyping import Bool, Float

from cfq_core.base.errors import CfqError

Compute = Callable[[Float[np.ndarray, "n d"]], Float[np.ndarray, "n"]]

#: What onnxruntime may do to a graph before it runs it; users get the last by default.
LEVELS = {
    "off": onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL,
    "basic": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    "extended": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
    "layout": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_LAYOUT,
    "all": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL,
}
ALONE = 64  # rows that are also computed one at a time: a batch of one takes other kernels
ERRORS_ONLY = 4  # onnxruntime's log level: what there is to say, our own errors say


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


def session(model: onnx.ModelProto | bytes, level: str) -> onnxruntime.InferenceSession:
    """A model of ours in onnxruntime, on one thread."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = LEVELS[level]
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = ERRORS_ONLY
    content = model if isinstance(model, bytes) else model.SerializeToString()
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def computed(model: onnx.ModelProto | bytes, level: str) -> Compute:
    """The file as a function from encoded people to logits."""
    running = session(model, level)
    (given,) = running.get_inputs()
    floating = np.float64 if given.type == "tensor(double)" else np.float32

    def compute(inputs: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n"]:
        return running.run(None, {given.name: inputs.astype(floating)})[0].reshape(-1).astype(np.float64)

    return compute


def parity(
    model: onnx.ModelProto | bytes,
    inputs: Mapping[str, Float[np.ndarray, "_ d"]],
    audited: Mapping[str, Float[np.ndarray, "_"]],
) -> Parity:
    """Compare a file with what the audit saw, point by point; both by kind of point (test rows, recourse points).

    Raises `ParityFailure` where the runtime refuses the file.
    """
    points, logits = np.concatenate(list(inputs.values())), np.concatenate([audited[k] for k in inputs])
    levels = tuple(_at(model, level, points, logits) for level in LEVELS)
    return Parity(len(points), levels, f"onnxruntime {onnxruntime.__version__}")


def _at(
    model: onnx.ModelProto | bytes, level: str, points: Float[np.ndarray, "n d"], logits: Float[np.ndarray, "n"]
) -> AtLevel:
    try:
        compute = computed(model, level)
        found = compute(points)
        alone = [compute(points[i : i + 1])[0] for i in range(min(ALONE, len(points)))]
    except (
        Exception
    ) as problem:  # onnxruntime raises a family of its own; each of them means that the file does not run
        raise ParityFailure(f"onnxruntime refuses the file at optimisation {level}: {problem}") from problem
    differs: Bool[np.ndarray, "n"] = (found > 0) != (logits > 0)
    differs[: len(alone)] |= (np.array(alone) > 0) != (logits[: len(alone)] > 0)
    return AtLevel(level, int(differs.sum()), float(np.abs(found - logits).max(initial=0.0)))
