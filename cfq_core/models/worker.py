"""Runs one foreign model in a process of its own: memory, files and processor time are limited, a crash is its own.

Stdin: the model, then batches of rows; stdout: outputs. Plain numbers framed by their length, no pickle.
"""

from __future__ import annotations

import struct
import sys
from typing import IO

import numpy as np

FRAME = struct.Struct("<BQ")  # kind, bytes that follow
ROWS, DONE, FAILED = 0, 1, 2
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


def main() -> None:
    """Answer until stdin ends."""
    import onnxruntime

    given, told = sys.stdin.buffer, sys.stdout.buffer
    limit()
    try:
        _, content = receive(given)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4
        running = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        (entry,) = running.get_inputs()
        outputs = [o.name for o in running.get_outputs() if o.type in ("tensor(float)", "tensor(double)")]
        if not outputs:
            raise ValueError("it has no floating output")
        floating = np.float64 if entry.type == "tensor(double)" else np.float32
        send(told, DONE, b"")
        while True:
            rows = np.frombuffer(receive(given)[1]).reshape(-1, entry.shape[1]).astype(floating)
            found = np.asarray(running.run(outputs[-1:], {entry.name: rows})[0], np.float64)
            send(told, DONE, np.ascontiguousarray(found.reshape(len(rows), -1)).tobytes())
    except EOFError:
        return
    except Exception as problem:  # whatever a runtime raises at a foreign graph is told in one line
        send(told, FAILED, " ".join(str(problem).split())[:300].encode())


if __name__ == "__main__":
    main()
