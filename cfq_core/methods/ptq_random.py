"""A control: PTQ with bits drawn at random under the budget."""

from __future__ import annotations

from cfq_core.allocators.random import Random
from cfq_core.methods.method import PostTraining
from cfq_core.quant.calibrate import Calibration

PLUGIN = PostTraining("PTQ (random bits)", Random(), Calibration("mse", "mse"))
