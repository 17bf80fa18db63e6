"""CFQ as the paper describes it: task loss plus the target outcome at x + sg(delta), bits learned under the budget."""

from __future__ import annotations

from cfq_core.allocators.learned import Learned
from cfq_core.methods.method import Trained
from cfq_core.training.finetune import Recipe
from cfq_core.training.losses import Weights

LOSSES = Recipe(Weights(task=1.0, outcome=2.0, outcome_margin=0.5))

PLUGIN = Trained("CFQ (paper)", Learned(LOSSES), LOSSES)
