"""Robustness: each question is answered by a stored study, or by a button that starts the plan which makes it."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from cfq_core.base.shipped import shipped
from cfq_core.pipeline import Setting
from cfq_core.probes.deployment_variants import DeploymentVariants
from cfq_core.recourse.pgd import Pgd
from cfq_core.report import facts, figures, picture, robust, words
from cfq_core.report.frames import Stored
from cfq_core.study import probing
from cfq_core.study.plan import Plan, read_plan, read_plan_file
from cfq_core.study.runner import run_plan
from cfq_core.study.store import Store
from cfq_core.training.loop import Teaching
from dashboard.lib import work

Open = Callable[..., AppTest]
QUESTIONS = [q.name for q in robust.QUESTIONS]
KAPPAS, STEPS, REGIMES = (0.0, 0.5), (1, 20), ("default", "strict")
FIRST = Setting(hidden=(8,), kappa=0.0, people=25, again=10, rehearsed=20, teaching=Teaching(epochs=8))
ASKED = replace(FIRST, people=45)  # a population of under 30 is not shown
VARIED: dict[str, list[Setting]] = {
    "kappa": [replace(FIRST, kappa=k) for k in KAPPAS],
    "steps": [replace(FIRST, solver=Pgd(steps=k)) for k in STEPS],
    "regimes": [replace(FIRST, regime=r) for r in REGIMES],
}
PROBES = {"noise": "action_noise", "shift": "shift", "variants": "deployment_variants"}


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Stored]:
    """A tiny study for each question, all in one store; one is asked by every probe."""
    store, found = Store(tmp_path_factory.mktemp("robust") / "store"), {}
    for name, (first, *further) in VARIED.items():
        plan = Plan(("diabetes",), ("ptq",), (2.0,), (0, 1), first, name, tuple(further))
        found[name] = Stored(str(store.folder), run_plan(plan, store), 2 * (1 + len(further)))
    few = DeploymentVariants(margins=(0.2, 1.0), deviations=(1.64,), robust_margins=(0.2,))
    asked = Plan(("diabetes",), ("ptq",), (2.0,), (0, 1), ASKED, "asked", probes=tuple(PROBES.values()))
    with pytest.MonkeyPatch.context() as patch:
        load = probing.load
        patch.setattr(probing, "load", lambda task: few if task.name == "deployment_variants" else load(task))
        found |= dict.fromkeys(PROBES, Stored(str(store.folder), run_plan(asked, store), 2))
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


# ---------------------------------------------------------------------- every question
@pytest.mark.parametrize("question", robust.QUESTIONS, ids=QUESTIONS)
def test_shipped_plan_of_a_question_is_there_and_says_what_it_takes(question: robust.Question) -> None:
    plan = read_plan_file(shipped("studies") / f"{question.plan}.toml")
    given = work.shipped_plan(question.plan)
    assert read_plan(given, "page") == plan
    runs = len(plan.datasets) * len(plan.methods) * len(plan.bits) * len(plan.seeds) * len(plan.settings)
    assert words.counted(runs, "quantized model") in work.about_plan(given)
    assert len(plan.seeds) > 1, "one seed is no claim"
    assert set(question.terms) <= set(words.GLOSSARY)


@pytest.mark.parametrize("name", QUESTIONS)
def test_answered_question_says_its_sentence_and_draws_every_picture(
    name: str, stored: dict[str, Stored], on_robust: None, open_page: Open
) -> None:
    question = robust.of(name)
    assert question.shows(stored[name]), "the study its plan makes answers it"
    at = open_page("robustness")
    at.segmented_control(key="robust").set_value(name).run()
    assert not at.exception and not at.error, at.exception
    charts = at.get("vega_lite_chart")
    assert len(charts) == len(question.pictures) and all(c.proto.alt for c in charts)
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
    at.segmented_control(key="robust").set_value(name).run()
    assert not at.exception
    assert any(f"cfq study data/studies/{robust.of(name).plan}.toml" in c.value for c in at.caption)
    at.button(key=f"robust-run-{name}").click().run()
    assert started == [work.shipped_plan(robust.of(name).plan)]


def test_other_pages_show_one_setting(on_robust: None, open_page: Open) -> None:
    for name in ("answer", "curves"):
        assert not open_page(name).exception, f"{name} shows one setting"
