"""Every probe: repeatable, changes nothing, tells shares with their people, and begins with the plain audit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from cfq_core.artifacts.artifact import (
    Artifact,
    ArtifactInput,
    ProbeResult,
    ProbeResults,
    Student,
    arrays,
    of_arrays,
    spec_of,
)
from cfq_core.base import plugins
from cfq_core.base.identity import described
from cfq_core.report import fmt
from cfq_core.study.summary import is_share

NAMES = plugins.names("probes")
each_probe = pytest.mark.parametrize("name", NAMES)


def subject_of(cell: Any, seed: int = 0) -> ArtifactInput:
    """The first teacher of the tiny cell with its PTQ students at every budget."""
    audits = [a for a in cell.audits("ptq") if a.seed == seed]
    students = tuple(Student(a.student, a.threshold, a.raw.student_has_recourse, a.raw.student_cost) for a in audits)
    return ArtifactInput(cell.promises[seed], cell.setting, students)


@pytest.fixture(scope="module")
def probed(cell: Any) -> dict[str, ProbeResults]:
    return {name: plugins.load("probes", name).probe(subject_of(cell)) for name in NAMES}


def every(found: ProbeResults) -> list[ProbeResult]:
    return [*found.teacher, *(r for of_student in found.students for r in of_student)]


@each_probe
def test_probe_is_a_record_with_an_identity(name: str) -> None:
    probe = plugins.load("probes", name)
    assert isinstance(probe, Artifact) and probe.title
    assert spec_of(probe) and described(probe)["kind"] == name


@each_probe
def test_probe_reads_the_same_of_a_student_alone_and_changes_nothing(
    name: str, cell: Any, probed: dict[str, ProbeResults]
) -> None:
    s = subject_of(cell)
    assert len(probed[name].students) == len(s.students)
    weights = [t.clone() for t in s.promise.teacher.weights]
    after, values = s.promise.recourse.after.copy(), s.promise.design.table.values.copy()
    alone = plugins.load("probes", name).probe(ArtifactInput(s.promise, s.setting, s.students[1:2]))
    assert alone.students[0] == probed[name].students[1] and alone.teacher == probed[name].teacher
    assert all(torch.equal(a, b) for a, b in zip(weights, s.promise.teacher.weights, strict=True))
    assert np.array_equal(after, s.promise.recourse.after)
    assert np.array_equal(values, s.promise.design.table.values)


@each_probe
def test_readings_are_told_with_their_interval_and_people(name: str, probed: dict[str, ProbeResults]) -> None:
    found = every(probed[name])
    assert found
    for r in found:
        assert fmt.measured(r.measure).title, r.measure
        m = r.result
        assert (m.value is None) == (m.low is None) == (m.high is None)
        if m.value is not None and m.low is not None and m.high is not None:
            assert m.count > 0 and np.isfinite(m.value) and m.low - 1e-12 <= m.value <= m.high + 1e-12
            assert not is_share(r.measure) or 0 <= m.low <= m.high <= 1, r
    keys = [(r.series, r.label, r.measure) for r in probed[name].teacher]
    assert len(set(keys)) == len(keys), "a condition is read once"


@each_probe
def test_readings_are_stored_as_they_were(name: str, probed: dict[str, ProbeResults]) -> None:
    found = every(probed[name])
    assert of_arrays(arrays(found)) == found
    assert of_arrays(arrays([])) == []


@pytest.mark.parametrize("name", plugins.names("artifacts"))
def test_artifact_of_teachers_is_computed_of_one_alone_and_has_a_spec(name: str, cell: Any) -> None:
    made = plugins.load("artifacts", name)
    assert isinstance(made, Artifact) and described(made)["kind"] == name
    once, again = (made.compute(ArtifactInput(cell.promises[0], cell.setting)) for _ in range(2))
    assert once.students == () and once.teacher.keys() == again.teacher.keys() and once.teacher
    for key, array in once.teacher.items():
        np.testing.assert_array_equal(array, again.teacher[key])
    assert spec_of(made) != spec_of(replace(made, revision=made.revision + 1))
    assert (spec_of(made) != spec_of(made, training_recourse=True)) == getattr(made, "at_training_recourse", False)
