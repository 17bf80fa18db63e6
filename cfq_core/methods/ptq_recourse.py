"""Mixed-precision PTQ: bits by recourse sensitivity, steps as in PTQ; what allocation alone gives."""

from __future__ import annotations

from cfq_core.allocators.recourse_sensitivity import RecourseSensitivity
from cfq_core.methods.method import PostTraining
from cfq_core.quant.calibrate import Calibration

PLUGIN = PostTraining("mixed PTQ (recourse)", RecourseSensitivity(), Calibration("mse", "mse"))
