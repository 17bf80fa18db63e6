"""Runs one foreign model in a process of its own: memory, files and processor time are limited, a crash is its own.

Stdin: the model, then batches of rows, or how they are to be run from now on; stdout: outputs. Plain numbers framed by
their length, no pickle.
"""

from __future__ import annotations

import json
import struct
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import IO, Any, cast

import numpy as np

Compute = Callable[[np.ndarray], np.ndarray]
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


def limit() -> None:
    """Limits on this process, where the system has them."""
    try:
        import resource
    except ImportError:  # not a POSIX system: the time limit of the other side remains
        return
    for what, most in ((resource.RLIMIT_AS, MEMORY), (resource.RLIMIT_CPU, PROCESSOR), (resource.RLIMIT_FSIZE, 0)):
        resource.setrlimit(what, (most, most))


def computing(content: bytes, way: dict[str, Any]) -> Compute:
    """A model as a function of rows, run in some way: ``level``, ``options``, ``batch``, or by onnx's ``reference``."""
    run, width, floating = (_reference if way.get("reference") else _session)(content, way)

    def compute(rows: np.ndarray) -> np.ndarray:
        rows = rows.reshape(-1, width).astype(floating)
        step = way.get("batch") or max(len(rows), 1)
        parts = [rows[i : i + step] for i in range(0, len(rows), step)] or [rows]
        return np.concatenate([np.asarray(run(part), np.float64).reshape(len(part), -1) for part in parts])

    return compute


def _session(content: bytes, way: dict[str, Any]) -> tuple[Compute, int, type]:
    from cfq_core.models.verify import session

    running = session(content, way.get("level", "all"), way.get("options"))
    (entry,) = running.get_inputs()
    outputs = [o.name for o in running.get_outputs() if o.type in ("tensor(float)", "tensor(double)")]
    if not outputs:
        raise ValueError("it has no floating output")
    floating = np.float64 if entry.type == "tensor(double)" else np.float32
    return lambda rows: running.run(outputs[-1:], {entry.name: rows})[0], entry.shape[1], floating


def _reference(content: bytes, way: dict[str, Any]) -> tuple[Compute, int, type]:
    """What the specification says, computed by no optimizer."""
    import onnx
    from onnx.reference import ReferenceEvaluator

    proto = onnx.load_model_from_string(content)
    held = {c.name for c in proto.graph.initializer}
    (entry,) = (i for i in proto.graph.input if i.name not in held)
    floating: dict[int, type] = {onnx.TensorProto.FLOAT: np.float32, onnx.TensorProto.DOUBLE: np.float64}
    outputs = [o.name for o in proto.graph.output if o.type.tensor_type.elem_type in floating]
    given, running = entry.type.tensor_type, cast(Any, ReferenceEvaluator(proto))
    run = lambda rows: running.run(outputs[-1:], {entry.name: rows})[0]  # noqa: E731
    return run, given.shape.dim[1].dim_value, floating[given.elem_type]


def main() -> None:
    """Answer until stdin ends; what cannot be done is told, and the next may be asked."""
    import onnxruntime  # noqa: F401  (before the limits: it writes nothing, but maps much)

    given, told = sys.stdin.buffer, sys.stdout.buffer
    limit()
    with suppress(EOFError):
        _, content = receive(given)
        kind, asked = WAY, b"{}"
        compute: Compute
        while True:
            try:
                if kind == WAY:
                    compute = computing(content, json.loads(asked))
                    answer = b""
                else:
                    answer = np.ascontiguousarray(compute(np.frombuffer(asked))).tobytes()
            except Exception as problem:  # whatever a runtime raises at a foreign graph is told in one line
                send(told, FAILED, " ".join(str(problem).split())[:300].encode())
            else:
                send(told, DONE, answer)
            kind, asked = receive(given)


if __name__ == "__main__":
    main()
