"""At matched approval the student approves as many training people as its teacher, as nearly as ties allow."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cfq_core import pipeline
from cfq_core.base import plugins
from cfq_core.nets.stack import Stack
from cfq_core.recourse.find import logits64

STEPS = st.integers(-8, 8).map(lambda k: k / 4)  # so coarse that ties are common, as with two bits


def _nearest(student: np.ndarray, wanted: int) -> int:
    """The least difference of counts that any threshold reaches."""
    cuts = [*np.unique(student), student.min() - 1]
    return min(abs(int((student > c).sum()) - wanted) for c in cuts)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(logits=st.lists(st.tuples(STEPS, STEPS | st.floats(-3, 3)), min_size=1, max_size=60))
def test_no_threshold_comes_nearer_to_the_teachers_count(logits: list[tuple[float, float]], cell) -> None:  # type: ignore[no-untyped-def]
    teacher, student = (np.array(side, float) for side in zip(*logits, strict=True))
    models = cell.audits("ptq")[0].student
    with pytest.MonkeyPatch.context() as patch:  # whatever the models are, these are their logits on the training rows
        patch.setattr(pipeline, "logits64", lambda model, *_: teacher if isinstance(model, Stack) else student)
        threshold = pipeline.matching_threshold(cell.promises[0], models, 0)
    assert np.isfinite(threshold)
    gaps = np.diff(np.unique(student))
    if len(gaps) and gaps.min() < 1e-6:
        return  # closer than the search for a cut below a tie looks
    wanted = int((teacher > 0).sum())
    assert abs(int((student > threshold).sum()) - wanted) == _nearest(student, wanted)
    ranked = np.sort(student)[::-1]
    if 0 < wanted < len(ranked) and ranked[wanted - 1] > ranked[wanted]:
        assert ranked[wanted - 1] > threshold > ranked[wanted], "between two people, on neither"


@pytest.mark.short("ptq", "ptq_shift", "ptq_mixed", "qat_lsq", "cfq_anchored")
@pytest.mark.parametrize("name", plugins.names("methods"))
def test_every_methods_matched_students_approve_as_many_training_rows(name: str, cell) -> None:  # type: ignore[no-untyped-def]
    for a in cell.audits(name):
        p = cell.promises[a.seed]
        training = p.design.table.values[p.design.split.train]
        student = logits64(a.student, 0, p.design.encoding, training)
        wanted = int((logits64(p.teacher, 0, p.design.encoding, training) > 0).sum())
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
