"""What a method may see: teachers, their training and validation rows, and recourse for people they deny in training.

Weights are learned from training rows only; validation rows are for what must not be set on rows that were trained on
(a threshold, when to stop). Test rows are not in it.
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
    valid_inputs: Float[Tensor, "r m d"] | None = None  # of validation rows, which no weight is learned from
    valid_outcome: Float[Tensor, "r m"] | None = None
    further: tuple[RecoursePairs, ...] = ()  # training recourse of other sources, where it was found
    row_weight: Float[Tensor, "r n"] | None = None  # of training rows, of mean 1, in losses on observed outcomes

    @property
    def validation(self) -> Float[Tensor, "r m d"]:
        """Inputs of the validation rows, for a method that sets something on rows it was not trained on."""
        if self.valid_inputs is None:
            raise CfqError("this method needs validation rows, and none were given")
        return self.valid_inputs

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
        known = (self.valid_inputs, self.valid_outcome, self.row_weight)
        rows, outcome, weight = (None if x is None else x[index] for x in known)
        further = tuple(source.take(runs) for source in self.further)
        return TrainingData(*taken, seeds, pairs, self.activation_bits, rows, outcome, further, weight)
