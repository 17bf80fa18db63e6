"""What a search for recourse answers: an action, or why there is none."""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import IntEnum

import numpy as np
from jaxtyping import Bool, Float, Int


class Why(IntEnum):
    """Why a person has no answer."""

    FOUND = 0
    NO_ACTION = 1  # proved: no action in A(x) reaches the promised margin on this model
    NEVER_APPROVES = 2  # the model approves nobody in the reference rows
    BUDGET = 3  # the search ended without an answer; there may be one

    @property
    def words(self) -> str:
        """One line for a reader."""
        return {
            Why.FOUND: "an action was found",
            Why.NO_ACTION: "no feasible action",
            Why.NEVER_APPROVES: "the model never approves",
            Why.BUDGET: "search budget spent",
        }[self]


@dataclass(frozen=True)
class Recourse:
    """One row an instance, that is a (model, person) pair, sorted by model.

    ``after`` equals ``before`` where nothing was found; cost and margin are then infinite and NaN.
    Points are realisable: legal under the action set, judged in float64 after decoding.
    """

    run: Int[np.ndarray, "i"]
    before: Int[np.ndarray, "i f"]
    after: Int[np.ndarray, "i f"]
    cost: Float[np.ndarray, "i"]  # scale units
    margin: Float[np.ndarray, "i"]  # logit of the model at `after`
    why: Int[np.ndarray, "i"]  # `Why`
    lower: Float[np.ndarray, "i"]  # no action that reaches the margin costs less; 0 where nothing is known
    proved: Bool[np.ndarray, "i"]  # that `cost` is the least there is, or that no action exists

    @property
    def has_recourse(self) -> Bool[np.ndarray, "i"]:
        """Who has an action."""
        return self.why == Why.FOUND

    @property
    def gap(self) -> Float[np.ndarray, "i"]:
        """By which share of its cost an action may be dearer than the cheapest there is; NaN without an action."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(self.has_recourse, np.where(self.proved, 0.0, 1 - self.lower / self.cost), np.nan)

    def of(self, run: int) -> Recourse:
        """The instances of one model."""
        mine = self.run == run
        return Recourse(**{f.name: getattr(self, f.name)[mine] for f in fields(self)})
