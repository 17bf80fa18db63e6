"""The least cost of one person's recourse by trying everything: every allowed count of every feature.

Points are visited in order of cost and judged by a plain numpy forward pass in float64, so the first
valid one is the optimum. Feasible up to a few hundred thousand points a person.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from cfq_core.nets.stack import Stack
from cfq_core.tables.encode import Encoding

from .legality import Rules, count

LEAST_LOGIT = 1e-9  # a favourable logit is strictly positive
BLOCKS = (1024, 16_384)  # points judged at a time: the first block, and all later ones


@dataclass(frozen=True)
class Network:
    """One run's weights in float64."""

    weights: tuple[np.ndarray, ...]
    biases: tuple[np.ndarray, ...]

    @staticmethod
    def of(model: Stack, run: int) -> Network:
        """A run of a stack."""
        return Network(
            tuple(w[run].detach().numpy().astype(np.float64) for w in model.weights),
            tuple(b[run].detach().numpy().astype(np.float64) for b in model.biases),
        )

    def forward_from_first(self, first: np.ndarray) -> np.ndarray:
        """Logits from first pre-activations [n, h]."""
        for weight, bias in zip(self.weights[1:], self.biases[1:], strict=True):
            first = np.maximum(first, 0.0) @ weight.T + bias
        return first[:, 0]

    def logits(self, encoding: Encoding, values: np.ndarray) -> np.ndarray:
        """Logits of people in exact integer form."""
        return self.forward_from_first(encoding.encode(values) @ self.weights[0].T + self.biases[0])


@dataclass(frozen=True)
class Optimum:
    """The cheapest valid point; infinite cost and ``after = None`` where the lattice holds none."""

    cost: float
    after: np.ndarray | None
    points: int  # size of the lattice


@dataclass(frozen=True)
class Lattice:
    """One person's reachable points: a count per movable feature."""

    network: Network
    encoding: Encoding
    own: np.ndarray  # the person in exact integer form
    features: tuple[int, ...]
    counts: tuple[np.ndarray, ...]  # per feature, the person's own count first
    prices: tuple[np.ndarray, ...]

    @staticmethod
    def of(network: Network, encoding: Encoding, rules: Rules, person: pd.Series) -> Lattice:
        """The lattice of one raw row."""
        features = encoding.schema.features
        own = np.array([count(f, person[f.name]) for f in features], np.int64)
        counts = [np.array(rules.choices(f, person[f.name])) for f in features]
        movable = [i for i in range(len(features)) if len(counts[i]) > 1]
        prices = [rules.price(features[i], person[features[i].name], counts[i]) for i in movable]
        return Lattice(network, encoding, own, tuple(movable), tuple(counts[i] for i in movable), tuple(prices))

    @cached_property
    def points(self) -> int:
        """How many there are."""
        return int(np.prod([len(c) for c in self.counts], dtype=np.int64))

    @cached_property
    def shifts(self) -> tuple[np.ndarray, ...]:
        """Per feature, what each count adds to the first pre-activation of the person as they are."""
        out = []
        for i, counts in zip(self.features, self.counts, strict=True):
            rows = np.repeat(self.own[None], len(counts), axis=0)
            rows[:, i] = counts
            seen = self.encoding.encode(rows) @ self.network.weights[0].T
            out.append(seen - seen[0])
        return tuple(out)

    def optimum(self, target: float) -> Optimum:
        """The cheapest point with logit >= target."""
        here = self.encoding.encode(self.own[None]) @ self.network.weights[0].T + self.network.biases[0]
        cost = np.zeros(1)
        for price in self.prices:
            cost = (cost[:, None] + price).ravel()
        for block in _blocks(cost):
            places = np.unravel_index(block, [len(c) for c in self.counts]) if self.counts else ()
            first = np.repeat(here, len(block), axis=0)
            for shift, place in zip(self.shifts, places, strict=True):
                first += shift[place]
            valid = np.flatnonzero(self.network.forward_from_first(first) >= target)
            if len(valid):
                after = self.own.copy()
                after[list(self.features)] = [c[p[valid[0]]] for c, p in zip(self.counts, places, strict=True)]
                return Optimum(float(cost[block[valid[0]]]), after, self.points)
        return Optimum(np.inf, None, self.points)


def _blocks(cost: np.ndarray) -> Iterator[np.ndarray]:
    """Places of all costs in increasing order, a few at first."""
    few = BLOCKS[0]
    if len(cost) > few:
        cheap = np.argpartition(cost, few)[:few]
        yield cheap[np.argsort(cost[cheap], kind="stable")]
    order = np.argsort(cost, kind="stable")
    for start in range(0, len(order), BLOCKS[1]):
        yield order[start : start + BLOCKS[1]]


def optima(
    model: Stack, run: int, encoding: Encoding, rules: Rules, people: pd.DataFrame, kappa: float
) -> list[Optimum]:
    """The optimum of every raw row on one run, with logit >= max(kappa, 1e-9)."""
    network, target = Network.of(model, run), max(kappa, LEAST_LOGIT)
    return [Lattice.of(network, encoding, rules, person).optimum(target) for _, person in people.iterrows()]
