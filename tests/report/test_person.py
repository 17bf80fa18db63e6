"""One person: numpy decides as the engine does, actions are the stored ones, and a missing table is said."""

from __future__ import annotations

import math
import subprocess
import sys
import time

import numpy as np
import pytest

from cfq_core.base.streams import numpy_stream
from cfq_core.recourse.find import logits64
from cfq_core.report import person as people
from cfq_core.report import picture
from cfq_core.report.frames import Stored
from cfq_core.study import tables
from cfq_core.study.models import student_of, teacher_of
from cfq_core.tables.encode import Values

SERVER_TIME = 0.1  # seconds of CPU a slider may cost


def read_people(study: Stored, teacher: str) -> people.TestPeople:
    who = people.test_people(study, teacher)
    assert not isinstance(who, str), who
    return who


def anybody(who: people.TestPeople) -> Values:
    """All test people, and as many with every feature drawn anew inside what they can reach."""
    random, made = numpy_stream(0, "tests/person"), who.values.copy()
    for i in who.actions.numbers:
        made[:, i] = random.integers(*who.actions.box(i, who.values), endpoint=True)
    for i in who.actions.switches:
        made[:, i] = random.integers(0, len(who.actions.schema.features[i].levels), len(made))
    return np.concatenate([who.values, made])


def test_numpy_decides_as_the_engine_does(evil: Stored) -> None:
    for teacher in dict.fromkeys(evil.runs.teacher):
        who = read_people(evil, teacher)
        values = anybody(who)
        of_teacher, of_students = people.logits(evil, teacher, values)
        engine = logits64(teacher_of(evil.arrays(teacher, "weights")), 0, who.encoding, values)
        assert ((of_teacher > 0) == (engine > 0)).all()
        np.testing.assert_allclose(of_teacher, engine, rtol=0, atol=1e-12)
        for run, mine in zip(people.models(evil, teacher).runs, of_students, strict=True):
            engine = logits64(student_of(evil.arrays(run, "weights")), 0, who.encoding, values)
            assert (mine == engine).all(), "a student's logits are the engine's bit for bit"


def test_numpy_gives_the_logits_that_were_stored(evil: Stored) -> None:
    for teacher in dict.fromkeys(evil.runs.teacher):
        who, told = read_people(evil, teacher), evil.arrays(teacher, "people")
        _, students = people.logits(evil, teacher, who.values)
        _, after = people.logits(evil, teacher, told["after"])
        for at, run in enumerate(people.models(evil, teacher).runs):
            seen = evil.arrays(run, "people")
            assert (students[at] == seen["student"]).all() and (after[at] == seen["student_at"]).all()


def test_stored_action_is_told_in_words_and_found_again(evil: Stored) -> None:
    teacher = evil.runs.teacher.iloc[0]
    who, told = read_people(evil, teacher), evil.arrays(teacher, "people")
    some = np.flatnonzero(told["why"] == 0)[:5]
    for at in some:
        person = int(told["person"][at])
        action = people.promised(evil, teacher, person)
        assert action is not None and action.origin == "stored"
        assert action.after == tuple(told["after"][at]) and action.cost == pytest.approx(told["cost"][at])
        assert list(action.lines) == who.actions.advice(told["before"][at], told["after"][at])
        assert (who.values[person] == told["before"][at]).all(), "the person is the row of the table"
        again = people._again(evil, who, teacher, person, action.cost)
        assert again is not None and again.after == action.after and again.origin.endswith("at the stored cost")


def test_cheapest_is_proved_and_no_dearer_than_what_the_audit_found(evil: Stored) -> None:
    run = evil.runs.iloc[0]
    seen = evil.people(run.run)
    for row in seen[seen.reaudited & seen.student_has_recourse & seen.has_recourse].head(4).itertuples():
        for owner, audited in ((run.run, row.student_cost), (run.teacher, row.cost)):
            best = people.cheapest(evil, run.teacher, owner, row.person)
            assert best.action is not None and best.lower == pytest.approx(best.action.cost, rel=1e-6)
            assert best.action.cost <= audited * (1 + 1e-9)
            assert best.sure == "Proved cheapest: no allowed change costs less."
            if audited > best.action.cost * (1 + people.LEAST):
                assert best.of(audited).startswith(f"Not the cheapest: {best.action.cost:.2f} units are enough")


def test_what_is_not_proved_is_said_with_its_gap() -> None:
    made = people.Action((0,), (1,), 2.0, 0.3, (), "branch and bound")
    assert people.Cheapest(made, 2.0).sure == "Proved cheapest: no allowed change costs less."
    left = "(none costs less than 1.50: at most 25.0% or 0.50 units could be saved)."
    assert people.Cheapest(made, 1.5).sure == f"No cheaper action was found; it is not proved that there is none {left}"
    assert (
        people.Cheapest(made, 2.0).of(2.5) == "Not the cheapest: 2.00 units are enough, proved the least (20.0% less)."
    )
    assert people.Cheapest(made, 1.5).of(2.5) == (
        f"Not the cheapest: 2.00 units are enough; a still cheaper one is not ruled out {left}"
    )
    assert people.Cheapest(None, np.inf).sure == "Proved: no allowed change is enough."
    assert people.Cheapest(None, 1.0).sure == "Not proved that there is none."


def test_a_study_that_proved_its_promises_is_believed_and_not_searched_anew(
    evil: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    teacher = evil.runs.teacher.iloc[-1]
    told = evil.arrays(teacher, "people")
    at = int(np.flatnonzero(told["why"] == 0)[0])
    exact = {**told, "proved": told["why"] == 0, "lower": told["cost"]}
    real = Stored.arrays
    monkeypatch.setattr(Stored, "arrays", lambda s, o, n: exact if (o, n) == (teacher, "people") else real(s, o, n))
    monkeypatch.setattr("cfq_core.study.models.proved", None)
    people.cheapest.cache_clear()
    best = people.cheapest(evil, teacher, teacher, int(told["person"][at]))
    people.cheapest.cache_clear()
    assert best.action is not None and best.action.origin == "stored" and best.sure.startswith("Proved cheapest")


def test_gallery_person_is_found_again_at_the_stored_cost(german: Stored, real_table: object) -> None:
    real_table("german")  # type: ignore[operator]
    teacher = german.runs.teacher.iloc[0]
    told = german.arrays(teacher, "people")
    for at in np.flatnonzero(told["why"] == 0)[:3]:
        action = people.promised(german, teacher, int(told["person"][at]))
        assert action is not None and action.origin == "searched anew, at the stored cost"
        assert action.margin == pytest.approx(told["margin"][at], abs=1e-5)


def test_missing_table_says_how_to_fetch_it(german: Stored, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "on_disk", lambda _: None)
    said = people.test_people(german, german.runs.teacher.iloc[0])
    assert said == "german: german.data not on disk. Fetch it with: cfq data fetch german"


def test_another_table_of_the_name_is_refused(evil: Stored) -> None:
    with evil.store() as store:
        row = store.teacher(evil.runs.teacher.iloc[0])
    wrong = tables.found_table(row["dataset"], "0" * 12, [evil.row["plan"]])
    assert wrong.table is None and "another table" in wrong.missing


def test_slider_costs_little_server_time(evil: Stored) -> None:
    teacher = evil.runs.teacher.iloc[0]
    who, spent = read_people(evil, teacher), []
    for person in range(6):
        started = time.process_time()
        picture.draw("person_decides", evil, teacher=teacher, values=people.packed(who.values[person]))
        spent.append(time.process_time() - started)
    assert min(spent) < SERVER_TIME, spent


def test_torch_is_loaded_when_a_model_is_asked_and_not_before(evil: Stored) -> None:
    code = f"""
import sys
from cfq_core.report import person, picture
from cfq_core.report.frames import Stored
import dashboard.lib.people
study = Stored({evil.folder!r}, {evil.id!r}, {evil.finished})
teacher = study.runs.teacher.iloc[0]
who = person.test_people(study, teacher)
assert "torch" not in sys.modules
picture.draw("person_decides", study, teacher=teacher, values=person.packed(who.values[0]))
assert "torch" in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_what_a_proof_knows_so_far_is_told_as_a_share_and_in_units() -> None:
    so_far = people.SoFar(2.0, 1.5)
    assert so_far.of(2.0) == "none costs less than 1.50 units: at most 25.0% or 0.50 units could be saved"
    assert so_far.of(2.5).startswith("2.00 units are enough; none costs less than 1.50 units: at most 25.0%")
    assert people.SoFar(math.inf, 0.7).of(math.inf) == "no action is known; none costs less than 0.70 units"
    assert people.saved(0.0, 0.0).startswith("at most 0.0% or 0.00 units")
