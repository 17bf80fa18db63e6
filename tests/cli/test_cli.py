"""The command line: every command's happy path, what programs read of it, and one line for whatever is wrong."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cfq_core import __version__, cli, safe
from cfq_core.base import plugins
from cfq_core.base.errors import BadInput
from cfq_core.base.shipped import gallery
from cfq_core.datasets.fetch import FILES
from cfq_core.report.frames import Stored
from cfq_core.study import runner
from cfq_core.study.store import FILE, Store

TINY = ("--dataset", "diabetes", "--bits", "2,8", "--seeds", "2", "--hidden", "6", "--people", "15")

#: What programs that read ``--json`` rely on.
KEYS = ("study", "store", "runs", "teachers", "methods")
RUN_KEYS = ("id", "dataset", "method", "budget", "seed", "bits", "avg_bits", "measures", "groups")
FURTHER_RUN_KEYS = ("intervals", "setting", "unmatched")
GROUP_KEYS = ("value", "low", "high", "count")
MEASURES = (
    "accuracy accuracy_drop agreement flip_rate boundary_flip_rate approval_shift logit_shift frr vd vd_matched "
    "windfall crg_mean crg_median crg_abs recourse_lost direction worst_group_vd margin_condition certified "
    "recourse_cost size_bytes seconds"
).split()


@dataclass(frozen=True)
class Said:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        assert self.code == 0, self.err
        return json.loads(self.out)


Cfq = Callable[..., Said]


@pytest.fixture
def cfq(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Cfq:
    """Runs `main` as the entry point does, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CFQ_STORE", raising=False)

    def run(*arguments: str | Path) -> Said:
        monkeypatch.setattr(sys, "argv", ["cfq", *map(str, arguments)])
        capfd.readouterr()
        code = 0
        try:
            cli.main()
        except SystemExit as leaving:
            code = leaving.code if isinstance(leaving.code, int) else int(bool(leaving.code))
        out, err = capfd.readouterr()
        return Said(code, out, err)

    return run


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with one tiny study."""
    place = tmp_path_factory.mktemp("stored")
    command = [sys.executable, "-m", "cfq_core.cli", "run", *TINY, "--store", str(place), "--name", "tiny"]
    subprocess.run(command, check=True, capture_output=True, env=dict(os.environ))
    return place


# ---------------------------------------------------------------------- happy paths
def test_run_prints_the_answer_and_stores_it(cfq: Cfq, tmp_path: Path) -> None:
    said = cfq("run", *TINY, "--store", "here")
    assert said.code == 0, said.err
    for part in ("diabetes, ptq at 2 bits", "diabetes, ptq at 8 bits", "margin 0.2 logits", "VD matched", "± "):
        assert part in said.out
    assert (tmp_path / "here" / "studies.sqlite").is_file()
    assert not (tmp_path / ".cfq").exists()


def test_run_without_a_store_uses_the_environment_then_the_folder(
    cfq: Cfq, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = ("run", "--dataset", "diabetes", "--bits", "8", "--seeds", "1", "--hidden", "4", "--people", "5")
    assert cfq(*one).code == 0
    assert (tmp_path / ".cfq").is_dir()
    monkeypatch.setenv("CFQ_STORE", str(tmp_path / "elsewhere"))
    assert cfq(*one).code == 0
    assert (tmp_path / "elsewhere" / "studies.sqlite").is_file()


def test_json_is_one_object_with_the_documented_keys(cfq: Cfq, stored: Path) -> None:
    said = cfq("run", *TINY, "--store", stored, "--name", "tiny", "--json")
    found = said.json
    assert len(said.out.splitlines()) == 1
    assert tuple(found) == KEYS
    assert found["store"] == str(stored)
    assert len(found["runs"]) == 4 and len(found["teachers"]) == 2
    for run in found["runs"]:
        assert set(run) == {*RUN_KEYS, *FURTHER_RUN_KEYS}
        assert not set(MEASURES) - set(run["measures"])
        assert all(v is None or isinstance(v, int | float) for v in run["measures"].values())
        assert run["bits"] == [int(run["budget"])] * 2 and run["avg_bits"] == run["budget"]
        assert {"age", "sex", "age x sex"} == set(run["groups"])
        for levels in run["groups"].values():
            for measures in levels.values():
                assert {tuple(m) for m in measures.values()} == {GROUP_KEYS}


def test_show_prints_a_study_by_its_id_its_start_and_the_latest(cfq: Cfq, stored: Path) -> None:
    id = cfq("ls", "--store", stored, "--json").json["studies"][0]["id"]
    by_id = cfq("show", id, "--store", stored)
    assert by_id.code == 0 and "tiny" in by_id.out
    assert cfq("show", id[:6], "--store", stored).out == by_id.out == cfq("show", "--store", stored).out
    assert cfq("show", id, "--store", stored, "--json").json["study"] == id


def test_json_says_of_a_method_what_its_seeds_say(cfq: Cfq, stored: Path) -> None:
    found = cfq("show", "--store", stored, "--json").json
    runs = [r["measures"]["accuracy"] for r in found["runs"] if r["budget"] == 8]
    (line,) = [m["measures"]["accuracy"] for m in found["methods"] if m["budget"] == 8]
    assert line["seeds"] == 2 and line["mean"] == pytest.approx(sum(runs) / 2)
    half = 12.7062047 * abs(runs[0] - runs[1]) / 2  # Student's t of one degree, from a printed table
    assert line["low"] == pytest.approx(max(0.0, line["mean"] - half), abs=1e-6)
    assert line["high"] == pytest.approx(min(1.0, line["mean"] + half), abs=1e-6)


@pytest.mark.parametrize("further", [(), ("--matched",), ("--seed", "1"), ("--confidence", "0.9")])
def test_safe_says_the_least_bits_or_none_of_these(further: tuple[str, ...], cfq: Cfq, stored: Path) -> None:
    asked = ("safe", "--at-most", "40%", *further, "--store", stored)
    found = cfq(*asked, "--json").json
    assert found["measure"] == ("vd_matched" if "--matched" in further else "vd") and found["says"]
    (answer,) = found["answers"]
    assert answer["claim"] == ("model" if "--seed" in further else "method") and answer["at_most"] == 0.4
    assert [t["budget"] for t in answer["tried"]] in ([8.0], [8.0, 2.0])
    assert all(t["rate"] <= t["bound"] for t in answer["tried"])
    said = cfq(*asked).out
    least = f"{answer['answer']['budget']:g}" if answer["answer"] else "none of these"
    assert said.splitlines()[1].split("  ")[0] == "diabetes" and least in said.splitlines()[1]
    assert ("about this one model" in said) == ("--seed" in further)
    assert [f"{a.answer and a.answer.budget}" for a in safe(stored, "latest", 0.4, found["answers"][0]["confidence"],
            "--matched" in further, 1 if "--seed" in further else None)] == [
        f"{answer['answer'] and answer['answer']['budget']}"
    ]  # fmt: skip


def test_safe_answers_from_the_shipped_gallery_and_flags_leniency(cfq: Cfq) -> None:
    studies = cfq("ls", "--store", gallery(), "--json").json["studies"]
    adult = next(s["id"] for s in studies if s["name"].startswith("Adult"))
    found = {a["method"]: a for a in cfq("safe", adult, "--store", gallery(), "--json").json["answers"]}
    assert found["qat_lsq"]["answer"] is None and len(found["qat_lsq"]["tried"]) == 1
    assert all(a["answer"] is None or a["answer"]["bound"] <= 0.02 for a in found.values())
    said = cfq("safe", adult, "--at-most", "95%", "--store", gallery()).out
    assert "none of these" in said and "lenient: bought by approving more people" in said


def test_show_prints_markdown(cfq: Cfq, stored: Path) -> None:
    said = cfq("show", "--store", stored, "--markdown")
    assert said.code == 0
    rows = [line for line in said.out.splitlines() if line.startswith("| diabetes | ptq")]
    assert len(rows) == 2
    assert len({line.count("|") for line in said.out.splitlines() if line.startswith("|")}) == 1


def test_ls_lists_studies_and_says_what_to_do_where_there_is_none(cfq: Cfq, stored: Path, tmp_path: Path) -> None:
    assert "tiny" in cfq("ls", "--store", stored).out
    found = cfq("ls", "--store", stored, "--json").json
    assert list(found) == ["store", "studies"]
    assert list(found["studies"][0]) == ["id", "name", "created", "runs", "finished"]
    Store(tmp_path / "empty").close()
    assert "make one with: cfq run" in cfq("ls", "--store", "empty").out


def test_looking_at_a_packed_store_changes_no_byte_of_it(cfq: Cfq, stored: Path, tmp_path: Path) -> None:
    place = tmp_path / "packed"
    assert cfq("gallery", "pack", "latest", "--to", place, "--store", stored).code == 0

    def content() -> dict[Path, bytes]:
        return {p: p.read_bytes() for p in sorted(place.rglob("*")) if p.is_file()}

    before = content()
    assert "tiny" in cfq("ls", "--store", place).out and cfq("show", "--store", place).code == 0
    id = cfq("show", "--json", "--store", place).json["study"]
    assert len(Stored(str(place), id, 1).runs) and content() == before
    assert "tiny" in cfq("ls", "--store", stored).out, "and one that is being written to is read as before"


def _beside(store: Path) -> list[str]:
    """What SQLite has left beside its file."""
    return [p.name for p in store.iterdir() if p.name.startswith(f"{FILE}-")]


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (("run", *TINY, "--bits", "4"), 0),
        (("run", *TINY, "--bits", "4", "--json"), 0),
        (("ls",), 0),
        (("show",), 0),
        (("show", "nothere"), 2),
        (("safe", "--at-most", "50%"), 0),
        (("safe", "nothere"), 2),
        (("report", "--html", "r.html"), 0),
        (("report", "--html", "nowhere/r.html"), 2),
        (("export", "nothere", "--onnx", "m.onnx"), 2),
        (("check", "--action", "nothere.csv"), 2),
        (("doctor",), 0),
        (("gallery", "pack", "latest", "--to", "packed"), 0),
    ],
    ids=lambda v: "-".join(v[:3]) if isinstance(v, tuple) else "",
)
def test_after_a_command_the_one_file_holds_everything(
    command: tuple[str, ...], code: int, stored: Path, tmp_path: Path, cfq: Cfq
) -> None:
    assert _beside(stored) == [], "a command of its own made it"
    mine = tmp_path / "mine"
    shutil.copytree(stored, mine)
    assert cfq(*command, "--store", mine).code == code
    assert _beside(mine) == []


@pytest.mark.parametrize("problem", [BadInput("no"), KeyboardInterrupt(), ZeroDivisionError()])
def test_a_command_that_fails_closes_its_store(
    problem: BaseException, cfq: Cfq, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(plan: Any, store: Store, *_: Any, **__: Any) -> str:
        store.put_study("s", "of a run that fails", {}, {}, [("r", "t")])
        raise problem

    monkeypatch.setattr(runner, "run_plan", fail)
    assert cfq("run", *TINY, "--store", "mine").code in (1, 2)
    assert _beside(tmp_path / "mine") == []
    with sqlite3.connect(tmp_path / "mine" / FILE) as db:
        assert db.execute("SELECT id FROM study").fetchall() == [("s",)]


def test_a_plan_runs_and_is_not_run_again(cfq: Cfq, tmp_path: Path) -> None:
    plan = 'name = "p"\ndatasets = ["diabetes"]\nbits = [8]\nseeds = [3]\nhidden = [4]\npeople = 5\n'
    (tmp_path / "plan.toml").write_text(plan)
    first = cfq("study", "plan.toml", "--store", "s", "--json").json
    assert [r["seed"] for r in first["runs"]] == [3]
    assert cfq("study", "plan.toml", "--store", "s", "--json", "--workers", "0").json == first


def test_parts_and_their_json_list_every_plugin(cfq: Cfq) -> None:
    found = cfq("parts", "--json").json
    assert {folder: tuple(members) for folder, members in found.items()} == {
        f: plugins.names(f) for f in plugins.FOLDERS
    }
    assert "anchored" in cfq("parts").out


def test_doctor_checks_this_machine(cfq: Cfq) -> None:
    found = cfq("doctor", "--store", "s", "--json").json["checks"]
    assert all(c["ok"] for c in found)
    assert {"python", "torch", "store", "data sets", "parts"} <= {c["name"] for c in found}
    assert "ok" in cfq("doctor", "--store", "s").out


def test_doctor_fails_where_the_store_cannot_be_written(cfq: Cfq, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    said = cfq("doctor", "--store", "file")
    assert said.code == 1
    assert "FAIL  store" in said.out and "Traceback" not in said.err


def test_data_list_says_where_every_table_is(cfq: Cfq) -> None:
    found = cfq("data", "list", "--json").json["datasets"]
    assert [d["name"] for d in found] == list(plugins.names("datasets"))
    where = {d["name"]: d["where"] for d in found}
    assert where["toy"] == where["diabetes"] == "embedded"
    assert all(d["about"] for d in found)
    assert "german" in cfq("data", "list").out


def test_data_check_tells_of_every_file_whether_it_is_the_published_one(
    cfq: Cfq, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = cfq("data", "check")
    assert said.code == 0
    names = [f.name for files in FILES.values() for f in files]
    assert [next(n for n in names if n in line) for line in said.out.splitlines()] == names
    (tmp_path / "german.data").write_text("A11 6 A34\n")
    monkeypatch.setenv("CFQ_DATA_DIR", str(tmp_path))
    _is_one_line(cfq("data", "check", "german"), 2, "sha256 is", FILES["german"][0].sha256)


@pytest.mark.parametrize("name", ["toy", "diabetes"])
def test_an_embedded_table_needs_no_fetching_and_says_so(name: str, cfq: Cfq) -> None:
    assert "embedded" in cfq("data", "fetch", name).out
    assert "embedded" in cfq("data", "check", name).out


@pytest.mark.parametrize(
    "command", [(), ("run",), ("study",), ("ls",), ("show",), ("data",), ("parts",), ("doctor",), ("check-store",)]
)
def test_every_command_explains_itself(command: tuple[str, ...], cfq: Cfq) -> None:
    said = cfq(*command, "--help")
    assert said.code == 0
    assert "Usage:" in said.out and said.err == ""


@pytest.mark.parametrize("group", [(), ("data",)], ids=["cfq", "cfq data"])
def test_a_group_without_a_command_shows_its_help(group: tuple[str, ...], cfq: Cfq) -> None:
    said = cfq(*group)
    assert said.code in (0, 2)
    assert "Usage:" in said.out and "BadInput" not in said.err


def test_the_version_is_the_packages(cfq: Cfq) -> None:
    assert __version__ in cfq("--version").out


def test_a_card_runs_from_its_path(cfq: Cfq) -> None:
    card = Path(__file__).parents[2] / "data" / "cards" / "example.toml"
    said = cfq(
        "run",
        "--dataset",
        card,
        "--bits",
        "8",
        "--seeds",
        "1",
        "--hidden",
        "4",
        "--people",
        "5",
        "--store",
        "s",
        "--json",
    )
    assert len(said.json["runs"]) == 1


# ---------------------------------------------------------------------- what is wrong, in one line
def _is_one_line(said: Said, code: int, *parts: str) -> None:
    assert said.code == code, said
    assert len(said.err.splitlines()) == 1, said.err
    assert said.err.endswith("\n") and "Traceback" not in said.err
    for part in parts:
        assert part in said.err, said.err


BAD = {
    "unknown data set": (["run", "--dataset", "grman"], ['did you mean "german"?', "card"]),
    "unknown method": (["run", "--dataset", "toy", "--methods", "pqt"], ['did you mean "ptq"?']),
    "unknown solver": (["run", "--dataset", "toy", "--recourse", "serch"], ['did you mean "search"?']),
    "unknown regime": (["run", "--dataset", "toy", "--regime", "defult"], ['did you mean "default"?']),
    "no data set": (["run"], ["--dataset"]),
    "one bit": (["run", "--dataset", "toy", "--bits", "1"], ["from 2 to 8"]),
    "bits that are no number": (["run", "--dataset", "toy", "--bits", "x"], ["--bits", '"x"', "numbers"]),
    "bits that are nan": (["run", "--dataset", "toy", "--bits", "nan"], ["from 2 to 8"]),
    "no bits": (["run", "--dataset", "toy", "--bits", ""], ["--bits"]),
    "no seeds": (["run", "--dataset", "toy", "--seeds", "0"], ["from 1 to"]),
    "half a seed": (["run", "--dataset", "toy", "--seeds", "1.5"], ["--seeds", "whole numbers"]),
    "kappa that is nan": (["run", "--dataset", "toy", "--kappa", "nan"], ["logits from 0 to 100"]),
    "kappa that is no number": (["run", "--dataset", "toy", "--kappa", "x"], ["--kappa"]),
    "negative kappa": (["run", "--dataset", "toy", "--kappa", "-1"], ["logits from 0 to 100"]),
    "an empty layer": (["run", "--dataset", "toy", "--hidden", "0"], ["layer widths from 1"]),
    "no layers": (["run", "--dataset", "toy", "--hidden", ""], ["--hidden"]),
    "no people": (["run", "--dataset", "toy", "--people", "0"], ["a number from 1"]),
    "some people": (["run", "--dataset", "toy", "--people", "some"], ["--people"]),
    "negative workers": (["run", "--dataset", "toy", "--workers", "-1"], ["--workers"]),
    "unknown option": (["run", "--dataset", "toy", "--budgets", "4"], ["--budgets"]),
    "unknown command": (["rum"], ["rum"]),
    "unknown table to fetch": (["data", "fetch", "grman"], ['did you mean "german"?']),
    "unknown table to check": (["data", "check", "grman"], ['did you mean "german"?']),
    "a limit that is no share": (["safe", "--at-most", "2"], ["--at-most", '"2"', "2% or 0.02"]),
    "a limit that is no number": (["safe", "--at-most", "few"], ["--at-most", '"few"']),
    "a confidence of everything": (["safe", "--confidence", "100%"], ["--confidence", '"100%"']),
    "a seed that is no number": (["safe", "--seed", "x"], ["--seed"]),
    "no plan": (["study", "none.toml"], ["none.toml", "cannot be read"]),
    "no plan named": (["study"], ["PLAN"]),
    "a plan that is a folder": (["study", "."], ["cannot be read"]),
    "broken plan": (["study", "broken.toml"], ["broken.toml", "not TOML"]),
    "plan with a wrong key": (["study", "key.toml"], ['did you mean "methods"?']),
    "plan with a wrong regime": (["study", "regime.toml"], ["one of any, immutable, default, strict"]),
    "plan nested too deeply": (["study", "deep.toml"], ["deep.toml", "not TOML"]),
    "missing card": (["run", "--dataset", "none.toml"], ["BadCard", "none.toml"]),
    "card with a mistake": (["run", "--dataset", "card.toml"], ["BadCard", "card.toml"]),
    "plan with a missing card": (["study", "carded.toml"], ["BadCard", "none.toml"]),
    "a store that is a file, to run": (["run", "--dataset", "toy", "--seeds", "1", "--store", "file"], ["file"]),
    "a store that is a file, to list": (["ls", "--store", "file"], ["file"]),
    "a store that is not there": (["ls", "--store", "nowhere"], ["nowhere", "cfq run"]),
    "a store that is not there, to show": (["show", "--store", "nowhere"], ["nowhere", "cfq run"]),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_and_exit_code_two(case: str, cfq: Cfq, tmp_path: Path) -> None:
    files = {
        "file": "", "broken.toml": "datasets = [", "key.toml": 'datasets = ["toy"]\nmetods = ["ptq"]',
        "regime.toml": 'datasets = ["toy"]\nregime = ["anyy"]', "deep.toml": "x = " + "[" * 3000,
        "card.toml": 'name = "mine"\n', "carded.toml": 'datasets = ["none.toml"]',
    }  # fmt: skip
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    arguments, parts = BAD[case]
    said = cfq(*arguments)
    _is_one_line(said, 2, *parts)
    assert said.out == ""


def test_a_seed_that_no_run_has_and_a_confidence_below_a_half_are_refused(cfq: Cfq, stored: Path) -> None:
    _is_one_line(cfq("safe", "--seed", "99", "--store", stored), 2, "seed 99", "no run")
    _is_one_line(cfq("safe", "--confidence", "0.2", "--store", stored), 2, "confidence")


def test_an_unknown_study_is_refused_with_the_ones_there_are(cfq: Cfq, stored: Path) -> None:
    id = cfq("ls", "--store", stored, "--json").json["studies"][0]["id"]
    _is_one_line(cfq("show", "zzz", "--store", stored), 2, "zzz", id)


def test_a_store_that_is_no_database_is_one_line(cfq: Cfq, tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "studies.sqlite").write_text("words, not a database\n" * 100)
    for command in (("ls",), ("show",), ("run", *TINY)):
        said = cfq(*command, "--store", "s")
        _is_one_line(said, said.code, "cannot be opened as a store")
        assert said.code in (1, 2)


def test_a_table_that_cannot_be_fetched_is_one_line_and_exit_code_one(tmp_path: Path) -> None:
    """In a process of its own, with every proxy a closed door: nothing leaves this machine."""
    closed = "http://127.0.0.1:9"
    env = {
        **os.environ, "CFQ_DATA_DIR": str(tmp_path), "http_proxy": closed, "https_proxy": closed, "HTTPS_PROXY": closed,
        "NO_PROXY": "", "no_proxy": "",
    }  # fmt: skip
    code = (
        "import sys; from pathlib import Path; from cfq_core.datasets import fetch; from cfq_core import cli;"
        f"fetch.cache_dir = lambda: Path({str(tmp_path / 'cache')!r});"
        "sys.argv = ['cfq', 'data', 'fetch', 'german']; cli.main()"
    )
    got = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, cwd=tmp_path, check=False
    )
    _is_one_line(Said(got.returncode, got.stdout, got.stderr), 1, "DataUnavailable", "CFQ_DATA_DIR", "diabetes")


def test_the_command_itself_ends_with_code_two_and_one_line() -> None:
    """The installed entry point, not the function behind it."""
    command = [sys.executable, "-m", "cfq_core.cli", "run", "--dataset", "grman"]
    got = subprocess.run(command, capture_output=True, text=True, env=dict(os.environ), check=False)
    _is_one_line(Said(got.returncode, got.stdout, got.stderr), 2, 'did you mean "german"?')


def test_ctrl_c_is_one_line_that_says_how_to_go_on(cfq: Cfq, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("cfq_core.study.runner.run_plan", stopped)
    said = cfq("run", *TINY, "--store", "s")
    assert said.code == 1
    assert said.err.splitlines()[-1].startswith("stopped; finished runs are stored")
    assert "Traceback" not in said.err


def test_a_reader_that_goes_away_is_no_traceback(stored: Path) -> None:
    command = f"{sys.executable} -m cfq_core.cli show --store {stored} --json | head -c 10"
    got = subprocess.run(["bash", "-c", command], capture_output=True, text=True, env=dict(os.environ), check=False)
    assert "Traceback" not in got.stderr and "Error" not in got.stderr
