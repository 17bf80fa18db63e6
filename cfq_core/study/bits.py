"""What each layer's bits do to a teacher: sensitivity profiles and the landscape of all allocations.

Kept beside a stored teacher, so that profiles, allocations and the place of every plan among all plans can be
drawn without the raw table. The landscape is judged at the test people's recourse points: it is shown, and no method
ever sees it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from jaxtyping import Float

from cfq_core.allocators.knapsack import cheapest_plan
from cfq_core.allocators.landscape import Landscape, Points, landscape
from cfq_core.allocators.sensitivity import CHOICES, Profiler
from cfq_core.allocators.uniform import PLUGIN as UNIFORM
from cfq_core.base.errors import UnknownName, unknown
from cfq_core.base.plugins import load_all
from cfq_core.base.seeds import repeatable
from cfq_core.pipeline import TeacherRecourse, has_training_recourse, training_data_of
from cfq_core.quant.bits import BitPlan
from cfq_core.quant.calibrate import Calibration
from cfq_core.quant.training_data import TrainingData
from cfq_core.study.store import Arrays, Store

#: Layers up to which all ``4 ** L`` allocations are judged: 256 plans take under a second, 65,536 take minutes.
DEEPEST = 4

ARTIFACT = "bits"
_PROFILE = "sensitivity."
_LANDSCAPE = "landscape."


@dataclass(frozen=True)
class TeacherBits:
    """One teacher's layers: weights in each, what rounding each does, and what every allocation does."""

    choices: tuple[int, ...]  # bits a layer may get
    sizes: tuple[int, ...]  # weights of each layer
    sensitivity: dict[str, Float[np.ndarray, "l c"]]  # by allocator: of each layer at each choice of bits
    landscape: Landscape | None  # None for nets of more than `DEEPEST` layers

    @property
    def allocators(self) -> tuple[str, ...]:
        """Allocators whose plan is known at any budget."""
        return ("uniform", *self.sensitivity)

    def plan(self, allocator: str, budget: float) -> BitPlan:
        """What an allocator gives each layer under a budget: the knapsack's answer to its stored profile."""
        if allocator == "uniform":
            return UNIFORM.plan(self.sizes, budget)
        if allocator not in self.sensitivity:
            raise UnknownName(unknown("allocator", allocator, self.allocators))
        return cheapest_plan(self.sensitivity[allocator].tolist(), self.choices, self.sizes, budget)

    def arrays(self) -> Arrays:
        """As it is stored."""
        out = {"choices": np.array(self.choices), "sizes": np.array(self.sizes)}
        out |= {f"{_PROFILE}{name}": table for name, table in self.sensitivity.items()}
        if self.landscape is not None:
            out |= {f"{_LANDSCAPE}{f.name}": getattr(self.landscape, f.name) for f in fields(Landscape)}
        return out

    @staticmethod
    def of_arrays(stored: Arrays) -> TeacherBits:
        """As it was before it was stored."""
        profiles = {k.removeprefix(_PROFILE): v for k, v in stored.items() if k.startswith(_PROFILE)}
        table = {k.removeprefix(_LANDSCAPE): v for k, v in stored.items() if k.startswith(_LANDSCAPE)}
        choices, sizes = (tuple(int(i) for i in stored[k]) for k in ("choices", "sizes"))
        return TeacherBits(choices, sizes, profiles, Landscape(**table) if table else None)


@dataclass(frozen=True)
class Chosen:
    """The allocation of one stored run of a teacher."""

    method: str
    budget: float
    plan: BitPlan
    average_bits: float


def teacher_bits(promises: Sequence[TeacherRecourse]) -> list[TeacherBits]:
    """Profiles and landscapes of teachers that were taught together, as allocators see them.

    The recourse profile is there where the promises hold training recourse.
    """
    with repeatable():
        profiles: list[dict[str, Float[np.ndarray, "l c"]]] = [{} for _ in promises]
        for name, allocator in load_all("allocators").items():
            if isinstance(allocator, Profiler):
                needs = getattr(allocator, "needs_recourse", False)
                of = [
                    r
                    for r, p in enumerate(promises)
                    if not needs or (p.training_recourse is not None and has_training_recourse(p))
                ]
                if of:
                    seen = training_data_of([promises[r] for r in of])
                    for r, table in zip(of, allocator.sensitivity(seen, Calibration()).double().numpy(), strict=True):
                        profiles[r][name] = table
        data = training_data_of(promises)
        sizes = data.teachers.sizes
        return [TeacherBits(CHOICES, sizes, profiles[r], _all(p, data, r)) for r, p in enumerate(promises)]


def _all(p: TeacherRecourse, data: TrainingData, run: int) -> Landscape | None:
    """Every allocation of one teacher; the matched threshold is set on training rows, as in an audit."""
    found = p.recourse.after[p.recourse.has_recourse]
    if len(p.teacher.weights) > DEEPEST or len(found) == 0:
        return None
    at, test = (torch.tensor(x, dtype=torch.float32) for x in (p.design.encoding.encode(found), _test(p)))
    rows = data.inputs[run]
    watched = rows[: Calibration().rows]
    return landscape(p.teacher, Points(at, rows, test), Calibration(), watched, activation_bits=p.activation_bits)


def _test(p: TeacherRecourse) -> Float[np.ndarray, "n d"]:
    return p.design.inputs(p.design.split.test)


def stored_bits(store: Store, teacher: str) -> TeacherBits:
    """Profiles and landscape of a stored teacher; raises `BadStore` where its study is older than they."""
    return TeacherBits.of_arrays(store.arrays(teacher, ARTIFACT))


def chosen(store: Store, study: str, teacher: str) -> list[Chosen]:
    """What every stored run of a teacher gave each layer, in the study's order."""
    runs = [r for r in store.runs(study) if r["teacher_id"] == teacher]
    return [Chosen(r["method"], r["budget"], tuple(r["bits"]), r["avg_bits"]) for r in runs]
