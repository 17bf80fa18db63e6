"""Files that are no list of layers are asked about other values as they were audited: every decision is the audit's."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.svm import SVC

from cfq_core.base.errors import CfqError
from cfq_core.datasets.card import read_card
from cfq_core.export import pairs
from cfq_core.export.audit import AuditOptions, audit_pair
from cfq_core.export.pairs import Upload
from cfq_core.models import rerun
from cfq_core.models.read import parse_model
from cfq_core.report import by_file
from cfq_core.report import person as people
from cfq_core.report.frames import Stored
from cfq_core.study.pair import KEPT_FILE
from cfq_core.study.store import Store
from cfq_core.tables.encode import Encoding
from cfq_core.tables.schema import Table
from tests.export.conftest import CARD
from tests.export.made import network, support_vectors, trees

GAMMA = 0.1
#: What is said of each pair; what is not said is found.
SAID = {
    "trees on levels, a low score is good": {"favourable": "low", "output": "score", "threshold": 0.01,
                                             "layout": "levels"},
    "a forest on raw columns, its layout found": {"favourable": "high", "output": "logit"},
    "support vectors on standardised columns": {"layout": "standardised", "output": "logit"},
    "layers, and a student of trees": {"favourable": "high", "output": "logit", "layout": "standardised",
                                       "student_layout": "levels"},
}  # fmt: skip
SERVER_TIME = 0.1  # seconds of CPU a slider may cost


def files_of(name: str, table: Table) -> tuple[Upload, Upload]:
    """Teacher and student of a pair; they decide some people otherwise."""
    features, encoding = len(table.schema.features), Encoding.fit(table.schema, table.values)
    x, levels, y = encoding.encode(table.values), table.values.astype(float), table.outcome
    raw = np.stack([f.raw(table.values[:, i]) if not f.is_category else levels[:, i]
                    for i, f in enumerate(table.schema.features)], 1)  # fmt: skip

    def boosted(depth: int, good: bool = True) -> bytes:
        of = GradientBoostingClassifier(n_estimators=12, max_depth=depth, random_state=0)
        return trees(of.fit(raw, y if good else ~y), features)

    if name.startswith("trees"):
        made = boosted(3, False), boosted(1, False)
    elif name.startswith("a forest"):
        each = [np.eye(len(f.levels))[table.values[:, i]] if f.is_category else raw[:, [i]]
                for i, f in enumerate(table.schema.features)]  # fmt: skip
        forests = [RandomForestClassifier(9, max_depth=depth, random_state=0) for depth in (5, 2)]
        made = tuple(trees(of.fit(np.concatenate(each, 1), y), encoding.width) for of in forests)
    elif name.startswith("support"):
        made = tuple(support_vectors(SVC(C=c, gamma=GAMMA).fit(x, y), GAMMA, encoding.width) for c in (1.0, 0.1))
    else:
        made = network(encoding.width), boosted(2)
    return Upload("teacher.onnx", made[0]), Upload("student.onnx", made[1])


@pytest.fixture(scope="module", params=SAID)
def audited(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stored]:
    """The study that an audit of a pair becomes."""
    folder, table = tmp_path_factory.mktemp("blind"), read_card(CARD)
    files = (parse_model(u.content, u.name) for u in files_of(request.param, table))
    options = AuditOptions(people=60, n_reaudited=10, **SAID[request.param])
    study = pairs.keep_of(folder, str(CARD), audit_pair(table, *files, options))
    yield Stored(str(folder), study, 1)
    by_file.close()


def asked(study: Stored) -> tuple[str, str, people.TestPeople]:
    """Its teacher, its run and its people."""
    teacher, run = study.runs.teacher.iloc[0], study.runs.run.iloc[0]
    who = people.test_people(study, teacher)
    assert not isinstance(who, str), who
    return teacher, run, who


def test_every_decision_of_the_audit_comes_back(audited: Stored) -> None:
    """Of all judged people as they are, and of all who were told something as they would be then, one by one too."""
    teacher, run, who = asked(audited)
    told, seen = audited.arrays(teacher, "people"), audited.arrays(run, "people")
    has = told["why"] == 0
    assert has.sum() > 20 and people.only_computed(audited, teacher, run) and not people.not_kept(audited, teacher)
    due = [(who.values, told["logits"], seen["student"]),
           (told["after"][has], told["margin"][has], seen["student_at"][has])]  # fmt: skip
    for values, of_teacher, of_student in due:
        assert ((of_teacher > 0) != (of_student > 0)).any(), "the files differ, so that they cannot be mistaken"
        first, (second,) = people.logits(audited, teacher, values)
        assert ((first > 0) == (of_teacher > 0)).all() and ((second > 0) == (of_student > 0)).all()
        np.testing.assert_allclose(first, of_teacher, atol=1e-5)
        np.testing.assert_allclose(second, of_student, atol=1e-5)
    for k in np.flatnonzero(has):
        one, ((other,),) = people.logits(audited, teacher, told["after"][[k]])
        assert (one[0] > 0, other > 0) == (told["margin"][k] > 0, seen["student_at"][k] > 0), "alone as among others"
    assert people.decided_otherwise(audited, teacher) == ""


def test_an_answer_is_quick_and_the_process_stays_up(audited: Stored) -> None:
    teacher, _, who = asked(audited)
    people.logits(audited, teacher, who.values[:1])
    processes = [p.running.process.pid for p in by_file._awake()._each.values() if p.running]
    took = []
    for k in range(1, 11):
        began = time.process_time()
        people.logits(audited, teacher, who.values[[k]])
        took.append(time.process_time() - began)
    assert min(took) < SERVER_TIME, took
    assert processes == [p.running.process.pid for p in by_file._awake()._each.values() if p.running]


def test_another_runtime_that_decides_otherwise_is_told(audited: Stored, monkeypatch: pytest.MonkeyPatch) -> None:
    teacher, _, _ = asked(audited)
    other = replace(audited, finished=2)  # no answer of it is kept yet
    monkeypatch.setattr(rerun.Rerun, "logits", lambda self, running, values: np.full(len(values), -1.0))
    assert "of the audit's own decisions otherwise here than then" in people.decided_otherwise(other, teacher)


@pytest.fixture
def trees_audit(tmp_path: Path) -> tuple[Stored, dict[str, object], tuple[Upload, Upload]]:
    """A small audit of trees, what was asked, and the files."""
    name, table = next(iter(SAID)), read_card(CARD)
    uploads, question = files_of(name, table), {"people": 20, "n_reaudited": 5, **SAID[name]}
    given = pairs.asked(str(CARD), *uploads, question)
    found = audit_pair(table, *(parse_model(u.content, u.name) for u in uploads), AuditOptions(**question))
    store = Store(tmp_path)
    study = pairs.keep(store, given, found)
    store.close()
    return Stored(str(tmp_path), study, 1), given, uploads


def test_an_audit_without_its_file_says_which_and_is_made_again_when_asked(trees_audit: tuple) -> None:
    study, given, uploads = trees_audit
    teacher, run, _ = asked(study)
    folder = Path(study.folder)
    assert pairs.known(folder, given) == study.id
    (kept,) = folder.rglob(f"{run}-{KEPT_FILE}.npz")
    kept.write_bytes(b"PK\x03\x04")
    assert people.not_kept(study, teacher).startswith("student.onnx: this audit does not hold the file")
    assert "\n" not in people.not_kept(study, teacher) and pairs.known(folder, given) is None
    found = audit_pair(read_card(CARD), *(parse_model(u.content, u.name) for u in uploads),
                       AuditOptions(**given["question"]))  # fmt: skip
    store = Store(folder)
    assert pairs.keep(store, given, found) == study.id
    store.close()
    assert not people.not_kept(study, teacher) and pairs.known(folder, given) == study.id


def test_what_a_foreign_store_holds_is_checked_before_it_runs(trees_audit: tuple) -> None:
    study, *_ = trees_audit
    teacher, run, who = asked(study)
    good = study.arrays(run, KEPT_FILE)
    for bad, error in (({"content": np.frombuffer(b"\x80\x04 no model", np.uint8)}, "not an ONNX file"),
                       ({"read": np.frombuffer(b'{"name": 1}', np.uint8)}, "cannot be read")):  # fmt: skip
        store = Store(study.folder)
        store.put_artifact(run, KEPT_FILE, good | bad)
        store.close()
        with pytest.raises(CfqError, match=error) as refused:
            people.logits(study, teacher, who.values[:1])
        assert "\n" not in str(refused.value)


def test_the_files_asked_last_stay_up_and_the_others_end(trees_audit: tuple, monkeypatch: pytest.MonkeyPatch) -> None:
    study, *_ = trees_audit
    teacher, run, who = asked(study)
    files = {o: rerun.Rerun.stored(study.arrays(o, KEPT_FILE), who.encoding.schema) for o in (teacher, run)}
    awake = rerun.Awake(most=1)
    first = awake.logits(teacher, lambda: files[teacher], who.values[:3])
    (one,) = awake._each.values()
    process = one.running.process
    awake.logits(run, lambda: files[run], who.values[:3])
    assert process.poll() is not None and list(awake._each) == [run]
    monkeypatch.setattr(rerun, "IDLE", 0.05)
    assert (awake.logits(teacher, lambda: files[teacher], who.values[:3]) == first).all()
    (one,) = awake._each.values()
    end = time.monotonic() + 20
    while one.running is not None and time.monotonic() < end:
        time.sleep(0.02)
    assert one.running is None, "nobody asked for a while"
    assert (awake.logits(teacher, lambda: files[teacher], who.values[:3]) == first).all(), "and again when asked"
    awake.close()


def test_asking_needs_neither_torch_nor_onnx_here(trees_audit: tuple) -> None:
    study, *_ = trees_audit
    code = f"""
import sys
from cfq_core.report import by_file, person
from cfq_core.report.frames import Stored
study = Stored({study.folder!r}, {study.id!r}, 1)
teacher = study.runs.teacher.iloc[0]
assert not person.decided_otherwise(study, teacher)
assert not {{"torch", "onnx", "onnxruntime"}} & set(sys.modules)
by_file.close()
"""
    subprocess.run([sys.executable, "-c", code], check=True)
