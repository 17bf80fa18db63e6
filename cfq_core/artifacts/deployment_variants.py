"""Robust recourse against two plain baselines: what it costs, and on how many unseen deployment variants it holds.

Which model will be deployed is not known: bits, clip and rounding vary. *Robust* recourse is the cheapest action that
is valid, with a margin, on every one of the known variants (`recourse/robust.py`). *Fixed margin* queries one margin of
the teacher from everybody. The *sigma ladder* takes each person's cheapest fixed-margin answer whose margin is z
forecast standard deviations of rounding noise at the fewest bits (`quant/forecast.py`). All three are judged on other
roundings than any of them has seen.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from cfq_core.artifacts.artifact import ArtifactInput, Computed, ProbeResult, ProbeResults
from cfq_core.evidence import Measure, PartialEvidence, PerRow, summarise, weighted_share
from cfq_core.metrics import PARTS as METRICS
from cfq_core.pipeline import TeacherRecourse, matching_threshold, solver_on
from cfq_core.quant.calibrate import Calibration
from cfq_core.quant.forecast import rounding_noise
from cfq_core.quant.quantized import QuantStack
from cfq_core.quant.variants import Variants
from cfq_core.recourse.find import Solver, find_recourse, logits64
from cfq_core.recourse.outcome import Recourse
from cfq_core.recourse.problem import RecourseQuery
from cfq_core.recourse.robust import Worst

KNOWN = Variants(bits=(8, 4, 3), draws=1)
UNSEEN = Variants(bits=(8, 4, 3), draws=4, seed=1, nearest=False)
FIXED, LADDER, ROBUST, SHIPPED = "fixed margin", "sigma ladder", "robust", "variants"


@dataclass(frozen=True)
class Answers:
    """What one strategy tells everybody who was denied, at one strength."""

    series: str
    at: float
    label: str
    has_recourse: Bool[np.ndarray, "k"]
    after: Int[np.ndarray, "k f"]
    cost: Float[np.ndarray, "k"]  # infinite where nothing was found
    margin: Float[np.ndarray, "k"]  # on the teacher; NaN where nothing was found


@dataclass(frozen=True)
class DeploymentVariants:
    """Known and unseen variants of each teacher, and the strengths of each strategy."""

    KEY = "deployment_variants"
    title: str = "deployment variants"
    known: Variants = KNOWN
    unseen: Variants = UNSEEN
    margins: tuple[float, ...] = (0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0)  # logits, on the teacher
    deviations: tuple[float, ...] = (0.5, 1.0, 1.64, 2.5)  # of rounding noise
    robust_margins: tuple[float, ...] = (0.05, 0.2, 0.5)  # logits, on the worst known variant

    def probe(self, subject: ArtifactInput) -> ProbeResults:
        """Found, cost and success of every strategy at every strength; on each student whether they hold there."""
        p = subject.promise
        unseen = self.unseen.of(p.teacher, watched(p), p.activation_bits)
        moved = np.array([matching_threshold(p, unseen, v) for v in range(unseen.runs)])
        teacher, students = _shipped(p, unseen, self.unseen), [list[ProbeResult]() for _ in subject.students]
        for told in self.answers(p, solver_on(p.design, subject.setting.solver)):
            teacher += _judged(p, told, unseen, moved)
            for student, readings in zip(subject.students, students, strict=True):
                logits = logits64(student.model, 0, p.design.encoding, told.after[told.has_recourse])
                for ending, threshold in (("", 0.0), ("_matched", student.threshold)):
                    readings.append(_reading(told, f"kept{ending}", _share(logits > threshold)))
        return ProbeResults(tuple(teacher), tuple(map(tuple, students)))

    def compute(self, given: ArtifactInput) -> Computed:
        """The results of `probe` as arrays."""
        return self.probe(given).arrays()

    def answers(self, p: TeacherRecourse, solver: Solver) -> Iterator[Answers]:
        """Every strategy at every strength."""
        ask = RecourseQuery(p.recourse.before, p.design.encoding, p.design.actions)
        rungs = [find_recourse(p.teacher, [ask], solver, margin) for margin in self.margins]
        for margin, rung in zip(self.margins, rungs, strict=True):
            yield _answers(FIXED, margin, f"κ {margin:g}", rung)
        noise = np.stack([_noise(p, rung, min(self.unseen.bits)) for rung in rungs])
        for z in self.deviations:
            yield _cheapest(z, rungs, noise)
        worst = Worst(self.known.of(p.teacher, watched(p), p.activation_bits), self.known.count)
        for margin in self.robust_margins:
            yield _answers(ROBUST, margin, f"κ {margin:g}", find_recourse(worst, [ask], solver, margin))


def watched(p: TeacherRecourse) -> torch.Tensor:
    """Training rows that activations are calibrated on."""
    rows = p.design.split.train[: Calibration().rows]
    return torch.tensor(p.design.inputs(rows), dtype=torch.float32)[None]


def _answers(series: str, at: float, label: str, told: Recourse) -> Answers:
    return Answers(series, at, label, told.has_recourse, told.after, told.cost, told.margin)


def _noise(p: TeacherRecourse, rung: Recourse, bits: int) -> Float[np.ndarray, "k"]:
    """Forecast standard deviation of the logit at each recommended point; NaN where there is none."""
    plan = torch.full((1, len(p.teacher.weights)), bits)
    grid = Calibration(weights="min-max").quantize(p.teacher, plan, watched(p), None, p.activation_bits)
    out = np.full(len(rung.has_recourse), np.nan)
    out[rung.has_recourse] = rounding_noise(p.teacher, grid, p.design.encoding.encode(rung.after[rung.has_recourse]))
    return out


def _cheapest(z: float, rungs: list[Recourse], noise: Float[np.ndarray, "m k"]) -> Answers:
    """Of each person's answers the cheapest whose margin is z standard deviations."""
    margin, cost = (np.stack([getattr(r, k) for r in rungs]) for k in ("margin", "cost"))
    with np.errstate(invalid="ignore"):
        safe = np.stack([r.has_recourse for r in rungs]) & (margin >= z * noise)
    priced = np.where(safe, cost, np.inf)
    best, person = priced.argmin(0), np.arange(priced.shape[1])
    found: np.ndarray = np.isfinite(priced.min(0))
    after = np.stack([r.after for r in rungs])[best, person]
    after[~found] = rungs[0].before[~found]
    kept = np.where(found, margin[best, person], np.nan)
    return Answers(LADDER, z, f"z {z:g}", found, after, priced[best, person], kept)


def _judged(p: TeacherRecourse, told: Answers, unseen: QuantStack, moved: Float[np.ndarray, "v"]) -> list[ProbeResult]:
    """What a strategy's answers cost, and on which unseen variants they hold."""
    found = told.has_recourse
    logits = np.stack([logits64(unseen, v, p.design.encoding, told.after[found]) for v in range(unseen.runs)])
    both = found & p.recourse.has_recourse & (p.recourse.cost > 0)
    rows = np.arange(len(found))
    ratio = PerRow(told.cost[both], rows[both], p.recourse.cost[both])
    out = [
        _reading(told, "frr", _share(found)),
        _reading(told, "recourse_cost", summarise(PerRow(told.cost[found], rows[found]), "mean")),
        _reading(told, "cost_ratio", summarise(ratio, "mean")),
    ]
    for ending, thresholds in (("", np.zeros(unseen.runs)), ("_matched", moved)):
        holds = logits > thresholds[:, None]
        served = np.zeros(len(found))
        served[found] = holds.min(0)
        everywhere: np.ndarray = holds.min(0)
        out += [
            _reading(told, f"robust{ending}", _share(everywhere)),
            _reading(told, f"held{ending}", _share(holds.mean(0))),
            _reading(told, f"served{ending}", _share(served)),
        ]
    return out


def _shipped(p: TeacherRecourse, unseen: QuantStack, kinds: Variants) -> list[ProbeResult]:
    """How many more people than the teacher the unseen variants of each bit-width approve, on average."""
    test = p.design.table.values[p.design.split.test]
    logits = [logits64(unseen, v, p.design.encoding, test) for v in range(unseen.runs)]
    score = METRICS["approval_shift"].score
    shift = np.stack([score(PartialEvidence(teacher=p.logits, student=z)).values for z in logits])
    each, out = np.repeat(kinds.bits, unseen.runs // len(kinds.bits)), []
    for bits in kinds.bits:
        of_rows = PerRow(shift[each == bits].mean(0), np.arange(shift.shape[1]))
        out.append(ProbeResult(SHIPPED, bits, f"{bits} bits", "approval_shift", summarise(of_rows, "mean")))
    return out


def _reading(told: Answers, measure: str, found: Measure) -> ProbeResult:
    return ProbeResult(told.series, told.at, told.label, measure, found)


def _share(values: np.ndarray) -> Measure:
    return weighted_share(values.astype(float), np.ones(len(values)))


PROBE = DeploymentVariants()
