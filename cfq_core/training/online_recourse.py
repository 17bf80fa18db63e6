"""The paper's on-the-fly teacher: K projected gradient steps at every step of training.

It exists to measure what it costs. Every optimizer step pays K forward and backward passes of the full-precision
teacher for answers that never change, because the teacher does not; computed once a teacher they are exact, legal
and free (`pipeline.training_recourse`).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from cfq_core.nets.stack import Stack, score


@dataclass(frozen=True)
class OnlineRecourse:
    """K steps of fixed length along the teacher's normalised gradient, numbers only, until its margin is reached."""

    movable: Float[Tensor, "d"]  # 1 where an input is a number a person can change, else 0
    steps: int = 10  # K
    step_size: float = 0.2  # standard deviations, Euclidean length
    margin: float = 0.2  # logits

    def ends(self, teachers: Stack, start: Float[Tensor, "m p d"]) -> Float[Tensor, "m p d"]:
        """``x + sg(delta)``: where each person's K steps lead; no gradient flows through it."""
        at = start.clone()
        for _ in range(self.steps):
            at.requires_grad_()
            with torch.enable_grad():
                logits = score(teachers, at)
                (slope,) = torch.autograd.grad(logits.sum(), at)
            along = slope * self.movable
            length = along.norm(dim=2, keepdim=True).clamp_min(1e-12)
            short = (logits < self.margin)[..., None]
            at = (at + self.step_size * short * along / length).detach()
        return at
