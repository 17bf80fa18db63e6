"""A stored study in numbers: means and intervals over seeds, and the word for leniency."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from statistics import stdev

import numpy as np
import pytest
from scipy.stats import sem
from scipy.stats import t as student_t

from cfq_core.evidence import Measure, wilson
from cfq_core.study import summary
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
    said = summary.verdict(line, 0.2)
    assert "one seed, 100 people, so no claim" in said and "95 %" not in said
    assert line.measures["vd"].low is None and line.measures["vd"].high is None


@pytest.mark.parametrize(("shift", "lenient"), [(0.019, False), (0.021, True), (-0.3, False), (1 - 0.4, True)])
def test_approving_more_people_is_flagged_lenient(shift: float, lenient: bool, store: Store) -> None:
    """The model that approves everybody has a validity drop of 0 and a shift of 1 - approval rate."""
    for seed in (0, 1):
        _put(store, seed, vd=Measure(0.0, 0.0, 0.01, 100), approval_shift=Measure(shift, shift, shift, 400))
    (line,) = summary.lines(store, "s1")
    assert line.lenient is lenient
    assert ("leniency" in summary.verdict(line, 0.2)) is lenient
    assert ("(lenient)" in summary.as_markdown(store, "s1")) is lenient


def test_a_verdict_states_spread_interval_margin_and_shift(store: Store) -> None:
    _put(store, 0)
    _put(store, 1, vd=Measure(0.3, 0.2, 0.4, 100))
    (line,) = summary.lines(store, "s1")
    said = summary.verdict(line, 0.2)
    for part in ("toy, ptq at 4 bits", "falls 0.4 points", "20.0 in 100", "± 14.1 over 2 seeds",
                 "95 %, Student's t, 0.0 to 100.0", "promise margin 0.2 logits",
                 "approvals shift by +1.0 points"):  # fmt: skip
        assert part in said, said


def test_nobody_with_recourse_is_said_so(store: Store) -> None:
    _put(store, 0, vd=Measure.missing())
    (line,) = summary.lines(store, "s1")
    assert "nobody with recourse" in summary.verdict(line, 0.2)
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
