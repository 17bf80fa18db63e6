"""Post-training quantization: uniform bits, steps that never clip (min-max)."""

from __future__ import annotations

from cfq_core.allocators.uniform import Uniform
from cfq_core.methods.method import PostTraining
from cfq_core.quant.calibrate import Calibration

PLUGIN = PostTraining("PTQ (min-max)", Uniform(), Calibration("min-max", "min-max"))
