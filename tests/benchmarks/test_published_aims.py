"""What the published tables say of the aims follows from the numbers, misses included."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import aims, results, speeds
from cfq_core.study.plan import read_plan
from cfq_core.study.runner import run_plan
from cfq_core.study.store import Store
from cfq_core.study.summary import Line, OverSeeds


def line(method: str, budget: float = 3.0, seeds: int = 4, half: float = 0.001, **means: float) -> Line:
    """A line of a summary with these means, and intervals of this half-width."""
    measures = {n: OverSeeds(v, 0.01, seeds, v - half, v + half, 100) for n, v in means.items()}
    return Line("adult", method, budget, budget, seeds, measures)


def good(method: str, budget: float = 3.0, **changed: float) -> Line:
    """A line that reaches every aim of ours, but for what is changed."""
    kept = {"vd": 0.01, "vd_matched": 0.01, "approval_shift": 0.0, "approval_shift_matched": 0.0, "accuracy_drop": 0.0}
    return line(method, budget, **({**kept, "crg_mean": 0.0} | changed))


def rivals(budget: float) -> list[Line]:
    """What else the aims look at, far enough behind."""
    return [good("ptq", budget, vd=0.3), good("qat_lsq", budget, vd=0.2)]


def missed(dataset: str, *lines: Line) -> list[str]:
    """Aims not reached."""
    return [a.what for a in aims.judge(dataset, lines) if not a.reached]


@pytest.mark.parametrize(
    ("measure", "value", "what"),
    [
        ("vd", 0.0151, "vd <= 0.015"),
        ("vd_matched", 0.0151, "vd_matched <= 0.015"),
        ("crg_mean", -0.101, "crg_mean within ±0.1"),
        ("crg_mean", 0.101, "crg_mean within ±0.1"),
        ("approval_shift", 0.0101, "approval_shift within ±0.01"),
        ("approval_shift", -0.0101, "approval_shift within ±0.01"),
        ("accuracy_drop", 0.0031, "accuracy_drop <= 0.003"),
    ],
)
def test_each_bar_is_judged_as_it_is_worded(measure: str, value: float, what: str) -> None:
    assert missed("adult", *rivals(3), good("cfq_anchored")) == []
    short = good("cfq_anchored", **{measure: value})
    assert missed("adult", *rivals(3), short) == [f"cfq_anchored: {what}"]


def test_two_bits_have_a_bar_of_their_own() -> None:
    assert missed("adult", *rivals(2), good("cfq_anchored", 2, vd=0.2, vd_matched=0.03)) == []
    assert missed("adult", *rivals(2), good("cfq_anchored", 2, vd_matched=0.031)) == [
        "cfq_anchored: vd_matched <= 0.03"
    ]


def test_a_bar_that_the_interval_crosses_says_so() -> None:
    found = [a for a in aims.judge("adult", [good("cfq_anchored", vd=0.0145)]) if a.what.endswith("vd <= 0.015")]
    assert found[0].reached and "crosses" in found[0].numbers
    clear = [a for a in aims.judge("adult", [good("cfq_anchored", vd=0.01)]) if a.what.endswith("vd <= 0.015")]
    assert clear[0].reached and "crosses" not in clear[0].numbers


@pytest.mark.parametrize(("dataset", "shift", "reached"), [
    ("adult", 0.0101, False), ("adult", -0.0099, True), ("compas", -0.0101, False), ("german", 0.0299, True),
    ("german", 0.0301, False),
])  # fmt: skip
def test_matched_means_matched_for_every_method(dataset: str, shift: float, reached: bool) -> None:
    found = missed(dataset, *rivals(3), good("cfq_anchored"), good("adaround", vd=0.2, approval_shift_matched=shift))
    assert (found == []) is reached


def test_a_blind_rival_within_three_times_is_named() -> None:
    near = good("adaround", vd=0.03)
    (aim,) = [a for a in aims.judge("adult", [*rivals(3), near, good("cfq_anchored")]) if "three times" in a.what]
    assert not aim.reached and aim.why.startswith("adaround 0.0300")
    seeing = good("cf_ptq", vd=0.02)  # it sees recourse
    (aim,) = [a for a in aims.judge("adult", [*rivals(3), seeing, good("cfq_anchored")]) if "three times" in a.what]
    assert aim.reached


def test_a_miss_is_marked_and_says_why_and_a_tie_is_a_tie() -> None:
    listed = [aims.Aim("a", 3, True, "1", "never told"), aims.Aim("b", 4, False, "2", "because")]
    rows = aims.table([*listed, aims.Aim("c", 4, False, "3", "equal", tie=True)]).split("\n")
    assert rows[2:] == ["| a | 3 | yes | 1 |  |", "| b | 4 | **no** | 2 | because |", "| c | 4 | tie | 3 | equal |"]


def test_speeds_are_judged_by_their_ratios(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speeds, "NUMBERS", tmp_path)
    assert "not measured" in speeds.section()
    shape = {"stacked": 10.0, "one_by_one": 30.0, "brevitas": 99.0, "anchored": 25.0, "anchored_alone": 2.6,
             "qat_alone": 1.0, "live": 100.0, "live_alone": 10.0}  # fmt: skip
    found = {"runs": 48, "steps": 5, "versions": {}, "shapes": {"german": shape}}
    (tmp_path / "training_speed.json").write_text(json.dumps(found | {"landscape": {"seconds": 59.0, "naive": 900.0}}))
    verdicts = [row.split(" | ")[1] for row in speeds.section().split("\n") if row.startswith(("| german", "| land"))]
    assert verdicts == ["yes", "**no**", "**no**", "yes"]


def test_a_studys_table_replaces_what_stands_between_the_marks_and_nothing_else(tmp_path: Path) -> None:
    plan = read_plan(
        {"name": results.name_of("kappa"), "datasets": ["diabetes"], "methods": ["ptq"], "bits": [3], "seeds": 2,
         "hidden": [8], "people": 20, "kappa": [0.0, 0.5]},
        "test",
    )  # fmt: skip
    store = Store(tmp_path / "store")
    study = run_plan(plan, store, workers=0)
    readme = tmp_path / "README.md"
    readme.write_text(f"before {results.MARKS[0]}\nold\n{results.MARKS[1]} after", encoding="utf-8")
    for _ in range(2):  # written twice, it stands once
        results._write_readme(readme, store, store.study(study))
    text = readme.read_text(encoding="utf-8")
    assert text.startswith(f"before {results.MARKS[0]}\n") and text.endswith(f"{results.MARKS[1]} after")
    assert "\nold\n" not in text and text.count("\n| ptq") == 2  # one a margin
    rows = [row.split(" | ") for row in results.kappa_table(store, study).split("\n") if row.startswith("| diabetes")]
    assert [(row[2], row[4]) for row in rows] == [("0", "+0.0 %"), ("0.5", rows[1][4])]
    assert float(rows[1][4].split(" ")[0]) > 0, "a promise with a margin costs more"


def test_the_table_of_times_is_what_each_method_took_in_a_stack_of_its_own(tmp_path: Path) -> None:
    plan = read_plan(
        {"name": "Time to make", "datasets": ["diabetes"], "methods": ["ptq", "qat_lsq", "cfq"], "bits": [3],
         "seeds": 2, "hidden": [8], "people": 20},
        "test",
    )  # fmt: skip
    store = Store(tmp_path / "store")
    study = run_plan(plan, store, workers=0)
    rows = [r.strip("| ").split(" | ") for r in results.times_table(store, store.study(study)).split("\n")[4:]]
    assert [r[1] for r in rows] == ["ptq", "qat_lsq", "cfq"]
    took: dict[str, list[float]] = {}
    for run in store.runs(study):
        measures = store.measures(run["id"])
        took.setdefault(run["method"], []).append(
            measures["seconds"]["value"] + measures["training_recourse_seconds"]["value"]
        )
    for row in rows:
        mean = sum(took[row[1]]) / 2
        assert row[3] == f"{mean:.3f}" and row[5] == f"{mean / (sum(took['ptq']) / 2):.1f}"
    assert rows[1][6] == "1.00" and float(rows[1][4]) == 0 < float(rows[2][4])
    assert results._study("overhead", store, store.study(study)).endswith(
        results.times_table(store, store.study(study))
    )
    store.close()


def test_every_table_stands_on_a_plan_of_its_own_name() -> None:
    """A study is found by its plan's name: two plans of one name would show one study twice, no plan none."""
    names = [results.name_of(plan) for plan in (*results.TABLES, *results.KAPPAS, *results.FURTHER)]
    assert all(names) and len(set(names)) == len(names)
