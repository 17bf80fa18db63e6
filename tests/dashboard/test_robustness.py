"""Robustness: a study over several settings appears by itself, and every other page shows its first setting alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from cfq_core.pipeline import Setting
from cfq_core.report import picture
from cfq_core.report.frames import Stored
from cfq_core.study.plan import Plan
from cfq_core.study.runner import run_plan
from cfq_core.study.store import Store
from cfq_core.training.loop import Teaching

Open = Callable[..., AppTest]
KAPPAS = (0.0, 0.5)


@pytest.fixture(scope="module")
def over_margins(tmp_path_factory: pytest.TempPathFactory) -> Stored:
    folder: Path = tmp_path_factory.mktemp("margins") / "store"
    teaching = Teaching(epochs=8, rows_per_step=64)
    first = Setting(hidden=(8,), kappa=KAPPAS[0], people=40, again=10, rehearsed=20, teaching=teaching)
    further = tuple(replace(first, kappa=k) for k in KAPPAS[1:])
    store = Store(folder)
    run_plan(Plan(("diabetes",), ("ptq",), (2.0,), (0, 1), first, further=further), store)
    found = store.studies()[0]
    store.close()
    return Stored(str(folder), found["id"], found["finished"])


def test_frames_are_of_the_first_setting_and_across_of_all(over_margins: Stored) -> None:
    assert over_margins.varied == ("kappa",)
    assert len(over_margins.runs) == 2 and len(over_margins.teachers) == 2
    assert not over_margins.lines.duplicated(["dataset", "method", "budget", "measure"]).any()
    across = over_margins.across
    assert sorted(set(across.kappa)) == sorted(KAPPAS)
    mine = across[across.kappa == KAPPAS[0]].drop(columns="kappa").reset_index(drop=True)
    assert mine.equals(over_margins.lines)


def test_kept_is_what_is_not_broken_at_the_price_of_each_margin(over_margins: Stored) -> None:
    about = {"dataset": "diabetes", "varies": "kappa", "measure": "vd", "budget": 2.0}
    broken = picture.draw("settings", over_margins, **about).rows
    kept = picture.draw("kept_at_cost", over_margins, **about).rows
    assert list(broken.kappa) == list(kept.kappa) == list(KAPPAS)
    assert kept.kept.to_numpy() == pytest.approx(1 - broken["mean"].to_numpy())
    assert kept.cost.iloc[1] > kept.cost.iloc[0], "a promise with a margin costs more"


def test_study_over_margins_appears_by_itself(
    over_margins: Stored, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, open_page: Open
) -> None:
    monkeypatch.setenv("CFQ_STORE", over_margins.folder)
    monkeypatch.setenv("CFQ_GALLERY", str(tmp_path / "none"))
    at = open_page("robustness")
    assert not at.exception and not at.error
    assert len(at.get("vega_lite_chart")) == 3
    assert "promised actions fail" in " ".join(m.value for m in at.markdown)
    for name in ("answer", "curves"):
        assert not open_page(name).exception, f"{name} shows one setting"


def test_no_such_study_says_which_command_makes_one(on_store: Callable[[str], None], open_page: Open) -> None:
    on_store("own")
    at = open_page("robustness")
    assert not at.exception and any("cfq study data/studies/kappa.toml" in c.value for c in at.code)
