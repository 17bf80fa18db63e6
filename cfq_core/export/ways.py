"""Every way a runtime may run a file, and whom it decides otherwise: what a deployer does not choose, or not knowingly.

Optimisation levels, batches of one, of seven and of many, session options that change results, and the ONNX reference
evaluator, which optimises nothing. Each is compared with the decisions that were audited, on the people judged and on
the points that were promised; the VD of each is that of the same promises.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from jaxtyping import Bool, Float

from cfq_core.models import verify
from cfq_core.models.provenance import BadModel
from cfq_core.models.read import ModelFile
from cfq_core.models.runtime import Running

FEW = 1000  # of the people judged, who are computed in small batches or by the reference evaluator
REFERENCE_SECONDS = 4.0  # that it gets: it is Python, and a forest of many trees takes it hours
LONGEST = 20.0  # seconds that one chunk may take it
CHUNK = 50
DEFAULT = "all"
SMALL = tuple(size for size in verify.BATCHES if size)

#: Session options that change what onnxruntime computes, by the kind of node that they concern.
ACCURACY = "session.qdq_matmulnbits_accuracy_level"
OPTIONS: dict[str, tuple[tuple[str, str], ...]] = {
    "block": tuple((ACCURACY, str(k)) for k in (0, 1, 4)),
    "quantized": (("session.disable_quant_qdq", "1"), ("session.x64quantprecision", "1")),
    "Gelu": (("optimization.enable_gelu_approximation", "1"),),
}


@dataclass(frozen=True)
class Way:
    """One way to run a file."""

    level: str = DEFAULT
    batch: int | None = None  # people at a time; None: all
    options: tuple[tuple[str, str], ...] = ()
    reference: bool = False

    @property
    def what(self) -> str:
        """But for the batch."""
        if self.reference:
            return "the ONNX reference evaluator"
        options = ", ".join(f"{key} = {value}" for key, value in self.options)
        return options or f"optimisation {self.level}"

    @property
    def words(self) -> str:
        """For a reader."""
        return f"{self.what}, batches of {self.batch}" if self.batch else self.what

    def plain(self) -> dict[str, Any]:
        """As the process that runs it takes it."""
        return {
            "level": self.level, "batch": self.batch, "options": dict(self.options), "reference": self.reference
        }  # fmt: skip


@dataclass(frozen=True)
class SeenAs:
    """What became of decisions when a file was run in one way; ``failed``: why it could not be."""

    way: Way
    people: int = 0  # judged, of those the audit is about
    differing: int = 0  # of them, decisions other than the audited ones
    promises: int = 0
    differing_promises: int = 0  # promised points, decided otherwise
    vd: float | None = None  # share of the promised points that are refused
    largest: float = 0.0  # difference of logits
    approved: Bool[np.ndarray, "k"] = field(default_factory=lambda: np.zeros(0, bool))  # each promised point
    failed: str = ""

    @property
    def otherwise(self) -> bool:
        """Whether anybody is decided otherwise."""
        return bool(self.differing or self.differing_promises)


def ways_of(proto: onnx.ModelProto) -> tuple[Way, ...]:
    """The ways that may matter for a graph."""
    ways = [Way(level, batch) for level in verify.levels() for batch in (None, *SMALL)]
    options = [option for kind in _kinds(proto) for option in OPTIONS[kind]]
    ways += [Way(batch=batch, options=(option,)) for option in options for batch in (None, 1)]
    return (*ways, Way(reference=True))


def _kinds(proto: onnx.ModelProto) -> Iterator[str]:
    """The kinds of nodes for which there are options."""
    found = {n.op_type for n in proto.graph.node}
    blocks = any(
        n.op_type == "DequantizeLinear" and any(a.name == "block_size" for a in n.attribute) for n in proto.graph.node
    )
    if blocks:
        yield "block"
    if found & {"QuantizeLinear", "DequantizeLinear"}:
        yield "quantized"
    if found & {"Gelu", "Erf"}:
        yield "Gelu"


Points = Float[np.ndarray, "n d"]
Logits = Callable[[Float[np.ndarray, "n c"]], Float[np.ndarray, "n"]]


@dataclass(frozen=True)
class Audited:
    """What was audited of a file: inputs of people and of promised points, and the logits of each."""

    people: Points
    promises: Points
    at_people: Float[np.ndarray, "n"]
    at_promises: Float[np.ndarray, "k"]


def seen_as(file: ModelFile, running: Running, audited: Audited, to_logits: Logits) -> tuple[SeenAs, ...]:
    """Every way, in the file's own process. Nothing else may be asked of it afterwards: the last way may end it."""
    return tuple(_seen(running, way, audited, to_logits) for way in ways_of(file.proto))


def _seen(running: Running, way: Way, audited: Audited, to_logits: Logits) -> SeenAs:
    few = FEW if way.batch or way.reference else len(audited.people)
    points = np.concatenate([audited.promises, audited.people[:few]])
    due = np.concatenate([audited.at_promises, audited.at_people[:few]])
    try:
        running.run_as(way.plain())
        found = to_logits(_in_time(running, points) if way.reference else running.outputs(points))
    except BadModel as problem:
        return SeenAs(way, failed=str(problem).split(": ", 1)[-1])
    k, due = min(len(audited.promises), len(found)), due[: len(found)]
    wrong, at = (found > 0) != (due > 0), found[:k]
    off = float(np.abs(found - due).max(initial=0.0))
    vd = float((at <= 0).mean()) if k else None
    return SeenAs(way, len(found) - k, int(wrong[k:].sum()), k, int(wrong[:k].sum()), vd, off, at > 0)


def _in_time(running: Running, points: Points) -> Float[np.ndarray, "n c"]:
    """Outputs of as many points as there is time for, the promised ones first."""
    began, parts = time.monotonic(), []
    running.left = min(running.left, LONGEST)
    for i in range(0, len(points), CHUNK):
        parts.append(running.outputs(points[i : i + CHUNK]))
        if time.monotonic() - began > REFERENCE_SECONDS:
            break
    return np.concatenate(parts) if parts else running.outputs(points)


# ---------------------------------------------------------------------- in words
def told(role: str, file: str, seen: tuple[SeenAs, ...]) -> list[str]:
    """A line for those ways that decide the same people otherwise, and one for all others."""
    lines: dict[str, list[Way]] = {}
    for s in seen:
        lines.setdefault(_line(s), []).append(s.way)
    every = [s.way for s in seen]
    return [f"{role} {file} with {', '.join(listed(ways, every))}: {line}" for line, ways in lines.items()]


def listed(ways: list[Way], every: list[Way]) -> list[str]:
    """Some ways in words; those that differ in the batch alone are one where all of them are there."""
    out = []
    for what in dict.fromkeys(w.what for w in ways):
        some = [w for w in ways if w.what == what]
        whole = len(some) == sum(w.what == what for w in every)
        out += [what] if whole else [w.words if w.batch else f"{what}, all at once" for w in some]
    return out


def _line(s: SeenAs) -> str:
    if s.failed:
        return f"not computed so ({s.failed})"
    if not s.otherwise:
        return f"all of {s.people:,} people and {s.promises:,} promised points are decided as audited"
    vd = "" if s.vd is None else f"; {100 * s.vd:.1f} in 100 promised points refused"
    return (
        f"{s.differing} of {s.people:,} people, {s.differing_promises} of {s.promises:,} promised points are decided "
        f"otherwise (logits by up to {s.largest:.2g}){vd}"
    )


def as_json(s: SeenAs) -> dict[str, Any]:
    """One way, plain."""
    return s.way.plain() | {
        "way": s.way.words, "people": s.people, "differing": s.differing, "promises": s.promises,
        "differing_promises": s.differing_promises, "vd": s.vd, "largest": s.largest, "failed": s.failed,
    }  # fmt: skip
