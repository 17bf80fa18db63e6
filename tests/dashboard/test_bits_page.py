"""Bits: plans, ranks and the front are those that the engine's own accessors give."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from cfq_core.artifacts.layers import TeacherLayers
from cfq_core.base.shipped import gallery
from cfq_core.report import picture
from cfq_core.report.charts import landscape
from cfq_core.report.frames import Stored
from cfq_core.study.store import Store

Open = Callable[..., AppTest]


@pytest.fixture(scope="module")
def study() -> Stored:
    store = Store(gallery(), read_only=True)
    found = store.studies()[0]
    store.close()
    return Stored(str(gallery()), found["id"], found["finished"], True)


@pytest.mark.parametrize("budget", [2.0, 3.0, 4.0])
@pytest.mark.parametrize("matched", [False, True])
def test_landscape_is_the_engines(study: Stored, budget: float, matched: bool) -> None:
    teacher = str(study.teachers.id.iloc[0])
    with study.store() as store:
        engine = TeacherLayers.of_arrays(store.arrays(teacher, "layers"))
    table, measure = engine.landscape, "vd_matched" if matched else "vd"
    assert table is not None
    rows = picture.draw("landscape", study, teacher=teacher, budget=budget, matched=matched).rows
    assert (rows.front.to_numpy() == table.front(measure)).all()
    marks = landscape.marks(rows).set_index("allocator")
    for told, name in (
        ("uniform", "uniform"),
        ("factual: loss", "loss_sensitivity"),
        ("recourse", "recourse_sensitivity"),
    ):
        if told in marks.index:
            plan = engine.plan(name, budget)
            assert marks.plan[told] == "-".join(map(str, plan))
            assert marks.vd[told] == getattr(table, measure)[table.of(plan)]
    best = rows[rows.fits].vd.min()
    assert best == getattr(table, measure)[table.best(budget, measure)]
    assert (marks.vd >= best).all() and (marks.better[marks.vd == best] == 0).all()


@pytest.mark.parametrize("budget", [2.0, 3.0, 4.0])
def test_only_methods_that_learn_bits_are_told_to(study: Stored, budget: float) -> None:
    """Anchored CFQ allocates by recourse sensitivity; the paper's CFQ alone learns its bits."""
    assert {"cfq", "cfq_anchored"} <= set(study.runs.method)
    for teacher in study.teachers.id:
        drawn = picture.draw("landscape", study, teacher=str(teacher), budget=budget)
        told = [a for a in landscape.marks(drawn.rows).allocator if a.startswith("learned by")]
        assert told in (["learned by cfq"], []) and "learned by cfq_" not in drawn.alt


def test_uniform_bits_are_those_of_any_method_that_has_them(study: Stored) -> None:
    """A study without `ptq` shows where uniform bits lie too."""
    one = Stored(study.folder, study.id, study.finished, True)
    one.__dict__["runs"] = study.runs[study.runs.method == "qat_lsq"]
    rows = picture.load("landscape").rows(one, str(study.teachers.id.iloc[0]), 3.0)
    assert "uniform" in set(landscape.marks(rows).allocator)


def test_profiles_of_a_seed_sum_to_one(study: Stored) -> None:
    rows = picture.draw("profiles", study, dataset="german", bits=3).rows
    assert rows.groupby(["profile", "seed"]).share.sum().to_numpy() == pytest.approx(1.0)


def test_a_loss_that_falls_is_no_sensitivity(study: Stored) -> None:
    rows = picture.draw("profiles", study, dataset="german", bits=8).rows
    assert (rows.share[rows.value < 0] == 0).all() and rows.share.dropna().between(0, 1).all()


def test_allocations_are_the_runs_plans(study: Stored) -> None:
    rows = picture.draw("allocations", study, dataset="german", budget=3.0).rows
    for method, layers in rows.groupby("method"):
        plans = np.array(list(study.runs[(study.runs.method == method) & (study.runs.budget == 3.0)].bits))
        assert layers.bits.to_numpy() == pytest.approx(plans.mean(0))
        assert (layers.fewest.to_numpy() == plans.min(0)).all() and (layers.most.to_numpy() == plans.max(0)).all()


def test_page_tells_the_best_plan_and_the_rules(on_store: Callable[[str], None], open_page: Open) -> None:
    on_store("gallery")
    at = open_page("bits", budget="3")
    assert not at.exception
    said = " ".join(m.value for m in at.markdown)
    assert "the best of" in said and "uniform bits" in said
    assert len(at.get("vega_lite_chart")) == 3


def test_reading_results_needs_no_torch() -> None:
    code = "import sys, cfq_core.report.picture as p; [p.load(n) for n in p.names()]; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
