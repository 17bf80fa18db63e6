"""QAT (LSQ) with the teacher's logits as a second target on factual rows."""

from __future__ import annotations

from cfq_core.allocators.uniform import Uniform
from cfq_core.methods.method import Trained
from cfq_core.training.finetune import Recipe
from cfq_core.training.losses import Weights

PLUGIN = Trained("QAT + distillation", Uniform(), Recipe(Weights(task=1.0, distill=0.5)))
