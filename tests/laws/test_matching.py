"""At matched approval the student approves as many validation people as its teacher, as nearly as ties allow."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cfq_core import pipeline
from cfq_core.base import plugins
from cfq_core.evidence import MATCHING_SHIFT, OTHER_THRESHOLD, TIED
from cfq_core.matching import Matching, match
from cfq_core.nets.stack import Stack
from cfq_core.recourse.find import logits64

STEPS = st.integers(-8, 8).map(lambda k: k / 4)  # so coarse that ties are common, as with two bits
LOGITS = st.lists(STEPS | st.floats(-3, 3), min_size=1, max_size=60)


def _nearest(student: np.ndarray, wanted: int) -> int:
    """The least difference of counts that any threshold reaches."""
    cuts = [*np.unique(student), student.min() - 1]
    return min(abs(int((student > c).sum()) - wanted) for c in cuts)


def _match(student: np.ndarray, wanted: int) -> Matching:
    return match(student[None], wanted)


@given(LOGITS, st.integers(0, 60), st.sampled_from([np.float32, np.float64]))
@settings(max_examples=300)
def test_no_threshold_comes_nearer_to_the_teachers_count(logits: list[float], wanted: int, kind: type) -> None:
    student, wanted = np.array(logits, kind), min(wanted, len(logits))
    found = _match(student, wanted)
    threshold, other = found.threshold[0], found.other[0]
    reached, beside = (int((student > t).sum()) for t in (threshold, other))
    assert np.isfinite(threshold) and np.isfinite(other)
    assert abs(reached - wanted) == _nearest(student, wanted)
    assert found.shift[0] == pytest.approx((reached - wanted) / len(student))
    if reached == wanted:
        assert threshold == other
    else:
        low, high = sorted((reached, beside))
        assert low < wanted < high, "the teacher's number lies between the two sides"
        within = student[(student > min(threshold, other)) & (student <= max(threshold, other))]
        assert len(np.unique(within)) == 1, "and between them is one tie"
    ranked = np.sort(student)[::-1]
    if 0 < wanted < len(ranked) and ranked[wanted - 1] > ranked[wanted]:
        assert ranked[wanted - 1] > threshold >= ranked[wanted], "between two people"


def test_of_two_sides_of_a_tie_the_nearer_is_used_and_of_equals_the_stricter() -> None:
    student = np.array([2.0, 1.0, 1.0, 1.0, 1.0, 0.0])
    found = [_match(student, wanted) for wanted in (1, 2, 3, 4, 5)]
    assert [f.threshold[0] for f in found] == [1.5, 1.5, 1.5, 0.5, 0.5]
    assert [f.other[0] for f in found] == [1.5, 0.5, 0.5, 1.5, 0.5]
    np.testing.assert_allclose([f.shift[0] for f in found], [0, -1 / 6, -2 / 6, 1 / 6, 0])


def test_each_of_many_students_is_matched_as_if_it_were_alone() -> None:
    students = np.random.default_rng(0).integers(-3, 4, (20, 30)) / 2
    together = match(students, 12)
    for i, student in enumerate(students):
        alone = _match(student, 12)
        for name in ("threshold", "other", "shift"):
            assert getattr(together, name)[i] == getattr(alone, name)[0]


def test_nothing_is_learned_from_rows_that_the_student_was_trained_on(cell) -> None:  # type: ignore[no-untyped-def]
    """A student that knows its training people by heart and is two logits too strict with everybody else."""
    p, models = cell.promises[0], cell.audits("ptq")[0].student
    values, rows = p.design.table.values, p.design.split
    by_heart = {r.tobytes() for r in values[rows.train]}

    def logits(model, run, encoding, people):  # type: ignore[no-untyped-def]
        known = np.array([r.tobytes() in by_heart for r in people])
        of_teacher = logits64(p.teacher, 0, encoding, people)
        return of_teacher if isinstance(model, Stack) else np.where(known, 9.0, of_teacher - 2.0)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "logits64", logits)
        found = pipeline.matching(p, models)
    unseen = logits64(p.teacher, 0, p.design.encoding, values[rows.valid])
    assert max(unseen[unseen <= 0]) < found.threshold[0] + 2.0 < min(unseen[unseen > 0])
    assert found.shift[0] == 0


@pytest.mark.short("ptq", "ptq_shift", "ptq_mixed", "qat_lsq", "cfq_anchored")
@pytest.mark.parametrize("name", plugins.names("methods"))
def test_where_logits_tie_both_sides_are_measured_and_the_distance_is_told(name: str, cell) -> None:  # type: ignore[no-untyped-def]
    for a in cell.audits(name):
        overall, shown = a.measures.overall, {n for n in a.measures.overall if n.endswith(TIED)}
        told = overall[MATCHING_SHIFT]
        assert told.count == len(cell.promises[a.seed].design.split.valid)
        assert (told.value == 0) == (OTHER_THRESHOLD not in overall) == (not shown)
        if told.value:
            assert {"vd_tied", "approval_shift_tied", "flip_rate_tied", "worst_group_vd_tied"} <= shown
            other, at = overall[OTHER_THRESHOLD].value, a.raw.student_at[a.raw.has_recourse]
            assert overall["vd_tied"].value == pytest.approx((at <= other).mean())
            shift = (a.raw.student > other).mean() - (a.raw.teacher > 0).mean()
            assert overall["approval_shift_tied"].value == pytest.approx(shift)


@pytest.mark.short("ptq", "ptq_shift", "ptq_mixed", "qat_lsq", "cfq_anchored")
@pytest.mark.parametrize("name", plugins.names("methods"))
def test_every_methods_matched_students_approve_as_many_validation_rows(name: str, cell) -> None:  # type: ignore[no-untyped-def]
    for a in cell.audits(name):
        p = cell.promises[a.seed]
        unseen = p.design.table.values[p.design.split.valid]
        student = logits64(a.student, 0, p.design.encoding, unseen)
        wanted = int((logits64(p.teacher, 0, p.design.encoding, unseen) > 0).sum())
        reached = int((student > a.threshold).sum())
        assert abs(reached - wanted) == _nearest(student, wanted)
        if a.budget == 8.0:
            assert abs(reached - wanted) <= 0.02 * len(student), "ties are few with eight bits"


@pytest.mark.short("ptq", "ptq_shift", "ptq_mixed", "qat_lsq", "cfq_anchored")
@pytest.mark.parametrize("name", plugins.names("methods"))
def test_matched_evidence_is_the_raw_one_with_the_threshold_subtracted(name: str, cell) -> None:  # type: ignore[no-untyped-def]
    for a in cell.audits(name):
        np.testing.assert_array_equal(a.matched.student, a.raw.student - a.threshold)
        np.testing.assert_array_equal(
            a.matched.student_at[a.raw.has_recourse], a.raw.student_at[a.raw.has_recourse] - a.threshold
        )
        np.testing.assert_array_equal(a.matched.teacher, a.raw.teacher)
        for held in ("person", "has_recourse", "cost", "teacher_at", "reaudited"):
            np.testing.assert_array_equal(getattr(a.matched, held), getattr(a.raw, held))
