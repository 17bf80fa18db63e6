"""What is known of each promise before anything is quantized: proved at b bits, and forecast at b bits.

For every uniform bit-width on the min-max grid. Proofs (`certificates/logit_lower_bound.py`) hold for every rounding
within half a step and are hardly ever possible below about 6 bits; forecasts (`quant/forecast.py`) are probabilities,
calibrated in the mean only.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from cfq_core.artifacts.artifact import Arrays, ArtifactInput, Computed
from cfq_core.certificates.logit_lower_bound import lower_bound_nearby, lower_bound_rounded
from cfq_core.certificates.table import RADIUS
from cfq_core.pipeline import TeacherRecourse
from cfq_core.quant.break_probability import break_probability, margin_for
from cfq_core.quant.calibrate import Calibration
from cfq_core.quant.forecast import rounding_noise
from cfq_core.quant.grid import WEIGHT_BITS

ACCEPTED = 0.05  # odds of breaking that the needed margin is stated for
MIN_MAX = Calibration(weights="min-max")
UNSAFE = 0  # stands for: at no bit-width


@dataclass(frozen=True)
class Safety:
    """Of each denied person's promise at each bit-width; NaN without recourse."""

    bits: Int[np.ndarray, "b"]
    #: Proved: no rounding within half a step gives a lower logit; -inf: not tried.
    logit_lower_bound: Float[np.ndarray, "b k"]
    noise: Float[np.ndarray, "b k"]  # forecast: standard deviation of the logit, in logits
    margin: Float[np.ndarray, "k"]  # of the promise on its teacher
    region: Float[np.ndarray, "k"]  # proved: the teacher's least logit within `RADIUS` of the point

    @property
    def safe(self) -> Bool[np.ndarray, "b k"]:
        """Proved to survive every rounding within half a step."""
        return np.nan_to_num(self.logit_lower_bound, nan=-np.inf) > 0

    @property
    def min_safe_bits(self) -> Int[np.ndarray, "k"]:
        """The fewest bits from which on, at every larger width too, the promise is proved; 0 where it is at none."""
        upwards = np.logical_and.accumulate(self.safe[::-1], axis=0)[::-1]  # bits increase
        return np.where(upwards.any(0), self.bits[upwards.argmax(0)], UNSAFE)

    @property
    def odds(self) -> Float[np.ndarray, "b k"]:
        """Forecast, not proved: P(the promise breaks) at each bit-width."""
        return break_probability(self.margin, self.noise)

    def needed_margin(self, odds: float = ACCEPTED) -> Float[np.ndarray, "b k"]:
        """Forecast, not proved: the margin each promise needs to break with no more than these odds."""
        return margin_for(odds, self.noise)

    def arrays(self) -> Arrays:
        """As it is stored."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    @staticmethod
    def of_arrays(stored: Arrays) -> Safety:
        """As it was before it was stored."""
        return Safety(**{f.name: stored[f.name] for f in fields(Safety)})


@dataclass(frozen=True)
class SafetyForecasts:
    """Proofs and forecasts of one teacher's promises; activations are calibrated on its training rows."""

    KEY = "forecasts"
    widths: tuple[int, ...] = WEIGHT_BITS  # increasing
    calibration: Calibration = MIN_MAX
    radius: float = RADIUS  # standard deviations
    revision: int = 1  # raised when the same fields give other numbers

    def compute(self, given: ArtifactInput) -> Computed:
        """Of the teacher."""
        return Computed(self.of(given.promise).arrays())

    def of(self, p: TeacherRecourse) -> Safety:
        """Proofs are tried from the most bits down, and no further for a promise not proved at some width.

        What is kept of it, `Safety.min_safe_bits`, cannot change any more.
        """
        design, found, widths = p.design, p.recourse.has_recourse, self.widths
        inputs = design.encoding.encode(p.recourse.after[found])
        rows = design.inputs(design.split.train[: self.calibration.rows])
        plans = torch.tensor(widths)[:, None].expand(-1, len(p.teacher.weights))
        watched = torch.tensor(rows, dtype=torch.float32)[None]
        grids = self.calibration.quantize(p.teacher, plans, watched, [0] * len(widths), p.activation_bits)
        lowest, noise = (np.full((len(widths), len(found)), np.nan) for _ in range(2))
        lowest[:, found] = -np.inf
        proved = np.flatnonzero(found)  # at every width so far
        for b in reversed(range(len(widths))):
            grid = grids.take([b])
            lowest[b, proved] = lower_bound_rounded(p.teacher, grid, inputs[np.isin(np.flatnonzero(found), proved)])
            proved = proved[lowest[b, proved] > 0]
            noise[b, found] = rounding_noise(p.teacher, grid, inputs)
        movable = [design.encoding.starts[i] for i in design.actions.numbers]
        region = np.full(len(found), np.nan)
        region[found] = lower_bound_nearby(p.teacher, inputs, movable, self.radius, "each")
        return Safety(np.array(widths), lowest, noise, np.where(found, p.recourse.margin, np.nan), region)


PLUGIN = SafetyForecasts()
