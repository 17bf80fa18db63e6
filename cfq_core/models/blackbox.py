"""A model that is only computed, as a `Scorer`: searched without gradients.

The search moves people by whole grid steps and levels. What it hands over is rounded back to such a person, so that
the file is given the very numbers and words that it would be given of that person.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from cfq_core.models.reading import Reading
from cfq_core.tables.encode import Encoding, Values

#: Rows are told apart by their sum with these, which is quicker than comparing them; then compared.
ODD = np.random.default_rng(0).integers(-(2**62), 2**62, 20_000) | 1


@dataclass(frozen=True)
class BlackBox:
    """R copies of one model; ``encoding`` is that of the people it is asked about."""

    reading: Reading
    encoding: Encoding
    copies: int = 1
    dtype: torch.dtype = torch.float64

    @property
    def runs(self) -> int:
        """Number of models R."""
        return self.copies

    @cached_property
    def first_weight(self) -> Float[Tensor, "r f d"]:
        """From encoded people to one column a feature: modelled units, or the index of a level."""
        features = self.encoding.schema.features
        weight = torch.zeros(len(features), self.encoding.width, dtype=self.dtype)
        for i, (f, start) in enumerate(zip(features, self.encoding.starts, strict=True)):
            if f.aside:
                continue
            if f.is_category:
                weight[i, start : start + len(f.levels)] = torch.arange(len(f.levels), dtype=self.dtype)
            else:
                weight[i, start] = self.encoding.std[i]
        return weight.expand(self.copies, *weight.shape)

    @cached_property
    def first_bias(self) -> Float[Tensor, "r f"]:
        """The means; 0 of a category."""
        mean = torch.tensor(self.encoding.mean, dtype=self.dtype)
        return mean.expand(self.copies, len(mean))

    def quantize_input(
        self, inputs: Float[Tensor, "*n d"], run: Int[Tensor, "b"] | None = None
    ) -> Float[Tensor, "*n d"]:
        """The inputs themselves."""
        return inputs

    def forward_from_first(self, first: Float[Tensor, "r n f"]) -> Float[Tensor, "r n"]:
        """Logits, without a gradient; each person is computed once."""
        people = self._people(first.detach().flatten(0, 1).double().numpy())
        each, place = _distinct(people)
        logits = self.reading.logits(each)[place]
        return torch.from_numpy(logits).to(first.dtype).view(first.shape[:2])

    def _people(self, modelled: Float[np.ndarray, "n f"]) -> Values:
        out = np.empty(modelled.shape, np.int64)
        for i, f in enumerate(self.encoding.schema.features):
            column = modelled[:, i]
            counts = f.counts(np.expm1(column) if f.log else column) if not f.levels else np.rint(column)
            out[:, i] = np.clip(counts, 0, len(f.levels) - 1) if f.levels else counts
        return out

    def highest(self, low: Float[Tensor, "r n h"], high: Float[Tensor, "r n h"]) -> Float[Tensor, "r n"]:
        """Nothing is known of its bounds."""
        return torch.full(low.shape[:2], torch.inf, dtype=low.dtype)

    def take(self, runs: Sequence[int]) -> BlackBox:
        """Copies of the one model."""
        return replace(self, copies=len(runs))

    def to(self, dtype: torch.dtype) -> BlackBox:
        """The same model; what it computes in stays its own."""
        return replace(self, dtype=dtype)


def _distinct(people: Values) -> tuple[Values, Int[np.ndarray, "n"]]:
    """Each different row once, and where it is."""
    with np.errstate(over="ignore"):
        sums = people @ ODD[: people.shape[1]] if people.shape[1] <= len(ODD) else np.arange(len(people))
    _, first, place = np.unique(sums, return_index=True, return_inverse=True)
    each = people[first]
    if not np.array_equal(each[place], people):  # two people with one sum
        each, place = np.unique(people, axis=0, return_inverse=True)
    return each, place.reshape(-1)
