"""Groups: values by person average to what was stored by group; small groups are told, not judged."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from cfq_core.group_tests import SMALLEST_GROUP
from cfq_core.report import by_group, picture
from cfq_core.report.frames import Stored
from cfq_core.study.gallery import GROUP_DIGITS

Open = Callable[..., AppTest]


@pytest.mark.parametrize("measure", ["vd", "vd_matched", "crg_abs", "crg_abs_matched", "approval_shift"])
def test_people_average_to_the_stored_groups(study: Stored, measure: str) -> None:
    for run in study.runs.run.iloc[[0, -1]]:
        people = by_group.values(study, run, measure)
        if people.empty:
            assert study.read_only and measure == "approval_shift", "only a gallery leaves test rows out"
            continue
        stored = study.groups[(study.groups.run == run) & (study.groups.measure == measure)]
        assert not stored.empty
        for column, level, value, count in zip(stored.column, stored.level, stored.value, stored["count"], strict=True):
            mine = people.value[people[column] == level]
            assert len(mine) == count
            assert np.isnan(value) == (count < SMALLEST_GROUP)
            if count >= SMALLEST_GROUP:
                rounding = 10.0 ** -(GROUP_DIGITS - 1) if study.read_only else 0.0  # what a gallery keeps of a number
                assert mine.mean() == pytest.approx(value, rel=rounding, abs=1e-5)


def test_small_groups_are_hidden_with_their_count(study: Stored) -> None:
    first = study.runs.iloc[0]
    about = {"dataset": first.dataset, "method": first.method, "budget": first.budget, "measure": "vd"}
    rows = picture.draw("groups", study, **about, crossing=True).rows
    small = rows[rows.most_people < SMALLEST_GROUP]
    assert len(small) and small.value.isna().all() and (small.seeds_judged == 0).all()
    said = picture.load("groups").alt(rows, **about, crossing=True)
    assert f"{len(small)} group" in said and "not judged" in said


def test_baseline_is_the_teachers_own(study: Stored) -> None:
    first = study.runs.iloc[0]
    about = {"dataset": first.dataset, "method": first.method, "budget": first.budget}
    rows = picture.draw("group_baseline", study, **about).rows
    teachers = study.teachers[study.teachers.dataset == first.dataset]
    judged = study.groups[(study.groups.method == first.method) & (study.groups.budget == first.budget)]
    judged = judged[judged.measure == "approval_shift"]
    whole = [c for c, g in judged.groupby("column") if g.value.notna().all() and not g.crossing.any()]
    for column in whole:
        mine = rows[rows.column == column]
        assert mine.denied.sum() == pytest.approx(teachers.denied.mean())
        assert (1 - mine.denied / mine.people).to_numpy() == pytest.approx(mine.fp32.to_numpy(), abs=0.03)


@pytest.mark.parametrize("query", [{}, {"approval": "matched", "budget": "2"}])
def test_page_says_whether_a_group_is_hit_most_beside_chance(
    query: dict[str, str], on_store: Callable[[str], None], open_page: Open
) -> None:
    on_store("gallery")
    at = open_page("groups", **query)
    assert not at.exception
    said = " ".join(m.value for m in at.markdown)
    assert "no group is shown to be hit more than the others" in said and "p = " in said
    assert "is expected of equal groups" in said
    assert len(at.get("vega_lite_chart")) == 2  # German's second largest group is below 30 people: no gap is drawn
    assert any("needs two groups of at least 30 people" in m.value for m in [*at.info, *at.markdown, *at.caption])
    at.toggle(key="group-crossing").set_value(True).run()
    assert not at.exception
