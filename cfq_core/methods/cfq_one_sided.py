"""Anchored CFQ that errs to the safe side where few bits cannot hold the teacher (ours).

Two further weights punish saying less than the teacher at a recourse point, and more of somebody it denies. That buys
fewer broken promises than `cfq_anchored` at 2 bits (Adult, at matched approval: 0.016 instead of 0.038) and a smaller
approval shift. It costs true prices: students ask for less than their teachers did, so |CRG| on Adult is larger at
every budget, and from 3 bits up no fewer promises break as they are (benchmarks/RESULTS.md).
"""

from __future__ import annotations

from cfq_core.allocators.recourse_sensitivity import RecourseSensitivity
from cfq_core.methods.method import Trained
from cfq_core.training.finetune import Recipe
from cfq_core.training.losses import OneSided

LOSSES = Recipe(OneSided(task=0.0, distill=0.5, segment=0.5, end=1.0, focus=0.9, short=4.0, over=1.0))

PLUGIN = Trained("anchored CFQ, one-sided", RecourseSensitivity(), LOSSES)
