"""What each layer's bits do to a teacher: sensitivity profiles and the landscape of all allocations.

Profiles, allocations and the place of every plan among all plans can so be drawn without the raw table. The landscape
is judged at the test people's recourse points: it is shown, and no method ever sees it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields

import numpy as np
import torch
from jaxtyping import Float

from cfq_core.allocators.knapsack import cheapest_plan
from cfq_core.allocators.landscape import Landscape, Points, landscape
from cfq_core.allocators.measured import Measured, chosen
from cfq_core.allocators.sensitivity import CHOICES, Profiler
from cfq_core.allocators.uniform import PLUGIN as UNIFORM
from cfq_core.artifacts.artifact import Arrays, ArtifactInput, Computed
from cfq_core.base.errors import UnknownName, unknown
from cfq_core.base.plugins import load_all
from cfq_core.base.seeds import repeatable
from cfq_core.pipeline import TeacherRecourse, has_training_recourse, training_data_of
from cfq_core.quant.bits import BitPlan
from cfq_core.quant.calibrate import Calibration
from cfq_core.quant.training_data import TrainingData

_PROFILE = "sensitivity."
_LANDSCAPE = "landscape."
_CRITERION = "criterion."


@dataclass(frozen=True)
class TeacherLayers:
    """One teacher's layers: weights in each, what rounding each does, and what every allocation does."""

    choices: tuple[int, ...]  # bits a layer may get
    sizes: tuple[int, ...]  # weights of each layer
    sensitivity: dict[str, Float[np.ndarray, "l c"]]  # by allocator: of each layer at each choice of bits
    landscape: Landscape | None  # None for nets of too many layers
    #: By allocator that judges whole plans: what it minimises, of every plan in the landscape's order.
    criterion: dict[str, Float[np.ndarray, "p"]] = field(default_factory=dict)

    @property
    def allocators(self) -> tuple[str, ...]:
        """Allocators whose plan is known at any budget."""
        return ("uniform", *self.sensitivity, *self.criterion)

    def plan(self, allocator: str, budget: float) -> BitPlan:
        """What an allocator gives each layer under a budget: the knapsack's answer to its stored profile."""
        if allocator == "uniform":
            return UNIFORM.plan(self.sizes, budget)
        if allocator in self.criterion:
            return chosen(self.criterion[allocator], self.sizes, budget)
        if allocator not in self.sensitivity:
            raise UnknownName(unknown("allocator", allocator, self.allocators))
        return cheapest_plan(self.sensitivity[allocator].tolist(), self.choices, self.sizes, budget)

    def arrays(self) -> Arrays:
        """As it is stored."""
        out = {"choices": np.array(self.choices), "sizes": np.array(self.sizes)}
        out |= {f"{_PROFILE}{name}": table for name, table in self.sensitivity.items()}
        out |= {f"{_CRITERION}{name}": value for name, value in self.criterion.items()}
        if self.landscape is not None:
            known = {f.name: getattr(self.landscape, f.name) for f in fields(Landscape)}
            out |= {f"{_LANDSCAPE}{name}": values for name, values in known.items() if values is not None}
        return out

    @staticmethod
    def of_arrays(stored: Arrays) -> TeacherLayers:
        """As it was before it was stored."""
        profiles = {k.removeprefix(_PROFILE): v for k, v in stored.items() if k.startswith(_PROFILE)}
        table = {k.removeprefix(_LANDSCAPE): v for k, v in stored.items() if k.startswith(_LANDSCAPE)}
        choices, sizes = (tuple(int(i) for i in stored[k]) for k in ("choices", "sizes"))
        judged = {k.removeprefix(_CRITERION): v for k, v in stored.items() if k.startswith(_CRITERION)}
        return TeacherLayers(choices, sizes, profiles, Landscape(**table) if table else None, judged)


def _profilers() -> dict[str, Profiler]:
    return {name: a for name, a in load_all("allocators").items() if isinstance(a, Profiler)}


@dataclass(frozen=True)
class Layers:
    """Profiles as allocators see them, that of recourse where there is training recourse, and the landscape."""

    KEY = "layers"
    at_training_recourse = True
    profilers: dict[str, Profiler] = field(default_factory=_profilers)
    calibration: Calibration = field(default_factory=Calibration)
    choices: tuple[int, ...] = CHOICES
    deepest: int = 4  # layers; 256 allocations take under a second, the 65,536 of eight layers take minutes
    measured: Measured = field(default_factory=Measured)
    revision: int = 2  # raised when the same fields give other numbers

    def compute(self, given: ArtifactInput) -> Computed:
        """Of the teacher."""
        with repeatable():
            return Computed(self.of(given.promise).arrays())

    def of(self, p: TeacherRecourse) -> TeacherLayers:
        """Profiles and landscape of one teacher."""
        data, asked = training_data_of([p]), p.training_recourse is not None and has_training_recourse(p)
        seen = {n: a for n, a in self.profilers.items() if asked or not getattr(a, "needs_recourse", False)}
        profiles = {n: a.sensitivity(data, self.calibration)[0].double().numpy() for n, a in seen.items()}
        judged = {}
        if asked and len(p.teacher.weights) <= self.deepest:
            judged = {"measured": self.measured.criterion(data, self.calibration)}
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
