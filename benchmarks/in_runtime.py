"""Decisions of exported files in the runtime of this environment: runs under any Python with numpy and the runtime.

PYTHON benchmarks/in_runtime.py onnxruntime|openvino FOLDER      prints one JSON list; FOLDER as runtimes.py fills it
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

FEW = 70  # people who are also computed one and seven at a time
Feed = dict[str, np.ndarray]


def main(runtime: str, folder: Path) -> None:
    found = [one | _judged(runtime, folder, one) for one in json.loads((folder / "files.json").read_text())]
    print(json.dumps(found))


def _judged(runtime: str, folder: Path, one: dict[str, Any]) -> dict[str, Any]:
    with np.load(folder / one["points"]) as held:
        due = held["due"]
        feed = {k: held[k].astype(object) if held[k].dtype.kind == "U" else held[k] for k in held if k != "due"}
    try:
        ways = list((_onnxruntime if runtime == "onnxruntime" else _openvino)(folder / one["file"]))
    except Exception as problem:  # a runtime that refuses a file says so in its own words
        return {"refused": " ".join(str(problem).split())[:160]}
    differing, largest, refused = {}, 0.0, ""
    for name, run in ways:
        try:
            got, wrong = run(feed), np.zeros(len(due), bool)
            for size in (1, 7):
                few = {k: v[:FEW] for k, v in feed.items()}
                parts = [run({k: v[i : i + size] for k, v in few.items()}) for i in range(0, FEW, size)]
                wrong[:FEW] |= (np.concatenate(parts) > 0) != (due[:FEW] > 0)
        except Exception as problem:
            return {"refused": f"{name}: {' '.join(str(problem).split())[:160]}"}
        differing[name] = int((wrong | ((got > 0) != (due > 0))).sum())
        largest = max(largest, float(np.abs(got - due).max()))
    return {"decisions": len(due), "differing": differing, "largest": largest, "refused": refused}


def _onnxruntime(path: Path) -> Iterator[tuple[str, Callable[[Feed], np.ndarray]]]:
    sys.path.insert(0, str(Path(__file__).parents[1] / "cfq_core" / "models"))
    import verify

    if verify.verified(path)["differing"]:
        raise ValueError("cfq verify: the people it carries are decided otherwise")
    for level in verify.levels():
        yield level, verify.logits(verify.session(path.read_bytes(), level))


def _openvino(path: Path) -> Iterator[tuple[str, Callable[[Feed], np.ndarray]]]:
    import openvino

    model = openvino.Core().compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    types = {i.any_name: i.element_type.to_dtype() for i in model.inputs}

    def run(feed: Feed) -> np.ndarray:
        return np.asarray(model({k: v.astype(types[k]) for k, v in feed.items()})["logit"], np.float64).reshape(-1)

    yield "CPU", run


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
