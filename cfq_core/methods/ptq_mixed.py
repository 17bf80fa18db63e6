"""Mixed-precision PTQ: bits by factual loss sensitivity."""

from __future__ import annotations

from cfq_core.allocators.loss_sensitivity import LossSensitivity
from cfq_core.methods.method import PostTraining
from cfq_core.quant.calibrate import Calibration

PLUGIN = PostTraining("mixed PTQ (loss)", LossSensitivity(), Calibration("mse", "mse"))
