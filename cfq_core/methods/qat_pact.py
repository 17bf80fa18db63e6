"""Quantization-aware training with learned clips (PACT) and SAWB weights, uniform bits, task loss."""

from __future__ import annotations

from cfq_core.allocators.uniform import Uniform
from cfq_core.methods.method import Trained
from cfq_core.training.finetune import Recipe

PLUGIN = Trained("QAT (PACT)", Uniform(), Recipe(steps="pact"))
