"""What each layer's bits do to a teacher: sensitivity profiles, judged plans and the landscape of all allocations.

Profiles, allocations and the place of every plan among all plans can so be drawn without the raw table. The landscape
is judged at the test people's recourse points: it is shown, and no method ever sees it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Float, Int

from cfq_core.allocators.knapsack import cheapest_plan, least_plan
from cfq_core.allocators.landscape import Landscape, Points, landscape
from cfq_core.allocators.sensitivity import CHOICES, PlanJudge, Profiler
from cfq_core.allocators.uniform import PLUGIN as UNIFORM
from cfq_core.artifacts.artifact import Arrays, ArtifactInput, Computed
from cfq_core.base.errors import UnknownName, unknown
from cfq_core.base.plugins import load_all
from cfq_core.base.seeds import repeatable
from cfq_core.pipeline import TeacherRecourse, has_training_recourse, training_data_of
from cfq_core.quant.bits import BitPlan
from cfq_core.quant.calibrate import Calibration
from cfq_core.quant.training_data import TrainingData

A = TypeVar("A")

_PROFILE = "sensitivity."
_LANDSCAPE = "landscape."
_PLANS, _VALUE = "plans.", "value."  # of an allocator that judges whole plans


@dataclass(frozen=True)
class TeacherLayers:
    """One teacher's layers: weights in each, what rounding each does, and what every allocation does."""

    choices: tuple[int, ...]  # bits a layer may get
    sizes: tuple[int, ...]  # weights of each layer
    sensitivity: dict[str, Float[np.ndarray, "l c"]]  # by allocator: of each layer at each choice of bits
    landscape: Landscape | None  # None for nets of too many layers
    judged: dict[str, tuple[Int[np.ndarray, "p l"], Float[np.ndarray, "p"]]] = field(default_factory=dict)
    """By allocator that judges whole plans: the plans, and what each is chosen by; empty where landscape is None."""

    @property
    def allocators(self) -> tuple[str, ...]:
        """Allocators whose plan is known at any budget."""
        return ("uniform", *self.sensitivity, *self.judged)

    def plan(self, allocator: str, budget: float) -> BitPlan:
        """What an allocator gives each layer under a budget: the answer to what is stored of it."""
        if allocator == "uniform":
            return UNIFORM.plan(self.sizes, budget)
        if allocator in self.judged:
            return least_plan(*self.judged[allocator], self.sizes, budget)
        if allocator not in self.sensitivity:
            raise UnknownName(unknown("allocator", allocator, self.allocators))
        return cheapest_plan(self.sensitivity[allocator].tolist(), self.choices, self.sizes, budget)

    def arrays(self) -> Arrays:
        """As it is stored."""
        out = {"choices": np.array(self.choices), "sizes": np.array(self.sizes)}
        out |= {f"{_PROFILE}{name}": table for name, table in self.sensitivity.items()}
        for name, (plans, value) in self.judged.items():
            out |= {f"{_PLANS}{name}": plans, f"{_VALUE}{name}": value}
        if self.landscape is not None:
            known = {f.name: getattr(self.landscape, f.name) for f in fields(Landscape)}
            out |= {f"{_LANDSCAPE}{name}": values for name, values in known.items() if values is not None}
        return out

    @staticmethod
    def of_arrays(stored: Arrays) -> TeacherLayers:
        """As it was before it was stored."""
        profiles, table, plans, value = (
            {k.removeprefix(part): v for k, v in stored.items() if k.startswith(part)}
            for part in (_PROFILE, _LANDSCAPE, _PLANS, _VALUE)
        )
        judged = {name: (plans[name], value[name]) for name in plans}
        choices, sizes = (tuple(int(i) for i in stored[k]) for k in ("choices", "sizes"))
        return TeacherLayers(choices, sizes, profiles, Landscape(**table) if table else None, judged)


def _profilers() -> dict[str, Profiler]:
    return {name: a for name, a in load_all("allocators").items() if isinstance(a, Profiler)}


def _judges() -> dict[str, PlanJudge]:
    return {name: a for name, a in load_all("allocators").items() if isinstance(a, PlanJudge)}


def _seeing(allocators: dict[str, A], recourse: bool) -> dict[str, A]:
    """Those that can be asked: all, or those that need no training recourse."""
    return {n: a for n, a in allocators.items() if recourse or not getattr(a, "needs_recourse", False)}


@dataclass(frozen=True)
class Layers:
    """Profiles and judged plans as allocators see them, those at recourse where there is training recourse, and the
    landscape."""

    KEY = "layers"
    at_training_recourse = True
    profilers: dict[str, Profiler] = field(default_factory=_profilers)
    judges: dict[str, PlanJudge] = field(default_factory=_judges)
    calibration: Calibration = field(default_factory=Calibration)
    choices: tuple[int, ...] = CHOICES
    deepest: int = 4  # layers; 256 allocations take under a second, the 65,536 of eight layers take minutes
    revision: int = 2  # raised when the same fields give other numbers

    def compute(self, given: ArtifactInput) -> Computed:
        """Of the teacher."""
        with repeatable():
            return Computed(self.of(given.promise).arrays())

    def of(self, p: TeacherRecourse) -> TeacherLayers:
        """Profiles, judged plans and landscape of one teacher."""
        data, asked = training_data_of([p]), p.training_recourse is not None and has_training_recourse(p)
        profilers, judges = _seeing(self.profilers, asked), _seeing(self.judges, asked)
        profiles = {n: a.sensitivity(data, self.calibration)[0].double().numpy() for n, a in profilers.items()}
        shallow = len(p.teacher.weights) <= self.deepest
        judged = {n: a.judged(data, self.calibration) for n, a in judges.items() if shallow}
        return TeacherLayers(self.choices, data.teachers.sizes, profiles, self._landscape(p, data), judged)

    def _landscape(self, p: TeacherRecourse, data: TrainingData) -> Landscape | None:
        """Every allocation of the teacher; the matched threshold is set on validation rows, as in an audit."""
        found, rows = p.recourse.after[p.recourse.has_recourse], data.validation[0]
        if len(p.teacher.weights) > self.deepest or len(found) == 0:
            return None
        inputs = p.design.encoding.encode(found), p.design.inputs(p.design.split.test)
        at, test = (torch.tensor(x, dtype=torch.float32) for x in inputs)
        watched = data.inputs[0, : self.calibration.rows]
        return landscape(
            p.teacher, Points(at, rows, test), self.calibration, watched, activation_bits=p.activation_bits
        )


PLUGIN = Layers()
