"""What is computed of one teacher's recourse and of its students: one protocol, and how probes' results are stored.

A file of this folder that ends in ``PLUGIN`` is computed of every teacher, one that ends in ``PROBE`` of the teachers
and runs of plans that name it. Each is stored with its `spec_of`: what is missing, damaged or made by another spec is
computed at the next run of the plan. Models are read as they were audited and are not changed, so a stored run keeps
its identity whatever is computed of it later. Without torch: results are read through this module.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float

from cfq_core.base.identity import described, identity
from cfq_core.evidence import Measure

if TYPE_CHECKING:
    from cfq_core.pipeline import Setting, TeacherRecourse
    from cfq_core.quant.quantized import QuantStack

Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Student:
    """A quantized model (R = 1) as it was audited."""

    model: QuantStack
    threshold: float  # logit at which its approval rate equals the teacher's
    student_has_recourse: Bool[np.ndarray, "k"]  # own recourse of the promise's people
    student_cost: Float[np.ndarray, "k"]


@dataclass(frozen=True)
class ArtifactInput:
    """What an artifact is computed of; of no students where it is of the teacher alone."""

    promise: TeacherRecourse
    setting: Setting
    students: tuple[Student, ...] = ()


@dataclass(frozen=True)
class Computed:
    """Arrays of the teacher, and of each student in their order."""

    teacher: Arrays
    students: tuple[Arrays, ...] = ()


@runtime_checkable
class Artifact(Protocol):
    """A record whose fields decide what is computed."""

    def compute(self, given: ArtifactInput) -> Computed:
        """Repeatable: whatever is drawn at random comes from a stream of the promise's seed."""
        ...


def spec_of(artifact: Any, training_recourse: bool = False) -> str:
    """The identity of what computes an artifact: every field of it, and whether it also looks at training recourse."""
    return identity([described(artifact), training_recourse and getattr(artifact, "at_training_recourse", False)])


# ---------------------------------------------------------------------- probes
TEXTS = ("series", "label", "measure")
NUMBERS = ("value", "low", "high")


@dataclass(frozen=True)
class ProbeResult:
    """One measure of one model under one condition."""

    series: str  # conditions that belong together, e.g. "reweighted"
    at: float  # where on the series' axis
    label: str  # the condition in words
    measure: str
    result: Measure


@dataclass(frozen=True)
class ProbeResults:
    """What was read of the teacher, and of each student in their order; empty where there is nothing to say of one."""

    teacher: tuple[ProbeResult, ...]
    students: tuple[tuple[ProbeResult, ...], ...]

    def arrays(self) -> Computed:
        """As they are stored."""
        return Computed(arrays(self.teacher), tuple(map(arrays, self.students)))


def artifact(probe: str) -> str:
    """Name of the artifact that holds a probe's results."""
    return f"probe.{probe}"


def arrays(results: Sequence[ProbeResult]) -> Arrays:
    """Results as they are stored."""
    out: dict[str, np.ndarray] = {t: np.array([getattr(r, t) for r in results], dtype=str) for t in TEXTS}
    out["at"] = np.array([r.at for r in results], dtype=float)
    out["count"] = np.array([r.result.count for r in results], dtype=np.int64)
    none = float("nan")
    for n in NUMBERS:
        values = [getattr(r.result, n) for r in results]
        out[n] = np.array([none if v is None else v for v in values], dtype=float)
    return out


def of_arrays(stored: Arrays) -> list[ProbeResult]:
    """Results as they were before they were stored."""
    found = []
    for i in range(len(stored["at"])):
        value, low, high = (None if np.isnan(v := stored[n][i]) else float(v) for n in NUMBERS)
        series, label, measure = (str(stored[t][i]) for t in TEXTS)
        result = Measure(value, low, high, int(stored["count"][i]))
        found.append(ProbeResult(series, float(stored["at"][i]), label, measure, result))
    return found
