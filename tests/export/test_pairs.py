"""Audits in the background: what a command finds, kept in a store; what is refused leaves nothing behind."""

from __future__ import annotations

import json
import resource
import time
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from cfq_core.base import cells
from cfq_core.base.errors import BadInput
from cfq_core.base.identity import identity
from cfq_core.datasets import upload
from cfq_core.datasets.card import read_card
from cfq_core.export import audit_text, pairs, people
from cfq_core.export.audit import AuditOptions, audit_pair
from cfq_core.export.pairs import Upload
from cfq_core.models.read import parse_model
from cfq_core.study import jobs
from cfq_core.tables.encode import Encoding
from dashboard.lib import pair

from .conftest import CARD
from .made import network

SCRIPT = Path(__file__).parents[2] / "dashboard" / "lib" / "script.py"
PATIENCE = 300.0  # seconds; a worker imports torch on a busy machine
#: Random networks know nothing of outcomes, so all is said of them.
QUESTION = {"people": 20, "n_reaudited": 5, "favourable": "high", "output": "logit", "layout": "standardised"}


def uploads() -> tuple[Upload, Upload]:
    table = read_card(CARD)
    width = Encoding.fit(table.schema, table.values).width
    return Upload("teacher one.onnx", network(width)), Upload("student.onnx", network(width, seed=1))


def everything(store: Path) -> list[str]:
    return sorted(str(p.relative_to(store)) for p in store.rglob("*")) if store.exists() else []


def ended(store: Path, id: str) -> jobs.Job:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and jobs.find(store, id).live:
        time.sleep(0.1)
    jobs.recent(store)
    return jobs.find(store, id)


def test_a_job_finds_what_the_command_finds_and_is_found_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, (teacher, student) = tmp_path / "store", uploads()
    given = pairs.asked(str(CARD), teacher, student, QUESTION)
    assert pairs.known(store, given) is None and everything(store) == []
    job = pairs.submit(store, given, teacher, student)
    assert pairs.submit(store, given, teacher, student).id == job.id, "not twice at once"
    done = ended(store, job.id)
    assert (done.state, done.error) == (jobs.DONE, None), done.last_lines()
    assert not [n for n in everything(store) if n.endswith(("/teacher", "/student", "/given"))], "models are not kept"
    (kept,) = pairs.kept(store)
    assert kept.id == done.audit == pairs.known(store, given)
    models = (parse_model(u.content, u.name) for u in (teacher, student))
    again = audit_text.as_json(audit_pair(read_card(CARD), *models, AuditOptions(**QUESTION)))
    assert cells.csv(people.frame(again.pop("per_person"))) == kept.people()
    changing = {"seconds"}
    assert {k: v for k, v in json.loads(json.dumps(again)).items() if k not in changing} == {
        k: v for k, v in kept.result.items() if k in again and k not in changing
    }
    assert kept.title == "student.onnx against teacher one.onnx on example"
    page = kept.page().decode()
    assert page.startswith("<!doctype html>") and kept.result["verdict"].split("(")[0] in page
    _shown_on_study(store, kept, monkeypatch)


def _shown_on_study(store: Path, kept: pairs.StoredAudit, monkeypatch: pytest.MonkeyPatch) -> None:
    """The dashboard's page Study shows it with its numbers, by its address; one that is not there is told."""
    monkeypatch.setenv("CFQ_STORE", str(store))
    assert kept.people().startswith(b"row,answer,cost,holds")
    for asked, warned in ((kept.id, False), ("nothere", True)):
        at = AppTest.from_file(str(SCRIPT), default_timeout=120)
        at.query_params["audit"] = asked
        at.run().switch_page("../pages/study.py").run()
        assert not at.exception and at.session_state["audit"] == kept.id
        assert any("nothere" in w.value for w in at.warning) == warned
        said = " ".join(m.value for m in at.markdown)
        assert "run by onnxruntime" in said and "promised points are decided as audited" in said
        assert "Audited pairs" in said and "who" in said and "Audit of student" in said
        shown = next(t.value for t in at.dataframe if "95 % from" in t.value)
        assert any("refused_when" in t.value for t in at.dataframe), "person by person"
        vd = shown.set_index("measure").value["promised actions that fail (VD)"]
        assert vd == kept.result["measures"]["vd"]


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
    assert pairs.kept(store) == [] and not (failed.folder / jobs.GIVEN).exists()


@pytest.mark.gate
def test_a_cancelled_audit_keeps_no_model(tmp_path: Path) -> None:
    store, (teacher, student) = tmp_path / "store", uploads()
    job = pairs.submit(store, pairs.asked(str(CARD), teacher, student, QUESTION), teacher, student)
    jobs.cancel(job)
    jobs.recent(store)
    assert not (job.folder / jobs.GIVEN).exists()


def test_what_is_no_audit_is_left_out(tmp_path: Path) -> None:
    for name, text in (("a", "{"), ("b", "[]"), ("c", "{}"), (".d", "{}")):
        (tmp_path / pairs.FOLDER / name).mkdir(parents=True)
        (tmp_path / pairs.FOLDER / name / pairs.TOLD).write_text(text)
    assert pairs.kept(tmp_path) == []


SIDE = {"file": "a.onnx", "how": "as a logit", "sha256": "ab", "differing": 0, "checked": 9, "accuracy": 0.5,
        "approval_rate": 0.5}  # fmt: skip
VD = {"value": 0.1, "low": 0.0, "high": None, "count": 9}
GOOD = {
    "verdict": "holds", "dataset": "toy", "created": 5.0, "lines": [{"title": "fail", "measure": "vd"}], "notes": [],
    "as_run": ["run by x"],
    "measures": {"vd": 0.1}, "intervals": {"vd": {"low": 0.0, "high": 0.2, "count": 9}}, "teacher": SIDE,
    "student": SIDE, "groups": {"sex": {"a": {"vd": VD, "frr": VD}}},
}  # fmt: skip
WRONG = (None, [], {}, "x", 5, True, [3], [[]], {"x": 1}, {"x": {}}, {"x": {"y": {}}}, {"x": {"y": {"vd": 3}}})


def places(value: object, path: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
    """The way to everything in plain values."""
    keys = value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    return [path] + [p for k in keys for p in places(value[k], (*path, k))]  # type: ignore[index]


def put(value: object, path: tuple[object, ...], wrong: object) -> object:
    """A copy with something else in one place."""
    if not path:
        return wrong
    copied = dict(value) if isinstance(value, dict) else list(value)  # type: ignore[call-overload]
    copied[path[0]] = put(copied[path[0]], path[1:], wrong)
    return copied


def stored(store: Path, id: str, content: bytes) -> None:
    (store / pairs.FOLDER / id).mkdir(parents=True)
    (store / pairs.FOLDER / id / pairs.TOLD).write_bytes(content)
    (store / pairs.FOLDER / id / pairs.REPORT).write_text("<!doctype html>")


@pytest.mark.parametrize("path", places(GOOD), ids=lambda p: "-".join(map(str, p)) or "all")
def test_whatever_stands_in_an_audits_file_it_is_shown_or_left_out(path: tuple[object, ...], tmp_path: Path) -> None:
    """What a program wrote that was killed, or another version, stops nobody from reading the others."""
    stored(tmp_path, "good", json.dumps(GOOD | {"created": 9.0}).encode())
    for i, wrong in enumerate((*WRONG, float("nan"), 10**400, "\ud800")):
        stored(tmp_path, f"bad{i}", json.dumps(put(GOOD, path, wrong)).encode())
    found = pairs.kept(tmp_path)
    assert "good" in [a.id for a in found]
    if path in ((), ("lines",), ("teacher",), ("measures",), ("groups",), ("verdict",), ("created",)):
        assert len(found) < 8, [a.result for a in found]
    for audit in found:
        assert audit.title and pair._side("teacher", audit.result["teacher"]) and audit.page()
        assert len(pair._measures(audit.result)) == len(audit.result["lines"])
        pair._groups(audit.result)


@pytest.mark.parametrize("content", [b"", b"{", b"\x80\x04", b"[]", b"{}", b"[" * 100_000], ids=str)
def test_a_damaged_audit_is_no_answer_and_is_made_again(content: bytes, tmp_path: Path) -> None:
    stored(tmp_path, identity({"a": 1}), json.dumps(GOOD).encode())
    stored(tmp_path, identity({"a": 2}), content)
    assert pairs.known(tmp_path, {"a": 1}) == identity({"a": 1})
    assert pairs.known(tmp_path, {"a": 2}) is None


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b'a,"b\n1,2,3\n', b"a,b\n1,2,3\n4\n"], ids=str)
def test_a_damaged_table_of_people_is_left_out(content: bytes) -> None:
    assert pair.people_of(content) is None or not content.startswith(b"\xff")
    assert pair.people_of(b"row,told\n2,x\n") is not None


def test_an_audit_without_its_report_is_left_out(tmp_path: Path) -> None:
    stored(tmp_path, "a", json.dumps(GOOD).encode())
    (tmp_path / pairs.FOLDER / "a" / pairs.REPORT).unlink()
    assert pairs.kept(tmp_path) == []


def test_a_table_that_was_half_kept_is_not_listed(tmp_path: Path) -> None:
    for name in (".draft", "people-abc"):
        (tmp_path / upload.CARDS / name).mkdir(parents=True)
        (tmp_path / upload.CARDS / name / upload.CARD).write_text("")
    assert set(upload.kept(tmp_path)) == {"people"}
