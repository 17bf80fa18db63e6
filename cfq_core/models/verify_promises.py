"""Are promises kept by a file? Each says what a person was told and a box around it; every cell of the box is run.

python verify_promises.py PROMISES.jsonl FILE.onnx [FILE.onnx] [--json]     needs Python, numpy and onnxruntime alone
                                                                            exit 0, 1 (refused) or 2 (unreadable)

People are on a grid (whole units, levels of a category), so a box holds finitely many of them: running them all is a
proof for this file on this runtime, at every optimisation level. The first line names the files by their sha256, what
may change, and how many promises follow; each line is bound to it and to its number by a digest, and the last line to
all of them. Who has the last digest from somebody they trust knows that nothing was changed, left out or added.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

FORMAT = "cfq promises 1"
ROLES = ("teacher", "student")  # FP32, and what is deployed in its place
HEAD = {"format", "files", "inputs", "moves", "kappa", "run", "promised", "promises"}
LINE = {"number", "person", "before", "after", "low", "high", "logits", "digest"}
MOST_CELLS = 4096  # of a box
MOST_LINE, MOST_BYTES = 100_000, 2_000_000_000
CLOSE = 1e-4  # by which a stated least logit may be off, over its size or 1: other processors sum in other orders
DECIMALS = 10  # of raw units, as the engine has them
LEVELS = ("ORT_DISABLE_ALL", "ORT_ENABLE_BASIC", "ORT_ENABLE_EXTENDED", "ORT_ENABLE_ALL")


class Refused(Exception):
    """What is wrong with a file of promises or with one of them, in one line."""


def canonical(value: Any) -> bytes:
    """The bytes that a digest is made of."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def digest(before: str, value: dict[str, Any]) -> str:
    """A line's digest: of the one before it and of everything else it says."""
    rest = {k: v for k, v in value.items() if k != "digest"}
    return hashlib.sha256(before.encode() + b"\n" + canonical(rest)).hexdigest()


def encoded(inputs: Sequence[dict[str, Any]], counts: np.ndarray) -> np.ndarray:
    """Grid counts [n, features] as a model of ours takes them, by the ``inputs`` of its metadata."""
    parts = []
    for place, i in enumerate(inputs):
        own = counts[:, place]
        if i["kind"] == "category":
            parts.append(np.eye(len(i["levels"]))[own])
            continue
        x = own.astype(np.float64)
        if i["kind"] == "number":
            per_unit = 1.0 / i["step"]
            whole = per_unit >= 1 and abs(per_unit - round(per_unit)) < 1e-9
            x = x / round(per_unit) if whole else np.round(x * i["step"], DECIMALS)
        x = np.log1p(x) if i["log"] else x
        parts.append(((x - i["mean"]) / i["std"])[:, None])
    return np.concatenate(parts, axis=1)


class Model:
    """A file of ours at every optimisation level."""

    def __init__(self, content: bytes) -> None:
        self.sha256 = hashlib.sha256(content).hexdigest()
        self.sessions = []
        for name in LEVELS:
            options = onnxruntime.SessionOptions()
            options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, name)
            options.intra_op_num_threads = options.inter_op_num_threads = 1
            options.log_severity_level = 4
            self.sessions.append(onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"]))
        held = self.sessions[0].get_modelmeta().custom_metadata_map
        given = self.sessions[0].get_inputs()
        if "cfq" not in held or [i.name for i in given] != ["people"]:
            raise Refused("a model that says how people become its inputs, and takes them encoded, is needed")
        about = json.loads(held["cfq"])
        self.inputs, self.role = about["inputs"], about["role"]
        self.type = np.float64 if given[0].type == "tensor(double)" else np.float32

    def least(self, counts: np.ndarray) -> np.ndarray:
        """The least logit of each person over the levels."""
        feed = {"people": encoded(self.inputs, counts).astype(self.type)}
        each = [s.run(["logit"], feed)[0].reshape(-1).astype(np.float64) for s in self.sessions]
        return np.min(each, axis=0)


def cells(low: Sequence[int], high: Sequence[int]) -> np.ndarray:
    """Every cell of a box."""
    return np.array(list(product(*(range(a, b + 1) for a, b in zip(low, high, strict=True)))), np.int64)


def size(low: Sequence[int], high: Sequence[int]) -> int:
    """How many cells a box has."""
    count = 1
    for a, b in zip(low, high, strict=True):
        count *= b - a + 1
    return count


# ---------------------------------------------------------------------- reading
def lines(path: Path) -> Iterator[dict[str, Any]]:
    """Every line as an object; raises `Refused`."""
    if path.stat().st_size > MOST_BYTES:
        raise Refused("larger than this program reads")
    with path.open("rb") as file:
        for number, raw in enumerate(file):
            try:
                if len(raw) > MOST_LINE:
                    raise ValueError("too long")
                value = json.loads(raw, object_pairs_hook=_once)
            except (ValueError, RecursionError) as problem:
                raise Refused(f"line {number + 1}: no JSON object ({problem})") from None
            if not isinstance(value, dict) or raw.rstrip(b"\n") != canonical(value):
                raise Refused(f"line {number + 1}: not as it was written")
            yield value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({k for k, _ in pairs}) != len(pairs):
        raise ValueError("a key twice")
    return dict(pairs)


def checked(path: Path) -> tuple[dict[str, Any], list[dict[str, Any]], str]:
    """Head, promises and the last digest; raises `Refused` where a line is not bound to the ones before it."""
    found = list(lines(path))
    if len(found) < 2 or set(found[0]) != HEAD or found[0]["format"] != FORMAT:
        raise Refused("no file of promises, or of another format")
    head, promises, end = found[0], found[1:-1], found[-1]
    if head["promises"] != len(promises) or set(end) != {"end", "digest"} or end["end"] != len(promises):
        raise Refused(f"{head['promises']} promises were written, {len(promises)} are here")
    before = digest("", head)
    for number, line in enumerate(promises, 1):
        if set(line) != LINE or line["number"] != number or line["digest"] != (before := digest(before, line)):
            raise Refused(f"promise {number}: was changed, moved, or is another file's")
    if end["digest"] != digest(before, end):
        raise Refused("the last line is another file's")
    return head, promises, str(end["digest"])


# ---------------------------------------------------------------------- what a promise says
def mistake(head: dict[str, Any], line: dict[str, Any]) -> str:
    """Why a promise is none, whatever a model says; empty where it is one."""
    inputs, moves = head["inputs"], head["moves"]
    each = [line[k] for k in ("before", "after", "low", "high")]
    if not all(isinstance(v, list) and len(v) == len(inputs) and all(type(c) is int for c in v) for v in each):
        return "holds no cells"
    for i, move, own, there, low, high in zip(inputs, moves, *each, strict=True):
        if not low <= there <= high or (i["kind"] == "category" and not low == there == high):
            return f"its box does not surround what was told ({i['name']})"
        if i["levels"] and not all(0 <= c < len(i["levels"]) for c in (own, low, high)):
            return f"no level of {i['name']}"
        if (move == "fixed" and (there != own or low != high)) or (i["kind"] != "category" and (
            (move == "up" and low < own) or (move == "down" and high > own))):  # fmt: skip
            return f"{i['name']} cannot be changed like this"
    return "" if size(line["low"], line["high"]) <= MOST_CELLS else f"its box has more than {MOST_CELLS} cells"


def broken(head: dict[str, Any], line: dict[str, Any], role: str, model: Model) -> str:
    """Why a model does not keep a promise; empty where it does, in every cell of the box."""
    if role == "teacher" and model.least(np.array([line["before"]]))[0] > 0:
        return "this person was not refused"
    least = float(model.least(cells(line["low"], line["high"])).min())
    if not least > 0:
        return f"somebody in its box is refused (least logit {least:.4g})"
    said = line["logits"][role]
    return "" if abs(least - said) <= CLOSE * max(1.0, abs(said)) else f"its least logit is {least:.6g}, not {said:.6g}"


def verified(path: Path, files: Sequence[Path]) -> dict[str, Any]:
    """Every promise against every file; raises `Refused` where the promises are not those that were made."""
    head, promises, last = checked(path)
    by_hash = {sha: role for role, sha in head["files"].items()}
    results = {}
    for file in files:
        model = Model(file.read_bytes())
        role = by_hash.get(model.sha256)
        if role is None or role != model.role or model.inputs != head["inputs"]:
            raise Refused(f"{file.name}: not a file that these promises are about (sha256 {model.sha256[:12]}…)")
        found = {p["number"]: mistake(head, p) or broken(head, p, role, model) for p in promises}
        results[role] = {n: why for n, why in found.items() if why}
    return {"promises": len(promises), "promised": head["promised"], "digest": last, "refused": results}


def words(found: dict[str, Any], name: str) -> str:
    """For a reader: how many hold, and the first that do not."""
    out = [f"{name}: {found['promises']} of {found['promised']} promises are certified; digest {found['digest']}"]
    for role, refused in found["refused"].items():
        out.append(f"{role}: {found['promises'] - len(refused)} hold in every cell of their box, {len(refused)} do not")
        out += [f"  promise {n}: {why}" for n, why in list(refused.items())[:5]]
    return "\n".join(out)


def main(arguments: list[str]) -> int:
    """Verify promises against one file or both."""
    path, *files = [Path(a) for a in arguments if a != "--json"]
    try:
        found = verified(path, files)
    except (Refused, OSError) as problem:
        sys.stderr.write(f"{path.name}: {problem}\n")
        return 1 if isinstance(problem, Refused) else 2
    except Exception as problem:  # whatever a runtime raises at a file, or a head that says nonsense
        sys.stderr.write(f"{path.name}: cannot be checked ({type(problem).__name__}: {str(problem)[:200]})\n")
        return 2
    sys.stdout.write((json.dumps(found) if "--json" in arguments else words(found, path.name)) + "\n")
    return 1 if any(found["refused"].values()) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
