"""People do more or less than they were told: whether the promise still holds, on the teacher and on each student.

Of every changed number a person does the share ``1 + size * z`` of the change, z standard normal and never the other
way, on the feature's grid and inside what is legal for them; a category is switched as told, what follows follows,
and where constraints forbid a draw the person does as told. The draws z are the same for every size and every model.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from cfq_core.actions.action_set import ActionSet
from cfq_core.artifacts.artifact import ArtifactInput, Computed, ProbeResult, ProbeResults, Student
from cfq_core.base.seeds import numpy_stream
from cfq_core.evidence import Measure, PartialEvidence, PerRow, summarise, weighted_share
from cfq_core.metrics import PARTS as METRICS
from cfq_core.recourse.find import logits64
from cfq_core.tables.encode import Values

SERIES = "relative noise"


@dataclass(frozen=True)
class ActionNoise:
    """Sizes are relative to each change; 0 is the promise as it was made."""

    KEY = "action_noise"
    title: str = "imprecise action"
    sizes: tuple[float, ...] = (0.0, 0.05, 0.1, 0.2, 0.3, 0.5)
    draws: int = 20  # of every person at every size

    def probe(self, subject: ArtifactInput) -> ProbeResults:
        """Shares that hold, VD among what still holds on the teacher, and CRG against the cost of what was done."""
        p = subject.promise
        told = p.recourse.has_recourse
        before, after = p.recourse.before[told], p.recourse.after[told]
        actions, encoding = p.design.actions, p.design.encoding
        z = numpy_stream(p.design.seed, "probes/action_noise").standard_normal(
            (self.draws, len(before), len(actions.numbers))
        )
        teacher: list[ProbeResult] = []
        students: list[list[ProbeResult]] = [[] for _ in subject.students]
        for size in self.sizes:
            done = np.concatenate([implemented(actions, before, after, size * draw) for draw in z])
            cost = actions.cost(np.tile(before, (self.draws, 1)), done).reshape(self.draws, -1)
            on_teacher = self._shaped(logits64(p.teacher, 0, encoding, done) > 0)
            teacher.append(_reading(size, "kept", on_teacher))
            teacher.append(
                ProbeResult(SERIES, size, f"{size:g}", "recourse_cost", summarise(_rows(cost.mean(0)), "mean"))
            )
            for student, readings in zip(subject.students, students, strict=True):
                logits = logits64(student.model, 0, encoding, done)
                for ending, moved in (("", 0.0), ("_matched", student.threshold)):
                    readings.append(_reading(size, f"kept{ending}", self._shaped(logits > moved)))
                    readings.append(
                        ProbeResult(SERIES, size, f"{size:g}", f"vd{ending}", _vd(on_teacher, logits - moved))
                    )
                readings += _gaps(size, student, told, cost.mean(0))
        return ProbeResults(tuple(teacher), tuple(map(tuple, students)))

    def compute(self, given: ArtifactInput) -> Computed:
        """The results of `probe` as arrays."""
        return self.probe(given).arrays()

    def _shaped(self, holds: Bool[np.ndarray, "dk"]) -> Bool[np.ndarray, "d k"]:
        return holds.reshape(self.draws, -1)


def implemented(
    actions: ActionSet, before: Values, after: Values, noise: Float[np.ndarray, "n p"]
) -> Int[np.ndarray, "n f"]:
    """What people do who were told ``after``: ``noise`` is relative to each change of the movable numbers."""
    done = after.copy()
    for column, i in enumerate(actions.numbers):
        low, high = actions.box(i, before)
        share = np.maximum(0.0, 1.0 + noise[:, column])
        moved = np.rint((after[:, i] - before[:, i]) * share).astype(np.int64)
        done[:, i] = np.clip(before[:, i] + moved, low, high)
    done = actions.completed(before, done)
    return done if actions.tied is None else np.where(actions.legal(before, done)[:, None], done, after)


def _reading(size: float, measure: str, holds: Bool[np.ndarray, "d k"]) -> ProbeResult:
    """A share of draws; people, not draws, are what the interval is over."""
    share = weighted_share(holds.mean(0), np.ones(holds.shape[1]))
    return ProbeResult(SERIES, size, f"{size:g}", measure, share)


def _vd(on_teacher: Bool[np.ndarray, "d k"], student_at: Float[np.ndarray, "dk"]) -> Measure:
    """Validity drop among the draws that hold on the teacher; again over people."""
    draws, people = on_teacher.shape
    everybody = np.tile(np.arange(people), draws)
    e = PartialEvidence(person=everybody, has_recourse=on_teacher.ravel(), student_at=student_at)
    scored = METRICS["vd"].score(e)
    weight = np.bincount(scored.rows, minlength=people).astype(float)
    broken = np.bincount(scored.rows, scored.values, minlength=people)
    return weighted_share(broken / np.maximum(weight, 1), weight)


def _gaps(
    size: float, student: Student, told: Bool[np.ndarray, "k"], cost: Float[np.ndarray, "m"]
) -> list[ProbeResult]:
    """Relative change from the mean cost of what was done to the cost of the student's own cheapest action."""
    e = PartialEvidence(
        person=np.arange(len(cost)),
        reaudited=np.ones(len(cost), bool),
        has_recourse=cost > 0,
        cost=cost,
        student_has_recourse=student.student_has_recourse[told],
        student_cost=student.student_cost[told],
    )
    each = {n: summarise(METRICS[n].score(e), METRICS[n].summary) for n in ("crg_median", "crg_abs")}
    return [ProbeResult(SERIES, size, f"{size:g}", name, measure) for name, measure in each.items()]


def _rows(values: Float[np.ndarray, "m"]) -> PerRow:
    return PerRow(values, np.arange(len(values)))


PROBE = ActionNoise()
