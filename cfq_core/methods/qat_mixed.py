"""Mixed-precision QAT (LSQ): bits by factual loss sensitivity, task loss."""

from __future__ import annotations

from cfq_core.allocators.loss_sensitivity import LossSensitivity
from cfq_core.methods.method import Trained
from cfq_core.training.finetune import Recipe

PLUGIN = Trained("mixed QAT (loss)", LossSensitivity(), Recipe())
