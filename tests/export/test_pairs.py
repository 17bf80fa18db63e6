"""Audits in the background: what a command finds, kept in a store; what is refused leaves nothing behind."""

from __future__ import annotations

import resource
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from onnx import helper
from streamlit.testing.v1 import AppTest

import cfq_core as cfq
from cfq_core.base.errors import BadInput
from cfq_core.cli import cli
from cfq_core.datasets import upload
from cfq_core.datasets.card import read_card
from cfq_core.export import audit_text, pairs, people
from cfq_core.export.audit import AuditOptions, audit_pair
from cfq_core.export.pairs import Upload
from cfq_core.models.read import parse_model
from cfq_core.report import decision, pair
from cfq_core.report.figures import chosen
from cfq_core.study import jobs
from cfq_core.study.store import Store
from cfq_core.tables.encode import Encoding
from dashboard.lib import pages, ui

from .conftest import CARD
from .made import graph, network

SCRIPT = Path(__file__).parents[2] / "dashboard" / "lib" / "script.py"
PATIENCE = 300.0  # seconds; a worker imports torch on a busy machine
#: Random networks know nothing of outcomes, so all is said of them.
QUESTION = {"people": 20, "n_reaudited": 5, "favourable": "high", "output": "logit", "layout": "standardised"}


def uploads() -> tuple[Upload, Upload]:
    width = uploads_width()
    return Upload("teacher one.onnx", network(width)), Upload("student.onnx", network(width, seed=1))


def uploads_width() -> int:
    table = read_card(CARD)
    return Encoding.fit(table.schema, table.values).width


def everything(store: Path) -> list[str]:
    return sorted(str(p.relative_to(store)) for p in store.rglob("*")) if store.exists() else []


def ended(store: Path, id: str) -> jobs.Job:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and jobs.find(store, id).live:
        time.sleep(0.1)
    jobs.recent(store)
    return jobs.find(store, id)


def test_a_job_finds_what_the_command_finds_and_every_page_shows_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, (teacher, student) = tmp_path / "store", uploads()
    given = pairs.asked(str(CARD), teacher, student, QUESTION)
    assert pairs.known(store, given) is None and everything(store) == []
    job = pairs.submit(store, given, teacher, student)
    assert pairs.submit(store, given, teacher, student).id == job.id, "not twice at once"
    done = ended(store, job.id)
    assert (done.state, done.error) == (jobs.DONE, None), done.last_lines()
    assert not [n for n in everything(store) if n.endswith(("/teacher", "/student", "/given"))], "models are not kept"
    assert done.study == pairs.known(store, given)
    models = (parse_model(u.content, u.name) for u in (teacher, student))
    again = audit_pair(read_card(CARD), *models, AuditOptions(**QUESTION))
    kept = cfq.open_study(done.study, store=store).stored
    assert kept.row["name"].startswith("student.onnx against teacher one.onnx on ")
    assert pair.told(kept, kept.runs.run[0]) == people.results(again)
    pages_show(store, done.study, audit_text.verdict(again), monkeypatch)


def pages_show(store: Path, study: str, verdict: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every page opens it; Answer has the verdict and how the files run, Report the table of people."""
    monkeypatch.setenv("CFQ_STORE", str(store))
    at = AppTest.from_file(str(SCRIPT), default_timeout=120)
    at.query_params["study"] = study
    at.run()
    said = " ".join(m.value for m in at.markdown)
    assert not at.exception and ui.marked(verdict) in said
    assert "run by onnxruntime" in said and "promised points are decided as audited" in said
    for page in sorted(pages.found()):
        at.switch_page(f"../pages/{page}.py").run()
        assert not at.exception, (page, at.exception)
        assert not at.error, (page, [e.value for e in at.error])
    assert any(
        b.proto.label == "People (CSV)" for b in at.switch_page("../pages/report.py").run().get("download_button")
    )


def waves(seed: int) -> bytes:
    """A graph that no list of layers is: computed by the runtime, searched without gradients."""
    width, rng = uploads_width(), np.random.default_rng(seed)
    nodes = [helper.make_node("Sin", ["x"], ["a"]), helper.make_node("Gemm", ["a", "W", "B"], ["y"])]
    constants = {"W": rng.standard_normal((width, 1)).astype(np.float32), "B": np.zeros(1, np.float32)}
    return graph(nodes, constants, width)


def test_files_that_are_no_layers_are_shown_without_what_needs_layers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [parse_model(waves(seed), f"{name}.onnx") for seed, name in enumerate(("t", "s"))]
    question = AuditOptions(**QUESTION)
    found = audit_pair(read_card(CARD), *files, question)
    study = pairs.keep_of(tmp_path, str(CARD), found)
    assert found.bits == 32.0 and found.teacher.how.startswith("computed by onnxruntime")
    pages_show(tmp_path, study, audit_text.verdict(found), monkeypatch)
    stored, vd = cfq.open_study(study, store=tmp_path).stored, found.seen.measures.overall["vd"]
    assert vd.low is not None and vd.low > 0.02, "one student: its people are what the interval is over"
    decided = decision.decided(stored, chosen(stored, "example"), 0.02)
    assert decided.verdict == "FAIL" and f"like these {vd.count}: {100 * vd.low:.1f} to" in decided.says
    run = cfq.open_study(study, store=tmp_path).stored.runs.run[0]
    for command in (["export", run, "--onnx", f"{tmp_path}/x.onnx"], ["certify", run, "-o", f"{tmp_path}/x.jsonl"],
                    ["papers", run, "-o", f"{tmp_path}/papers"]):  # fmt: skip
        with pytest.raises(BadInput, match="audit of files") as refused:
            CliRunner().invoke(cli, [*command, "--store", str(tmp_path)], catch_exceptions=False)
        assert "\n" not in refused.value.line()
    with pytest.raises(BadInput, match="audit of files"):
        CliRunner().invoke(cli, ["check", "--study", study, "--action", f"{tmp_path}/a.csv", "--store", str(tmp_path)],
                           catch_exceptions=False)  # fmt: skip
    for command in (["show", study], ["safe", study], ["report", study, "--html", f"{tmp_path}/r.html"], ["ls"]):
        ran = CliRunner().invoke(cli, [*command, "--store", str(tmp_path)], catch_exceptions=False)
        assert ran.exit_code == 0, ran.output


def nested(kind: int, content: bytes) -> bytes:
    """A protobuf field that holds other fields."""
    size, length = b"", len(content)
    while length > 127:
        size, length = size + bytes([length & 127 | 128]), length >> 7
    return bytes([kind << 3 | 2]) + size + bytes([length]) + content


#: Two bytes each in the file, a hundred in memory: nodes of a graph, and inputs of one node.
NODES = nested(7, nested(1, b"") * 4_000_000)
NAMES = nested(7, nested(1, nested(1, b"") * 1_500_000))


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.onnx", b"\x80\x04pickled", "not an ONNX file"),
        ("a.onnx", b"", "is empty"),
        ("a.onnx", NODES, "has more than 5000 nodes"),
        ("a.onnx", NAMES, "holds more than 200000 names"),
        ("../a.onnx", b"x", "not a plain file name"),
        ("a.onnx", b"\x00" * 30_000_000, "at most 20 MB"),
    ],
)
def test_a_file_that_is_none_is_one_line_and_leaves_nothing(
    name: str, content: bytes, said: str, tmp_path: Path
) -> None:
    good = uploads()[0]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(BadInput, match=said) as refused:
        pairs.asked(str(CARD), Upload(name, content), good, QUESTION)
    assert "\n" not in refused.value.line() and len(refused.value.line()) < 300
    assert everything(tmp_path) == []
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000, "KiB: it unfolds elsewhere"


def test_a_pair_that_fits_no_table_fails_in_one_line_and_keeps_no_model(tmp_path: Path) -> None:
    store, (teacher, student) = tmp_path / "store", uploads()
    given = pairs.asked("toy", teacher, student, QUESTION)
    failed = ended(store, pairs.submit(store, given, teacher, student).id)
    assert failed.state == jobs.FAILED and failed.error.startswith("BadModel: teacher one.onnx: takes"), failed.error
    assert pairs.known(store, given) is None and not (failed.folder / jobs.GIVEN).exists()


@pytest.mark.gate
def test_a_cancelled_audit_keeps_no_model(tmp_path: Path) -> None:
    store, (teacher, student) = tmp_path / "store", uploads()
    job = pairs.submit(store, pairs.asked(str(CARD), teacher, student, QUESTION), teacher, student)
    jobs.cancel(job)
    jobs.recent(store)
    assert not (job.folder / jobs.GIVEN).exists()


def test_asking_everybody_is_another_question_than_asking_the_usual_number() -> None:
    """Of people, None is not what was left open: it is all of them."""
    some, everyone = (pairs.asked("toy", *uploads(), QUESTION | {"people": n}) for n in (20, None))
    assert everyone["question"]["people"] is None and pairs.study_id(some) != pairs.study_id(everyone)
    assert "--people all" in pair.command({"datasets": ["toy"], "pair": everyone | {
        role: {"file": everyone[role]["name"]} for role in ("teacher", "student")}})  # fmt: skip


@pytest.mark.parametrize("damage", [b"", b"\x80\x04", b"PK\x03\x04"], ids=str)
def test_a_damaged_audit_is_no_answer_and_is_made_again(damage: bytes, tmp_path: Path) -> None:
    files = [parse_model(u.content, u.name) for u in uploads()]
    found = audit_pair(read_card(CARD), *files, AuditOptions(**QUESTION))
    given = pairs.asked(str(CARD), *uploads(), QUESTION)
    for store in (Store(tmp_path), Store(tmp_path)):
        study = pairs.keep(store, given, found)
        assert pairs.known(tmp_path, given) == study
        whole = {p: p.read_bytes() for p in tmp_path.rglob("*-people.npz")}
        for path in whole:
            path.write_bytes(damage)
        assert len(whole) == 2 and pairs.known(tmp_path, given) is None
        store.close()


def test_another_table_of_the_same_name_is_another_audit(tmp_path: Path) -> None:
    for name in ("example.toml", "example.csv"):
        (tmp_path / name).write_bytes((CARD.parent / name).read_bytes())
    card, files = str(tmp_path / "example.toml"), uploads()
    before = pairs.asked(card, *files, QUESTION)
    with (tmp_path / "example.csv").open("a") as table:
        table.write((CARD.parent / "example.csv").read_text().splitlines()[1] + "\n")
    assert pairs.study_id(before) != pairs.study_id(pairs.asked(card, *files, QUESTION))


def test_a_table_that_was_half_kept_is_not_listed(tmp_path: Path) -> None:
    for name in (".draft", "people-abc"):
        (tmp_path / upload.CARDS / name).mkdir(parents=True)
        (tmp_path / upload.CARDS / name / upload.CARD).write_text("")
    assert [t.name for t in upload.kept(tmp_path)] == ["people"]
