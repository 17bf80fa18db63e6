"""What the published tables say of the aims follows from the numbers, misses included."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from benchmarks import aims, results, speeds
from cfq_core.base.shipped import shipped
from cfq_core.study.plan import read_plan
from cfq_core.study.runner import run_plan
from cfq_core.study.store import Store
from cfq_core.study.summary import Line, OverSeeds


def line(method: str, budget: float = 3.0, seeds: int = 4, sd: float = 0.01, **means: float) -> Line:
    """A line of a summary with these means."""
    measures = {name: OverSeeds(value, sd, seeds, None, None, 100) for name, value in means.items()}
    return Line("adult", method, budget, budget, seeds, measures)


def good(method: str, budget: float = 3.0, **changed: float) -> Line:
    """A line that reaches every aim, but for what is changed."""
    kept = {"vd": 0.01, "vd_matched": 0.02, "approval_shift": 0.0, "accuracy_drop": 0.0, "crg_abs": 0.1}
    return line(method, budget, **({**kept, "flip_rate": 0.02} | changed))


def everything(budget: float, **changed: Line) -> list[Line]:
    """A line a method that the aims name."""
    names = ("ptq_hawq", "cf_ptq_alloc", "qat_lsq", "qat_lenient", "cfq", "cfq_anchored")
    return [changed.get(name, good(name, budget)) for name in names]


def missed(lines: list[Line]) -> list[str]:
    """Aims not reached."""
    return [a.what for a in aims.judge("adult", lines) if not a.reached]


@pytest.mark.parametrize(
    ("measure", "value"),
    [("vd", 0.0201), ("approval_shift", 0.0101), ("approval_shift", -0.0101), ("accuracy_drop", 0.0051)],
)
def test_each_bar_of_faithfulness_is_a_bar(measure: str, value: float) -> None:
    faithful = "cfq_anchored: vd <= 0.02, shift within 0.01, accuracy drop <= 0.005"
    reached = everything(3, cf_ptq_alloc=good("cf_ptq_alloc", vd_matched=0.01))
    assert missed(reached) == []
    short = good("cfq_anchored", **{measure: value})
    assert missed([*reached[:-1], short]) == [faithful]


def test_two_bits_are_judged_by_qats_fifth_and_at_matched_approval() -> None:
    assert missed(everything(2, qat_lsq=good("qat_lsq", 2, vd=0.05))) == []
    assert missed(everything(2, qat_lsq=good("qat_lsq", 2, vd=0.049))) == [
        "cfq_anchored: vd at most a fifth of qat_lsq's"
    ]
    many = everything(2, qat_lsq=good("qat_lsq", 2, vd=0.05), cfq_anchored=good("cfq_anchored", 2, vd_matched=0.031))
    assert missed(many) == ["cfq_anchored: vd_matched <= 0.03"]


def test_the_one_sided_kin_is_judged_beside_its_elder_which_keeps_its_own_lines() -> None:
    two = everything(2, qat_lsq=good("qat_lsq", 2, vd=0.05), cfq_anchored=good("cfq_anchored", 2, vd_matched=0.031))
    assert missed([*two, good("cfq_one_sided", 2)]) == ["cfq_anchored: vd_matched <= 0.03"]
    assert missed([*two, good("cfq_one_sided", 2, vd=0.011, vd_matched=0.031)]) == [
        "cfq_anchored: vd_matched <= 0.03",
        "cfq_one_sided: vd at most a fifth of qat_lsq's",
        "cfq_one_sided: vd_matched <= 0.03",
    ]
    three = everything(3, cf_ptq_alloc=good("cf_ptq_alloc", vd_matched=0.01))
    assert [m.split(":")[0] for m in missed([*three, good("cfq_one_sided", vd=0.03)])] == ["cfq_one_sided"]


def test_a_method_is_better_only_in_all_three_measures_and_beyond_the_seeds_spread() -> None:
    ours = line("cfq_anchored", vd_matched=0.1, crg_abs=0.1, flip_rate=0.1)
    error = 2**0.5 * 0.01 / 4**0.5  # two lines of four seeds with the same spread
    within, beyond = 0.1 - 0.9 * error, 0.1 - 1.1 * error
    for measures, better in (
        ((beyond, beyond, beyond), True), ((beyond, beyond, within), False), ((beyond, within, beyond), False),
        ((within, beyond, beyond), False),
    ):  # fmt: skip
        other = line("other", **dict(zip(aims.COMPARED, measures, strict=True)))
        assert aims._beats(other, ours) is better


def test_a_miss_is_marked_and_says_why() -> None:
    rows = aims.table([aims.Aim("a", 3, True, "1", "never told"), aims.Aim("b", 4, False, "2", "because")]).split("\n")
    assert rows[2:] == ["| a | 3 | yes | 1 |  |", "| b | 4 | **no** | 2 | because |"]


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
        {"name": results.KAPPA, "datasets": ["diabetes"], "methods": ["ptq"], "bits": [3], "seeds": 2,
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
    assert [r[1] for r in rows] == ["ptq", "qat_lsq", "cfq"] and {r[-1] for r in rows} == {"-"}
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
    assert results._study("Time to make", store, store.study(study)).endswith(
        results.times_table(store, store.study(study))
    )
    store.close()


def test_every_table_stands_on_a_plan_of_its_name() -> None:
    """A study is found by its plan's name: a name that no plan has is a table that never appears again."""
    names = {p.stem: tomllib.loads(p.read_text(encoding="utf-8"))["name"] for p in shipped("studies").glob("*.toml")}
    plans = {**results.KAPPAS, **results.FURTHER}
    assert {title: names[plan] for title, plan in plans.items()} == {title: title for title in plans}
    assert set(results.TABLES) <= set(names.values())
