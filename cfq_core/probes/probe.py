"""What a probe is: it looks at one teacher's promises and their students together, and reads measures of both.

Everything a probe needs is in the promise (table, split, encoding, action set, recourse) and in the students as they
were audited; it changes neither, so a stored run keeps its identity whatever is asked of it later.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float

from cfq_core.pipeline import Setting, TeacherRecourse
from cfq_core.probes.probe_result import ProbeResult
from cfq_core.quant.quantized import QuantStack


@dataclass(frozen=True)
class Student:
    """A quantized model (R = 1) as it was audited."""

    model: QuantStack
    threshold: float  # logit at which its approval rate equals the teacher's
    student_has_recourse: Bool[np.ndarray, "k"]  # own recourse of the promise's people
    student_cost: Float[np.ndarray, "k"]


@dataclass(frozen=True)
class ProbeInput:
    """What a probe is given."""

    promise: TeacherRecourse
    setting: Setting
    students: tuple[Student, ...]


@dataclass(frozen=True)
class ProbeResults:
    """What was read of the teacher, and of each student in their order; empty where there is nothing to say of one."""

    teacher: tuple[ProbeResult, ...]
    students: tuple[tuple[ProbeResult, ...], ...]


@runtime_checkable
class Probe(Protocol):
    """A question about promises and their students."""

    title: str

    def probe(self, subject: ProbeInput) -> ProbeResults:
        """Repeatable: whatever is drawn at random comes from a stream of the promise's seed."""
        ...
