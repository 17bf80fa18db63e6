"""Does every exported file decide as the model that was audited? Writes benchmarks/numbers/parity.json.

python -m benchmarks.parity --store .cfq       # runs what is missing of the study, then exports every run of it
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import torch

from cfq_core.export.parity import ParityFailure, parity
from cfq_core.export.stored import export_student, export_teacher, provenance, stored_run
from cfq_core.models import verify
from cfq_core.models.write import FORMS, student_model, teacher_model
from cfq_core.study.plan import read_plan
from cfq_core.study.runner import run_plan
from cfq_core.study.store import Store

OUT = Path(__file__).parent / "numbers" / "parity.json"
PLAN = {
    "name": "export parity",
    "datasets": ["adult", "compas", "german"],
    "methods": ["ptq", "ptq_mixed", "qat_mixed"],
    "bits": [2, 2.5, 3, 3.5, 4, 8],
    "seeds": 3,
    "people": 300,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path, default=Path(".cfq"))
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--datasets", nargs="*", default=PLAN["datasets"])
    given = parser.parse_args()
    torch.set_num_threads(1)
    store = Store(given.store)
    rows: list[dict[str, Any]] = []
    for dataset in given.datasets:
        study = run_plan(read_plan(PLAN | {"datasets": [dataset]}, "benchmarks/parity.py"), store, given.workers)
        rows += [exported(store, row["id"]) for row in store.runs(study)]
    store.close()
    OUT.parent.mkdir(exist_ok=True)
    found = verify.runtime() | {"plan": PLAN, "runs": rows}
    OUT.write_text(json.dumps(found, separators=(",", ":")) + "\n", encoding="utf-8")
    print(section())


def exported(store: Store, id: str) -> dict[str, Any]:
    """One run and its teacher in both forms: differing decisions at every optimisation level."""
    run = stored_run(store, id)
    out = {k: run.row[k] for k in ("dataset", "method", "budget", "seed", "bits")}
    out["points"] = sum(len(p) for p in run.points.values())
    for form in FORMS:
        models = {
            "student": (student_model(run.student, provenance(run, "student"), form), run.logits["student"]),
            "teacher": (teacher_model(run.teacher, provenance(run, "teacher"), form), run.logits["teacher"]),
        }
        for role, (model, logits) in models.items():
            seen = parity(model, run.points, logits)
            levels = {x.level: x.differing for x in seen.levels}
            out[f"{form} {role}"] = {"differing": levels, "largest": seen.largest, "bytes": model.ByteSize()}
    out["written"] = written(run)
    return out


def written(run: Any) -> bool:
    """Whether the command leaves both files, as a user would get them."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            export_student(run, Path(folder) / "student.onnx")
            export_teacher(run, Path(folder) / "teacher.onnx")
        except ParityFailure:
            return False
        return True


def section(path: Path = OUT) -> str:
    """The table for benchmarks/RESULTS.md, from the stored numbers."""
    found = json.loads(path.read_text(encoding="utf-8"))
    groups: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for row in found["runs"]:
        kind = "uniform" if len(set(row["bits"])) == 1 else "mixed"
        groups[row["dataset"], f"{kind} {min(row['bits'])}" if kind == "uniform" else kind].append(row)
    methods, bits = ", ".join(found["plan"]["methods"]), ", ".join(f"{b:g}" for b in found["plan"]["bits"])
    out = [
        "## Exported files against the audited models",
        "",
        f"Every run of {methods} at {bits} bits, {found['plan']['seeds']} seeds, exported and run in",
        f"{found['runtime']} ({found['machine']} with {', '.join(found['extensions'])}) at five optimisation",
        "levels on every test row, recourse point and made person, a sample of them also one at a time.",
        "Differing: decisions other than the audited model's, at the worst level.",
        "Made by `python -m benchmarks.parity`.",
        "",
        "| data set | plans | files | decisions checked | exact: differing | exact: largest logit difference | "
        "standard: differing | standard: files with any | standard: largest |",
        "|" + "---|" * 9,
    ]
    for (dataset, kind), rows in sorted(groups.items()):
        cells = [dataset, kind, len(rows), sum(r["points"] for r in rows)]
        for form in FORMS:
            students = [r[f"{form} student"] for r in rows]
            worst = [max(s["differing"].values()) for s in students]
            largest = f"{max(s['largest'] for s in students):.2g}"
            cells += [sum(worst), largest] if form == "exact" else [sum(worst), sum(w > 0 for w in worst), largest]
        out.append("| " + " | ".join(map(str, cells)) + " |")
    teachers = {(r["dataset"], r["seed"]): r for r in found["runs"]}.values()
    for form in FORMS:
        differing = sum(max(r[f"{form} teacher"]["differing"].values()) for r in teachers)
        checked = sum(r["points"] for r in teachers)
        out += ["", f"FP32 teachers, {form} form: {differing} of {checked} decisions differ."]
    good = all(r["written"] for r in found["runs"])
    out += ["", f"`cfq export` as it is by default left every file: {'yes' if good else '**no**'}."]
    return "\n".join(out)


if __name__ == "__main__":
    main()
