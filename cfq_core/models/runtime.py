"""A foreign model computed by onnxruntime in a process of its own."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from cfq_core.base.processes import environment, module_command
from cfq_core.models.provenance import BadModel
from cfq_core.models.worker import DONE, ROWS, WAY, receive, send

if TYPE_CHECKING:
    from cfq_core.models.read import ModelFile

STARTING = 60  # seconds
BATCH = 65_536  # rows sent at a time


class Computing:
    """One model in its own process; use it as a context manager. Raises `BadModel` where it fails or takes too long."""

    def __init__(self, name: str, content: bytes, door: Mapping[str, Any], seconds: float) -> None:
        """``door``: what `worker.computing` is told of it; ``seconds`` it may compute."""
        self.name, self.content, self.door, self.left = name, content, dict(door), seconds
        self.rows = 0  # computed so far
        self.unlimited: tuple[str, ...] = ()  # of its process, what this system cannot limit
        self.process = subprocess.Popen(
            module_command("cfq_core.models.worker"),
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )

    def __enter__(self) -> Computing:
        try:
            told = self._exchange(json.dumps(self.door).encode(), min(STARTING, self.left), before=self.content)
            self.unlimited = tuple(json.loads(told))
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, kind: type | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def run_as(self, way: Mapping[str, Any]) -> None:
        """How rows are computed from now on: ``level`` of optimisation, ``options``, ``batch``, or ``reference``."""
        self._exchange(json.dumps(dict(way)).encode(), min(STARTING, self.left), WAY)

    def close(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                with suppress(OSError):  # what was still to be sent has nobody to go to
                    stream.close()

    def outputs(self, inputs: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n c"]:
        """The output that is read, one row a person."""
        parts = []
        for start in range(0, len(inputs), BATCH):
            batch = np.ascontiguousarray(inputs[start : start + BATCH], np.float64)
            began = time.monotonic()
            found = np.frombuffer(self._exchange(batch.tobytes(), self.left))
            self.left -= time.monotonic() - began
            self.rows += len(batch)
            if len(found) % len(batch):
                raise BadModel(f"{self.name}: gave {len(found)} outputs for {len(batch)} people")
            parts.append(found.reshape(len(batch), -1))
        return np.concatenate(parts) if parts else np.zeros((0, 1))

    def _exchange(self, content: bytes, seconds: float, kind: int = ROWS, before: bytes | None = None) -> bytes:
        """Send one frame and wait for its answer, no longer than ``seconds``."""
        late = threading.Timer(max(seconds, 0.0), self.process.kill)
        late.start()
        assert self.process.stdin is not None and self.process.stdout is not None
        try:
            if before is not None:
                send(self.process.stdin, kind, before)
            send(self.process.stdin, kind, content)
            kind, answer = receive(self.process.stdout)
        except (EOFError, OSError):
            ended = (
                "took longer than it may" if not late.is_alive() else "crashed the runtime, or needed too much memory"
            )
            raise BadModel(f"{self.name}: {ended}; refused") from None
        finally:
            late.cancel()
        if kind != DONE:
            raise BadModel(f"{self.name}: onnxruntime refuses it: {answer.decode(errors='replace')}")
        return answer


class Running(Computing):
    """A file that was read in this process, in one of its own."""

    def __init__(self, file: ModelFile, seconds: float, feeds: Sequence[Mapping[str, Any]] = ()) -> None:
        """``seconds`` it may compute; ``feeds``: how rows become its inputs, as `columns.feeds` says."""
        self.file, self.feeds = file, [dict(f) for f in feeds] or _one_after_another(file)
        door: dict[str, Any] = {
            "feeds": self.feeds,
            "output": file.gives.name,
            "batch": file.batch,
            "alone": file.alone,
        }
        door |= {"labels": list(file.gives.labels)} if file.gives.words else {}
        super().__init__(file.name, file.content, door, seconds)

    def __enter__(self) -> Running:
        super().__enter__()
        return self


def _one_after_another(file: ModelFile) -> list[dict[str, Any]]:
    """Columns cut into inputs in the file's own order; words are not known."""
    out, start = [], 0
    for e in file.entries:
        out.append({**asdict(e), "start": start, "stop": start + e.width, "words": []})
        start += e.width
    return out
