"""CF-PTQ: uniform bits, steps and clips fitted on factual and recourse points, backbone frozen."""

from __future__ import annotations

from cfq_core.allocators.uniform import Uniform
from cfq_core.methods.method import Trained
from cfq_core.training.finetune import Recipe
from cfq_core.training.losses import Weights

FITTED = Recipe(Weights(task=0.0, distill=0.5, end=1.0), weights=False, step_rate=5.0)

PLUGIN = Trained("CF-PTQ", Uniform(), FITTED)
