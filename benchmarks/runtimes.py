"""In which runtimes does an exported file load and decide as audited? Writes benchmarks/numbers/runtimes.json.

python -m benchmarks.runtimes --venvs FOLDER --store STORE     # environments are made in FOLDER, by pip, where missing
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import venv
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch

from cfq_core.export.parity import ParityFailure
from cfq_core.export.stored import StoredRun, export_student, export_teacher, stored_run
from cfq_core.models import raw
from cfq_core.models.provenance import Role
from cfq_core.models.target import FORMS, Form, Target
from cfq_core.study.plan import read_plan
from cfq_core.study.runner import run_plan
from cfq_core.study.store import Store

OUT = Path(__file__).parent / "numbers" / "runtimes.json"
INSIDE = Path(__file__).parent / "in_runtime.py"
PLANS: tuple[dict[str, Any], ...] = (
    {"datasets": ["adult", "compas", "german"], "methods": ["ptq", "ptq_mixed"], "bits": [2, 3.5, 4, 8]},
    {"datasets": ["german"], "methods": ["ptq"], "bits": [3, 8], "activation": "gelu", "hidden": [32, 32, 32],
     "residual": True},
    {"datasets": ["german"], "methods": ["ptq"], "bits": [3, 8], "activation": "silu"},
)  # fmt: skip
NOT_WRITTEN = "cfq export does not write it: it decides otherwise than the audited model"
KIND = ("dataset", "activation", "role", "form", "target")
COMMON = {"name": "runtimes", "seeds": 1, "people": 100}
TARGETS = {
    "opset 21, INT4 (default)": Target(),
    "opset 13, INT8": Target(13, "int8"),
    "opset 25, INT2": Target(25, "native"),
    "opset 21, INT4, raw columns": Target(inputs="raw"),
    "opset 13, INT8, raw columns": Target(13, "int8", "raw"),
}
#: Environments beside this one: what pip installs, and what runs there.
OTHERS = {
    "onnxruntime 1.19.2": (["onnxruntime==1.19.2", "numpy<2"], "onnxruntime"),
    "OpenVINO 2026.4.1": (["openvino==2026.4.1", "numpy"], "openvino"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path, default=Path(".cfq"))
    parser.add_argument("--venvs", type=Path, required=True)
    given = parser.parse_args()
    torch.set_num_threads(1)
    here = f"onnxruntime {onnxruntime.__version__}"
    pythons = {here: (Path(sys.executable), "onnxruntime")}
    for name, (packages, runs) in OTHERS.items():
        pythons[name] = (_environment(given.venvs / name.replace(" ", "-"), packages), runs)
    store, found = Store(given.store), defaultdict(list)
    for plan in PLANS:
        study = run_plan(read_plan(COMMON | plan, "benchmarks/runtimes.py"), store, 0)
        for row in store.runs(study):
            with tempfile.TemporaryDirectory() as folder:
                files = list(_files(stored_run(store, row["id"]), Path(folder)))
                (Path(folder) / "files.json").write_text(json.dumps([f for f in files if "refused" not in f]))
                for name, (python, runs) in pythons.items():
                    found[name] += [*_inside(python, runs, Path(folder)), *(f for f in files if "refused" in f)]
    store.close()
    summed = {name: _summed(files) for name, files in found.items()}
    OUT.write_text(json.dumps({"plans": PLANS, "files": summed}, indent=0) + "\n", encoding="utf-8")
    print(section())


def _environment(folder: Path, packages: list[str]) -> Path:
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *packages], check=True)
    return python


def _inside(python: Path, runs: str, folder: Path) -> list[dict[str, Any]]:
    ran = subprocess.run([python, INSIDE, runs, folder], check=True, capture_output=True, text=True)
    return json.loads(ran.stdout)


def _files(run: StoredRun, folder: Path) -> Iterator[dict[str, Any]]:
    """Every file of a run, and the people it is judged on with what the audited model says of them."""
    schema, people = run.design.table.schema, np.concatenate(list(run.people.values()))
    columns = {k: v.astype(str) if v.dtype == object else v for k, v in raw.feed(schema, people).items()}
    feeds = {"encoded": {raw.INPUT: run.design.encoding.encode(people)}, "raw": columns}
    roles: tuple[tuple[Role, Any], ...] = (("student", export_student), ("teacher", export_teacher))
    for role, export in roles:
        due = np.concatenate(list(run.logits[role].values()))
        for inputs, feed in feeds.items():
            np.savez(folder / f"{role}-{inputs}.npz", due=due, **feed)
        for label, target in TARGETS.items():
            if role == "teacher" and target.opset != 13:  # it is the same file for every target
                continue
            for form in FORMS:
                yield _file(run, export, folder, label, target, role, form)


def _file(
    run: StoredRun, export: Any, folder: Path, label: str, target: Target, role: Role, form: Form
) -> dict[str, Any]:
    path = folder / f"{role}-{form}-{target.opset}-{target.inputs}.onnx"
    of = {k: run.row[k] for k in ("dataset", "method", "budget")}
    of |= {"activation": run.student.architecture[0].activation, "role": role, "form": form, "target": label}
    try:
        written = export(run, path, form, target)
    except ParityFailure:  # so nobody can deploy it
        return of | {"bytes": 0, "refused": NOT_WRITTEN}
    return of | {"bytes": written.size, "file": path.name, "points": f"{role}-{target.inputs}.npz"}


def section(path: Path = OUT) -> str:
    """The table for benchmarks/RESULTS.md, from the stored numbers."""
    if not path.is_file():
        return ""
    found = json.loads(path.read_text(encoding="utf-8"))["files"]
    out = [
        "## Exported files in other runtimes",
        "",
        "Students of Adult, COMPAS and German (uniform and mixed plans; ReLU, GELU with residuals, SiLU) and FP32",
        "teachers in every form, operator set and container, judged on test rows, recourse points and made people at",
        "every optimisation level, 70 of them also one and seven at a time. Cells: files that load / decisions that",
        f"differ of those checked, at the worst level. {_unwritten(next(iter(found.values())))}"
        "Made by `python -m benchmarks.runtimes`.",
        "",
        "| file | form | target | " + " | ".join(found) + " |",
        "|---" * (3 + len(found)) + "|",
    ]
    kinds = dict.fromkeys(tuple(f[k] for k in KIND[2:]) for files in found.values() for f in files)
    for kind in kinds:
        cells = [_cell([f for f in files if tuple(f[k] for k in KIND[2:]) == kind]) for files in found.values()]
        out.append(f"| {' | '.join([*kind, *cells])} |")
    return "\n".join(out)


def _summed(files: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Files of one kind together."""
    out = []
    for kind in dict.fromkeys(tuple(f[k] for k in KIND) for f in files):
        of = [f for f in files if tuple(f[k] for k in KIND) == kind]
        loaded = [f for f in of if "differing" in f]
        out.append(dict(zip(KIND, kind, strict=True)) | {
            "files": len(of), "loaded": len(loaded), "decisions": sum(f["decisions"] for f in loaded),
            "differing": sum(max(f["differing"].values()) for f in loaded),
            "largest": max((f["largest"] for f in loaded), default=None), "bytes": sorted({f["bytes"] for f in of}),
            "refused": sorted({f["refused"] for f in of if f["refused"]}),
            "unwritten": sum(f["refused"] == NOT_WRITTEN for f in of),
        })  # fmt: skip
    return out


def _unwritten(files: list[dict[str, Any]]) -> str:
    count = sum(f["unwritten"] for f in files)
    return f"{count} decide otherwise than the audited model: `cfq export` leaves no such file. " if count else ""


def _cell(files: list[dict[str, Any]]) -> str:
    total = {k: sum(f[k] for f in files) for k in ("files", "loaded", "decisions", "differing")}
    if not total["loaded"]:
        return f"0 of {total['files']}"
    return f"{total['loaded']} of {total['files']} / {total['differing']} of {total['decisions']:,}"


if __name__ == "__main__":
    main()
