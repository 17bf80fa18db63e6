"""What was observed of one student beside its teacher, and how values per person become measures.

A metric scores people; averaging, groups, crossings and intervals are done here and nowhere else.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import combinations
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from scipy.special import ndtri  # not scipy.stats: two seconds at the start of every command

from cfq_core.base.streams import numpy_stream
from cfq_core.group_tests import DEALS, ROUNDING, SMALLEST_GROUP, largest

CONFIDENCE = 0.95
NORMAL_QUANTILE = float(ndtri((1 + CONFIDENCE) / 2))
LARGE = 1000  # rows from which a mean's normal interval equals its bootstrap to the bootstrap's own error
RESAMPLES = 400  # of the bootstrap; its own error is then about a twentieth of the interval
MANY = 16_384  # people, beyond whom draws are held as bytes, and numbers made of so many resamples at a time:
RESAMPLES_AT_ONCE = 64

#: Of a run, beside its metrics: how far from the teacher's approval rate its matched threshold stays on validation
#: rows; where logits tie there, the threshold at the other end of the tie, and what is matched to that (`tied`).
MATCHING_SHIFT, OTHER_THRESHOLD, TIED = "matching_shift", "other_threshold", "_tied"

#: How often each of n people is drawn in each of b resamples, and how many all of them: [b, n] and [b].
Resamples = tuple[np.ndarray, np.ndarray]

#: "worst" and the two after it are of the largest share among groups: itself, what chance makes of it, and its p.
Summary = Literal["share", "mean", "median", "sd", "worst", "worst_by_chance", "worst_p"]
OF_WORST = ("worst", "worst_by_chance", "worst_p")


@dataclass(frozen=True)
class Evidence:
    """One student on its teacher's test rows (n) and on the denied people who asked for recourse (k).

    Logits are judged in float64; a decision is favourable where the logit is positive. In matched
    evidence the student's logits have its moved threshold subtracted.
    """

    outcome: Bool[np.ndarray, "n"]  # observed, favourable
    teacher: Float[np.ndarray, "n"]  # logits
    student: Float[np.ndarray, "n"]
    groups: dict[str, list[str]]  # of the test rows
    person: Int[np.ndarray, "k"]  # test row of each person denied by the teacher
    has_recourse: Bool[np.ndarray, "k"]  # FP32 recourse found
    cost: Float[np.ndarray, "k"]
    teacher_at: Float[np.ndarray, "k"]  # logits at x + delta*_f; NaN where not found
    student_at: Float[np.ndarray, "k"]
    reaudited: Bool[np.ndarray, "k"]  # searched on the student too
    student_has_recourse: Bool[np.ndarray, "k"]
    student_cost: Float[np.ndarray, "k"]  # 0 where the student needs no action
    cosine: Float[np.ndarray, "k"]  # of the two actions; NaN where one is missing or empty
    proved: Bool[np.ndarray, "k"] | None = None  # both costs are the least there are; None: nobody's
    #: By certificate: a lower bound of the student's logit over all it speaks about; -inf where it does not apply.
    logit_lower_bound: dict[str, Float[np.ndarray, "k"]] = field(default_factory=dict)
    #: The student's own actions: an integer row each (the person as they are where there is none), `Why` there is none
    #: (-1: not searched), and a proved lower bound of the cost. For audits; no metric needs them.
    student_after: Int[np.ndarray, "k f"] | None = None
    student_why: Int[np.ndarray, "k"] | None = None
    student_lower: Float[np.ndarray, "k"] | None = None


#: Fields that are known of a student at any threshold: without a search, and without bounds.
AT_ANY_THRESHOLD = (
    "outcome", "teacher", "student", "groups", "person", "has_recourse", "cost", "teacher_at", "student_at",
)  # fmt: skip


class NotKept(AttributeError):
    """Evidence that a store does not hold."""


class PartialEvidence(Evidence):
    """Evidence of which only some fields are kept; reading another one raises `NotKept`."""

    def __init__(self, **kept: Any) -> None:
        self.__dict__.update(kept)

    def __getattribute__(self, name: str) -> Any:
        if name in Evidence.__dataclass_fields__ and name not in object.__getattribute__(self, "__dict__"):
            raise NotKept(name)
        return object.__getattribute__(self, name)


def evidence_from(kept: Mapping[str, Any]) -> Evidence:
    """Evidence from its fields; partial where some of them are missing."""
    whole = all(name in kept for name in Evidence.__dataclass_fields__)
    return Evidence(**kept) if whole else PartialEvidence(**kept)


def approved(logit: Any) -> Any:
    """Where a decision is favourable, of an array or tensor of logits; a promise is broken where it is not."""
    return logit > 0


@dataclass(frozen=True)
class PerRow:
    """One value for each row that counts, and which test row it is; ``weight`` makes a mean a ratio of sums."""

    values: Float[np.ndarray, "m"]
    rows: Int[np.ndarray, "m"]
    weight: Float[np.ndarray, "m"] | None = None

    def only(self, keep: Bool[np.ndarray, "m"]) -> PerRow:
        """Some of these rows."""
        return PerRow(self.values[keep], self.rows[keep], None if self.weight is None else self.weight[keep])


@dataclass(frozen=True)
class Measure:
    """A value with its 95 % interval and its denominator; None where it is not defined or too few count."""

    value: float | None
    low: float | None
    high: float | None
    count: int

    @staticmethod
    def missing(count: int = 0) -> Measure:
        """Not defined, or too few."""
        return Measure(None, None, None, count)


@dataclass(frozen=True)
class Metric:
    """A quantity: what it scores, how it is summarised, and in which tables it stands."""

    title: str
    unit: str  # "share", "logits", "cost", "relative", "cosine"
    better: Literal["lower", "higher", "near 0", "neither"]
    score: Callable[[Evidence], PerRow]
    summary: Summary = "share"
    decision: bool = True  # depends on the student's decision: also computed at matched approval
    by_group: bool = False
    about: str = ""  # one line for a list of all metrics
    revision: int = 1  # raised when the same evidence gives another value: stored studies are then measured anew


@dataclass(frozen=True)
class Measures:
    """Everything measured of one run: overall, and for every group and crossing of two."""

    overall: dict[str, Measure]
    groups: dict[str, dict[str, dict[str, Measure]]]  # column -> level -> metric -> measure
    unknown: tuple[str, ...] = ()  # measures whose evidence is not kept


def measure(metrics: dict[str, Metric], raw: Evidence, matched: Evidence) -> Measures:
    """All metrics, raw and at matched approval, overall and by group."""
    cells = list(group_cells(raw.groups))
    overall: dict[str, Measure] = {}
    groups: dict[str, dict[str, dict[str, Measure]]] = {}
    worst: dict[tuple[object, bool], tuple[Measure, ...]] = {}
    unknown = []
    for name, metric, evidence in _views(metrics, raw, matched):
        try:
            scored = metric.score(evidence)
        except NotKept:
            unknown.append(name)
            continue
        if metric.summary in OF_WORST:
            key = metric.score, evidence is raw  # the three are of one score
            worst[key] = worst.get(key) or _worst(scored, [c for c in cells if c.single])
            overall[name] = worst[key][OF_WORST.index(metric.summary)]
            continue
        overall[name] = summarise(scored, metric.summary)
        if metric.by_group and cells:
            for cell, found in zip(cells, _of_groups(scored, metric.summary, cells), strict=True):
                groups.setdefault(cell.column, {}).setdefault(cell.level, {})[name] = found
    return Measures(overall, groups, tuple(unknown))


def tied(metrics: Mapping[str, Metric], raw: Evidence, other: float) -> dict[str, Measure]:
    """What the matched measures would be at the other end of a tie; not those that need a search there."""
    at = {k: v for k, v in vars(raw).items() if k in AT_ANY_THRESHOLD}
    at |= {k: at[k] - other for k in ("student", "student_at") if k in at}
    decided = {n: m for n, m in metrics.items() if m.decision}
    found = measure(decided, PartialEvidence(groups=raw.groups), PartialEvidence(**at))
    return {n.removesuffix("_matched") + TIED: m for n, m in found.overall.items()}


def _views(metrics: dict[str, Metric], raw: Evidence, matched: Evidence) -> Iterator[tuple[str, Metric, Evidence]]:
    for name, metric in metrics.items():
        yield name, metric, raw
        if metric.decision:
            yield f"{name}_matched", metric, matched


@dataclass(frozen=True)
class GroupCell:
    """Who of some rows is in one level of a group column, or in one crossing of two."""

    column: str
    level: str
    members: Bool[np.ndarray, "n"]
    single: bool


def group_cells(groups: dict[str, list[str]]) -> Iterator[GroupCell]:
    """Every level of every group column, then every non-empty crossing of two columns."""
    columns = {name: np.array(levels) for name, levels in groups.items()}
    for name, levels in columns.items():
        for level in np.unique(levels):
            yield GroupCell(name, str(level), levels == level, single=True)
    for (a, left), (b, right) in combinations(columns.items(), 2):
        for one in np.unique(left):
            for two in np.unique(right[left == one]):
                yield GroupCell(f"{a} x {b}", f"{one}, {two}", (left == one) & (right == two), single=False)


def _of_groups(scored: PerRow, summary: Summary, cells: list[GroupCell]) -> Iterator[Measure]:
    """Of each group; of one with too few, only how many they are."""
    inside = np.stack([c.members for c in cells])[:, scored.rows]
    sizes, ones = inside.sum(1), scored.values == 1
    yes_or_no = summary == "share" and bool((ones | (scored.values == 0)).all())
    successes = inside[:, ones].sum(1) if yes_or_no else sizes
    for keep, n, k in zip(inside, sizes.tolist(), successes.tolist(), strict=True):
        if n < SMALLEST_GROUP:
            yield Measure.missing(n)
        elif yes_or_no:  # as `summarise`, counted for all groups at once
            yield Measure(k / n, *wilson(k, n), n)
        else:
            yield summarise(scored.only(keep), summary)


def _worst(scored: PerRow, cells: list[GroupCell]) -> tuple[Measure, Measure, Measure]:
    """The largest share among groups that are large enough, that expected of equal groups, and a p-value.

    The first interval is of the largest true share, whichever group has it: each group's own at a level shared among
    them (Bonferroni). The second is where 95 % of the deals lie, the third what p is known to from so many deals.
    """
    members = np.stack([c.members[scored.rows] for c in cells]) if cells else np.zeros((0, len(scored.rows)), bool)
    found = largest(scored.values, members)
    if found is None:
        return Measure.missing(), Measure.missing(), Measure.missing()
    size = members.sum(1)
    judged = np.flatnonzero(size >= SMALLEST_GROUP)
    z = float(ndtri(1 - (1 - CONFIDENCE) / (2 * len(judged))))
    ends = np.array([wilson(float(scored.values[members[g]].sum()), int(size[g]), z) for g in judged]).max(0)
    return (
        Measure(found.value, float(ends[0]), float(ends[1]), int(size[found.group])),
        Measure(found.by_chance, float(found.low), float(found.high), found.people),
        Measure(found.p, *wilson(found.as_large, 1 + DEALS), found.people),
    )


# ---------------------------------------------------------------------- intervals
def summarise(scored: PerRow, summary: Summary) -> Measure:
    """Value and interval: Wilson for shares, normal for means of many, Poisson bootstrap for the rest."""
    n = len(scored.values)
    if n == 0 or (scored.weight is not None and scored.weight.sum() <= 0):
        return Measure.missing(n)
    if summary == "share":
        low, high = wilson(int(scored.values.sum()), n)
        return Measure(float(scored.values.mean()), low, high, n)
    if summary == "mean" and scored.weight is None and n > LARGE:
        value, half = float(scored.values.mean()), NORMAL_QUANTILE * float(scored.values.std()) / math.sqrt(n)
        return Measure(value, value - half, value + half, n)
    if n > LARGE:
        return _bootstrapped(scored, summary)
    weight = None if scored.weight is None else scored.weight.astype(float).tobytes()
    return _kept(summary, scored.values.astype(float).tobytes(), weight)


@lru_cache(maxsize=4096)  # students of one teacher have many values in common
def _kept(summary: Summary, values: bytes, weight: bytes | None) -> Measure:
    of = np.frombuffer(values)
    return _bootstrapped(PerRow(of, np.arange(len(of)), None if weight is None else np.frombuffer(weight)), summary)


def _bootstrapped(scored: PerRow, summary: Summary) -> Measure:
    n = len(scored.values)
    resampled = np.concatenate([_RESAMPLED[summary](scored, part) for part in _resamples(n)])
    value = float(_RESAMPLED[summary](scored, (np.ones((1, n)), np.array([n])))[0])
    ranked = np.sort(resampled[np.isfinite(resampled)])
    low, high = (ranked[round((len(ranked) - 1) * q)] for q in ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2))
    return Measure(value, float(low), float(high), n)


def weighted_share(values: Float[np.ndarray, "m"], weight: Float[np.ndarray, "m"], least: float = 0.0) -> Measure:
    """Mean of values in [0, 1] under weights, with Wilson's interval at Kish's effective number of people.

    Values between 0 and 1 spread no more than a share with their mean, so the interval is not too narrow. ``least``:
    effective people, (sum w)^2 / sum w^2 (Kish 1965), below which there is no number.
    """
    count = int((weight > 0).sum())
    effective = float(weight.sum() ** 2 / (weight**2).sum()) if count else 0.0
    if not count or effective < least - ROUNDING:
        return Measure.missing(count)
    share = float((values * weight).sum() / weight.sum())
    low, high = wilson(share * effective, effective)
    return Measure(share, low, high, count)


def wilson(successes: float, n: float, z: float = NORMAL_QUANTILE) -> tuple[float, float]:
    """Wilson's score interval for a share (Wilson 1927); n need not be whole where people are weighted."""
    share, spread = successes / n, z * z / n
    centre = (share + spread / 2) / (1 + spread)
    half = z * math.sqrt(share * (1 - share) / n + spread / (4 * n)) / (1 + spread)
    return max(0.0, min(share, centre - half)), min(1.0, max(share, centre + half))


def difference(one: Bool[np.ndarray, "n"], other: Bool[np.ndarray, "m"]) -> Measure:
    """A share less another with its 95 % interval (Newcombe 1998, method 10); missing where either has too few."""
    n, m = len(one), len(other)
    if min(n, m) < SMALLEST_GROUP:
        return Measure.missing(n)
    p, q = float(one.mean()), float(other.mean())
    (p_low, p_high), (q_low, q_high) = wilson(int(one.sum()), n), wilson(int(other.sum()), m)
    return Measure(p - q, p - q - math.hypot(p - p_low, q_high - q), p - q + math.hypot(p_high - p, q - q_low), n)


@lru_cache(maxsize=16)  # one entry a power of two
def _poisson(size: int) -> Float[np.ndarray, "b size"] | UInt8[np.ndarray, "b size"]:
    random, out = numpy_stream(0, "evidence/bootstrap"), np.empty((RESAMPLES, size), np.uint8)
    for start in range(0, size, MANY):
        part = out[:, start : start + MANY]
        part[...] = random.poisson(1.0, part.shape[::-1]).T
    return out if size > MANY else out.astype(np.float32)


@lru_cache(maxsize=4096)
def _drawn(n: int) -> Float[np.ndarray, "b"]:
    return _poisson(_size(n))[:, :n].sum(1)


def _size(n: int) -> int:
    return 1 << max(10, (n - 1).bit_length())


def _resamples(n: int) -> Iterator[Resamples]:
    """How often each of n people is drawn, and all of them (Poisson bootstrap, Chamandy et al. 2012), in parts."""
    times = _poisson(_size(n))[:, :n]
    if _size(n) <= MANY:
        yield times, _drawn(n)
        return
    for start in range(0, RESAMPLES, RESAMPLES_AT_ONCE):
        part = times[start:][:RESAMPLES_AT_ONCE].astype(np.float32)
        yield part, part.sum(1)


def _mean(scored: PerRow, resamples: Resamples) -> Float[np.ndarray, "b"]:
    times, drawn = resamples
    if scored.weight is not None:
        drawn = times @ scored.weight.astype(times.dtype)
    with np.errstate(invalid="ignore", divide="ignore"):
        return (times @ scored.values.astype(times.dtype)) / drawn


def _sd(scored: PerRow, resamples: Resamples) -> Float[np.ndarray, "b"]:
    centred = scored.values - scored.values.mean()
    first = _mean(PerRow(centred, scored.rows), resamples)
    second = _mean(PerRow(centred**2, scored.rows), resamples)
    return np.sqrt(np.maximum(second - first**2, 0.0))


def _median(scored: PerRow, resamples: Resamples) -> Float[np.ndarray, "b"]:
    times, _ = resamples
    if len(times) == 1:
        return np.array([np.median(scored.values)])
    order = np.argsort(scored.values, kind="stable")
    reached = np.cumsum(times[:, order], axis=1)
    middle = (reached >= reached[:, -1:] / 2).argmax(axis=1)
    return scored.values[order][middle]


_RESAMPLED: dict[str, Callable[[PerRow, Resamples], np.ndarray]] = {"mean": _mean, "sd": _sd, "median": _median}
