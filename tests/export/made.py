"""Small models and people that no training made."""

from __future__ import annotations

import numpy as np
import torch

from cfq_core.export.provenance import Input, Provenance
from cfq_core.nets.stack import Stack
from cfq_core.quant.bits import BitPlan
from cfq_core.quant.calibrate import Calibration
from cfq_core.quant.quantized import QuantStack


def made_student(plan: BitPlan, width: int = 12, seed: int = 0) -> QuantStack:
    """A quantized random network, biases and all."""
    generator = torch.Generator().manual_seed(seed)
    start = Stack.initial(width, [24] * (len(plan) - 1), [seed])
    biases = tuple(0.3 * torch.randn(b.shape, generator=generator) for b in start.biases)
    inputs = torch.randn(1, 500, width, generator=generator)
    return Calibration().quantize(Stack(start.weights, biases), torch.tensor([plan]), inputs)


def told(plan: BitPlan = (), width: int = 12) -> Provenance:
    """Metadata of a made model."""
    inputs = tuple(Input(f"f{i}", "number", i) for i in range(width))
    role = "student" if plan else "teacher"
    return Provenance(role, "made", "0" * 12, 0, 0.2, "granted", inputs, bits=plan)


def rows(n: int, width: int = 12) -> np.ndarray:
    """Standard normal people."""
    return np.random.default_rng(5).standard_normal((n, width))
