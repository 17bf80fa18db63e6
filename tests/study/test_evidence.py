"""Evidence comes back from the store as the audit had it, and a metric of tomorrow measures a study of today."""

from __future__ import annotations

import shutil
import time
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from cfq_core import metrics, pipeline
from cfq_core.actions.action_set import objections
from cfq_core.base.plugins import load_all
from cfq_core.base.shipped import shipped
from cfq_core.cli import cli
from cfq_core.evidence import MATCHING_SHIFT, OTHER_THRESHOLD, Evidence, Metric, PerRow, measure, tied
from cfq_core.pipeline import Audited, Setting, prepare
from cfq_core.recourse.find import logits64
from cfq_core.report import facts
from cfq_core.report.frames import Stored
from cfq_core.study import gallery, measured, runner, summary
from cfq_core.study.audited import evidence_of, plain_groups
from cfq_core.study.models import student_of
from cfq_core.study.plan import Plan, table_of
from cfq_core.study.runner import run_plan
from cfq_core.study.store import FILE, Store

PUT_RUN = runner._Runner._put_run
TABLES = ("toy", "diabetes")
NEW = Metric(
    "leniency at the point", "share", "lower",
    lambda e: PerRow((e.student_at > 2 * e.teacher_at)[e.has_recourse].astype(float), e.person[e.has_recourse]),
    by_group=True, about="Share of recourse points where the student's logit is twice the teacher's.",
)  # fmt: skip


@pytest.fixture(scope="module")
def made(
    tmp_path_factory: pytest.TempPathFactory, setting: Setting
) -> dict[str, tuple[Store, str, dict[str, Audited]]]:
    """Of each table a stored study of rounded and trained students, and their audits as they were."""
    out = {}
    wider = replace(setting, people=80, n_reaudited=50)
    for table in TABLES:
        store, audits = Store(tmp_path_factory.mktemp(table)), dict[str, Audited]()

        def keep(self: Any, chunk: Any, spec: Any, a: Audited, audits: dict[str, Audited] = audits) -> None:
            audits[spec.id] = a
            PUT_RUN(self, chunk, spec, a)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(runner._Runner, "_put_run", keep)
            study = run_plan(Plan((table,), ("ptq", "qat_lsq"), (2.0, 4.0), (0, 1), wider), store, workers=0)
        out[table] = store, study, audits
    return out


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_same(a[k], b[k]) for k in a)
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    return type(a) is type(b) and a == b


@pytest.mark.parametrize("table", TABLES)
def test_stored_evidence_is_the_audits_to_the_last_bit(table: str, made: Any) -> None:
    store, study, audits = made[table]
    assert len(store.runs(study)) == len(audits) == 8
    for run in store.runs(study):
        for was, now in zip((audits[run["id"]].raw, audits[run["id"]].matched), evidence_of(store, run), strict=True):
            assert type(now) is Evidence, "nothing is missing"
            differing = [f.name for f in fields(Evidence) if not _same(getattr(was, f.name), getattr(now, f.name))]
            assert not differing


@pytest.mark.parametrize("table", TABLES)
def test_measures_of_stored_evidence_are_those_of_the_fresh_run(table: str, made: Any) -> None:
    store, study, audits = made[table]
    beside = ("size_bytes", "seconds", "training_recourse_seconds", "on_the_fly_seconds")
    beside += (MATCHING_SHIFT, OTHER_THRESHOLD)
    for run in store.runs(study):
        raw, matched = evidence_of(store, run)
        fresh, again = audits[run["id"]].measures, measure(load_all("metrics"), raw, matched)
        if OTHER_THRESHOLD in fresh.overall:
            again.overall.update(tied(load_all("metrics"), raw, fresh.overall[OTHER_THRESHOLD].value))
        assert {k: v for k, v in fresh.overall.items() if k not in beside} == again.overall
        assert fresh.groups == again.groups and not again.unknown


def test_students_own_actions_are_legal_rows_that_the_student_approves(made: Any, setting: Setting) -> None:
    """The second half of CRG is audited from what is stored: every action by the rules, by its cost, by the model."""
    store, study, _ = made["diabetes"]
    seen = 0
    for run in store.runs(study):
        design, model = prepare(table_of("diabetes"), run["seed"]), student_of(store.arrays(run["id"], "weights"))
        for e, threshold in zip(evidence_of(store, run), (0.0, run["threshold"]), strict=True):
            own, before = e.student_after, store.arrays(run["teacher_id"], "people")["before"]
            assert own is not None and own.shape == before.shape
            assert (own[~e.student_has_recourse] == before[~e.student_has_recourse]).all()
            moved = e.student_has_recourse & (e.student_cost > 0)
            assert (own[moved] != before[moved]).any(1).all()
            for x, action in zip(before[moved], own[moved], strict=True):
                assert not objections(design.actions, x, action)
            np.testing.assert_allclose(design.actions.cost(before[moved], own[moved]), e.student_cost[moved])
            logits = logits64(model, 0, design.encoding, own[moved]) - threshold
            assert (logits >= setting.kappa - 1e-9).all()
            seen += int(moved.sum())
    assert seen > 50


def _fails(*_: Any, **__: Any) -> Any:
    raise AssertionError("this is stored and is made again")


@pytest.fixture
def tomorrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """One metric more, one that says something else, one less; and nothing can be trained or read."""
    parts = {n: m for n, m in metrics.PARTS.items() if n != "agreement"} | {"lenient_at": NEW}
    parts["vd"] = replace(parts["vd"], score=parts["margin_condition"].score, revision=2)
    monkeypatch.setattr(measured, "load_all", lambda folder: parts)
    for name in ("audit", "promise", "prepare"):
        monkeypatch.setattr(pipeline, name, _fails)
        monkeypatch.setattr(runner, name, _fails)


@pytest.mark.parametrize("table", TABLES)
def test_metric_of_tomorrow_is_right_on_every_run_of_today(
    table: str, made: Any, tomorrow: None, tmp_path: Path
) -> None:
    original, study, audits = made[table]
    shutil.copytree(original.folder, tmp_path / "store")
    store = Store(tmp_path / "store")
    for once in ("computed", "written back"):
        found = measured.current_measures(store, study)
        for run in store.runs(study):
            a, mine = audits[run["id"]], found[run["id"]]
            fresh = measure(measured.load_all("metrics"), a.raw, a.matched)
            if (other := a.measures.overall.get(OTHER_THRESHOLD)) is not None:
                fresh.overall.update(tied(measured.load_all("metrics"), a.raw, other.value))
            expected = {n: vars(m) for n, m in fresh.overall.items()}
            times = {n: v for n, v in mine.overall.items() if n not in expected}
            assert mine.overall == expected | times and {"seconds", "size_bytes"} <= set(times), once
            assert "agreement" not in times and mine.groups == plain_groups(fresh.groups)
            assert mine.overall["vd"]["value"] == mine.overall["margin_condition"]["value"]
        measured._kept.clear()
    assert "lenient_at" in store.measures(run["id"]), "the next process finds it"
    assert any(x.value("lenient_at") is not None for x in summary.lines(store, study))
    frame = Stored(str(store.folder), study, 8)
    assert (frame.measures.measure == "lenient_at").sum() == 8
    assert (frame.groups.measure == "lenient_at_matched").any()
    assert "lenient_at" in summary.as_json(store, study)["runs"][0]["measures"]
    store.close()


def test_store_that_nobody_may_write_to_shows_it_too(made: Any, tomorrow: None, tmp_path: Path) -> None:
    original, study, _ = made["toy"]
    gallery.pack(original, [study], tmp_path / "packed")
    was = (tmp_path / "packed" / FILE).read_bytes()
    store = Store(tmp_path / "packed", read_only=True)
    found = measured.current_measures(store, study)
    assert all("lenient_at" in m.overall and not m.unknown for m in found.values())
    assert (tmp_path / "packed" / FILE).read_bytes() == was
    store.close()


def test_gallery_says_which_metrics_it_cannot_compute(
    made: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    original, study, _ = made["toy"]
    gallery.pack(original, [study], tmp_path / "packed")
    changed = replace(metrics.PARTS["accuracy"], revision=2)
    monkeypatch.setattr(measured, "load_all", lambda folder: metrics.PARTS | {"accuracy": changed})
    store = Store(tmp_path / "packed", read_only=True)
    found = measured.current_measures(store, study)
    assert {m.unknown for m in found.values()} == {("accuracy",)}
    kept = measured.current_measures(original, study)
    assert all(m.overall["accuracy"]["value"] is not None for m in found.values()), "it keeps what it has"
    assert found.keys() == kept.keys() and "accuracy" in measured.about_unknown(found.values())
    assert measured.about_unknown(kept.values()) == ""
    store.close()
    told = [measured.about_unknown(found.values()), "an earlier version measured them: accuracy."]
    shown = CliRunner().invoke(cli, ["show", study, "--store", str(tmp_path / "packed")]).output
    page = facts.limits(Stored(str(tmp_path / "packed"), study, 8, read_only=True), ["toy"])
    assert all(t in shown and any(t in line for line in page) for t in told)
    assert "earlier version" not in CliRunner().invoke(cli, ["show", study, "--store", str(original.folder)]).output


def test_store_of_the_first_schema_is_read_where_nobody_may_write(tmp_path: Path) -> None:
    """The gallery that was shipped with the first schema."""
    store = Store(shipped("gallery"), read_only=True)
    for study in store.studies():
        for run in store.runs(study["id"]):
            assert "reaudited" in store.arrays(run["id"], "people")
            assert store.has_artifact(run["teacher_id"], "layers")
        found = measured.current_measures(store, study["id"])
        assert all(set(store.measures(i)) <= set(m.overall) for i, m in found.items())
    store.close()


@pytest.mark.gate
def test_new_metric_measures_72_german_runs_in_under_two_seconds(
    real_table: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_table("german")
    methods = ("ptq", "ptq_minmax", "cf_ptq", "ptq_mixed", "ptq_hawq", "ptq_recourse")
    store = Store(tmp_path / "german")
    study = run_plan(Plan(("german",), methods, (2.0, 3.0, 4.0, 8.0), (0, 1, 2)), store, workers=0)
    for parts in ({"lenient_at": NEW}, {n: replace(m, revision=99) for n, m in metrics.PARTS.items()}):
        now = metrics.PARTS | parts
        monkeypatch.setattr(measured, "load_all", lambda folder, now=now: now)
        started = time.process_time()
        found = measured.current_measures(store, study)
        assert time.process_time() - started < 2 and len(found) == 72
        assert all(set(now) <= set(m.overall) | set(m.unknown) for m in found.values())
    store.close()
