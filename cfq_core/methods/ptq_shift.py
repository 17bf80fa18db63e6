"""A control: PTQ plus one scalar logit correction, fitted on training rows."""

from __future__ import annotations

from cfq_core.allocators.uniform import Uniform
from cfq_core.methods.method import PostTraining
from cfq_core.quant.calibrate import Calibration

PLUGIN = PostTraining("PTQ + logit shift", Uniform(), Calibration("mse", "mse"), correct_shift=True)
