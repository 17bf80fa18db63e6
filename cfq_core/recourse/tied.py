"""Where constraints tie the features of a problem together: what follows from a move, and which moves are allowed.

Columns that follow from others are numbers of the problem like the movable ones, after them and free of cost, so
that every bound and every logit sees them; whoever moves a point puts them right with `Tied.completed`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from cfq_core.actions.joint import Joint
from cfq_core.tables.conditions import Span


@dataclass(frozen=True)
class Tied:
    """The constraints of I instances, in the columns of their problem."""

    joint: Joint
    before: Int[np.ndarray, "i f"]
    numbers: tuple[int, ...]  # feature of every number: first those that are moved, then those that follow
    switches: tuple[int, ...]  # feature of every category
    starts: Int[np.ndarray, "g"]  # first level column of every category

    @cached_property
    def free(self) -> int:
        """How many numbers are moved."""
        return len(self.numbers) - len(self.joint.follows)

    @cached_property
    def involved(self) -> Bool[Tensor, "pg"]:
        """Numbers, then categories, whose exact value matters to another column."""
        return torch.tensor([i in self.joint.involved for i in (*self.numbers, *self.switches)], dtype=torch.bool)

    @cached_property
    def sources(self) -> Bool[Tensor, "k p"]:
        """Of every number that follows, the moved numbers it follows from, directly or not."""
        out = torch.zeros(len(self.numbers) - self.free, len(self.numbers), dtype=torch.bool)
        place = {i: k for k, i in enumerate(self.numbers)}
        for i, value in self.joint.follows.items():
            for j in value.columns() & place.keys():
                mine = place[i] - self.free
                out[mine, place[j]] = True
                if place[j] >= self.free:
                    out[mine] |= out[place[j] - self.free]
        out[:, self.free :] = False
        return out

    def take(self, rows: Tensor) -> Tied:
        """Those of some instances."""
        return replace(self, before=self.before[rows.numpy()])

    def people(
        self, numbers: Float[Tensor, "b p"], levels: Int[Tensor, "b g"], rows: Int[Tensor, "b"]
    ) -> Int[np.ndarray, "b f"]:
        """The people at points of the listed instances, in exact integer form."""
        after = self.before[rows.numpy()]
        after[:, self.numbers] = numbers.numpy().astype(np.int64)
        after[:, self.switches] = levels.numpy() - self.starts
        return after

    def completed(
        self, numbers: Float[Tensor, "b p"], levels: Int[Tensor, "b g"], rows: Int[Tensor, "b"]
    ) -> tuple[Float[Tensor, "b p"], Bool[Tensor, "b"]]:
        """The numbers with those that follow put where they follow to, and which points keep all constraints."""
        before = self.before[rows.numpy()]
        after = self.joint.completed(before, self.people(numbers, levels, rows))
        legal = torch.from_numpy(self.joint.holds(before, after))
        return torch.from_numpy(after[:, self.numbers]).to(numbers.dtype), legal

    def span(
        self, rows: Int[Tensor, "b"], low: Float[Tensor, "b p"], high: Float[Tensor, "b p"], open_: Bool[Tensor, "b q"]
    ) -> Span:
        """Boxes of the listed instances."""
        before = self.before[rows.numpy()]
        least, most = before.copy(), before.copy()
        least[:, self.numbers], most[:, self.numbers] = (t.numpy().astype(np.int64) for t in (low, high))
        features = self.joint.schema.features
        levels = {i: open_[:, s : s + len(features[i].levels)].numpy()
                  for i, s in zip(self.switches, self.starts.tolist(), strict=True)}  # fmt: skip
        return Span(self.joint.schema, before, least, most, levels)

    def narrowed(
        self, rows: Int[Tensor, "b"], low: Float[Tensor, "b p"], high: Float[Tensor, "b p"], open_: Bool[Tensor, "b q"]
    ) -> tuple[Float[Tensor, "b p"], Float[Tensor, "b p"], Bool[Tensor, "b"]]:
        """Boxes with the ends of the numbers that follow, and which can hold an allowed action."""
        span = self.span(rows, low, high, open_)
        least, most, alive = self.joint.followed_ends(span)
        alive &= self.joint.possible(replace(span, low=least, high=most))
        lowest, highest = (torch.from_numpy(t[:, self.numbers]).to(low.dtype) for t in (least, most))
        return lowest, highest, torch.from_numpy(alive)
