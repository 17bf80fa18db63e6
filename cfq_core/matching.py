"""The threshold at which a student approves as many people as its teacher, and both sides of it where logits tie.

People whose logits are equal are approved together or not at all, so the teacher's number may lie within a tie. Then
the side that comes nearer is used, and the other is told beside it; of two as near, the one that approves fewer.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

#: Share of people by which approvals may differ at a "matched" threshold; beyond, the word is not true.
REACHED = 0.005
BEYOND = 1.0  # logits; how far outside all logits a threshold lies that nobody, or everybody, is above


@dataclass(frozen=True)
class Matching:
    """Where the thresholds of M students of one teacher lie, by their logits on the same people."""

    threshold: Float[np.ndarray, "m"]  # midway between two logits; the nearest to the teacher's number there is
    other: Float[np.ndarray, "m"]  # at the other end of a tie; the same where the number is reached
    shift: Float[np.ndarray, "m"]  # share of these people approved beyond the teacher's; 0 where it is reached


def match(logits: Float[np.ndarray, "m n"], wanted: int) -> Matching:
    """Thresholds above which as nearly ``wanted`` of n people lie as ties allow."""
    ends = logits.max(1, keepdims=True) + 2 * BEYOND, logits.min(1, keepdims=True) - 2 * BEYOND
    ranked = -np.sort(-np.concatenate([ends[0], logits, ends[1]], axis=1), axis=1)
    last, next_ = ranked[:, wanted], ranked[:, wanted + 1]  # the last to be approved, the first who is not
    above = np.where(ranked > last[:, None], ranked, np.inf).min(1)
    below = np.where(ranked < last[:, None], ranked, -np.inf).max(1)
    tied = last == next_
    strict = np.where(tied, _between(last, above), _between(next_, last))
    lenient = np.where(tied, _between(below, last), strict)
    fewer, more = (_count(logits, cut) - wanted for cut in (strict, lenient))
    nearer = more < -fewer
    threshold, other = np.where(nearer, lenient, strict), np.where(nearer, strict, lenient)
    return Matching(threshold, other, np.where(nearer, more, fewer) / logits.shape[1])


def _count(logits: Float[np.ndarray, "m n"], cut: Float[np.ndarray, "m"]) -> Int[np.ndarray, "m"]:
    return (logits > cut[:, None]).sum(1)


def _between(low: Float[np.ndarray, "m"], high: Float[np.ndarray, "m"]) -> Float[np.ndarray, "m"]:
    """Midway; at the lower one where no number lies between: it is not above itself."""
    middle = low / 2 + high / 2
    return np.where((low < middle) & (middle < high), middle, low)
