"""Makes the corpus, audits every pair, has the answers judged, writes benchmarks/numbers/corpus.json.

pip install '.[bench]'; python -m benchmarks.corpus [FOLDER]      # about 20 minutes of one core

Answers that lie in FOLDER/answers are not asked for again, so that a run that was stopped goes on.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from click.testing import CliRunner

from benchmarks.corpus import OUT, judge, section, sklearn_files, torch_files
from benchmarks.corpus.people import CARDS, card, people
from benchmarks.corpus.students import Student, across, halves, students
from benchmarks.corpus.torch_files import Made
from cfq_core.base.errors import CfqError
from cfq_core.cli import cli

PEOPLE = 30  # refused people who are asked of a pair
REFUSED, RIGHT, WRONG = "refused", "right", "silent wrong answer"
OURS = "ours, 3 bits"


def main() -> None:
    """Everything, from fixed seeds."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(sys.argv[1] if len(sys.argv) > 1 else name)
        folder.mkdir(exist_ok=True)
        people().to_csv(folder / "people.csv", index=False)
        for kind in CARDS:
            (folder / f"{kind}.toml").write_text(card(kind), encoding="utf-8")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of other libraries' coming versions
            teachers = [*torch_files.files(folder), *sklearn_files.files(folder)]
            pairs = [*students(teachers, folder), *halves(teachers, folder), *across(teachers)]
        found = [kept(t, s, folder) for t, s in pairs]
        found += ours(teachers, found, folder)
        teachers_found = [teacher_found(t, found) for t in teachers]
        settle(found, folder)
    OUT.write_text(json.dumps({"teachers": teachers_found, "pairs": found}, indent=1) + "\n", encoding="utf-8")
    print(section())


def asked(*words: str) -> tuple[Any, str]:
    """What a command prints as JSON, or its one line of refusal."""
    try:
        ran = CliRunner().invoke(cli, [*words], catch_exceptions=False, standalone_mode=False)
    except CfqError as problem:
        return None, problem.line()
    return json.loads(ran.stdout.splitlines()[-1]), ""


def kept(teacher: Made, student: Student, folder: Path) -> dict[str, Any]:
    """The answer to a pair, which may be there already."""
    file = folder / "answers" / f"{teacher.name}__{student.name}.json"
    if not file.is_file():
        answer = audited(teacher, student, folder)
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps(answer), encoding="utf-8")
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found


def audited(teacher: Made, student: Student, folder: Path) -> dict[str, Any]:
    """One pair through the command line; asked about the layout, a user says it, and asks again."""
    began, asks = time.monotonic(), ""
    words = [
        "audit", "--card", str(folder / f"{teacher.card}.toml"), "--teacher", str(folder / f"{teacher.name}.onnx"),
        "--student", str(folder / f"{student.name}.onnx"), "--people", str(PEOPLE), "--json", *teacher.options,
        *student.options,
    ]  # fmt: skip
    answer, refusal = asked(*words)
    if refusal.endswith("say which with --layout") and not teacher.refuse:
        asks = refusal
        own = () if student.kind == OURS else ("--student-layout", student.truth.layout)
        answer, refusal = asked(*words, "--layout", teacher.truth.layout, *own)
    return {
        "pair": f"{teacher.name} | {student.name}", "family": teacher.family, "kind": student.kind,
        "card": teacher.card, "must_refuse": teacher.refuse, "must_say": teacher.words, "refusal": refusal,
        "asked": asks, "teacher": f"{teacher.name}.onnx", "student": f"{student.name}.onnx",
        "teacher_truth": asdict(teacher.truth), "student_truth": asdict(student.truth), "found": answer,
        "seconds": round(time.monotonic() - began, 1),
    }  # fmt: skip


def teacher_found(teacher: Made, pairs: list[dict[str, Any]]) -> dict[str, Any]:
    """What became of a teacher: read as layers, which every method quantizes, or computed; or why it was refused."""
    mine = [p for p in pairs if p["pair"].startswith(f"{teacher.name} | ")]
    how = [p["found"]["teacher"]["how"] for p in mine if p["found"]]
    return {
        "name": teacher.name, "family": teacher.family, "must_refuse": teacher.refuse,
        "layers": any(h.startswith("dense network") for h in how), "audited": bool(how),
        "refusal": "" if how or not mine else mine[0]["refusal"],
    }  # fmt: skip


def ours(teachers: list[Made], pairs: list[dict[str, Any]], folder: Path) -> list[dict[str, Any]]:
    """Our own student of the first of each family of teachers that reads as layers: a study, an export, its audit."""
    layers = [t for t in reversed(teachers) if teacher_found(t, pairs)["layers"]]
    out = []
    for t in {t.family: t for t in layers}.values():
        store = folder / f"store_{t.name}"
        study, refusal = asked(
            "run", "--dataset", str(folder / f"{t.card}.toml"), "--teacher", str(folder / f"{t.name}.onnx"),
            "--methods", "ptq", "--bits", "3", "--seeds", "1", "--people", str(PEOPLE), "--workers", "0",
            "--store", str(store), "--json", "--layout", t.truth.layout, *t.options,
        )  # fmt: skip
        name = f"{t.name}__ours"
        if not refusal:
            file = str(folder / f"{name}.onnx")
            run = study["runs"][0]["id"]
            _, refusal = asked("export", run, "--onnx", file, "--inputs", "raw", "--store", str(store), "--json")
        if refusal:
            out.append({"pair": f"{t.name} | {name}", "family": t.family, "kind": OURS, "refusal": refusal, "asked": "",
                        "must_refuse": "", "must_say": "", "found": None, "seconds": 0.0})  # fmt: skip
            continue
        every_row = ("--rows", "all") if t.card == "whole" else ()  # ours were trained on a part; the judge takes all
        out.append(kept(t, Student(name, OURS, our_truth(), every_row), folder))
    return out


def our_truth() -> Any:
    """What `cfq export --inputs raw` writes: a named input a column, a logit."""
    from benchmarks.corpus.people import FEATURES, LEVELS, Truth, named

    return Truth(named({f: "str" if f in LEVELS else "float64" for f in FEATURES}), "logit")


def settle(found: list[dict[str, Any]], folder: Path) -> None:
    """The outcome of every pair, by the independent judge's word; what only it needs is taken away."""
    answers = [f for f in found if f["found"] is not None]
    (folder / "answers.json").write_text(json.dumps(answers), encoding="utf-8")
    ran = subprocess.run([sys.executable, judge.__file__, str(folder)], capture_output=True, text=True, check=True)
    verdicts = {v["pair"]: v for v in map(json.loads, ran.stdout.splitlines())}
    for f in found:
        verdict = verdicts.get(f["pair"], {"wrong": [], "promises": 0})
        f["wrong"], f["promises"] = verdict["wrong"], verdict["promises"]
        if f["found"] is None:
            f["outcome"] = REFUSED
            silent = bool(f["must_say"]) and f["must_say"] not in f["refusal"]
            if silent or "\n" in f["refusal"].strip():
                f["wrong"] = [f"its refusal does not say {f['must_say']}"]
        elif f["must_refuse"]:
            f["outcome"], f["wrong"] = WRONG, [f["must_refuse"]]
        else:
            f["outcome"] = WRONG if f["wrong"] else RIGHT
        f["vd"] = f["found"]["measures"]["vd"] if f["found"] else None
        f["how"] = f["found"]["student"]["how"] if f["found"] else ""
        for key in ("found", "teacher_truth", "student_truth", "teacher", "student", "must_say"):
            f.pop(key, None)
    print(Counter(f["outcome"] for f in found))


if __name__ == "__main__":
    main()
