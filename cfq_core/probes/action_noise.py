"""People do more or less than they were told: whether the promise still holds, on the teacher and on each student.

Of every changed number a person does the share ``1 + size * z`` of the change, z standard normal and never the other
way, on the feature's grid and inside what is legal for them; a category is switched as told. The draws z are the same
for every size and every model.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from cfq_core.actions.action_set import ActionSet
from cfq_core.base.seeds import numpy_stream
from cfq_core.evidence import PerRow, summarise, weighted_share
from cfq_core.probes.probe import ProbeInput, ProbeResults, Student
from cfq_core.probes.probe_result import ProbeResult
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

    def probe(self, subject: ProbeInput) -> ProbeResults:
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
                    on_student = self._shaped(logits > moved)
                    readings.append(_reading(size, f"kept{ending}", on_student))
                    readings.append(_reading(size, f"vd{ending}", ~on_student, on_teacher))
                readings += _gaps(size, student, told, cost.mean(0))
        return ProbeResults(tuple(teacher), tuple(map(tuple, students)))

    def _shaped(self, holds: Bool[np.ndarray, "dk"]) -> Bool[np.ndarray, "d k"]:
        return holds.reshape(self.draws, -1)


def implemented(
    actions: ActionSet, before: Values, after: Values, noise: Float[np.ndarray, "n p"]
) -> Int[np.ndarray, "n f"]:
    """What people do who were told ``after``: ``noise`` is relative to each change of the movable numbers."""
    done = after.copy()
    for column, i in enumerate(actions.numbers):
        low, high = actions.box(i, before[:, i])
        share = np.maximum(0.0, 1.0 + noise[:, column])
        moved = np.rint((after[:, i] - before[:, i]) * share).astype(np.int64)
        done[:, i] = np.clip(before[:, i] + moved, low, high)
    return done


def _reading(
    size: float, measure: str, holds: Bool[np.ndarray, "d k"], among: Bool[np.ndarray, "d k"] | None = None
) -> ProbeResult:
    """A share of draws; people, not draws, are what the interval is over."""
    counted = np.ones_like(holds) if among is None else among
    weight = counted.sum(0)
    values = (holds & counted).sum(0) / np.maximum(weight, 1)
    return ProbeResult(SERIES, size, f"{size:g}", measure, weighted_share(values, weight.astype(float)))


def _gaps(
    size: float, student: Student, told: Bool[np.ndarray, "k"], cost: Float[np.ndarray, "m"]
) -> list[ProbeResult]:
    """Relative change from the mean cost of what was done to the cost of the student's own cheapest action."""
    found, again = student.student_has_recourse[told], student.student_cost[told]
    both = found & (cost > 0)
    gap = _rows((again[both] - cost[both]) / cost[both])
    absolute = PerRow(np.abs(gap.values), gap.rows)
    said = (("crg_median", summarise(gap, "median")), ("crg_abs", summarise(absolute, "mean")))
    return [ProbeResult(SERIES, size, f"{size:g}", name, measure) for name, measure in said]


def _rows(values: Float[np.ndarray, "m"]) -> PerRow:
    return PerRow(values, np.arange(len(values)))


PLUGIN = ActionNoise()
