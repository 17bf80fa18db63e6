"""A stored study in numbers: means and intervals over seeds, and the word for leniency."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from statistics import stdev
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import sem
from scipy.stats import t as student_t

from cfq_core.evidence import Measure, wilson
from cfq_core.report import fmt
from cfq_core.study import summary
from cfq_core.study.marks import leniency
from cfq_core.study.store import Store

NOTHING = {"x": np.zeros(1)}
BASE = {
    "vd": Measure(0.1, 0.05, 0.2, 100), "vd_matched": Measure(0.05, 0.0, 0.1, 100),
    "accuracy": Measure(0.8, 0.7, 0.9, 400), "accuracy_drop": Measure(0.004, -0.01, 0.02, 400),
    "approval_shift": Measure(0.01, 0.0, 0.02, 400), "worst_group_vd": Measure(0.2, 0.1, 0.3, 40),
    "crg_median": Measure(0.0, -0.1, 0.1, 60), "crg_abs": Measure(0.2, 0.1, 0.3, 60),
    "crg_mean": Measure(0.1, 0.0, 0.3, 60), "direction": Measure(0.9, 0.8, 1.0, 60),
    "flip_rate": Measure(0.02, 0.01, 0.03, 400), "margin_condition": Measure(0.7, 0.6, 0.8, 100),
    "recourse_cost": Measure(2.0, 1.8, 2.2, 100),
}  # fmt: skip


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path)
    opened.put_study(
        "s1",
        "look",
        {"setting": {"hidden": [8], "kappa": 0.2, "regime": "default"}, "seeds": [0, 1]},
        {},
        [("r0", "t"), ("r1", "t")],
    )
    opened.put_teacher("t", "toy", 0, {}, {"accuracy": 0.8}, NOTHING, NOTHING)
    yield opened
    opened.close()


def _put(store: Store, seed: int, **measures: Measure | None) -> None:
    columns = {
        "id": f"r{seed}", "teacher_id": "t", "dataset": "toy", "method": "ptq", "budget": 4.0, "seed": seed,
        "bits": [4, 2], "avg_bits": 3.5, "threshold": 0.0, "spec": {}, "groups": {},
    }  # fmt: skip
    merged = {k: m for k, m in (BASE | measures).items() if m is not None}
    store.put_run(columns, merged, NOTHING, NOTHING)


def test_a_line_is_the_mean_spread_and_interval_over_seeds(store: Store) -> None:
    _put(store, 0, vd=Measure(0.1, 0.05, 0.2, 100))
    _put(store, 1, vd=Measure(0.4, 0.3, 0.5, 50))
    (line,) = summary.lines(store, "s1")
    vd = line.measures["vd"]
    assert vd.mean == pytest.approx(0.25) and vd.sd == pytest.approx(stdev([0.1, 0.4]))
    assert (vd.seeds, vd.people, line.seeds, line.avg_bits) == (2, 150, 2, 3.5)
    t = student_t.interval(0.95, 1, loc=0.25, scale=sem([0.1, 0.4]))
    assert (vd.low, vd.high) == (max(0.0, t[0]), min(1.0, t[1])), "a share stays one"
    crg = line.measures["crg_median"]
    assert crg.low == crg.mean == crg.high, "seeds that agree have no spread, and only a share is one of people"


def test_seeds_of_the_very_same_share_are_as_sure_as_their_people(store: Store) -> None:
    for seed in (0, 1):
        _put(store, seed, vd=Measure(0.0, 0.0, 0.05, 100))
    (line,) = summary.lines(store, "s1")
    assert (line.measures["vd"].low, line.measures["vd"].high) == pytest.approx(wilson(0, 200))


def test_p_of_several_seeds_is_combined_not_averaged(store: Store) -> None:
    for seed, p in ((0, 0.01), (1, 0.4)):
        _put(store, seed, worst_group_vd_p=Measure(p, p, p, 100))
    (line,) = summary.lines(store, "s1")
    assert line.value("worst_group_vd_p") == pytest.approx(0.02)


def test_a_seed_without_a_value_does_not_count(store: Store) -> None:
    _put(store, 0)
    _put(store, 1, vd=Measure.missing())
    (line,) = summary.lines(store, "s1")
    vd = line.measures["vd"]
    assert (vd.mean, vd.sd, vd.seeds, vd.people) == (0.1, None, 1, 100)


def test_one_seed_is_no_claim(store: Store) -> None:
    _put(store, 0)
    (line,) = summary.lines(store, "s1")
    said = summary.verdict(line, {"kappa": 0.2})
    assert "one seed, 100 people, so no claim" in said and "95 %" not in said
    assert line.measures["vd"].low is None and line.measures["vd"].high is None


@pytest.mark.parametrize(("shift", "lenient"), [(0.019, False), (0.021, True), (-0.3, False), (1 - 0.4, True)])
def test_approving_more_people_is_flagged_lenient(shift: float, lenient: bool, store: Store) -> None:
    """The model that approves everybody has a validity drop of 0 and a shift of 1 - approval rate."""
    for seed in (0, 1):
        _put(store, seed, vd=Measure(0.0, 0.0, 0.01, 100), approval_shift=Measure(shift, shift, shift, 400))
    (line,) = summary.lines(store, "s1")
    assert line.lenient is lenient
    assert ("leniency" in summary.verdict(line, {"kappa": 0.2})) is lenient
    assert ("(lenient)" in summary.as_markdown(store, "s1")) is lenient


@pytest.mark.parametrize(
    ("crg", "lenient"), [(-0.09, False), (-0.11, True), (-0.35, True), (0.5, False), (None, False)]
)
def test_asking_for_less_than_promised_is_flagged_lenient(crg: float | None, lenient: bool, store: Store) -> None:
    """Distillation with the paper's outcome term: approvals hardly move, and people are asked for a third less."""
    for seed in (0, 1):
        _put(store, seed, vd=Measure(0.0, 0.0, 0.01, 100), crg_mean=Measure(crg, crg, crg, 60))
    (line,) = summary.lines(store, "s1")
    assert line.lenient is lenient
    said = summary.verdict(line, {"kappa": 0.2})
    assert ("% less than they were promised: part of this validity is leniency" in said) is lenient
    assert "approves" not in said.replace("approvals shift", "")
    assert ("(lenient)" in summary.as_markdown(store, "s1")) is lenient


@pytest.mark.parametrize(
    ("shifts", "nearest"), [((0.004, -0.005), None), ((0.0, -0.031), -0.031), ((0.02, 0.01), 0.02)]
)
def test_approvals_that_no_threshold_matches_are_told_with_the_nearest(
    shifts: tuple[float, ...], nearest: float | None, store: Store
) -> None:
    for seed, shift in enumerate(shifts):
        _put(store, seed, matching_shift=Measure(shift, None, None, 70))
    (line,) = summary.lines(store, "s1")
    assert line.unmatched == nearest
    for text in (summary.verdict(line, {"kappa": 0.2}), summary.as_markdown(store, "s1")):
        assert (nearest is not None and f"{100 * nearest:+.1f} points" in text) == (nearest is not None)
    assert "(unmatched, nearest" in summary.as_markdown(store, "s1") or nearest is None
    each = [r["unmatched"] for r in summary.as_json(store, "s1")["runs"]]
    assert each == [s if abs(s) > 0.005 else None for s in shifts]


def test_both_sides_of_a_tie_stand_in_the_cell(store: Store) -> None:
    _put(store, 0, vd_matched=Measure(0.05, 0, 0.1, 100), vd_tied=Measure(0.25, 0, 0.1, 100),
         other_threshold=Measure(0.3, None, None, 1))  # fmt: skip
    _put(store, 1, vd_matched=Measure(0.15, 0, 0.1, 100))
    (line,) = summary.lines(store, "s1")
    assert line.measure("vd_matched").tied == pytest.approx((0.10, 0.20))
    assert line.measure("vd").tied is None and "vd_tied" not in line.measures
    assert summary.format_mean(line.measure("vd_matched")).endswith("(0.100 to 0.200)")
    assert "(0.100 to 0.200)" in summary.as_markdown(store, "s1")


def test_a_tie_that_changes_nothing_is_not_told(store: Store) -> None:
    for seed in (0, 1):
        _put(store, seed, vd_tied=BASE["vd_matched"])
    (line,) = summary.lines(store, "s1")
    assert " to " not in summary.format_mean(line.measure("vd_matched"))


def test_the_student_that_asks_for_less_is_never_the_most_faithful(store: Store) -> None:
    line = {"dataset": "toy", "budget": 3.0, "seeds": 2, "unmatched": np.nan}
    cases = [("kind", 0.0, -0.3, 0.01), ("honest", 0.02, -0.05, 0.01), ("generous", 0.0, 0.0, 0.05)]
    rows = [
        {**line, "method": m, "lenient": bool(leniency(shift, crg)), "measure": name, "mean": value, "sd": 0.01,
         "seed_low": 0.0, "seed_high": 0.1, "people": 100}
        for m, vd, crg, shift in cases
        for name, value in {"vd": vd, "vd_matched": vd, "crg_mean": crg, "approval_shift": shift}.items()
    ]  # fmt: skip
    lines = pd.DataFrame(rows)
    assert fmt.most_faithful(lines, "toy", 3.0) == "honest"
    assert "asks people for 30 % less" in (fmt.caution(lines, "toy", "kind", 3.0) or "")
    assert "approves 5.0 points more" in (fmt.caution(lines, "toy", "generous", 3.0) or "")
    assert fmt.caution(lines, "toy", "honest", 3.0) is None
    study = SimpleNamespace(row={"plan": {}}, lines=lines, paired=lambda *_: summary.NOTHING)
    assert "with honest" in fmt.answer(study, "toy", "kind", 3.0)  # type: ignore[arg-type]


def test_a_verdict_states_spread_interval_margin_and_shift(store: Store) -> None:
    _put(store, 0)
    _put(store, 1, vd=Measure(0.3, 0.2, 0.4, 100))
    (line,) = summary.lines(store, "s1")
    said = summary.verdict(line, {"kappa": 0.2})
    for part in ("toy, ptq at 4 bits", "falls 0.4 points", "20.0 in 100", "± 14.1 over 2 seeds",
                 "95 %, Student's t, 0.0 to 100.0", "promise margin 0.2 logits",
                 "approvals shift by +1.0 points"):  # fmt: skip
        assert part in said, said


def test_nobody_with_recourse_is_said_so(store: Store) -> None:
    _put(store, 0, vd=Measure.missing())
    (line,) = summary.lines(store, "s1")
    assert "nobody with recourse" in summary.verdict(line, {"kappa": 0.2})
    assert summary.format_mean(line.measures["vd"]) == "-"


def test_a_study_of_which_nothing_is_finished_has_no_lines(store: Store) -> None:
    assert summary.lines(store, "s1") == []
    assert summary.as_json(store, "s1")["runs"] == []
    assert "look" not in summary.as_markdown(store, "s1") or True


@pytest.mark.parametrize("seed", [0, 1], ids=["older first", "older last"])
@pytest.mark.parametrize("name", ["crg_abs", "margin_condition", "recourse_cost"])
def test_a_run_stored_before_a_metric_existed_is_still_shown(name: str, seed: int, store: Store) -> None:
    """To add a metric is to add one file: studies stored before it, and ones it finds half finished, stay readable."""
    _put(store, seed, **{name: None})
    _put(store, 1 - seed)
    (line,) = summary.lines(store, "s1")
    assert line.measures[name].seeds == 1
    assert line.measures["vd"].seeds == 2
    assert summary.as_markdown(store, "s1")


def test_json_has_the_documented_keys_and_no_nan(store: Store) -> None:
    _put(store, 0, vd=Measure.missing())
    found = summary.as_json(store, "s1")
    assert list(found) == ["study", "store", "runs", "teachers", "methods"]
    text = json.dumps(found, allow_nan=False)
    assert json.loads(text) == found
    (run,) = found["runs"]
    assert run["measures"]["vd"] is None and run["intervals"]["vd"]["count"] == 0
    assert run["bits"] == [4, 2]
    (line,) = found["methods"]
    assert line["measures"]["vd"] == dict.fromkeys(("mean", "sd", "low", "high")) | {"seeds": 0, "people": 0}
    assert line["measures"]["accuracy"]["mean"] == 0.8 and line["measures"]["accuracy"]["low"] is None, "one seed"


def test_allocations_that_are_not_uniform_are_listed(store: Store) -> None:
    _put(store, 0)
    _put(store, 1)
    assert "- toy, ptq, 4 bits: 4-2 (2)" in summary.as_markdown(store, "s1")
