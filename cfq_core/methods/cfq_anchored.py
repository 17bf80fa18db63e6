"""Anchored CFQ (ours): the teacher's logit is matched along every recourse segment, from both sides."""

from __future__ import annotations

from cfq_core.allocators.recourse_sensitivity import RecourseSensitivity
from cfq_core.methods.method import Trained
from cfq_core.training.finetune import Recipe
from cfq_core.training.losses import Weights

LOSSES = Recipe(Weights(task=0.0, distill=0.5, segment=0.5, end=1.0, focus=0.9))

PLUGIN = Trained("anchored CFQ", RecourseSensitivity(), LOSSES)
