"""Did an audit tell the truth? Recomputed from its per-person answers with onnxruntime, numpy and pandas alone.

python judge.py FOLDER      FOLDER/people.csv, FOLDER/*.onnx and FOLDER/answers.json; prints a line of JSON a pair

Rows are encoded here as the maker of each file says (`Truth`), and each file is asked by itself. Nothing of the package
that made the answers is imported.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pandas as pd

FIRST_ROW = 2  # of people in a file whose header is row 1
UP, DOWN, FIXED = ("income", "years", "education"), ("debt",), ("age",)
GOOD = "repaid"
CLOSE = 1e-9


def feed(truth: dict[str, Any], frame: pd.DataFrame) -> dict[str, np.ndarray]:
    """A file's inputs."""
    out = {}
    for given in truth["inputs"]:
        parts = [_column(c, frame, truth["levels"]) for c in given["columns"]]
        if given["kind"] == "str":
            out[given["name"]] = np.array([[str(v)] for v in parts[0]], dtype=object)
        else:
            out[given["name"]] = np.stack(parts, axis=1).astype(given["kind"])
    return out


def _column(c: dict[str, Any], frame: pd.DataFrame, levels: dict[str, list[str]]) -> np.ndarray:
    values = frame[c["feature"]]
    if c["word"]:
        return values.to_numpy(object)
    if c["level"]:
        return (values == c["level"]).to_numpy(float)
    if c["feature"] in levels:
        values = values.map(list(levels[c["feature"]]).index)
    return (values.to_numpy(float) - c["mean"]) / c["std"]


def approved(path: Path, truth: dict[str, Any], frame: pd.DataFrame) -> np.ndarray:
    """The file's own decisions."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    given, n = feed(truth, frame), len(frame)
    step = truth["batch"] or max(n, 1)
    parts = [
        session.run([truth["output"]], {k: v[i : i + step] for k, v in given.items()})[0] for i in range(0, n, step)
    ]
    u = np.concatenate([_number(p, truth) for p in parts]) if parts else np.zeros(0)
    off = truth["sign"] * (u - truth["cut"])
    return off >= 0 if truth["at_cut"] else off > 0


def _number(found: Any, truth: dict[str, Any]) -> np.ndarray:
    if isinstance(found, list):  # a map a person
        return np.array([one[truth["good"]] for one in found], float)
    found = np.asarray(found).astype(float).reshape(len(found), -1) if np.ndim(found) else np.asarray([[found]], float)
    u = found[:, truth["good"]]
    return u if truth["bad"] is None else u - found[:, truth["bad"]]


def judged(folder: Path, answer: dict[str, Any]) -> dict[str, Any]:
    """What is wrong in an answer; nothing where all of it holds."""
    people = pd.read_csv(folder / "people.csv")
    found, wrong = answer["found"], list[str]()
    rows = people if answer["card"] != "split" or found["rows"] == len(people) else people[people["part"] == "test"]
    if len(rows) != found["rows"]:
        wrong.append(f"judged {found['rows']} people, not {len(rows)}")
    files = {side: (folder / answer[side], answer[f"{side}_truth"]) for side in ("teacher", "student")}
    for side, (path, truth) in files.items():
        yes = approved(path, truth, rows)
        right = float((yes == (rows["status"] == GOOD)).mean())
        for what, due, told in (
            ("approval rate", float(yes.mean()), found[side]["approval_rate"]),
            ("accuracy", right, found[side]["accuracy"]),
        ):
            if abs(due - told) > CLOSE:
                wrong.append(f"{side}: {what} {told:.4f}, but {due:.4f}")
    each = found["per_person"]
    asked = [p for p in each if p["holds"] is not None]
    before = pd.DataFrame([p["before"] for p in each])
    after = pd.DataFrame([p["after"] for p in asked])
    wrong += _rows_wrong(people, each, before)
    if each and approved(*files["teacher"], before).any():
        wrong.append("somebody whom the teacher approves was asked")
    if each and (approved(*files["student"], before) != [p["approved_without"] for p in each]).any():
        wrong.append("approved without acting: told otherwise")
    if asked:
        wrong += _illegal(pd.DataFrame([p["before"] for p in asked]), after)
        refused = ~approved(*files["teacher"], after)
        if refused.any():
            wrong.append(f"{int(refused.sum())} of {len(asked)} actions are refused by the teacher itself")
        holds = approved(*files["student"], after)
        off = int((holds != [p["holds"] for p in asked]).sum())
        if off:
            wrong.append(f"{off} of {len(asked)} promises hold otherwise than told")
        if abs(float(1 - holds.mean()) - found["measures"]["vd"]) > CLOSE:
            wrong.append(f"VD {found['measures']['vd']:.4f}, but {1 - holds.mean():.4f}")
    return {"pair": answer["pair"], "promises": len(asked), "wrong": wrong}


def _rows_wrong(people: pd.DataFrame, each: list[dict[str, Any]], before: pd.DataFrame) -> list[str]:
    """Whether people are those of the table."""
    if not each:
        return []
    own = people.iloc[[p["row"] - FIRST_ROW for p in each]].reset_index(drop=True)
    off = [c for c in before if own[c].tolist() != before[c].tolist()]
    return [f"people are not those of the table in {', '.join(off)}"] if off else []


def _illegal(before: pd.DataFrame, after: pd.DataFrame) -> list[str]:
    order = ["school", "college", "university"]
    out = []
    for c in (*UP, *DOWN, *FIXED):
        a, b = (f[c].map(order.index) if c == "education" else f[c] for f in (after, before))
        move = a.to_numpy(float) - b.to_numpy(float)
        bad = move < -CLOSE if c in UP else move > CLOSE if c in DOWN else move != 0
        if bad.any():
            out.append(f"{int(bad.sum())} actions move {c} as nobody may")
    return out


def main() -> None:
    """Judge every answer of a folder."""
    folder = Path(sys.argv[1])
    for answer in json.loads((folder / "answers.json").read_text(encoding="utf-8")):
        print(json.dumps(judged(folder, answer)))


if __name__ == "__main__":
    main()
