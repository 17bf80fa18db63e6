"""Mixed-precision PTQ: bits by HAWQ-V2 (mean Hessian trace times squared weight error)."""

from __future__ import annotations

from cfq_core.allocators.hessian_trace import HessianTrace
from cfq_core.methods.method import PostTraining
from cfq_core.quant.calibrate import Calibration

PLUGIN = PostTraining("mixed PTQ (HAWQ)", HessianTrace(), Calibration("mse", "mse"))
