"""Probes against a second, slow way: person by person, from raw words and units, and explicit sums."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from cfq_core.artifacts.action_noise import ActionNoise, implemented
from cfq_core.artifacts.artifact import ArtifactInput, ProbeResult, Student
from cfq_core.artifacts.deployment_variants import (
    FIXED,
    KNOWN,
    LADDER,
    ROBUST,
    UNSEEN,
    Answers,
    DeploymentVariants,
    watched,
)
from cfq_core.artifacts.shift import GROUP, HOME, NOISY, PLAIN, TILTED, Shift, recorded
from cfq_core.base.plugins import load
from cfq_core.base.seeds import numpy_stream, repeatable
from cfq_core.datasets import slices
from cfq_core.evidence import Measure, weighted_share, wilson
from cfq_core.nets.stack import Stack
from cfq_core.pipeline import Setting, audit, prepare, promise
from cfq_core.quant.calibrate import Calibration
from cfq_core.quant.forecast import rounding_noise
from cfq_core.quant.variants import Variants
from cfq_core.recourse.find import find_recourse, logits64
from cfq_core.recourse.problem import RecourseQuery
from cfq_core.training.loop import TeacherTraining
from tests.conftest import mixed_table
from tests.contracts.test_probes import subject_of
from tests.oracles.legality import Rules, count, frame


def of(readings: tuple[ProbeResult, ...], measure: str, at: float, series: str = "") -> Measure:
    """The one reading of a measure at a condition."""
    mine = [r.result for r in readings if r.measure == measure and r.at == at and series in ("", r.series)]
    assert len(mine) == 1, (measure, at, mine)
    return mine[0]


def by_hand(teacher: Stack, row: np.ndarray) -> float:
    """A ReLU network on one person, layer by layer, in float64."""
    x = row.astype(np.float64)
    for i, (w, b) in enumerate(zip(teacher.weights, teacher.biases, strict=True)):
        x = w[0].double().numpy() @ x + b[0].double().numpy()
        x = np.maximum(x, 0) if i + 1 < len(teacher.weights) else x
    return float(x[0])


# ---------------------------------------------------------------------- imprecise actions
def test_no_noise_is_the_plain_audit(cell: Any) -> None:
    s = subject_of(cell)
    found = ActionNoise(sizes=(0.0,), draws=3).probe(s)
    assert of(found.teacher, "kept", 0.0).value == 1.0, "a promise holds on who made it"
    audits = [a for a in cell.audits("ptq") if a.seed == 0]
    for readings, a in zip(found.students, audits, strict=True):
        for measure in ("vd", "vd_matched", "crg_median", "crg_abs"):
            plain, read = a.measures.overall[measure], of(readings, measure, 0.0)
            assert read.count == plain.count
            assert (read.value, read.low, read.high) == pytest.approx((plain.value, plain.low, plain.high)), measure
        assert of(readings, "kept", 0.0).value == pytest.approx(1 - a.measures.overall["vd"].value)


def test_noise_is_what_a_loop_over_people_and_raw_words_gives(cell: Any) -> None:
    s, probe = subject_of(cell), ActionNoise(sizes=(0.3,), draws=2)
    p = s.promise
    design, told = p.design, p.recourse.has_recourse
    rules = Rules.read(design.table.schema, design.table.frame().iloc[design.split.train])
    before, after = (frame(design.table.schema, v[told]) for v in (p.recourse.before, p.recourse.after))
    movable = [f for f in design.table.schema.features if rules.move[f.name] != "fixed" and f.kind != "category"]
    z = numpy_stream(design.seed, "probes/action_noise").standard_normal((2, len(before), len(movable)))
    everybody: list[tuple[int, np.ndarray]] = []
    held, broken, valid = np.zeros(len(before)), np.zeros(len(before)), np.zeros(len(before))
    for draw in range(2):
        for i in range(len(before)):
            cells = dict(after.iloc[i])
            for j, f in enumerate(movable):
                own, wanted = count(f, before[f.name].iloc[i]), count(f, after[f.name].iloc[i])
                there = own + round((wanted - own) * max(0.0, 1 + 0.3 * z[draw, i, j]))
                low, high = rules.ends[f.name]
                low = own if rules.move[f.name] == "up" else min(own, low)
                high = own if rules.move[f.name] == "down" else max(own, high)
                there = min(max(there, low), high)
                cells[f.name] = f.levels[there] if f.levels else float(f.raw(np.array([there]))[0])
            done = np.array([[count(f, cells[f.name]) for f in design.table.schema.features]])
            everybody.append((i, done))
            on_teacher = by_hand(p.teacher, design.encoding.encode(done)[0]) > 0
            on_student = float(logits64(s.students[0].model, 0, design.encoding, done)[0]) > 0
            held[i] += on_student / 2
            valid[i] += on_teacher
            broken[i] += on_teacher and not on_student
    rows = before.iloc[[i for i, _ in everybody]].reset_index(drop=True)
    assert not rules.violations(rows, frame(design.table.schema, np.concatenate([d for _, d in everybody])))
    readings = probe.probe(s).students[0]
    assert of(readings, "kept", 0.3).value == pytest.approx(held.mean())
    assert of(readings, "vd", 0.3).value == pytest.approx(broken.sum() / valid.sum())


def test_nobody_does_the_opposite_and_a_switch_is_done_as_told(cell: Any) -> None:
    p = cell.promises[0]
    told = p.recourse.has_recourse
    before, after = p.recourse.before[told], p.recourse.after[told]
    actions = p.design.actions
    for noise in (-3.0, -1.0, 5.0):
        done = implemented(actions, before, after, np.full((len(before), len(actions.numbers)), noise))
        assert actions.legal(before, done).all()
        assert (np.sign(done - before) * np.sign(after - before) >= 0)[:, actions.numbers].all()
        assert np.array_equal(done[:, actions.switches], after[:, actions.switches])
        if noise <= -1:
            assert np.array_equal(done[:, actions.numbers], before[:, actions.numbers])


# ---------------------------------------------------------------------- weighted shares
def test_equal_weights_are_the_plain_share_and_double_weights_are_double_people() -> None:
    values = np.array([1.0, 0, 0, 1, 0, 0, 0, 1])
    plain = weighted_share(values, np.full(8, 3.0))
    assert (plain.value, plain.low, plain.high) == pytest.approx((3 / 8, *wilson(3, 8)))
    twice = weighted_share(values, np.array([2.0, 0, 1, 1, 1, 1, 1, 1]))
    assert twice.value == pytest.approx((2 + 1 + 1) / 8) and twice.count == 7
    assert twice.high - twice.low > wilson(4, 8)[1] - wilson(4, 8)[0] - 1e-12, "unequal weights are fewer people"


def test_too_few_effective_people_are_no_number() -> None:
    weight = np.array([100.0] + [1.0] * 99)
    assert weighted_share(np.ones(100), weight, least=30).value is None
    assert weighted_share(np.ones(100), np.ones(100), least=30).value == 1.0
    assert weighted_share(np.ones(0), np.ones(0)).value is None
    assert load("probes", "action_noise").sizes[0] == 0.0, "the curve begins with the promise as it was made"


# ---------------------------------------------------------------------- deployment variants
SMALL = DeploymentVariants(
    known=Variants(bits=(8, 3), draws=1),
    unseen=Variants(bits=(8, 3), draws=1, seed=1, nearest=False),
    margins=(0.1, 0.5, 1.5),
    deviations=(1.0,),
    robust_margins=(0.1,),
)


@pytest.fixture(scope="module")
def strategies(cell: Any) -> list[Answers]:
    with repeatable():
        return list(SMALL.answers(cell.promises[0], cell.setting.solver))


def test_unseen_variants_are_none_of_the_known(cell: Any) -> None:
    p = cell.promises[0]
    known, unseen = (v.of(p.teacher, watched(p)) for v in (KNOWN, UNSEEN))
    assert (known.runs, unseen.runs) == (KNOWN.count, UNSEEN.count) == (12, 24)
    for v in range(unseen.runs):
        for k in range(known.runs):
            assert any(not torch.equal(a[v] * s[v][..., None], b[k] * t[k][..., None]) for a, b, s, t in zip(
                unseen.weights, known.weights, unseen.weight_steps, known.weight_steps, strict=True))  # fmt: skip


def test_success_and_cost_are_what_loops_over_people_and_variants_count(cell: Any, strategies: list[Answers]) -> None:
    s = subject_of(cell)
    p, encoding = s.promise, s.promise.design.encoding
    unseen = SMALL.unseen.of(p.teacher, watched(p))
    found = SMALL.probe(s)
    for told in strategies:
        everywhere, share, own, theirs = 0, 0.0, 0.0, 0.0
        for i in np.flatnonzero(told.has_recourse):
            logits = [logits64(unseen, v, encoding, told.after[[i]])[0] for v in range(unseen.runs)]
            everywhere += min(logits) > 0
            share += sum(z > 0 for z in logits) / len(logits)
            if p.recourse.has_recourse[i]:
                own, theirs = own + p.recourse.cost[i], theirs + told.cost[i]
        n = int(told.has_recourse.sum())
        assert of(found.teacher, "robust", told.at, told.series).value == pytest.approx(everywhere / n)
        assert of(found.teacher, "held", told.at, told.series).value == pytest.approx(share / n)
        assert of(found.teacher, "served", told.at, told.series).value == pytest.approx(
            everywhere / len(told.has_recourse)
        )
        assert of(found.teacher, "frr", told.at, told.series).value == pytest.approx(n / len(told.has_recourse))
        assert of(found.teacher, "cost_ratio", told.at, told.series).value == pytest.approx(theirs / own)
        kept = (logits64(s.students[0].model, 0, encoding, told.after[told.has_recourse]) > 0).mean()
        assert of(found.students[0], "kept", told.at, told.series).value == pytest.approx(kept)


def test_every_strategy_tells_what_it_says(cell: Any, strategies: list[Answers]) -> None:
    p = cell.promises[0]
    known = SMALL.known.of(p.teacher, watched(p))
    by = {(t.series, t.at): t for t in strategies}
    assert {t.series for t in strategies} == {FIXED, LADDER, ROBUST}
    for told in strategies:
        assert p.design.actions.legal(p.recourse.before, told.after).all()
        assert told.cost[told.has_recourse] == pytest.approx(
            p.design.actions.cost(p.recourse.before, told.after)[told.has_recourse]
        )
        logits = logits64(p.teacher, 0, p.design.encoding, told.after)
        assert logits[told.has_recourse] == pytest.approx(told.margin[told.has_recourse]) or told.series == ROBUST
        if told.series == FIXED:
            assert (logits[told.has_recourse] >= told.at - 1e-9).all()
        if told.series == ROBUST:
            each = [logits64(known, v, p.design.encoding, told.after)[told.has_recourse] for v in range(known.runs)]
            assert np.min(each) >= told.at - 1e-9
    grid = Calibration(weights="min-max").quantize(p.teacher, torch.full((1, 3), 3), watched(p))
    ladder = by[LADDER, 1.0]
    for i in range(len(p.recourse.before)):  # the cheapest rung that passes, one person at a time
        passing = []
        for margin in SMALL.margins:
            rung = by[FIXED, margin]
            if rung.has_recourse[i]:
                noise = rounding_noise(p.teacher, grid, p.design.encoding.encode(rung.after[[i]]))[0]
                passing += [(rung.cost[i], margin)] if rung.margin[i] >= noise else []
        assert bool(passing) == ladder.has_recourse[i]
        assert ladder.cost[i] == (min(passing)[0] if passing else np.inf)


# ---------------------------------------------------------------------- distribution shift
def test_the_population_that_was_audited_reads_as_the_audit(cell: Any) -> None:
    s = subject_of(cell)
    found = Shift(tilts=(0.0,), sizes=(0.0,)).probe(s)
    audits = [a for a in cell.audits("ptq") if a.seed == 0]
    for readings, a in zip(found.students, audits, strict=True):
        for series in (PLAIN, TILTED, NOISY):  # no tilt and no noise are no shift
            for measure in ("vd", "vd_matched", "approval_shift", "accuracy"):
                plain, read = a.measures.overall[measure], of(readings, measure, 0.0, series)
                assert (read.value, read.count) == (pytest.approx(plain.value), plain.count), (series, measure)
    assert of(found.teacher, "frr", 0.0, PLAIN).value == pytest.approx(s.promise.recourse.has_recourse.mean())


def test_reweighted_measures_are_explicit_weighted_means(cell: Any) -> None:
    s = subject_of(cell)
    p, design = s.promise, s.promise.design
    found = Shift(tilts=(0.5,), sizes=()).probe(s)
    training, test = design.inputs(design.split.train), design.inputs(design.split.test)
    middle = training.mean(0)
    values, vectors = np.linalg.eigh(np.cov((training - middle).T))  # another way to the same axis
    axis = vectors[:, values.argmax()]
    along = (training - middle) @ axis
    if sum(a * by_hand(p.teacher, x) for a, x in zip(along, training, strict=True)) < 0:  # `along` has mean 0
        axis = -axis
    weight = [float(np.exp(0.5 * ((x - middle) @ axis) / along.std())) for x in test]
    audit = next(a for a in cell.audits("ptq") if a.seed == 0)
    total = up = right = 0.0
    for i, w in enumerate(weight):
        total += w
        up += w * (float(audit.raw.student[i] > 0) - float(p.logits[i] > 0))
        right += w * float((audit.raw.student[i] > 0) == audit.raw.outcome[i])
    assert of(found.students[0], "approval_shift", 0.5, TILTED).value == pytest.approx(up / total)
    assert of(found.students[0], "accuracy", 0.5, TILTED).value == pytest.approx(right / total)
    apart = counted = 0.0
    for k, row in enumerate(p.person):
        if p.recourse.has_recourse[k] and audit.raw.student_has_recourse[k] and p.recourse.cost[k] > 0:
            counted += weight[row]
            apart += weight[row] * abs(audit.raw.student_cost[k] - p.recourse.cost[k]) / p.recourse.cost[k]
    with pytest.MonkeyPatch.context() as patch:  # the tiny cell asked only 25 people again
        patch.setattr("cfq_core.artifacts.shift.SMALLEST_GROUP", 5)
        read = Shift(tilts=(0.5,), sizes=()).probe(s).students[0]
    assert of(read, "crg_abs", 0.5, TILTED).value == pytest.approx(apart / counted)
    lost = told = 0.0
    for k, row in enumerate(p.person):
        if p.recourse.has_recourse[k]:
            told += weight[row]
            lost += weight[row] * float(audit.raw.student_at[k] <= 0)
    assert of(found.students[0], "vd", 0.5, TILTED).value == pytest.approx(lost / told)


def test_one_group_alone_reads_as_the_audit_of_that_group(cell: Any) -> None:
    s = subject_of(cell)
    found = Shift(tilts=(), sizes=()).probe(s)
    audit = next(a for a in cell.audits("ptq") if a.seed == 0)
    compared = 0
    for r in found.students[0]:
        if r.series == GROUP:
            column, level = r.label.split(": ")
            measure = audit.measures.groups[column][level].get(r.measure)
            if measure is not None:
                assert (r.result.value, r.result.count) == (pytest.approx(measure.value), measure.count), r
                compared += 1
    hidden = [r for r in found.students[0] if r.series == GROUP and r.measure == "vd" and r.result.count < 30]
    assert compared and hidden and all(r.result.value is None for r in hidden), "small groups are counted, not judged"


def test_own_slice_is_who_was_held_out_of_it_and_the_audit_is_of_who_was_never_seen() -> None:
    table = slices.cut(mixed_table(), slices.Slice("mixed", "age", "under 40", without=True))
    setting = Setting(
        hidden=(8, 8), people=None, n_reaudited=25, teacher_training=TeacherTraining(epochs=40, rows_per_step=16)
    )
    (p,) = promise([prepare(table, 0)], setting)
    (a,) = audit([p], {"ptq": load("methods", "ptq")}, (3.0,), setting)
    s = ArtifactInput(p, setting, (Student(a.student, a.threshold, a.raw.student_has_recourse, a.raw.student_cost),))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cfq_core.artifacts.shift.SMALLEST_GROUP", 5)
        found = Shift(tilts=(), sizes=()).probe(s)
    age = np.array(table.groups()["age"])
    assert set(age[p.design.split.test]) == {"under 40"} and set(age[p.design.split.home]) == {"40 and over"}
    for measure in ("vd", "vd_matched", "approval_shift", "approval_shift_matched", "accuracy", "crg_abs"):
        assert of(found.students[0], measure, 0.0, PLAIN).value == pytest.approx(a.measures.overall[measure].value)
    encoding, people = p.design.encoding, table.values[p.design.split.home]
    teacher = np.array([by_hand(p.teacher, encoding.encode(row[None])[0]) for row in people])
    student = np.array([logits64(a.student, 0, encoding, row[None])[0] for row in people])
    queries = find_recourse(
        p.teacher, [RecourseQuery(people[teacher <= 0], encoding, p.design.actions)], setting.solver, setting.kappa
    )
    broken = [logits64(a.student, 0, encoding, after[None])[0] <= 0 for after in queries.after[queries.has_recourse]]
    vd = of(found.students[0], "vd", 0.0, HOME)
    assert (vd.value, vd.count) == (pytest.approx(np.mean(broken)), len(broken))
    shift = of(found.students[0], "approval_shift", 0.0, HOME)
    assert (shift.value, shift.count) == (pytest.approx((student > 0).mean() - (teacher > 0).mean()), len(people))
    right = of(found.teacher, "accuracy", 0.0, HOME)
    assert right.value == pytest.approx(((teacher > 0) == table.outcome[p.design.split.home]).mean())


def test_noisy_records_stay_on_the_grid_of_the_training_rows_and_leave_who_one_is(cell: Any) -> None:
    design = cell.designs[0]
    for size in (0.2, 3.0):
        noisy = recorded(design, size).table.values
        training, test = design.table.values[design.split.train], design.split.test
        assert np.array_equal(noisy[design.split.train], training), "only test people are recorded anew"
        changed = noisy[test] != design.table.values[test]
        for i, f in enumerate(design.table.schema.features):
            if f.protected:
                assert not changed[:, i].any()
            else:
                moved = noisy[test, i][changed[:, i]]
                assert len(moved) and moved.min() >= training[:, i].min() and moved.max() <= training[:, i].max()
    assert recorded(design, 0.2).table.values.tolist() == recorded(design, 0.2).table.values.tolist()


def test_on_noisy_records_the_promise_is_made_and_judged_on_what_was_recorded(cell: Any) -> None:
    s = subject_of(cell)
    probe = Shift(tilts=(), sizes=(0.4,))
    noisy = next(c.promise for c in probe.conditions(s.promise, s.setting) if c.series == NOISY)
    told = noisy.recourse.has_recourse
    encoding, test = noisy.design.encoding, noisy.design.table.values[noisy.design.split.test]
    assert np.array_equal(noisy.recourse.before, test[noisy.person]) and (noisy.logits[noisy.person] <= 0).all()
    for k in np.flatnonzero(told):
        assert by_hand(s.promise.teacher, encoding.encode(noisy.recourse.after[[k]])[0]) >= cell.setting.kappa - 1e-9
    broken = [
        logits64(s.students[0].model, 0, encoding, noisy.recourse.after[[k]])[0] <= 0 for k in np.flatnonzero(told)
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cfq_core.artifacts.shift.SMALLEST_GROUP", 5)
        gap = of(probe.probe(s).students[0], "crg_abs", 0.4, NOISY)
    ask = RecourseQuery(noisy.recourse.before, encoding, noisy.design.actions, noisy.recourse.after)
    own = find_recourse(s.students[0].model, [ask], cell.setting.solver, cell.setting.kappa)
    both = told & own.has_recourse & (noisy.recourse.cost > 0)
    each = [abs(own.cost[k] - noisy.recourse.cost[k]) / noisy.recourse.cost[k] for k in np.flatnonzero(both)]
    assert (gap.value, gap.count) == (pytest.approx(np.mean(each)), len(each))
    vd = of(probe.probe(s).students[0], "vd", 0.4, NOISY)
    assert vd.value == (pytest.approx(np.mean(broken)) if len(broken) >= 30 else None)
