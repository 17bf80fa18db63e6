"""Does an exported file decide here as it was audited? It carries people and the decisions that are due.

python verify.py FILE [--json]      needs nothing but Python, numpy and onnxruntime; exit 0, 1 (it does not) or 2

Every optimisation level and batches of one, of seven and of all are run. The people are made up: every cell is one of
the table's, but no row is anybody's.
"""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

METADATA, VECTORS = "cfq", "cfq.vectors"  # keys of a file's metadata
MOST_BYTES = 64_000_000
MEMORY = 6 << 30  # bytes of address space
PROCESSOR = 240  # seconds
OUTPUT = "logit"
ERRORS_ONLY = 4  # onnxruntime's log level: what there is to say, our own errors say

#: What onnxruntime may do to a graph before it runs it; users get the last by default.
LEVELS = {
    "off": onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL,
    "basic": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    "extended": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
    "layout": getattr(onnxruntime.GraphOptimizationLevel, "ORT_ENABLE_LAYOUT", None),  # since 1.23
    "all": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL,
}
BATCHES = (1, 7, None)  # people at a time; None: all. A batch of one takes other kernels
#: Extensions that change which integer kernels a runtime takes; without VNNI pairs of 8-bit products are summed in 16.
EXTENSIONS = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm")

Feed = dict[str, np.ndarray]
Run = Callable[[Feed], np.ndarray]


class BadFile(Exception):
    """A file that cannot be verified, in one line."""


def runtime() -> dict[str, Any]:
    """Which runtime and which processor: what a result depends on beside the file."""
    return {
        "runtime": f"onnxruntime {onnxruntime.__version__}",
        "machine": platform.machine(),
        "extensions": [name for name in EXTENSIONS if name in _flags()],
    }


def _flags() -> set[str]:
    """Extensions of this processor, by the names Linux gives them."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # not Linux: numpy knows fewer of them
        core = getattr(np, "_core", None) or np.core
        found = getattr(core._multiarray_umath, "__cpu_features__", {})
        names = {"AVX2": "avx2", "AVX512F": "avx512f", "AVX512_ICL": "avx512_vnni", "ASIMDDP": "asimddp"}
        return {ours for theirs, ours in names.items() if found.get(theirs)}
    return {f for line in lines if line.lower().startswith(("flags", "features")) for f in line.split(":")[-1].split()}


def levels() -> list[str]:
    """The optimisation levels that this runtime has."""
    return [name for name, level in LEVELS.items() if level is not None]


def session(content: bytes, level: str, entries: dict[str, str] | None = None) -> onnxruntime.InferenceSession:
    """A model in onnxruntime on one thread; ``entries``: session options by their key."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = LEVELS[level]
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = ERRORS_ONLY
    for key, value in (entries or {}).items():
        options.add_session_config_entry(key, value)
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def in_batches(run: Run, feed: Feed, size: int | None) -> np.ndarray:
    """One number a person, computed ``size`` people at a time."""
    people = len(next(iter(feed.values())))
    step = size or max(people, 1)
    parts = [run({k: v[i : i + step] for k, v in feed.items()}) for i in range(0, people, step)]
    return np.concatenate(parts) if parts else np.zeros(0)


def logits(running: onnxruntime.InferenceSession) -> Run:
    """The file as a function from its columns to its logits, or to what it gives first."""
    gives = [o.name for o in running.get_outputs()]
    wanted = [OUTPUT if OUTPUT in gives else gives[0]]
    types = {i.name: i.type for i in running.get_inputs()}
    floating = {"tensor(float)": np.float32, "tensor(double)": np.float64}

    def run(feed: Feed) -> np.ndarray:
        if len(types) == 1:  # whatever it is called
            feed = dict(zip(types, feed.values(), strict=True))
        given = {k: v if types[k] == "tensor(string)" else v.astype(floating[types[k]]) for k, v in feed.items()}
        return np.asarray(running.run(wanted, given)[0]).reshape(-1).astype(np.float64)

    return run


# ---------------------------------------------------------------------- the people a file carries
def carried(metadata: dict[str, str]) -> tuple[dict[str, list[Any]], np.ndarray]:
    """Columns of the people in raw units and words, and the logits of the audited model."""
    if VECTORS not in metadata:
        raise BadFile("carries no people to check it with; export it anew")
    try:
        held = json.loads(metadata[VECTORS])
        columns, due = held["columns"], np.array(held["logits"], np.float64)
        if not due.ndim == 1 or not len(due) or any(len(c) != len(due) for c in columns.values()):
            raise ValueError("columns of different lengths")
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as problem:
        raise BadFile(f"carries people that cannot be read ({problem})") from None
    return columns, due


def fed(columns: dict[str, list[Any]], metadata: dict[str, str], names: list[str]) -> Feed:
    """What the file is given for them: their columns, or (one input) the encoding that its metadata describes."""
    if names != ["people"]:
        return {n: np.array(c, object if isinstance(c[0], str) else np.float64)[:, None] for n, c in columns.items()}
    parts = []
    for i in json.loads(metadata[METADATA])["inputs"]:
        cells = columns[i["name"]]
        places = [i["levels"].index(c) for c in cells] if i["levels"] else []
        if i["kind"] == "category":
            parts.append(np.eye(len(i["levels"]))[places])
            continue
        x = np.array(places or cells, np.float64)
        x = np.log1p(x) if i["log"] else x
        parts.append(((x - i["mean"]) / i["std"])[:, None])
    return {"people": np.concatenate(parts, axis=1)}


def verified(path: Path) -> dict[str, Any]:
    """Each level and batch against the decisions that are due; raises `BadFile`."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise BadFile(f"has {path.stat().st_size / 1e6:.1f} MB; at most {MOST_BYTES / 1e6:g} MB")
        content = path.read_bytes()
    except (OSError, ValueError) as problem:
        raise BadFile(f"cannot be read ({type(problem).__name__})") from None
    found = list(_each(content))
    return {
        "file": path.name,
        **runtime(),
        "people": found[0]["people"],
        "differing": max(f["differing"] for f in found),
        "largest": max(f["largest"] for f in found),
        "each": found,
    }


def _each(content: bytes) -> Iterator[dict[str, Any]]:
    for level in levels():
        try:
            running = session(content, level)
            metadata = running.get_modelmeta().custom_metadata_map
            columns, due = carried(metadata)
            feed = fed(columns, metadata, [i.name for i in running.get_inputs()])
            results = {size: in_batches(logits(running), feed, size) for size in BATCHES}
        except BadFile:
            raise
        except Exception as problem:  # whatever a runtime raises at a graph is told in one line
            text = " ".join(str(problem).split())[:300]
            raise BadFile(f"onnxruntime {onnxruntime.__version__} refuses it at optimisation {level}: {text}") from None
        for size, got in results.items():
            off = float(np.abs(got - due).max())
            differing = int(((got > 0) != (due > 0)).sum())
            yield {"level": level, "batch": size, "people": len(due), "differing": differing, "largest": off}


def words(found: dict[str, Any]) -> str:
    """One line for a reader."""
    right = found["people"] - found["differing"]
    return (
        f"{found['file']}: {right} of {found['people']} decisions are as audited, at the worst of "
        f"{len(found['each'])} ways to run it; largest difference of logits {found['largest']:.2g} "
        f"({where(found)})"
    )


def where(found: dict[str, Any]) -> str:
    """Runtime and processor in words."""
    has = ", ".join(found["extensions"]) or "none that matters here"
    return f"{found['runtime']}, {found['machine']}, extensions: {has}"


def limit() -> None:
    """Limits on this process, where the system has them: a file may be anybody's."""
    try:
        import resource
    except ImportError:  # not a POSIX system
        return
    for kind, most in (("AS", MEMORY), ("CPU", PROCESSOR)):
        with suppress(AttributeError, OSError, ValueError):  # macOS limits no memory
            resource.setrlimit(getattr(resource, f"RLIMIT_{kind}"), (most, most))


def main(arguments: list[str]) -> int:
    """Verify one file."""
    path = Path(arguments[0])
    limit()
    try:
        found = verified(path)
    except BadFile as problem:
        sys.stderr.write(f"{path.name}: {problem}\n")
        return 2
    sys.stdout.write(f"{json.dumps(found) if '--json' in arguments else words(found)}\n")
    return 1 if found["differing"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
