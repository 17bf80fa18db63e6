"""Runs one foreign model in a process of its own: memory, files and processor time are limited, a crash is its own.

Stdin: the model, how rows become its inputs, then batches of rows, or how they are to be run from now on; stdout:
outputs. Plain numbers framed by their length, no pickle.
"""

from __future__ import annotations

import json
import struct
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import IO, Any, cast

import numpy as np

from cfq_core.models.limits import limited

Compute = Callable[[np.ndarray], np.ndarray]
Run = Callable[[dict[str, np.ndarray]], np.ndarray]
FRAME = struct.Struct("<BQ")  # kind, bytes that follow
ROWS, DONE, FAILED, WAY = 0, 1, 2, 3
MEMORY = 6 << 30  # bytes of address space
PROCESSOR = 3600  # seconds


def send(stream: IO[bytes], kind: int, content: bytes) -> None:
    """One frame."""
    stream.write(FRAME.pack(kind, len(content)))
    stream.write(content)
    stream.flush()


def receive(stream: IO[bytes]) -> tuple[int, bytes]:
    """One frame; raises `EOFError` where the other side has gone."""
    head = stream.read(FRAME.size)
    if len(head) < FRAME.size:
        raise EOFError
    kind, size = FRAME.unpack(head)
    content = stream.read(size)
    if len(content) < size:
        raise EOFError
    return kind, content


def computing(content: bytes, door: dict[str, Any], way: dict[str, Any]) -> Compute:
    """A model as a function of rows, run in some way: ``level``, ``options``, ``batch``, or by onnx's ``reference``.

    ``door``: how rows are cut into its inputs (``feeds``), the ``output`` that is read, its own ``batch``, and whether
    people are asked ``alone`` where nothing is said of batches.
    """
    run = (_reference if way.get("reference") else _session)(content, door["output"], way)
    feeds = [_feed(f) for f in door["feeds"]]
    width = max(f["stop"] for f in door["feeds"])
    labels = {word: float(i) for i, word in enumerate(door.get("labels", ()))}
    size = door["batch"] or way.get("batch", 1 if door.get("alone") else None)

    def compute(rows: np.ndarray) -> np.ndarray:
        rows = rows.reshape(-1, width)
        step = size or max(len(rows), 1)
        parts = [rows[i : i + step] for i in range(0, len(rows), step)] or [rows]
        made = ({name: of(part) for name, of in feeds} for part in parts)
        found = (_numbers(np.asarray(run(feed)), labels) for feed in made)
        return np.concatenate([f.astype(np.float64).reshape(len(p), -1) for f, p in zip(found, parts, strict=True)])

    return compute


def _numbers(found: np.ndarray, labels: dict[str, float]) -> np.ndarray:
    """A class that is a word as its number."""
    return np.vectorize(lambda word: labels[str(word)], otypes=[float])(found) if labels else found


def _feed(of: dict[str, Any]) -> tuple[str, Callable[[np.ndarray], np.ndarray]]:
    """One input's name, and its values from rows."""
    place = of["start"] if of["flat"] else slice(of["start"], of["stop"])
    words = np.array([*of["words"], ""], dtype=object)
    if of["kind"] == "str":
        return of["name"], lambda rows: words[rows[:, place].astype(np.int64)]
    kind = np.dtype(of["kind"])
    if kind.kind == "f":
        return of["name"], lambda rows: np.ascontiguousarray(rows[:, place].astype(kind))
    return of["name"], lambda rows: np.ascontiguousarray(np.rint(rows[:, place]).astype(kind))


def _session(content: bytes, output: str, way: dict[str, Any]) -> Run:
    from cfq_core.models.verify import session

    running = session(content, way.get("level", "all"), way.get("options"))
    return lambda feed: running.run([output], feed)[0]


def _reference(content: bytes, output: str, way: dict[str, Any]) -> Run:
    """What the specification says, computed by no optimizer."""
    import onnx
    from onnx.reference import ReferenceEvaluator

    running = cast(Any, ReferenceEvaluator(onnx.load_model_from_string(content)))
    return lambda feed: running.run([output], feed)[0]


def main() -> None:
    """Answer until stdin ends; what cannot be done is told, and the next may be asked."""
    import onnxruntime  # noqa: F401  (before the limits: it writes nothing, but maps much)

    given, told = sys.stdin.buffer, sys.stdout.buffer
    missing = limited(MEMORY, PROCESSOR)
    with suppress(EOFError):
        _, content = receive(given)
        door = json.loads(receive(given)[1])
        kind, asked, first = WAY, b"{}", json.dumps(missing).encode()
        compute: Compute
        while True:
            try:
                if kind == WAY:
                    compute = computing(content, door, json.loads(asked))
                    answer, first = first, b""  # at first: what of this process could not be limited
                else:
                    answer = np.ascontiguousarray(compute(np.frombuffer(asked))).tobytes()
            except Exception as problem:  # whatever a runtime raises at a foreign graph is told in one line
                send(told, FAILED, " ".join(str(problem).split())[:300].encode())
            else:
                send(told, DONE, answer)
            kind, asked = receive(given)


if __name__ == "__main__":
    main()
