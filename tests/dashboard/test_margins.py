"""Margins: the pictures' numbers are those that the study stores, from people counted anew."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from streamlit.testing.v1 import AppTest

from cfq_core.report import fmt, picture
from cfq_core.report.charts import condition
from cfq_core.report.frames import Stored

Open = Callable[..., AppTest]


def _about(study: Stored) -> tuple[str, str, float]:
    first = study.runs.iloc[0]
    return first.dataset, first.method, first.budget


@pytest.mark.parametrize("matched", [False, True])
def test_curve_is_the_validity_drop_at_zero(study: Stored, matched: bool) -> None:
    dataset, method, budget = _about(study)
    rows = picture.draw("margins", study, dataset=dataset, method=method, budget=budget, matched=matched).rows
    mine = rows[(rows.model == method) & (rows.margin == 0.0)]
    stored = study.measures[study.measures.measure == ("vd_matched" if matched else "vd")]
    stored = stored[(stored.method == method) & (stored.budget == budget)]
    pooled = (stored.value * stored["count"]).sum() / stored["count"].sum()
    assert mine.share.iloc[0] == pytest.approx(pooled, abs=1e-6)
    teacher = rows[rows.model == "FP32"]
    assert (teacher.share[teacher.margin == 0.0] == 0).all(), "every promise holds on the model that made it"
    assert (rows.groupby("model").share.diff().dropna() >= 0).all() and rows.groupby("model").share.max().eq(1).all()


def test_people_of_a_run_fall_into_the_shares_that_are_stored(study: Stored) -> None:
    first = study.runs.iloc[0]
    rows = picture.draw("condition", study, dataset=first.dataset, run=first.run).rows
    stored = study.measures[study.measures.run == first.run].set_index("measure")
    for measure, state in (("margin_condition", condition.HOLDS), ("margin_transferred", condition.LUCKY)):
        assert (rows.state == state).mean() == pytest.approx(stored["value"][measure], abs=1e-6)
    assert (rows.state == condition.BROKEN).mean() == pytest.approx(stored["value"]["vd"], abs=1e-6)
    under = rows.perturbation < rows.margin
    assert (under == (rows.state == condition.HOLDS)).all(), "points of the condition lie under the line"


def test_three_shares_of_a_budget_add_up(study: Stored) -> None:
    dataset, method, _ = _about(study)
    rows = picture.draw("condition_shares", study, dataset=dataset, method=method).rows
    assert rows.groupby("budget")["mean"].sum().to_numpy() == pytest.approx(1.0, abs=1e-5)


def test_first_sentence_says_the_share_with_its_interval(on_store: Callable[[str], None], open_page: Open) -> None:
    on_store("own")
    at = open_page("margins", budget="2")
    sel = at.session_state["_selection"]
    mine = fmt.line_of(sel.study.lines, sel.dataset, sel.method, 2.0)
    said = " ".join(m.value for m in at.markdown)
    assert fmt.in_100(mine["mean"]["margin_condition"]) in said
    assert "95 %, Student's t, " in said
    assert fmt.in_100(mine["mean"]["margin_transferred"]) in said
