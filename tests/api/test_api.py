"""A study from Python: what goes in, what comes out, what is refused at the door, and what an interrupt leaves."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import cfq_core as cfq
from cfq_core.api import studies, tables
from cfq_core.api.stored import Study
from cfq_core.base.errors import BadCard, BadInput, BadPlan, UnknownName
from cfq_core.datasets import card as cards
from cfq_core.study import runner

CARD = Path(__file__).parents[2] / "data" / "cards" / "example.toml"
CSV = CARD.with_suffix(".csv")
QUICK: dict[str, Any] = {"hidden": (4,), "people": 20, "workers": 0, "progress": False}


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    return pd.read_csv(CSV)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, frame: pd.DataFrame) -> Study:
    store = tmp_path_factory.mktemp("api") / "store"
    found: Study = cfq.study(frame, CARD, methods=["ptq"], bits=[2, 4], seeds=2, store=store, **QUICK)
    return found


# ---------------------------------------------------------------------- the package
def test_completion_shows_the_public_names() -> None:
    assert set(dir(cfq)) == {*cfq.__all__, "__version__"}
    assert cfq.safe and cfq.training_recourse  # steps that are there, and not shown


def test_the_package_of_studies_is_the_function_too() -> None:

    assert callable(cfq.study) and "teacher" in inspect.signature(cfq.study).parameters
    assert cfq.study.plan is cfq_core_plan()


def cfq_core_plan() -> Any:
    return sys.modules["cfq_core.study.plan"]


def test_every_public_function_says_what_it_takes_and_raises() -> None:
    for function in (studies.study, tables.read_card, tables.draft, cfq.audit_models):
        told = function.__doc__ or ""
        assert all(f"{p}:" in told for p in inspect.signature(function).parameters), function
        assert "Raises:" in told and "in one line" in told, function


# ---------------------------------------------------------------------- what comes out
def test_results_are_frames(made: Study) -> None:
    summary = made.summary()
    assert list(summary.budget) == [2.0, 4.0] and set(summary.method) == {"ptq"} and set(summary.seeds) == {2}
    for name in ("vd", "vd_matched", "crg_mean", "approval_shift", "accuracy"):
        kept = summary[[f"{name}_low", name, f"{name}_high"]].dropna()
        assert (
            len(kept) == 2 and (kept.iloc[:, 0] <= kept.iloc[:, 1]).all() and (kept.iloc[:, 1] <= kept.iloc[:, 2]).all()
        )
    people = made.people
    rates = people[people.has_recourse].groupby(["budget", "seed"]).holds.mean().groupby("budget").mean()
    np.testing.assert_allclose(1 - rates, summary.set_index("budget").vd)
    assert {"run", "measure", "value", "low", "high"} <= set(made.measures) and len(made.groups) and len(made.teachers)
    assert made.datasets == ["example"] and made.methods == ["ptq"]


def test_a_frame_that_is_changed_changes_no_other(made: Study) -> None:
    for frame in (made.measures, made.runs, made.groups, made.teachers, made.people):
        frame.loc[:, frame.columns[0]] = "mine"
        frame["value"] = 0.0
    assert made.measures.value.any() and made.methods == ["ptq"]


def test_a_picture_is_an_altair_chart(made: Study) -> None:
    for name, options in (("curves", {}), ("curves", {"measure": "crg_mean"}), ("margins", {"budget": 2.0})):
        assert "vega-lite" in made.plot(name, **options).to_dict()["$schema"]  # type: ignore[arg-type]
    assert "curves" in made.pictures


def test_a_person_is_who_they_are_and_what_becomes_of_their_promise(made: Study) -> None:
    people = made.people
    some = int(people[(people.seed == 0) & people.has_recourse].person.iloc[0])
    who = made.person(some)
    assert who.told and len(who.students) == 2 and who.cost > 0
    changed = who.features[who.features.before != who.features.after]
    assert 1 <= len(changed) <= len(who.told)
    assert f"Person {some}" in who._repr_html_() and f"person {some}" in repr(who)


def test_safe_bits_are_numbers(made: Study) -> None:
    found = made.safe(at_most=0.99)
    assert set(found.budget) <= {2.0, 4.0} and (found.bound <= 0.99).all() and (found.broken < found.bound).all()
    assert made.safe(at_most=0.001).budget.isna().all()


def test_a_notebook_shows_what_it_is_given_escaped(made: Study, frame: pd.DataFrame) -> None:
    assert "<table" in made._repr_html_() and "2 of 2" not in made._repr_html_()
    evil = "<script>alert(1)</script>"
    drafted = cfq.draft(frame.rename(columns={"income": evil}), target="approved", favourable="yes")
    assert evil not in drafted._repr_html_() and "&lt;script&gt;" in drafted._repr_html_()


def test_files_are_written_under_text_and_path(made: Study, tmp_path: Path) -> None:
    assert made.report(str(tmp_path / "report.html")).read_text(encoding="utf-8").startswith("<!doctype html>")


@pytest.mark.gate
def test_a_student_is_exported_and_audited_beside_its_teacher(made: Study, tmp_path: Path) -> None:
    told = made.export(tmp_path / "student.onnx", budget=4, teacher=tmp_path / "teacher.onnx")
    assert len(told) == 2 and (tmp_path / "student.onnx").is_file() and (tmp_path / "teacher.onnx").is_file()
    found = cfq.audit_models(CARD, tmp_path / "teacher.onnx", str(tmp_path / "student.onnx"), people=20)
    assert set(found.people.columns) >= {"row", "told", "holds"} and len(found.measures) and "in 100" in found.verdict
    assert "<table" in found._repr_html_() and found.report(tmp_path / "audit.html").stat().st_size > 1000


# ---------------------------------------------------------------------- what goes in
def test_the_same_table_is_the_same_study_however_it_is_given(made: Study, frame: pd.DataFrame) -> None:
    as_dict = __import__("tomllib").loads(CARD.read_text(encoding="utf-8"))
    for data, card in ((frame, as_dict), (CSV, CARD), (str(CSV), str(CARD)), (str(CARD), None), (CARD, None)):
        again = cfq.study(data, card, "ptq", np.array([2.0, 4.0]), range(2), store=str(made.store), **QUICK)
        assert again.id == made.id
    assert cfq.open_study(store=made.store).id == made.id == cfq.open_study(made.id[:5], made.store).id


def test_a_dict_card_is_read_as_its_toml(frame: pd.DataFrame) -> None:
    import tomllib

    for file in (CARD, CARD.with_name("template.toml")):
        keys = tomllib.loads(file.read_text(encoding="utf-8"))
        assert tomllib.loads(tables.as_toml(keys)) == keys
        assert cfq.read_card(keys, frame).fingerprint() == cards.read_card(file).fingerprint()


def test_odd_values_of_a_dict_card_survive() -> None:
    import tomllib

    odd = {"a b": 'quote " and \\ back', "ü": "\U0001f600\x7f", "n": np.int64(3), "f": np.float64(0.1), "none": None,
           "list": ("x", 1.5, True), "feature": [{"name": "a", "from": {"rent": ["own"]}}],
           "model": {"layout": "raw"}}  # fmt: skip
    kept = tomllib.loads(tables.as_toml(odd))
    assert kept == {**{k: v for k, v in odd.items() if v is not None}, "list": ["x", 1.5, True]}
    with pytest.raises(BadCard, match="card: feature: name is an object"):
        tables.as_toml({"feature": [{"name": object()}]})


def test_numbers_of_a_frame_are_written_as_its_card_reads_them(frame: pd.DataFrame) -> None:
    """A float written 0.29 would be read as 29 where the thousands mark is a point."""
    import tomllib

    keys = tomllib.loads(CARD.read_text(encoding="utf-8")) | {"delimiter": ";", "decimal": ",", "thousands": "."}
    assert cfq.read_card(keys, frame).fingerprint() == cards.read_card(CARD).fingerprint()


def test_gaps_change_no_cell_of_a_frame() -> None:
    frame = pd.DataFrame(
        {"a": [1.0, np.nan, 3.0], "b": [0.5, 1.0, np.nan], "c": ["x", None, "z"], "d": [True, False, True]}
    )
    assert tables.as_csv(frame) == "a,b,c,d\n1,0.5,x,True\n,1.0,,False\n3,,z,True\n"
    twice = pd.concat([frame[["a"]], frame[["a"]]], axis=1)
    assert tables.as_csv(twice).startswith("a,a\n1,1\n")
    with pytest.raises(BadInput, match="2 levels"):
        tables.as_csv(pd.DataFrame([[1, 2]], columns=pd.MultiIndex.from_tuples([("a", "b"), ("a", "c")])))


def test_a_draft_goes_from_a_frame_to_a_study_and_to_files(frame: pd.DataFrame, tmp_path: Path) -> None:
    drafted = cfq.draft(frame, target="approved", favourable="yes")
    assert drafted.questions and drafted.rows == len(frame)
    saved = drafted.save(tmp_path / "loans.toml")
    assert len(cfq.read_card(saved)) == len(cfq.read_card(drafted, frame)) == len(frame)
    assert cfq.draft(CSV, target="approved", favourable=["yes"]).questions == drafted.questions


# ---------------------------------------------------------------------- at the door
@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda f: cfq.study(f), "DataFrame without a card; .*cfq_core.draft"),
        (lambda f: cfq.study("grman"), 'data set "grman".*did you mean "german"'),
        (lambda f: cfq.study("loans.csv"), r"study\(data, card\)"),
        (lambda f: cfq.study(CSV), r"study\(data, card\)"),
        (lambda f: cfq.study(3), "data is 3; a DataFrame"),
        (lambda f: cfq.study(np.zeros((3, 2)), CARD), "data is a ndarray; a path"),
        (lambda f: cfq.study("toy", methods=["ptqq"]), 'method "ptqq"'),
        (lambda f: cfq.study("toy", bits=[1]), '"bits" holds 1'),
        (lambda f: cfq.study("toy", bits=None), "None where a list"),
        (lambda f: cfq.study("toy", seeds=0), '"seeds" = 0'),
        (lambda f: cfq.study("toy", teacher=3), "teacher is a int"),
        (lambda f: cfq.study("toy", teacher={"file": "x"}), "path of teacher is None"),
        (lambda f: cfq.study("toy", store=3), "store is 3; a path"),
        (lambda f: cfq.read_card(3), "card is 3; a path"),
        (lambda f: cfq.read_card({}, f), 'no key "name"'),
        (lambda f: cfq.read_card({"name": "x", "csv": "none.csv"}), "no such file here"),
        (lambda f: cfq.read_card(CARD.with_name("no.toml")), "no such file"),
        (lambda f: cfq.draft(f, target=3), "target is 3"),
        (lambda f: cfq.draft("no.csv", target="y"), "cannot be read"),
        (lambda f: cfq.audit_models(CARD, "no.onnx", "no.onnx"), "no such file"),
        (lambda f: cfq.audit_models(CARD, 3, 3), "teacher is a int"),
        (lambda f: cfq.open_study(store="/nowhere/at/all"), "no store here"),
    ],
)
def test_a_wrong_argument_is_one_line(
    frame: pd.DataFrame, tmp_path: Path, monkeypatch: Any, call: Any, words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInput, match=words) as refused:
        call(frame)
    assert len(refused.value.line()) < 400
    assert not list(tmp_path.glob(".cfq/*.sqlite")), "nothing is made for a call that is refused"


def test_what_a_study_does_not_hold_is_refused(made: Study) -> None:
    for call, words in (
        (lambda: made.plot("curvs"), 'picture "curvs".*did you mean "curves"'),
        (lambda: made.plot("curves", colour="red"), 'no option "colour"; one of dataset, measure'),
        (lambda: made.plot("curves", dataset="german"), "dataset = .*one of example"),
        (lambda: made.plot("margins", budget=3), "budget = 3; one of 2, 4"),
        (lambda: made.person(10**6), "not among the 20 denied"),
        (lambda: made.safe(at_most=2), "a limit in"),
    ):
        with pytest.raises((BadInput, BadPlan, UnknownName), match=words):
            call()


# ---------------------------------------------------------------------- stopped and gone on with
def test_an_interrupt_leaves_a_store_that_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = {"methods": ["ptq", "ptq_minmax"], "bits": [3], "seeds": 1, "store": tmp_path, **QUICK}
    made, audit = [], runner.audit

    def stopped(*args: Any) -> Any:
        made.append(next(iter(args[1])))
        if len(made) == 2:
            raise KeyboardInterrupt
        return audit(*args)

    monkeypatch.setattr(runner, "audit", stopped)
    with pytest.raises(KeyboardInterrupt) as interrupt:
        cfq.study("toy", **given)
    assert "the same call goes on" in interrupt.value.__notes__[0]
    assert len(cfq.open_study(store=tmp_path).runs) == 1
    monkeypatch.setattr(runner, "make_teachers", lambda *_: pytest.fail("its teacher is stored"))
    found = cfq.study("toy", **given)
    assert len(found.runs) == 2 and made[2:] == made[1:2]


@pytest.mark.gate
def test_a_script_without_a_guard_may_use_processes(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "print('once')\nimport cfq_core as cfq\n"
        f"s = cfq.study('toy', bits=[3], seeds=2, people=10, hidden=(4,), store={str(tmp_path / 's')!r}, workers=2)\n"
        "print(len(s.runs))\n"
    )
    ran = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=300, check=True)
    assert ran.stdout.split() == ["once", "2"]


def test_papers_of_a_student_are_the_commands_files(made: Study, tmp_path: Path) -> None:
    out = made.papers(tmp_path / "papers", budget=2, owner="Credit risk", expires="2999-12-31")
    names = {p.name for p in out.iterdir()}
    assert {"papers.html", "papers.json", "reasons.csv", "impact.csv", "model.onnx"} <= names
    entry = pd.read_csv(out / "inventory.csv").set_index("entry").value
    assert entry["owner"] == "Credit risk" and entry["tier"] == "not stated"
    with pytest.raises(BadInput, match="a day such as"):
        made.papers(tmp_path / "other", expires="soon")
    assert not (tmp_path / "other").exists()
