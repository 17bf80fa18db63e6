"""How well a number ranks two outcomes: the area under the ROC curve with its interval (DeLong et al. 1988)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy.stats import rankdata

Z = 1.96  # two-sided 95 %


@dataclass(frozen=True)
class Ranked:
    """An area under the curve and what its interval is made of."""

    auc: float
    good: Float[np.ndarray, "m"]  # for each favourable row, the share of the others below it
    bad: Float[np.ndarray, "k"]  # for each other row, the share of the favourable above it

    @property
    def half(self) -> float:
        """Half the width of the 95 % interval."""
        return Z * _spread(self.good, self.bad)

    @property
    def backwards(self) -> bool:
        """Whether it is below one half, beyond its interval."""
        return self.auc + self.half < 0.5

    @property
    def knows(self) -> bool:
        """Whether it is not one half, beyond its interval."""
        return abs(self.auc - 0.5) > self.half

    @property
    def strength(self) -> float:
        """How far from one half, whichever side is good."""
        return abs(self.auc - 0.5)

    def beats(self, other: Ranked) -> bool:
        """Whether it ranks the same rows better, beyond the interval of the difference; each whichever way round."""
        a, b = np.sign(self.auc - 0.5), np.sign(other.auc - 0.5)
        half = Z * _spread(a * self.good - b * other.good, a * self.bad - b * other.bad)
        return self.strength - other.strength > half


def ranked(score: Float[np.ndarray, "n"], outcome: Bool[np.ndarray, "n"]) -> Ranked:
    """Ties count half. Where one outcome is missing nothing is known: one half."""
    good, bad = score[outcome], score[~outcome]
    if not len(good) or not len(bad):
        return Ranked(0.5, np.zeros(0), np.zeros(0))
    together = rankdata(np.concatenate([good, bad]))
    of_good = (together[: len(good)] - rankdata(good)) / len(bad)
    of_bad = 1.0 - (together[len(good) :] - rankdata(bad)) / len(good)
    return Ranked(float(of_good.mean()), of_good, of_bad)


def _spread(good: Float[np.ndarray, "m"], bad: Float[np.ndarray, "k"]) -> float:
    if len(good) < 2 or len(bad) < 2:
        return 1.0
    return float(np.sqrt(good.var(ddof=1) / len(good) + bad.var(ddof=1) / len(bad)))


def slope(score: Float[np.ndarray, "n"], outcome: Bool[np.ndarray, "n"]) -> float:
    """Logits per unit of a score: a logistic regression of the outcome on it (Platt 1999), by Newton's method."""
    spread = float(score.std())
    if not spread > 0:
        return 1.0
    z, y = (score - score.mean()) / spread, outcome.astype(float)
    a, b = 0.0, 0.0
    for _ in range(30):
        p = 1 / (1 + np.exp(-np.clip(a * z + b, -30, 30)))
        w = p * (1 - p) + 1e-9
        gradient = np.array([((y - p) * z).sum() - 1e-3 * a, (y - p).sum()])
        hessian = np.array([[(w * z * z).sum() + 1e-3, (w * z).sum()], [(w * z).sum(), w.sum()]])
        step = np.linalg.solve(hessian, gradient)
        a, b = a + step[0], b + step[1]
        if np.abs(step).max() < 1e-9:
            break
    return float(a / spread)
