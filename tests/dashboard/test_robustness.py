"""Robustness: each question is answered by a stored study, or by a button that starts the plan which makes it."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from cfq_core.artifacts.deployment_variants import DeploymentVariants
from cfq_core.artifacts.forecasts import Safety
from cfq_core.artifacts.shift import Shift
from cfq_core.base.shipped import shipped
from cfq_core.pipeline import Setting, prepare
from cfq_core.quant.variants import Variants
from cfq_core.recourse.pgd import Pgd
from cfq_core.recourse.relaxed import Relaxed
from cfq_core.recourse.search import Search
from cfq_core.report import facts, figures, fmt, picture, robust
from cfq_core.report.frames import Stored
from cfq_core.study import artifact_tasks, jobs
from cfq_core.study.plan import Plan, method_of, read_plan, read_plan_file, table_of
from cfq_core.study.runner import run_plan
from cfq_core.study.store import Store
from cfq_core.training.loop import TeacherTraining
from dashboard.lib import work

Open = Callable[..., AppTest]
QUESTIONS = [q.name for q in robust.QUESTIONS]
KAPPAS, STEPS, REGIMES = (0.0, 0.5), (1, 20), ("default", "strict")
FIRST = Setting(
    hidden=(8,),
    kappa=0.0,
    people=25,
    n_reaudited=10,
    n_training_recourse=20,
    teacher_training=TeacherTraining(epochs=8),
    solver=Search(relaxed=Relaxed(steps=8), restarts=2, rounds=1),  # how good it is does not matter here
)
#: The costly probes with fewer conditions.
FEW = {
    "shift": Shift(tilts=(0.5,), sizes=(0.2,)),
    "deployment_variants": DeploymentVariants(
        known=Variants(bits=(8, 3), draws=0),
        unseen=Variants(bits=(8, 3), draws=1, seed=1, nearest=False),
        margins=(0.2, 1.0),
        deviations=(1.64,),
        robust_margins=(0.2,),
    ),
}
ASKED = replace(FIRST, people=60)  # a population of under 30 is not shown
VARIED: dict[str, list[Setting]] = {
    "kappa": [replace(FIRST, kappa=k) for k in KAPPAS],
    "steps": [replace(FIRST, solver=Pgd(steps=k)) for k in STEPS],
    "regimes": [replace(FIRST, regime=r) for r in REGIMES],
}
SLICE = "diabetes:sex!=2"
PROBES = {"noise": "action_noise", "shift": "shift", "variants": "deployment_variants"}


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Stored]:
    """A tiny study for each question, all in one store; one is asked by every probe."""
    store, found = Store(tmp_path_factory.mktemp("robust") / "store"), {}
    for name, (first, *further) in VARIED.items():
        plan = Plan(("diabetes",), ("ptq",), (2.0,), (0, 1), first, name, tuple(further))
        found[name] = Stored(str(store.folder), run_plan(plan, store), 2 * (1 + len(further)))
    for name, methods, bits in (
        ("overhead", ("ptq", "cfq_anchored"), (2.0,)),
        ("forecast", ("ptq_minmax",), (3.0, 8.0)),
    ):
        plan = Plan(("diabetes",), methods, bits, (0, 1), FIRST, name)
        found[name] = Stored(str(store.folder), run_plan(plan, store), 4)
    asked = Plan(("diabetes",), ("ptq",), (2.0,), (0, 1), ASKED, "asked", probes=tuple(PROBES.values()))
    with pytest.MonkeyPatch.context() as patch:
        load = artifact_tasks.load
        patch.setattr(artifact_tasks, "load", lambda name: FEW.get(name) or load(name))
        found |= dict.fromkeys(PROBES, Stored(str(store.folder), run_plan(asked, store), 2))
        apart = replace(asked, datasets=("diabetes", SLICE), name="slices", probes=("shift",))
        found["slices"] = Stored(str(store.folder), run_plan(apart, store), 4)
    store.close()
    return found


@pytest.fixture
def on_robust(stored: dict[str, Stored], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CFQ_STORE", stored["kappa"].folder)
    monkeypatch.setenv("CFQ_GALLERY", str(tmp_path / "none"))


def asked(study: Stored, measure: str = "vd") -> robust.Asked:
    return robust.Asked("diabetes", float(study.runs.budget.iloc[0]), measure)


# ---------------------------------------------------------------------- studies over several settings
def test_frames_are_of_the_first_setting_and_across_of_all(stored: dict[str, Stored]) -> None:
    study = stored["kappa"]
    assert study.varied == ("kappa",)
    assert len(study.runs) == 2 and len(study.teachers) == 2
    assert not study.lines.duplicated(["dataset", "method", "budget", "measure"]).any()
    across = study.across
    assert sorted(set(across.kappa)) == sorted(KAPPAS)
    mine = across[across.kappa == KAPPAS[0]].drop(columns="kappa").reset_index(drop=True)
    assert mine.equals(study.lines)


def test_kept_is_what_is_not_broken_at_the_price_of_each_margin(stored: dict[str, Stored]) -> None:
    about = {"dataset": "diabetes", "varies": "kappa", "measure": "vd", "budget": 2.0}
    broken = picture.draw("settings", stored["kappa"], **about).rows
    kept = picture.draw("kept_at_cost", stored["kappa"], **about).rows
    assert list(broken.kappa) == list(kept.kappa) == list(KAPPAS)
    assert kept.kept.to_numpy() == pytest.approx(1 - broken["mean"].to_numpy())
    assert kept.cost.iloc[1] > kept.cost.iloc[0], "a promise with a margin costs more"


def test_steps_of_the_teacher_are_an_axis(stored: dict[str, Stored]) -> None:
    study = stored["steps"]
    assert study.varied == ("steps",) and study.first("steps") == STEPS[0]
    rows = picture.draw("feasible", study, dataset="diabetes", budget=2.0).rows
    assert list(rows.steps) == list(STEPS) and list(rows.method) == ["teacher"] * 2
    assert rows["mean"].iloc[1] >= rows["mean"].iloc[0], "every iterate is offered: more steps find no fewer"


def test_what_is_feasible_is_what_the_teachers_say(stored: dict[str, Stored]) -> None:
    rows = picture.draw("feasible", stored["regimes"], dataset="diabetes", budget=2.0).rows.set_index("regime")
    with stored["regimes"].store() as store:
        for regime in REGIMES:
            said = [
                t["measures"] for t in store.teachers(stored["regimes"].id) if t["spec"]["setting"]["regime"] == regime
            ]
            assert rows["mean"][regime] == pytest.approx(sum(m["frr"] for m in said) / len(said))
            assert rows.cost[regime] == pytest.approx(sum(m["recourse_cost"] for m in said) / len(said))
    assert rows["mean"]["strict"] <= rows["mean"]["default"], "fewer actions serve no more people"


@pytest.mark.parametrize("name", VARIED)
def test_plan_in_the_report_makes_the_whole_study(stored: dict[str, Stored], name: str) -> None:
    plan = read_plan(tomllib.loads(facts.plan_text(stored[name])), "report")
    key = {"kappa": "kappa", "steps": "solver", "regimes": "regime"}[name]
    assert [getattr(s, key) for s in plan.settings] == [getattr(s, key) for s in VARIED[name]]


@pytest.mark.parametrize("name", VARIED)
def test_report_of_such_a_study_holds_its_pictures(stored: dict[str, Stored], name: str) -> None:
    drawn = {f.name for f in figures.figures(stored[name], figures.chosen(stored[name], "diabetes"))}
    assert {"settings", "feasible", "kept_at_cost"} <= drawn


def test_report_of_a_probed_study_holds_its_pictures(stored: dict[str, Stored]) -> None:
    for name in PROBES:
        drawn = {f.name for f in figures.figures(stored[name], figures.chosen(stored[name], "diabetes"))}
        assert {p for p, _ in robust.of(name).pictures} <= drawn
        assert read_plan(tomllib.loads(facts.plan_text(stored[name])), "report").probes == tuple(PROBES.values())


def test_time_to_make_counts_training_recourse_to_who_learns_from_it(stored: dict[str, Stored]) -> None:
    study = stored["overhead"]
    rows = picture.draw("overhead", study, dataset="diabetes", budget=2.0).rows.set_index("method")
    kept = [[study.arrays(t, f"{n}_recourse") for n in ("training", "further")] for t in study.teachers.id]
    took = [sum(float(a["seconds"]) for a in each) for each in kept]
    assert rows.training_recourse["ptq"] == 0 and rows.training_recourse["cfq_anchored"] == pytest.approx(sum(took) / 2)
    assert rows.times_ptq["ptq"] == 1 and rows.times_ptq["cfq_anchored"] > 1
    assert rows.total["cfq_anchored"] == pytest.approx(rows.made["cfq_anchored"] + sum(took) / 2)
    schedule = method_of("cfq_anchored").schedule
    with study.store() as store:
        for run in (r for r in store.runs(study.id) if r["method"] == "cfq_anchored"):
            people = len(store.arrays(run["teacher_id"], "training_recourse")["cost"])
            each = float(store.arrays(run["teacher_id"], "training_recourse")["seconds"]) / people
            training = len(prepare(table_of("diabetes"), run["seed"]).split.train)
            told = store.measures(run["id"])["on_the_fly_seconds"]["value"]
            assert told == pytest.approx(each * schedule.pairs_per_step * schedule.steps(training))


def test_calibration_is_what_a_loop_over_promises_counts(stored: dict[str, Stored]) -> None:
    study = stored["forecast"]
    rows = picture.draw("forecast", study, dataset="diabetes").rows
    for bits in (3, 8):
        odds, broke = [], []
        for run in study.runs[study.runs.budget == bits].itertuples():
            safety = Safety.of_arrays(study.arrays(run.teacher, "forecasts"))
            at = study.arrays(run.run, "people")["student_at"]
            told = study.arrays(run.teacher, "people")["why"] == 0
            for k in np.flatnonzero(told):
                odds.append(safety.odds[list(safety.bits).index(bits), k])
                broke.append(at[k] <= 0)
        over_all = rows[(rows.bits == bits) & (rows["class"] == "all")].iloc[0]
        assert (over_all.forecast, over_all.broken) == pytest.approx((np.mean(odds), np.mean(broke)))
        assert over_all.people == len(odds) and over_all.seeds == 2
        for _, r in rows[(rows.bits == bits) & (rows["class"] != "all")].iterrows():
            low, high = map(float, r["class"].split(" to "))
            mine = [b for o, b in zip(odds, broke, strict=True) if (low < o or low == 0) and o <= high]
            assert r.people == len(mine) >= 30 and r.broken == pytest.approx(np.mean(mine))
    assert not (rows.people < 30).any() or (rows[rows.people < 30]["class"] == "all").all()


# ---------------------------------------------------------------------- every question
@pytest.mark.parametrize("question", robust.QUESTIONS, ids=QUESTIONS)
def test_shipped_plan_of_a_question_is_there_and_says_what_it_takes(question: robust.Question) -> None:
    plan = read_plan_file(shipped("studies") / f"{question.plan}.toml")
    given = work.shipped_plan(question.plan)
    assert read_plan(given, "page") == plan
    runs = len(plan.datasets) * len(plan.methods) * len(plan.bits) * len(plan.seeds) * len(plan.settings)
    assert fmt.counted(runs, "quantized model") in work.about_plan(given)
    assert len(plan.seeds) > 1, "one seed is no claim"
    assert set(question.terms) <= set(fmt.GLOSSARY)


@pytest.mark.parametrize("name", QUESTIONS)
def test_answered_question_says_its_sentence_and_draws_every_picture(
    name: str, stored: dict[str, Stored], on_robust: None, open_page: Open
) -> None:
    question = robust.of(name)
    assert question.shows(stored[name]), "the study its plan makes answers it"
    at = open_page("robustness", study=stored[name].id)
    at.segmented_control(key="robust").set_value(robust.of(name).title).run()
    assert not at.exception and not at.error, at.exception
    charts = at.get("vega_lite_chart")
    missing = [i.value for i in at.info if "not stored in this study" in i.value]
    assert len(charts) + len(missing) == len(question.pictures) and all(c.proto.alt for c in charts)
    assert len(missing) == (name == "steps"), "nothing was trained there, so training takes no longer"
    said = question.says(stored[name], asked(stored[name]))
    assert said in [m.value for m in at.markdown] and "nan" not in said and "None" not in said
    assert "approvals" in said, "no claim without its approval shift"


@pytest.mark.parametrize("name", QUESTIONS)
def test_unanswered_question_offers_the_plan_that_answers_it(
    name: str, on_store: Callable[[str], None], open_page: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Any] = []
    monkeypatch.setattr(work, "start", started.append)
    on_store("nothing")
    at = open_page("robustness")
    at.segmented_control(key="robust").set_value(robust.of(name).title).run()
    assert not at.exception
    assert any(f"cfq study data/studies/{robust.of(name).plan}.toml" in c.value for c in at.caption)
    at.button(key=f"robust-run-{name}").click().run()
    assert started == [work.shipped_plan(robust.of(name).plan)]


def test_other_pages_show_one_setting(on_robust: None, open_page: Open) -> None:
    for name in ("answer", "curves"):
        assert not open_page(name).exception, f"{name} shows one setting"


def test_a_study_chosen_here_is_chosen_everywhere(stored: dict[str, Stored], on_robust: None, open_page: Open) -> None:
    at = open_page("robustness", study=stored["kappa"].id)
    at.segmented_control(key="robust").set_value(robust.of("forecast").title).run()
    at.selectbox(key=f"robust-study-forecast-{stored['kappa'].id}").select(stored["forecast"].id).run()
    assert not at.exception and at.query_params["study"] == stored["forecast"].id
    assert robust.of("forecast").says(stored["forecast"], asked(stored["forecast"])) in [m.value for m in at.markdown]


def test_a_study_that_failed_says_why_on_its_page(
    on_store: Callable[[str], None], open_page: Open, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    given = work.shipped_plan(robust.of("shift").plan)
    job = {f.name: None for f in fields(jobs.Job)} | {"id": "j", "folder": tmp_path, "given": given, "created": 0.0}
    failed = jobs.Job(**{**job, "state": jobs.FAILED, "error": "german.data is not on disk"})
    monkeypatch.setattr(work, "recent", lambda: [failed])
    on_store("nothing")
    at = open_page("robustness")
    assert not at.error, "it is told where it was asked"
    at.segmented_control(key="robust").set_value(robust.of("shift").title).run()
    assert not at.exception and [e.value for e in at.error] == [failed.error]
