"""Probes are asked of what is stored: no run is made again, and none has another id for being asked."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from click.testing import CliRunner

from cfq_core.artifacts.action_noise import ActionNoise
from cfq_core.artifacts.artifact import artifact
from cfq_core.base import plugins
from cfq_core.cli import cli
from cfq_core.report.frames import Stored
from cfq_core.study import artifact_tasks, gallery, runner, summary
from cfq_core.study.plan import Plan
from cfq_core.study.runner import run_plan
from cfq_core.study.store import Store

NAME = "action_noise"


@pytest.fixture(scope="module")
def small(plan: Plan) -> Plan:
    return replace(plan, methods=("ptq",), bits=(2.0, 8.0), seeds=(0, 1))


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory, small: Plan) -> tuple[Store, str, str]:
    """A study, and the same one asked about imprecise actions: store, plain id, asked id."""
    store = Store(tmp_path_factory.mktemp("asked"))
    plain = run_plan(small, store, workers=0)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("audit", "promise", "training_recourse"):
            patch.setattr(runner, name, _fails)
        again = run_plan(replace(small, probes=(NAME,)), store, workers=0)
    return store, plain, again


def _fails(*_: Any, **__: Any) -> Any:
    raise AssertionError("this was stored and is made again")


def test_asking_makes_no_run_and_changes_no_id(asked: tuple[Store, str, str]) -> None:
    store, plain, again = asked
    assert plain != again, "a study with a probe is another study"
    assert [r["id"] for r in store.runs(plain)] == [r["id"] for r in store.runs(again)]
    assert store.holds(again, artifact(NAME))
    for t in store.teachers(again):
        assert store.has_artifact(t["id"], artifact(NAME))


def test_what_was_asked_is_not_asked_again_until_the_probe_is_another(
    asked: tuple[Store, str, str], small: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, _, again = asked
    ticks: list[tuple[int, int]] = []
    plan = replace(small, probes=(NAME,))
    assert run_plan(plan, store, 0, lambda done, total, _: ticks.append((done, total))) == again
    assert ticks == [(0, 0)]
    other = ActionNoise(sizes=(0.0, 0.4))
    with monkeypatch.context() as patch:
        patch.setattr(artifact_tasks, "load", lambda name: other)
        run_plan(plan, store, 0)
    assert {x.at for x in summary.probe_lines(store, again)} == {0.0, 0.4}
    run_plan(plan, store, 0)
    assert {x.at for x in summary.probe_lines(store, again)} == set(plugins.load("probes", NAME).sizes)


def test_study_stopped_before_its_probes_goes_on_with_them(
    small: Plan, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, plan = Store(tmp_path), replace(small, bits=(2.0,), probes=(NAME,))
    with monkeypatch.context() as patch, pytest.raises(AssertionError):
        patch.setattr(artifact_tasks, "ask", _fails)
        run_plan(plan, store, 0)
    study = store.study("latest")
    assert study["finished"] == study["runs"] and not store.holds(study["id"], artifact(NAME))
    unasked = Stored(str(store.folder), study["id"], study["finished"])
    assert not unasked.has_probe(NAME), "a page does not show it yet"
    assert run_plan(plan, store, 0) == study["id"]
    assert unasked.has_probe(NAME), "and shows it as soon as it is there"
    store.close()


def test_mean_and_spread_over_seeds_are_of_the_readings(asked: tuple[Store, str, str]) -> None:
    store, _, again = asked
    found = summary.probe_lines(store, again)
    assert found[0].method == "teacher"
    line = next(x for x in found if (x.method, x.budget, x.at, x.measure) == ("ptq", 2.0, 0.2, "kept"))
    runs = [r for r in store.runs(again) if (r["method"], r["budget"]) == ("ptq", 2.0)]
    read = [r for run in runs for r in summary.readings(store, run["id"], NAME)]
    each = [r.result for r in read if (r.at, r.measure) == (0.2, "kept")]
    assert len(each) == 2 and line.over.mean == pytest.approx(sum(m.value for m in each) / 2)
    assert (line.over.seeds, line.over.people) == (2, sum(m.count for m in each))
    frame = Stored(str(store.folder), again, 4).probed
    row = frame[(frame.method == "ptq") & (frame.budget == 2) & (frame["at"] == 0.2) & (frame.measure == "kept")]
    assert row["mean"].iloc[0] == line.over.mean and 0 <= row.seed_low.iloc[0] <= row.seed_high.iloc[0] <= 1


def test_show_tells_what_was_read(asked: tuple[Store, str, str]) -> None:
    store, plain, again = asked

    def show(*options: str) -> str:
        done = CliRunner().invoke(cli, ["show", again, "--store", str(store.folder), *options])
        assert done.exit_code == 0, done.output
        return done.output

    found = json.loads(show("--json"))
    assert {r["measure"] for r in found["runs"][0]["probes"][NAME]} >= {"kept", "vd", "vd_matched", "crg_median"}
    assert {r["measure"] for r in found["teachers"][0]["probes"][NAME]} == {"kept", "recourse_cost"}
    assert "probes" not in summary.as_json(store, plain)["runs"][0], "a study that was not asked says nothing of it"
    assert f"{NAME}: {plugins.summary('probes', NAME)}" in show()
    assert f"Probe `{NAME}`" in show("--markdown") and "relative noise | 0.2 |" in show("--markdown")


def test_gallery_takes_along_what_was_read(asked: tuple[Store, str, str], tmp_path: Any) -> None:
    store, _, again = asked
    gallery.pack(store, [again], tmp_path / "gallery")
    packed = Store(tmp_path / "gallery", read_only=True)
    assert packed.holds(again, artifact(NAME))
    assert summary.probe_lines(packed, again) == summary.probe_lines(store, again)
    packed.close()
