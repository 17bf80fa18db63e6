"""Peers side by side: whose advice, and whose quantizer, keeps promises on the same nets and people.

    python3 -m venv PEERS                         # outside the checkout: these libraries would move torch and numpy
    PEERS/bin/pip install torch==2.13.0
    PEERS/bin/pip install --no-deps dice-ml==0.12 raiutils==0.4.2 brevitas==0.13.4 nncf==3.4.0 torchao==0.18.0 \\
        cfnow==0.0.6 rocelib==0.2.3
    PEERS/bin/pip install 'numpy<2.5' pandas scikit-learn scipy jsonschema lightgbm jaxtyping pooch safetensors tqdm \\
        click 'setuptools<81' dependencies==2.0.1 unfoldNd 'networkx<=3.6.1' openvino-telemetry 'pydot<=4.0.1' \\
        tabulate ninja psutil rich onnx onnxruntime opencv-python-headless scikit-image nltk counterplots \\
        gurobipy==13.0.3
    rm -r PEERS/lib/python3*/site-packages/tests  # CFNOW installs its own tests under the name of ours
    PEERS/bin/python -m benchmarks.peers [--store data/gallery] [--people 20] [--only NAME ...]
    PEERS/bin/python -m benchmarks.peers --registry      # asks pip for the peers that have no release for this Python

Adult, teachers and students of the store's study. Asked: denied test people of whom it is proved that they have an
action. Every answer is rounded to the card's grid, then judged by `tests/oracles/legality.py`, which shares no code
with the product. A promise is an answer that is legal and that the teacher approves. Libraries keep their defaults,
but for CFNOW's time limit (`peer_libraries.LIMIT`).
Writes benchmarks/numbers/peers.json, a library and seed at a time: what is there is not made again.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import peer_libraries, peer_quantizers, peer_tables
from benchmarks.peer_question import Answers, Asked
from cfq_core import pipeline
from cfq_core.base.seeds import repeatable
from cfq_core.quant.quantized import QuantStack
from cfq_core.recourse.exact import Exact
from cfq_core.recourse.find import find_recourse, logits64
from cfq_core.recourse.problem import RecourseQuery
from cfq_core.study.models import student_of, teacher_of
from cfq_core.study.plan import table_of
from cfq_core.study.store import Row, Store
from tests.oracles.legality import Rules, cell, frame

OUT = peer_tables.OUT
TABLE = "adult"
STUDENTS = (("ptq", 4.0), ("ptq", 3.0), ("cfq_anchored", 4.0), ("cfq_anchored", 3.0))
#: Peers that pip is asked for by name, and why they would belong here.
UNRELEASED = {
    "recourse-bench": "recourse_bench: its methods on a quantized student as the future model",
}
FIRST = 4  # as many denied people are drawn for each that is asked: about three in four have an action

Found = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path, default=Path("data/gallery"))
    parser.add_argument("--people", type=int, default=20, help="a seed; slow libraries are asked about fewer")
    parser.add_argument("--only", nargs="*", help="libraries and quantizers by name")
    parser.add_argument("--registry", action="store_true", help="only ask pip for what has no release")
    parser.add_argument("--out", type=Path, default=OUT)
    given = parser.parse_args()
    torch.set_num_threads(1)
    found = peer_tables.read(given.out) or {
        "table": TABLE, "people": given.people, "students": {}, "libraries": [], "quantizers": [], "not_run": {},
    }  # fmt: skip

    def keep() -> None:
        peer_tables.write(found, given.out)

    if given.registry:
        found["not_run"] |= {name: refused(package) for package, name in UNRELEASED.items()}
        keep()
        return
    every = list(cases(given.store))
    for p, students in every:
        compare_quantizers(found, p, students, wanted(peer_quantizers.QUANTIZERS, given.only), keep)
    questions = [question(p, students, found["people"]) for p, students in every]
    found["students"] = {
        str(p.design.seed): {name: shifts(p, model) for name, model in asked.students.items()}
        for (p, _), asked in zip(every, questions, strict=True)
    }
    for name in wanted(peer_libraries.LIBRARIES, given.only):
        for asked in questions:
            compare_library(found, asked, name, keep)


def wanted(names: Iterable[str], only: Sequence[str] | None) -> list[str]:
    """Those asked for; all where nothing is said."""
    return [n for n in names if not only or n in only]


def cases(path: Path) -> Iterator[tuple[pipeline.TeacherRecourse, dict[str, QuantStack]]]:
    """Each teacher of the store's study with its own promises, and the students of its runs."""
    store = Store.for_reading(path)
    study = next(
        s for s in store.studies() if s["plan"]["datasets"] == [TABLE] and "cfq_anchored" in s["plan"]["methods"]
    )
    for teacher in store.teachers(study["id"]):
        stack = teacher_of(store.arrays(teacher["id"], "weights"))
        design = pipeline.prepare(table_of(TABLE), teacher["seed"])
        (p,) = pipeline.recourse_for(stack, [design], pipeline.Setting(people=250))
        yield p, _students(store, study["id"], teacher)
    store.close()


def _students(store: Store, study: str, teacher: Row) -> dict[str, QuantStack]:
    runs = [r for r in store.runs(study) if r["teacher_id"] == teacher["id"]]
    return {f"{r['method']} {r['budget']:g}": student_of(store.arrays(r["id"], "weights")) for r in runs}


# ---------------------------------------------------------------------- recourse libraries


def compare_library(found: Found, asked: Asked, name: str, keep: Callable[[], None]) -> None:
    """One library on one teacher, unless it is there or fell over before."""
    if name in found["not_run"] or any((r["library"], r["seed"]) == (name, asked.seed) for r in found["libraries"]):
        return
    asked = asked.first(peer_libraries.FEWER.get(name, len(asked.people)))
    try:
        answers, made_by = peer_libraries.ask(name, asked)
    except Exception as error:  # a library that falls over is told, not hidden
        found["not_run"][name] = {
            "version": peer_tables.version_of(peer_libraries.LIBRARIES[name][0]),
            "why": peer_tables.why(error),
        }
    else:
        found["libraries"].append({"library": name, "version": made_by, "seed": asked.seed} | judged(asked, answers))
    keep()
    print(name, asked.seed, found["not_run"].get(name, ""), flush=True)


def question(p: pipeline.TeacherRecourse, models: dict[str, QuantStack], people: int) -> Asked:
    """Denied test people who have an action, by proof."""
    d, students = p.design, {name: models[name] for m, b in STUDENTS if (name := f"{m} {b:g}")}
    denied = p.recourse.before[: FIRST * people]
    proved = find_recourse(p.teacher, [RecourseQuery(denied, d.encoding, d.actions)], Exact(), 0.0)
    able = denied[proved.has_recourse][:people]
    rules = Rules.read(d.table.schema, frame(d.table.schema, d.table.values[d.split.train]))
    return Asked(d.table, p.teacher, RecourseQuery(able, d.encoding, d.actions), rules, students, d.seed)


def shifts(p: pipeline.TeacherRecourse, model: QuantStack) -> Found:
    """Approval shift on test rows, as the student is and at its matched threshold, and that threshold."""
    test = p.design.table.values[p.design.split.test]
    q, granted = logits64(model, 0, p.design.encoding, test), (p.logits > 0).mean()
    cut = pipeline.matching_threshold(p, model, 0)
    return {"cut": cut, "shift": float((q > 0).mean() - granted), "shift_matched": float((q > cut).mean() - granted)}


def judged(asked: Asked, answers: Answers) -> Found:
    """What answers are worth once they stand on the grid, a person at a time."""
    before = frame(asked.schema, asked.people)
    out: Found = {"cpu": round(answers.cpu, 4), "answered": [], "legal": [], "cost": [], "teacher": [],
                  "students": {name: [] for name in asked.students}}  # fmt: skip
    for i, row in enumerate(answers.rows):
        counts = None if row is None else on_the_grid(asked, row)
        own = before.iloc[[i]].reset_index(drop=True)
        after = None if counts is None else frame(asked.schema, counts[None])
        legal = after is not None and not asked.rules.violations(own, after)
        out["answered"].append(row is not None)
        out["legal"].append(legal)
        out["cost"].append(round(float(asked.rules.cost(own, after)[0]), 4) if legal else None)
        out["teacher"].append(_logit(asked, asked.teacher, counts))
        for name, model in asked.students.items():
            out["students"][name].append(_logit(asked, model, counts))
    return out if answers.off_grid is None else out | {"off_grid": answers.off_grid}


def on_the_grid(asked: Asked, row: np.ndarray) -> np.ndarray | None:
    """The nearest counts; None where a word is no level or a number no number."""
    if not np.isfinite(row).all():
        return None
    counts = np.rint(row).astype(np.int64)
    for f, k in zip(asked.schema.features, counts, strict=True):
        if f.levels and not 0 <= k < len(f.levels):
            return None
        assert f.levels or cell(f, int(k)) == f.raw(k)
    return counts


def _logit(asked: Asked, model: Any, counts: np.ndarray | None) -> float | None:
    return None if counts is None else round(float(logits64(model, 0, asked.query.encoding, counts[None])[0]), 6)


# ---------------------------------------------------------------------- quantizers


def compare_quantizers(
    found: Found,
    p: pipeline.TeacherRecourse,
    students: dict[str, QuantStack],
    names: Sequence[str],
    keep: Callable[[], None],
) -> None:
    """Ours and every quantizer that is not there yet, on one teacher's own promises."""
    seed = p.design.seed
    there = {(r["quantizer"], r["bits"], r["seed"]) for r in found["quantizers"]}
    cells: list[tuple[str, int, Callable[[], Found]]] = [("ptq", 8, partial(peer_quantizers.of_ours, 8, p))]
    for name, bits in peer_quantizers.OURS:
        cells.append((name, bits, partial(peer_quantizers.stored, p, students[f"{name} {bits}"])))
    for name in names:
        each = peer_quantizers.QUANTIZERS[name][2]
        cells += [(name, bits, partial(peer_quantizers.of_library, name, bits, p)) for bits in each]
    for name, bits, make in cells:
        shown = f"{name}, {bits} bits"
        if (name, bits, seed) in there or shown in found["not_run"]:
            continue
        try:
            made = make()
        except Exception as error:  # told, not hidden
            package = peer_quantizers.QUANTIZERS[name][0] if name in peer_quantizers.QUANTIZERS else None
            found["not_run"][shown] = {"version": peer_tables.version_of(package), "why": peer_tables.why(error)}
        else:
            found["quantizers"].append({"quantizer": name, "bits": bits, "seed": seed} | made)
        keep()
        print(shown, seed, found["not_run"].get(shown, ""), flush=True)


# ---------------------------------------------------------------------- what does not run


def refused(package: str) -> Found:
    """What pip says of a package that has no release for this Python; an error where it has one after all."""
    with tempfile.TemporaryDirectory() as folder:
        asked = [sys.executable, "-m", "pip", "download", "--no-deps", "--dest", folder, package]
        told = subprocess.run(asked, capture_output=True, text=True, check=False)
    errors = [line.removeprefix("ERROR: ") for line in told.stderr.splitlines() if line.startswith("ERROR: ")]
    if told.returncode == 0:
        raise SystemExit(f"{package}: there is a release now; it belongs in the table")
    needs = re.findall(r"Requires-Python (\S+)", errors[0])
    reason = f"every release asks for Python {needs[-1]}" if needs else errors[-1]
    return {"version": "", "why": f"pip on Python {sys.version_info.major}.{sys.version_info.minor}: {reason}"}


if __name__ == "__main__":
    with repeatable():
        main()
