"""Promises that anybody can check again: genuine ones are kept by the files they name, changed ones are refused."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cfq_core.base.seeds import numpy_stream
from cfq_core.export.certify import certify
from cfq_core.export.stored import stored_run
from cfq_core.models import verify_promises as verifier
from cfq_core.pipeline import Setting
from cfq_core.study.plan import Plan
from cfq_core.study.runner import run_plan
from cfq_core.study.store import Store
from cfq_core.training.loop import TeacherTraining

VERIFIER = Path(verifier.__file__)
TRIES = int(os.environ.get("CFQ_TAMPERED", "600"))  # 100000 in the gate's benchmark


@pytest.fixture(scope="module")
def promises(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The promises of a small run beside the two files they are about."""
    folder = tmp_path_factory.mktemp("certified")
    setting = Setting(hidden=(8, 8), people=30, n_reaudited=5, n_training_recourse=20,
                      teacher_training=TeacherTraining(epochs=12, rows_per_step=32))  # fmt: skip
    store = Store(folder / "store")
    study = run_plan(Plan(("diabetes",), ("ptq",), (8.0,), (0,), setting), store, workers=0)
    run = stored_run(store, store.runs(study)[0]["id"])
    files = {role: folder / f"{role}.onnx" for role in verifier.ROLES}
    found = certify(store, run, folder / "promises.jsonl", files, most=64)
    store.close()
    assert 0 < found.certified <= found.promised and found.cells > 1
    return folder / "promises.jsonl"


def files(promises: Path) -> list[Path]:
    return [promises.with_name(f"{role}.onnx") for role in verifier.ROLES]


def test_the_verifier_is_short_and_stands_alone(promises: Path, tmp_path: Path) -> None:
    text = VERIFIER.read_text()
    assert len(text.splitlines()) <= 250 and "cfq_core" not in text
    (tmp_path / "v.py").write_text(text)
    given = [str(promises), *map(str, files(promises))]
    code = f"import sys; sys.modules['cfq_core'] = None; sys.argv[1:] = {given!r};" \
        "import runpy; runpy.run_path('v.py', run_name='__main__')"  # fmt: skip
    ran = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert ran.returncode == 0 and ", 0 do not" in ran.stdout, ran.stderr


def test_genuine_promises_hold_on_both_files(promises: Path) -> None:
    found = verifier.verified(promises, files(promises))
    assert found["promises"] > 0 and found["refused"] == {"teacher": {}, "student": {}}


def test_another_file_is_refused(promises: Path, tmp_path: Path) -> None:
    content = bytearray(files(promises)[1].read_bytes())
    content[-1] ^= 1
    (tmp_path / "other.onnx").write_bytes(content)
    with pytest.raises(Exception):  # noqa: B017  (the runtime's own where it cannot be loaded)
        verifier.verified(promises, [tmp_path / "other.onnx"])


# ---------------------------------------------------------------------- changed ones
def changed(value: Any, random: np.random.Generator) -> Any:
    """Another value of the same kind."""
    if isinstance(value, bool) or value is None:
        return not value
    if isinstance(value, int):
        return value + int(random.choice([-7, -1, 1, 2, 1000]))
    if isinstance(value, float):
        return value + float(random.choice([-0.5, 0.01, 1.0]))
    if isinstance(value, str):
        place = int(random.integers(len(value) + 1))
        return value[:place] + "0" + value[place + 1 :] if value[place : place + 1] != "0" else value[:place] + "1"
    out = copy.deepcopy(value)
    if not out:
        return [0] if isinstance(out, list) else {"x": 0}
    key = random.integers(len(out)) if isinstance(out, list) else str(random.choice(sorted(out)))
    out[key] = changed(out[key], random)
    return out


def tampered(lines: list[dict[str, Any]], random: np.random.Generator) -> list[dict[str, Any]]:
    """One field of one line changed, or a line left out, twice, or moved."""
    out, at, how = list(lines), int(random.integers(len(lines))), int(random.integers(10))
    if how == 0:
        del out[at]
    elif how == 1:
        out.insert(at, out[at])
    elif how == 2:
        other = (at + 1) % len(out)
        out[at], out[other] = out[other], out[at]
    else:
        key = str(random.choice(sorted(out[at])))
        out[at] = out[at] | {key: changed(out[at][key], random)}
    return out


def test_no_changed_file_is_accepted(promises: Path, tmp_path: Path) -> None:
    lines, random = [json.loads(x) for x in promises.read_text().splitlines()], numpy_stream(0, "tests/tampered")
    path, accepted = tmp_path / "p.jsonl", []
    for _ in range(TRIES):
        changed_lines = tampered(lines, random)
        path.write_bytes(b"".join(verifier.canonical(x) + b"\n" for x in changed_lines))
        try:
            verifier.checked(path)
        except verifier.Refused:
            continue
        accepted.append(changed_lines)
    assert not accepted


def rebound(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same lines with every digest made anew, as somebody would who forges them."""
    out, last = [lines[0]], verifier.digest("", lines[0])
    for line in lines[1:]:
        last = verifier.digest(last, line)
        out.append(line | {"digest": last})
    return out


@pytest.mark.parametrize("key", ["low", "high", "after", "before", "logits"])
def test_a_forged_promise_is_accepted_only_where_it_is_true(key: str, promises: Path, tmp_path: Path) -> None:
    """Digests made anew: what then passes holds in every cell, by the models' own word."""
    lines, random = [json.loads(x) for x in promises.read_text().splitlines()], numpy_stream(1, f"tests/{key}")
    for at in range(1, len(lines) - 1):
        lines[at] = lines[at] | {key: changed(lines[at][key], random)}
    path = tmp_path / "p.jsonl"
    path.write_bytes(b"".join(verifier.canonical(x) + b"\n" for x in rebound(lines)))
    found = verifier.verified(path, files(promises))
    models = {r: verifier.Model(f.read_bytes()) for r, f in zip(verifier.ROLES, files(promises), strict=True)}
    for number in range(1, len(lines) - 1):
        line = lines[number]
        if number in found["refused"]["teacher"] or number in found["refused"]["student"]:
            continue
        cells = verifier.cells(line["low"], line["high"])
        assert all(m.least(cells).min() > 0 for m in models.values())
        assert all(a <= b <= c for a, b, c in zip(line["low"], line["after"], line["high"], strict=True))
    if key == "logits":
        assert len(found["refused"]["teacher"].keys() | found["refused"]["student"].keys()) == len(lines) - 2


@pytest.mark.parametrize(
    "content", [b"", b"{}\n", b"[]\n{}\n", b"\xff\n", b'{"format": 1}\n' * 3, b"[" * 200_000, b'{"a":1,"a":2}\n{}\n']
)
def test_what_is_no_file_of_promises_is_refused_in_one_line(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "p.jsonl").write_bytes(content)
    with pytest.raises(verifier.Refused):
        verifier.checked(tmp_path / "p.jsonl")
