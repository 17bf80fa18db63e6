"""What a method may see: teachers, their training rows, and recourse for people they deny among them.

Test rows are not in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from cfq_core.base.errors import CfqError
from cfq_core.nets.stack import Stack


@dataclass(frozen=True)
class RecoursePairs:
    """Denied training people and where their recourse leads, encoded; padded by repeating people."""

    start: Float[Tensor, "r k d"]  # x
    end: Float[Tensor, "r k d"]  # x + delta*_f
    count: Int[Tensor, "r"]  # of real pairs; those behind it repeat them in order

    def take(self, runs: Sequence[int]) -> RecoursePairs:
        """The pairs of the chosen runs."""
        index = torch.as_tensor(list(runs))
        return RecoursePairs(self.start[index], self.end[index], self.count[index])


@dataclass(frozen=True)
class TrainingData:
    """R teachers, each with its own training rows and, where a method asks for it, training recourse."""

    teachers: Stack
    inputs: Float[Tensor, "r n d"]
    outcome: Float[Tensor, "r n"]
    seeds: tuple[int, ...]
    recourse: RecoursePairs | None = None
    activation_bits: int = 8  # of the students

    @property
    def pairs(self) -> RecoursePairs:
        """The training recourse; a method that uses it says so with ``needs_recourse``."""
        if self.recourse is None:
            raise CfqError("this method needs training recourse, and none was computed")
        return self.recourse

    def take(self, runs: Sequence[int]) -> TrainingData:
        """The data of the chosen runs, repeats allowed."""
        index = torch.as_tensor(list(runs))
        pairs = None if self.recourse is None else self.recourse.take(runs)
        seeds = tuple(self.seeds[r] for r in runs)
        taken = self.teachers.take(runs), self.inputs[index], self.outcome[index]
        return TrainingData(*taken, seeds, pairs, self.activation_bits)
