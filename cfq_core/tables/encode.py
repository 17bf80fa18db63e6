"""From people to model inputs and back, exactly.

Numbers are standardised on the training rows (after log(1 + x) where the card says so), categories
are one-hot, and a column that no model sees has no input. Decoding rounds to the feature's own grid,
so ``decode(encode(v)) == v`` for every cell that models see.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int

from cfq_core.tables.schema import Feature, Schema

Values = Int[np.ndarray, "n f"]


def modelled(feature: Feature, counts: Int[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    """Raw units of a number or ordinal, log(1 + x) where the card says so."""
    raw = feature.raw(np.asarray(counts))
    return np.log1p(raw) if feature.log else raw


@dataclass(frozen=True)
class Encoding:
    """Standardisation fitted on training rows; columns in the order of the schema's features."""

    schema: Schema
    mean: tuple[float, ...]  # per feature, in modelled units; 0 for categories
    std: tuple[float, ...]  # per feature; 1 for categories and constant columns

    @staticmethod
    def fit(schema: Schema, training: Values) -> Encoding:
        """Mean and standard deviation of every number and ordinal over the training rows."""
        mean, std = [], []
        for i, f in enumerate(schema.features):
            column = np.zeros(1) if f.is_category or f.aside else modelled(f, training[:, i])
            spread = float(column.std())
            mean.append(float(column.mean()))
            std.append(spread if spread > 0 else 1.0)
        return Encoding(schema, tuple(mean), tuple(std))

    @cached_property
    def starts(self) -> tuple[int, ...]:
        """First encoded column of every feature."""
        return tuple(int(s) for s in np.concatenate([[0], np.cumsum([f.width for f in self.schema.features])[:-1]]))

    @cached_property
    def width(self) -> int:
        """Number of encoded columns d."""
        return sum(f.width for f in self.schema.features)

    def standardised(self, i: int, counts: Int[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
        """Encoded value of number or ordinal ``i`` for grid counts of any shape."""
        return (modelled(self.schema.features[i], counts) - self.mean[i]) / self.std[i]

    def encode(self, values: Values) -> Float[np.ndarray, "n d"]:
        """Model inputs, float64 [n, d]."""
        out = np.zeros((len(values), self.width))
        for i, (f, start) in enumerate(zip(self.schema.features, self.starts, strict=True)):
            if f.aside:
                continue
            if f.is_category:
                out[np.arange(len(values)), start + values[:, i]] = 1.0
            else:
                out[:, start] = self.standardised(i, values[:, i])
        return out

    def decode(self, inputs: Float[np.ndarray, "n d"]) -> Values:
        """The people behind model inputs: nearest grid point, most likely level; 0 where no model sees a column."""
        out = np.zeros((len(inputs), len(self.schema.features)), np.int64)
        for i, (f, start) in enumerate(zip(self.schema.features, self.starts, strict=True)):
            if f.aside:
                continue
            if f.is_category:
                out[:, i] = inputs[:, start : start + len(f.levels)].argmax(1)
                continue
            raw = inputs[:, start] * self.std[i] + self.mean[i]
            counts = f.counts(np.expm1(raw) if f.log else raw)
            out[:, i] = counts.clip(0, len(f.levels) - 1) if f.levels else counts
        return out
