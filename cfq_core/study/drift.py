"""Has something changed since a model shipped? Exact tests of a new batch of people against those of the audit.

Four questions, none of which needs an outcome: are promises broken more often, are those refused who did what they
were told, does the share of approvals differ, do inputs. A look is one batch. Over all looks together, however many,
a false alarm has a chance of at most `ERROR`: look k may spend ``6 / (pi k)^2`` of it, which sums to one, a quarter a
question (Bonferroni within a look; Hochberg and Tamhane 1987).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import pi

import numpy as np
from jaxtyping import Bool, Int

from cfq_core.evidence import wilson

ERROR = 0.05  # chance of any false alarm, over all looks
QUESTIONS = ("promises", "returned", "approvals", "inputs")
RARE = 5.0  # expected people of a level; rarer ones are counted together


@dataclass(frozen=True)
class Batch:
    """What was seen of some people."""

    broken: int  # promises that the running model does not keep
    promised: int
    refused: int  # of those who came back having done what they were told
    returned: int
    approved: int
    values: Int[np.ndarray, "n f"]  # everybody, as grid counts
    category: Bool[np.ndarray, "f"]


@dataclass(frozen=True)
class Answer:
    """One question of a look."""

    question: str
    p: float  # chance of a difference at least so large where nothing has changed
    alarm: bool
    words: str


@dataclass(frozen=True)
class Look:
    """One batch against the audit."""

    number: int
    spends: float  # the chance of a false alarm that each question may have at this look
    answers: tuple[Answer, ...]

    @property
    def alarm(self) -> bool:
        """Whether any question raises one."""
        return any(a.alarm for a in self.answers)


def spent(number: int) -> float:
    """The level of each question at a look; over all looks and questions they sum to `ERROR`."""
    return ERROR * 6 / (pi * number) ** 2 / len(QUESTIONS)


def look(then: Batch, now: Batch, number: int, names: Mapping[int, str] | None = None) -> Look:
    """A batch against the audit's people; ``number``: which look it is, from 1; ``names``: of the features."""
    level = spent(number)
    shifts = [_shift(then.values[:, i], now.values[:, i], bool(c)) for i, c in enumerate(now.category)]
    worst = int(np.argmin(shifts)) if shifts else 0
    p_inputs = min(1.0, len(shifts) * shifts[worst]) if shifts else 1.0
    feature = (names or {}).get(worst, f"feature {worst}")
    each = {
        "promises": (more(then.broken, then.promised, now.broken, now.promised),
                     f"{share(now.broken, now.promised)} promises broken, {share(then.broken, then.promised)} then"),
        "returned": (more(then.broken, then.promised, now.refused, now.returned),
                     f"{share(now.refused, now.returned)} of those who did what they were told are refused"),
        "approvals": (differs(then.approved, len(then.values), now.approved, len(now.values)),
                      f"{share(now.approved, len(now.values))} approved, "
                      f"{share(then.approved, len(then.values))} then"),
        "inputs": (p_inputs, f"most moved: {feature}"),
    }  # fmt: skip
    return Look(number, level, tuple(Answer(q, p, p <= level, words) for q, (p, words) in each.items()))


def share(part: int, of: int) -> str:
    """``12.0 % (8.1 to 17.3 %, 24 of 200)``; Wilson's 95 % interval."""
    if not of:
        return "none of 0"
    low, high = wilson(part, of)
    return f"{100 * part / of:.1f} % ({100 * low:.1f} to {100 * high:.1f} %, {part:,} of {of:,})"


def more(part_then: int, of_then: int, part_now: int, of_now: int) -> float:
    """Fisher's exact p of a larger share now."""
    from scipy.stats import hypergeom

    if not of_then or not of_now:
        return 1.0
    return float(hypergeom.sf(part_now - 1, of_then + of_now, part_then + part_now, of_now))


def differs(part_then: int, of_then: int, part_now: int, of_now: int) -> float:
    """Twice the smaller of the two one-sided exact p."""
    larger = more(part_then, of_then, part_now, of_now)
    smaller = more(of_then - part_then, of_then, of_now - part_now, of_now)
    return min(1.0, 2 * min(larger, smaller))


def _shift(then: Int[np.ndarray, "n"], now: Int[np.ndarray, "m"], category: bool) -> float:
    """p of one feature: Kolmogorov and Smirnov's of a number, chi-squared of levels."""
    from scipy.stats import chi2_contingency, ks_2samp

    if not len(then) or not len(now):
        return 1.0
    if not category:
        return float(ks_2samp(then, now, method="asymp").pvalue)
    levels, place = np.unique(np.concatenate([then, now]), return_inverse=True)
    table = np.stack([np.bincount(p, minlength=len(levels)) for p in np.split(place, [len(then)])])
    expected = table.sum(0) * min(len(then), len(now)) / (len(then) + len(now))
    table = np.concatenate([table[:, expected >= RARE], table[:, expected < RARE].sum(1, keepdims=True)], axis=1)
    table = table[:, table.sum(0) > 0]
    return float(chi2_contingency(table, correction=True)[1]) if table.shape[1] > 1 else 1.0
