"""Are differences between groups more than chance? Permutation tests: people's values are dealt out anew to people.

Null hypothesis of all of them: the value of a person does not depend on the groups they belong to. A p counts the deals
that are at least as extreme, the observed one included (Phipson and Smyth 2010).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Float

from cfq_core.base.streams import numpy_stream

SMALLEST_GROUP = 30  # people; fewer are shown as too few, not as a number
PERMUTATIONS = 1999  # of a gap's test: p is known to 0.01 at worst, and its least value is 0.0005
DEALS = 999  # of the test of the largest group, which every run is given
AT_ONCE = 200  # deals held in memory together
ROUNDING = 1e-9  # gaps and means this close are equal
LEVEL = 0.05  # of p, below which a difference counts as shown
MOST_KEPT = 512  # distributions of the largest share: one a teacher and number of broken promises


@dataclass(frozen=True)
class Gap:
    """Largest less smallest mean among the groups that are large enough, and how often chance makes one as large."""

    value: float
    p: float  # of a permutation test; two-sided, since the gap has no sign
    by_chance: float  # mean gap of the deals: what is expected of equal groups of these sizes
    highest: str
    lowest: str
    count: int  # people in the groups compared


def gap(values: Float[np.ndarray, "m"], groups: Sequence[str]) -> Gap | None:
    """The gap between groups of `SMALLEST_GROUP` people or more; None where there are not two of them."""
    names, label, size = np.unique(np.asarray(groups, dtype=str), return_inverse=True, return_counts=True)
    large = np.flatnonzero(size >= SMALLEST_GROUP)
    if len(large) < 2:
        return None
    kept = np.isin(label, large)
    mine, dealt = values[kept].astype(float), label[kept]
    share = (dealt[:, None] == large) / size[large]  # values @ share: the mean of each group
    means = mine @ share
    chance = np.concatenate([np.ptp(m, axis=1) for m in _dealt(mine, share, PERMUTATIONS, "evidence/permutation")])
    highest, lowest = (str(names[large[i]]) for i in (means.argmax(), means.argmin()))
    return Gap(float(np.ptp(means)), _p(chance, np.ptp(means)), float(chance.mean()), highest, lowest, len(mine))


@dataclass(frozen=True)
class Largest:
    """The largest mean among groups, and what chance makes of the largest of as many groups of these sizes."""

    group: int  # which one: row of the members
    value: float
    by_chance: float  # mean of the deals' largest
    low: float  # between which 95 % of them lie
    high: float
    p: float
    people: int  # whose values are dealt

    @property
    def as_large(self) -> int:
        """Of `DEALS` and the observed one, how many are at least as large."""
        return round(self.p * (1 + DEALS))


def largest(values: Float[np.ndarray, "m"], members: Bool[np.ndarray, "g m"]) -> Largest | None:
    """The group with the largest mean among those of `SMALLEST_GROUP` people or more; None where there is none.

    Groups may overlap (levels of several columns): all are dealt to at once, so p holds for the largest of all of them
    (max-type test, Westfall and Young 1993).
    """
    large = np.flatnonzero(members.sum(1) >= SMALLEST_GROUP)
    if not len(large):
        return None
    of = members[large]
    means = of @ values / of.sum(1)
    if np.isin(values, (0.0, 1.0)).all():
        cells, sizes = np.unique(of, axis=1, return_counts=True)
        chance = _largest_shares(tuple(sizes.tolist()), tuple(map(tuple, cells.tolist())), int(values.sum()))
    else:
        share = of.T / of.sum(1)
        chance = np.concatenate([m.max(1) for m in _dealt(values, share, DEALS, "evidence/largest")])
    expected, found = float(chance.mean()), int(means.argmax())
    low, high = (float(end) for end in np.quantile(chance, (0.025, 0.975)))
    low, high = min(low, expected), max(high, expected)  # of a few deals far out
    p = _p(chance, means[found])
    return Largest(int(large[found]), float(means[found]), expected, low, high, p, len(values))


@lru_cache(maxsize=MOST_KEPT)
def _largest_shares(
    sizes: tuple[int, ...], members: tuple[tuple[bool, ...], ...], broken: int
) -> Float[np.ndarray, "deals"]:
    """Each deal's largest share of zeros and ones: how many ones a crossing of all groups gets is hypergeometric.

    ``sizes``: people of each crossing; ``members``: a row a group, which crossings it is made of. The distribution of a
    permutation test without permuting anybody, so that its time does not grow with the number of people.
    """
    of = np.array(members, float)
    drawn = numpy_stream(0, "evidence/largest").multivariate_hypergeometric(sizes, broken, DEALS, method="marginals")
    return (drawn @ of.T / (of @ np.array(sizes))).max(1)


def _dealt(
    values: Float[np.ndarray, "m"], share: Float[np.ndarray, "m g"], deals: int, purpose: str
) -> Iterator[Float[np.ndarray, "b g"]]:
    """Means of every group in each of some deals."""
    stream = numpy_stream(0, purpose)
    for start in range(0, deals, AT_ONCE):
        yield stream.permuted(np.tile(values, (min(AT_ONCE, deals - start), 1)), axis=1) @ share


def _p(chance: Float[np.ndarray, "deals"], observed: float) -> float:
    return (1 + int((chance >= observed - ROUNDING).sum())) / (1 + len(chance))


def combined_p(ps: Sequence[float]) -> float:
    """One p-value of several, valid whatever their dependence: seeds share people (Rüger 1978: K/k times the k-th)."""
    middle = (len(ps) + 1) // 2
    return min(1.0, len(ps) / middle * sorted(ps)[middle - 1])


def adjusted_p(ps: Sequence[float]) -> list[float]:
    """Each p-value when all of them are looked at together, valid whatever their dependence (Holm 1979)."""
    out, least = [0.0] * len(ps), 0.0
    for place, i in enumerate(sorted(range(len(ps)), key=lambda i: ps[i])):
        least = out[i] = max(least, min(1.0, (len(ps) - place) * ps[i]))
    return out
