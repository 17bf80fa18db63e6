"""Another population than the models were made for: reweighted people, noisy records, and one group alone.

- *reweighted*: test people count ``exp(t s)``, s being where they stand, in standard deviations, along the direction
  in which training people differ most (first principal component; it rises with the teacher's logit). Covariate shift
  by exponential tilting: who comes changes, what is true of each person does not.
- *noisy records*: every unprotected cell of the test people is recorded with noise: numbers by ``size`` standard
  deviations, on their grid and inside the training range; of the others a share ``size`` is another training person's.
  The teacher decides, promises and is measured on what was recorded.
- *one group*: a natural shift, where only people of one protected group come (age, sex, region, ...).
- *own slice*: of a table of which one slice was trained on and the others are the test people (`datasets.slices`), held
  out people of that slice, for whom the teacher promises too: what is audited is the shift, this is without it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int

from cfq_core.artifacts.artifact import ArtifactInput, Computed, ProbeResult, ProbeResults, Student
from cfq_core.base.seeds import numpy_stream
from cfq_core.evidence import SMALLEST_GROUP, Evidence, Measure, PartialEvidence, PerRow, summarise, weighted_share
from cfq_core.metrics import PARTS as METRICS
from cfq_core.nets.stack import Scorer
from cfq_core.pipeline import Design, Setting, TeacherRecourse, recourse_for, solver_on
from cfq_core.recourse.find import find_recourse, logits64
from cfq_core.recourse.problem import RecourseQuery
from cfq_core.tables.schema import Feature

PLAIN, TILTED, NOISY, GROUP = "as audited", "reweighted", "noisy records", "one group"
HOME = "own slice"


@dataclass(frozen=True)
class Condition:
    """A population: a promise made in it, and how much each of its test rows counts."""

    series: str
    at: float
    label: str
    promise: TeacherRecourse
    weight: Float[np.ndarray, "n"]


@dataclass(frozen=True)
class Shift:
    """Tilts in standard deviations; record noise as a share of them."""

    KEY = "shift"
    title: str = "distribution shift"
    tilts: tuple[float, ...] = (-1.0, -0.5, 0.5, 1.0)
    sizes: tuple[float, ...] = (0.1, 0.2, 0.4)
    n_reaudited: int = 100  # people a teacher, searched on each student where they are not those of the audit (CRG)

    def compute(self, given: ArtifactInput) -> Computed:
        """The results of `probe` as arrays."""
        return self.probe(given).arrays()

    def probe(self, subject: ArtifactInput) -> ProbeResults:
        """Of every population each student's VD, CRG, approval shift and accuracy; the teacher's FRR and accuracy."""
        teacher: list[ProbeResult] = []
        students: list[list[ProbeResult]] = [[] for _ in subject.students]
        for c in self.conditions(subject.promise, subject.setting):
            own = _evidence(c, c.promise.logits, c.promise.recourse.margin)
            teacher += [_reading(c, name, own) for name in ("frr", "accuracy")]
            for student, readings in zip(subject.students, students, strict=True):
                logits, at = _logits(student.model, c.promise)
                for ending, moved in (("", 0.0), ("_matched", student.threshold)):
                    e = _evidence(c, logits - moved, at - moved)
                    readings += [_reading(c, name, e, ending) for name in ("vd", "approval_shift", "accuracy")]
                readings.append(_reading(c, "crg_abs", self._own_actions(c, student, subject.setting)))
        return ProbeResults(tuple(teacher), tuple(map(tuple, students)))

    def _own_actions(self, c: Condition, student: Student, setting: Setting) -> Evidence:
        """Costs of the promise and of the student's own action."""
        p = c.promise
        asked, found, again = np.arange(len(p.person)), student.student_has_recourse, student.student_cost
        if c.series in (NOISY, HOME):  # other records, other people: the student is asked anew
            random = numpy_stream(p.design.seed, "probes/shift/again")
            asked = np.sort(random.permutation(len(p.person))[: self.n_reaudited])
            before, promised = p.recourse.before[asked], p.recourse.after[asked]
            ask = RecourseQuery(before, p.design.encoding, p.design.actions, promised)
            own = find_recourse(student.model, [ask], solver_on(p.design, setting.solver), p.margin(setting))
            found, again = own.has_recourse, own.cost
        return PartialEvidence(
            person=p.person[asked],
            reaudited=np.ones(len(asked), bool),
            has_recourse=p.recourse.has_recourse[asked] & (p.recourse.cost[asked] > 0),
            cost=p.recourse.cost[asked],
            student_has_recourse=found,
            student_cost=again,
        )

    def conditions(self, p: TeacherRecourse, setting: Setting) -> Iterator[Condition]:
        """Every population, first the one that was audited."""
        rows = len(p.design.split.test)
        yield Condition(PLAIN, 0.0, "as audited", p, np.ones(rows))
        if home := len(p.design.split.home):
            design = replace(p.design, split=replace(p.design.split, test=p.design.split.home))
            (own,) = recourse_for(p.teacher, [design], setting)
            yield Condition(HOME, 0.0, "own slice, held out", own, np.ones(home))
        along = direction(p)
        for t in self.tilts:
            tilted = np.exp(t * along)
            yield Condition(TILTED, t, f"tilted {t:+g} sd", p, tilted / tilted.mean())
        for size in self.sizes:
            design = recorded(p.design, size)
            (noisy,) = recourse_for(p.teacher, [design], setting)
            yield Condition(NOISY, size, f"noise {size:g} sd", noisy, np.ones(rows))
        for column, levels in p.design.table.groups().items():
            mine = np.array([levels[i] for i in p.design.split.test])
            for number, level in enumerate(np.unique(mine)):
                yield Condition(GROUP, float(number), f"{column}: {level}", p, (mine == level).astype(float))


def direction(p: TeacherRecourse) -> Float[np.ndarray, "n"]:
    """Where each test person stands along the training rows' first principal component, in standard deviations."""
    training, test = (p.design.inputs(rows) for rows in (p.design.split.train, p.design.split.test))
    centred = training - training.mean(0)
    axis = np.linalg.svd(centred, full_matrices=False)[2][0]
    along = centred @ axis
    logits = logits64(p.teacher, 0, p.design.encoding, p.design.table.values[p.design.split.train])
    sign = -1.0 if np.corrcoef(along, logits)[0, 1] < 0 else 1.0
    return sign * ((test - training.mean(0)) @ axis) / along.std()


def recorded(design: Design, size: float) -> Design:
    """The same people with noise in the records of the test rows."""
    values, test = design.table.values.copy(), design.split.test
    training = design.table.values[design.split.train]
    random = numpy_stream(design.seed, f"probes/shift/{size:g}")
    for i, f in enumerate(design.table.schema.features):
        if not f.protected and i not in design.table.schema.flags.values():
            values[test, i] = _misread(f, values[test, i], training[:, i], size, random)
    return replace(design, table=replace(design.table, values=values))


def _misread(
    f: Feature, true: Int[np.ndarray, "n"], training: Int[np.ndarray, "t"], size: float, random: np.random.Generator
) -> Int[np.ndarray, "n"]:
    if f.levels:  # ordered or not: a wrong word, as often as it is used
        other = training[random.integers(0, len(training), len(true))]
        return np.where(random.random(len(true)) < size, other, true)
    off = np.rint(size * training.std() * random.standard_normal(len(true))).astype(np.int64)
    return np.where(off == 0, true, np.clip(true + off, training.min(), training.max()))


def _logits(model: Scorer, p: TeacherRecourse) -> tuple[Float[np.ndarray, "n"], Float[np.ndarray, "k"]]:
    """Of the test rows as recorded, and of the promised points."""
    test = p.design.table.values[p.design.split.test]
    return logits64(model, 0, p.design.encoding, test), logits64(model, 0, p.design.encoding, p.recourse.after)


def _evidence(c: Condition, logits: Float[np.ndarray, "n"], at: Float[np.ndarray, "k"]) -> Evidence:
    """Of a model in a population: its logits of the test rows and at the promised points."""
    p = c.promise
    return PartialEvidence(
        outcome=p.design.table.outcome[p.design.split.test],
        teacher=p.logits,
        student=logits,
        person=p.person,
        has_recourse=p.recourse.has_recourse,
        student_at=at,
    )


def _reading(c: Condition, name: str, e: Evidence, ending: str = "") -> ProbeResult:
    """A metric in a population, its people weighted; no number where it rests on too few of them, effectively."""
    metric = METRICS[name]
    scored = metric.score(e)
    weight = c.weight[scored.rows]
    counted = np.flatnonzero(weight)
    if metric.summary == "share":
        found = weighted_share(scored.values, weight, SMALLEST_GROUP)
    elif not len(counted) or weight.sum() ** 2 < SMALLEST_GROUP * (weight**2).sum():
        found = Measure.missing(len(counted))
    else:
        of_sum = PerRow((scored.values * weight)[counted], counted, weight[counted])
        found = summarise(of_sum, "mean")
    return ProbeResult(c.series, c.at, c.label, f"{name}{ending}", found)


PROBE = Shift()
