"""Post-training quantization: uniform bits, steps that clip the largest thousandth of the sizes (percentile)."""

from __future__ import annotations

from cfq_core.allocators.uniform import Uniform
from cfq_core.methods.method import PostTraining
from cfq_core.quant.calibrate import Calibration

PLUGIN = PostTraining("PTQ (percentile)", Uniform(), Calibration("percentile", "percentile"))
