"""Measures plans in place of estimating them: the plan that keeps most promises, as it would be deployed.

Every plan is rounded and judged at ``x + delta*_f`` of training people, with the threshold at which it approves as
many validation rows as the teacher, which is where its matched threshold will be. A promise counts by
``Phi(-margin / 0.07)``, not as broken or kept: of the few training people of a small table a plain count chooses by
luck. A quarter of the approval shift without that threshold is added. Both numbers were chosen on people held out of
the training rows of seeds that no reported result uses (German 100 to 135, COMPAS 100 to 109, Adult 100 to 102).

Beyond `most_layers` a beam: beginnings of plans are judged with all further layers at most bits, and the best of each
range of sizes are continued.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from cfq_core.allocators.knapsack import least_plan
from cfq_core.allocators.landscape import every_plan, judge, logits_of
from cfq_core.allocators.sensitivity import CHOICES, ROWS
from cfq_core.evidence import approved
from cfq_core.matching import match
from cfq_core.quant.bits import BitPlan
from cfq_core.quant.calibrate import Calibration
from cfq_core.quant.training_data import TrainingData

Plans = Int[np.ndarray, "p l"]
Values = Float[np.ndarray, "p"]


@dataclass(frozen=True)
class Measured:
    """Expected share of broken promises at matched approval, plus a share of the approval shift."""

    KEY = "measured_on_validation"  # "measured" set its threshold on training rows and counted broken promises
    rows: int = ROWS  # training people with recourse, and training rows, at most
    noise: float = 0.07  # logits
    shift: float = 0.25  # weight of the approval shift
    most_layers: int = 6  # up to which every plan is judged
    ranges: int = 16  # of sizes, in each of which the beam keeps
    kept: int = 4  # beginnings
    needs_recourse = True

    def plans(self, data: TrainingData, calibration: Calibration, budgets: Sequence[float]) -> tuple[BitPlan, ...]:
        """One plan a run and budget, budgets innermost; plans are judged once for all budgets."""
        each = [self.judged(data.take([r]), calibration) for r in range(data.teachers.runs)]
        return tuple(least_plan(*found, data.teachers.sizes, b) for found in each for b in budgets)

    def judged(self, data: TrainingData, calibration: Calibration) -> tuple[Plans, Values]:
        """Plans of one teacher (R = 1), and of each what it is chosen by."""
        layers = len(data.teachers.weights)
        if layers <= self.most_layers:
            return every_plan(layers), self.criterion(data, calibration)
        return self._beam(data, calibration)

    def criterion(self, data: TrainingData, calibration: Calibration) -> Values:
        """What is minimised, of all plans of one teacher in the landscape's order."""
        return self._values(data, calibration, every_plan(len(data.teachers.weights)))

    def _beam(self, data: TrainingData, calibration: Calibration) -> tuple[Plans, Values]:
        """Longer and longer beginnings; the last are whole plans."""
        sizes = np.array(data.teachers.sizes)
        begun = every_plan(1)
        while True:
            left = len(sizes) - begun.shape[1]
            plans = np.concatenate([begun, np.full((len(begun), left), max(CHOICES))], axis=1)
            values = self._values(data, calibration, plans)
            if not left:
                return plans, values
            begun = begun[self._best(begun @ sizes[: begun.shape[1]], values)]
            begun = np.concatenate([np.repeat(begun, len(CHOICES), 0), np.tile(CHOICES, len(begun))[:, None]], axis=1)

    def _best(self, cost: Int[np.ndarray, "p"], values: Values) -> Int[np.ndarray, "k"]:
        """Places of the best beginnings in each range of sizes, in order; the smallest of all is one of them."""
        width = (cost.max() - cost.min()) / self.ranges
        of = np.minimum((cost - cost.min()) // max(width, 1e-9), self.ranges - 1)
        best = [np.flatnonzero(of == r)[np.argsort(values[of == r], kind="stable")[: self.kept]] for r in np.unique(of)]
        return np.unique([cost.argmin(), *np.concatenate(best)])

    def _values(self, data: TrainingData, calibration: Calibration, plans: Plans) -> Values:
        """What each of these plans is chosen by."""
        recourse = data.pairs.end[0, : min(self.rows, int(data.pairs.count[0]))]
        valid, train = data.validation[0], data.inputs[0, : self.rows]
        inputs, watched = torch.cat([recourse, valid, train]), data.inputs[0, : calibration.rows]
        ends = (len(recourse), len(recourse) + len(valid))
        criterion = _Criterion(self, logits_of(data.teachers, inputs), ends, np.empty(len(plans)))
        judge(data.teachers, inputs, calibration, watched, plans, criterion, activation_bits=data.activation_bits)
        return criterion.out


def chosen(value: Values, sizes: Sequence[int], budget: float) -> BitPlan:
    """The plan of least value within a budget, of all plans in the landscape's order; ties go to fewer bits."""
    return least_plan(every_plan(len(sizes)), value, sizes, budget)


@dataclass(frozen=True)
class _Criterion:
    """Where values go, and the teacher's logits: at recourse points, of validation rows, of training rows."""

    by: Measured
    truth: Float[Tensor, "t"]
    ends: tuple[int, int]  # of the first two
    out: Values = field(repr=False)

    def write(self, start: int, logits: Float[Tensor, "c t"]) -> None:
        """Values of consecutive plans."""
        at, valid, _ = logits.tensor_split(self.ends, dim=1)
        wanted = int(approved(self.truth[self.ends[0] : self.ends[1]]).sum())
        threshold = torch.from_numpy(match(valid.numpy(), wanted).threshold)
        broken = torch.special.ndtr((threshold[:, None] - at).double() / self.by.noise).mean(1)
        rate, teachers = (approved(z[..., self.ends[0] :]).double().mean(-1) for z in (logits, self.truth))
        self.out[start : start + len(logits)] = (broken + self.by.shift * (rate - teachers).abs()).numpy()


PLUGIN = Measured()
