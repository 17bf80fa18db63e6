"""How few bits are safe: of each method the least average bits whose promise-breaking rate is at most a limit.

**Claim.** The rate is the validity drop, for people not seen: those of the test rows, whom no part of a model was made
from. Of several seeds the claim is about the *method*: the mean rate of the models it makes. Of one seed it is about
that one *model*, and says so; ``seed`` asks for it.

**One model.** The upper Clopper-Pearson bound of x broken promises among n people (Clopper and Pearson 1934): exact.

**A method.** Models differ, so seeds are the unit. Without any assumption no bound is of use: a method that ruins one
model in four leaves ten seeds untouched with probability 0.056, so a bound of the mean could never be below 1/4
(Bahadur and Savage 1956). And Student's t errs to the wrong side, for low means come with low spreads: at a nominal
5 % it misses 7 to 17 % of the time where rates are as skewed as ours. So a shape is assumed, and checked where it can
be: rates over models are Gamma distributed with a standard deviation of at most their mean. Broken promises of S seeds
are then negative binomial in total (Poisson for binomial, which is wider), and the bound is that distribution's exact
one at the widest shape, the exponential: about 3.7, 2.5 and 1.85 times the mean for 3, 5 and 10 seeds. Where the seeds
spread by more than their mean, the shape that they show is taken, at the 80 % upper bound of its coefficient of
variation. In the shipped gallery (three seeds) sd over mean, without people's part, is above 1 in 3 of 49 lines with a
rate above 1 %. Seeds are taken as independent draws of models and people; two seeds share the test people that their
splits or samples have in common.

**Several budgets.** They are tried from the most bits down, each at the full level, up to the first that fails (fixed
sequence testing: Maurer et al. 1995; Learn then Test, Angelopoulos et al. 2021). The probability that the answer of a
method is one whose rate is above the limit is then at most 1 - confidence, however many budgets there are. Answers of
different methods and data sets each hold by themselves.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import harmonic_mean, mean, variance
from typing import Any, Literal

from scipy.special import betaincinv, chdtri

from cfq_core.base.door import path_of
from cfq_core.base.errors import BadInput
from cfq_core.study.over_seeds import OverSeeds, of_seed
from cfq_core.study.store import Store
from cfq_core.study.summary import Line, lines

AT_MOST, CONFIDENCE = 0.02, 0.95
WIDEST = 1.0  # shape of a Gamma whose standard deviation is its mean
SURE_OF_SPREAD = 0.8  # with which probability the coefficient of variation is below the one taken
LEAST_SHAPE = 0.02  # below which every bound is 1


@dataclass(frozen=True)
class Tried:
    """One budget of a method: what was seen, and the upper bound of its rate."""

    budget: float
    avg_bits: float
    rate: float | None  # mean over seeds
    bound: float | None
    seeds: int
    people: int
    approval_shift: float | None
    lenient: bool
    safe: bool


@dataclass(frozen=True)
class Safe:
    """The answer for one method: the last of the tried budgets that is safe."""

    dataset: str
    method: str
    at_most: float
    confidence: float
    claim: Literal["method", "model"]
    tried: tuple[Tried, ...]  # from the most bits down to the first that is not safe
    setting: dict[str, Any] = field(default_factory=dict)

    @property
    def answer(self) -> Tried | None:
        """The least average bits that are safe; None: none of these."""
        return next((t for t in reversed(self.tried) if t.safe), None)


def safe(
    store: Store | str | Path,
    study: str = "latest",
    at_most: float = AT_MOST,
    confidence: float = CONFIDENCE,
    matched: bool = False,
    seed: int | None = None,
) -> tuple[Safe, ...]:
    """Of every method of a stored study the fewest bits that break at most a share of promises (see this module).

    ``store``: a folder, or one that is open; ``matched``: with thresholds at the teachers' approval rate; ``seed``:
    about the models of that seed alone. An answer whose ``lenient`` is true was bought by approving more people: that
    is not faithfulness.
    """
    if isinstance(store, Store):
        return safe_of(lines(store, store.study(study)["id"]), at_most, confidence, matched, seed)
    opened = Store.for_reading(path_of(store, "safe", "store"))
    try:
        return safe(opened, study, at_most, confidence, matched, seed)
    finally:
        opened.close()


def safe_of(
    of: Iterable[Line], at_most: float, confidence: float, matched: bool = False, seed: int | None = None
) -> tuple[Safe, ...]:
    """The same of the lines of a study, in its order."""
    if not 0 < at_most < 1 or not 0.5 <= confidence < 1:
        raise BadInput(f"at most {at_most:g} at confidence {confidence:g}: a limit in (0, 1), a confidence in [0.5, 1)")
    methods: dict[tuple[str, str, str], list[Line]] = {}
    for line in of:
        if seed is not None:
            line = replace(line, measures={n: of_seed(m, seed) for n, m in line.measures.items()})
        methods.setdefault((line.dataset, repr(line.setting), line.method), []).append(line)
    if seed is not None and not any(m.seeds for each in methods.values() for x in each for m in x.measures.values()):
        raise BadInput(f"seed {seed}: no run of this study has it")
    return tuple(_answered(each, at_most, confidence, "vd_matched" if matched else "vd") for each in methods.values())


def _answered(budgets: list[Line], at_most: float, confidence: float, measure: str) -> Safe:
    tried: list[Tried] = []
    for line in sorted(budgets, key=lambda x: x.budget, reverse=True):
        tried.append(_tried(line, line.measure(measure), at_most, confidence))
        if not tried[-1].safe:
            break
    first = budgets[0]
    claim: Literal["method", "model"] = "method" if max(t.seeds for t in tried) > 1 else "model"
    return Safe(first.dataset, first.method, at_most, confidence, claim, tuple(tried), first.setting)


def _tried(line: Line, m: OverSeeds, at_most: float, confidence: float) -> Tried:
    upper = bound(m, confidence)
    about = (m.seeds, m.people, line.value("approval_shift"), line.lenient)
    return Tried(line.budget, line.avg_bits, m.mean, upper, *about, safe=upper is not None and upper <= at_most)


def bound(m: OverSeeds, confidence: float) -> float | None:
    """Upper bound of a rate: of the method's mean over seeds, or of one model; None where nobody was asked."""
    if m.mean is None or not m.people:
        return None
    rates, counts = list(m.by_seed.values()), [m.counts[s] for s in m.by_seed]
    if len(rates) == 1:
        return clopper_pearson(round(rates[0] * counts[0]), counts[0], confidence)
    return mean_over_models(rates, counts, confidence)


def clopper_pearson(broken: int, people: int, confidence: float) -> float:
    """Exact upper bound of a share, of which ``broken`` were seen among ``people``."""
    return 1.0 if broken >= people else float(betaincinv(broken + 1, people - broken, confidence))


def mean_over_models(rates: Sequence[float], people: Sequence[int], confidence: float) -> float:
    """Upper bound of the mean rate of a method's models, of which a few were tried on some people each.

    With shape k and S models the total X of broken promises is negative binomial with S k successes of probability
    t = k / (k + n mean), and P(X <= x) is the incomplete beta function I_t(S k, x + 1): the bound is where that is
    1 - confidence. People differ by model: n is their harmonic mean, x their mean rate times S n.
    """
    models, n, centre = len(rates), harmonic_mean(people), mean(rates)
    k = _shape(centre, max(0.0, variance(rates) - centre * (1 - centre) / n), models)
    t = float(betaincinv(models * k, centre * models * n + 1, 1 - confidence))
    return min(1.0, k * (1 - t) / (t * n)) if t > 0 else 1.0


def _shape(centre: float, spread: float, models: int) -> float:
    """Gamma shape: the widest that is assumed, or less where the models' own spread says so.

    ``spread``: variance over models without that of people. Its upper bound is a normal sample's, by chi-square.
    """
    if spread <= 0 or centre <= 0:
        return WIDEST
    upper = spread * (models - 1) / float(chdtri(models - 1, SURE_OF_SPREAD))
    return max(LEAST_SHAPE, min(WIDEST, centre**2 / upper))
