"""A foreign model computed by onnxruntime in a process of its own, and searched without gradients.

What the search needs of a model (`Scorer`) is met by taking the inputs themselves for the first layer.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from types import TracebackType
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from cfq_core.models.provenance import BadModel
from cfq_core.models.read import ModelFile
from cfq_core.models.worker import DONE, ROWS, WAY, receive, send

STARTING = 60  # seconds
BATCH = 65_536  # rows sent at a time
LEAST_PROBABILITY = 1e-6  # a probability of 0 or 1 is a logit of -13.8 or 13.8: trees give such


class Running:
    """One model in its own process; use it as a context manager. Raises `BadModel` where it fails or takes too long."""

    def __init__(self, file: ModelFile, seconds: float) -> None:
        self.file, self.left = file, seconds
        self.rows = 0  # computed so far
        self.process = subprocess.Popen(
            [sys.executable, "-m", "cfq_core.models.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )

    def __enter__(self) -> Running:
        try:
            self._exchange(self.file.content, min(STARTING, self.left))
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
        """The last floating output of the graph, one row a person."""
        parts = []
        for start in range(0, len(inputs), BATCH):
            batch = np.ascontiguousarray(inputs[start : start + BATCH], np.float64)
            began = time.monotonic()
            found = np.frombuffer(self._exchange(batch.tobytes(), self.left))
            self.left -= time.monotonic() - began
            self.rows += len(batch)
            if len(found) % len(batch):
                raise BadModel(f"{self.file.name}: gave {len(found)} outputs for {len(batch)} people")
            parts.append(found.reshape(len(batch), -1))
        return np.concatenate(parts) if parts else np.zeros((0, 1))

    def _exchange(self, content: bytes, seconds: float, kind: int = ROWS) -> bytes:
        """Send one frame and wait for its answer, no longer than ``seconds``."""
        late = threading.Timer(max(seconds, 0.0), self.process.kill)
        late.start()
        assert self.process.stdin is not None and self.process.stdout is not None
        try:
            send(self.process.stdin, kind, content)
            kind, answer = receive(self.process.stdout)
        except (EOFError, OSError):
            ended = (
                "took longer than it may" if not late.is_alive() else "crashed the runtime, or needed too much memory"
            )
            raise BadModel(f"{self.file.name}: {ended}; refused") from None
        finally:
            late.cancel()
        if kind != DONE:
            raise BadModel(f"{self.file.name}: onnxruntime refuses it: {answer.decode(errors='replace')}")
        return answer


def as_logits(outputs: Float[np.ndarray, "n c"], probability: bool, name: str) -> Float[np.ndarray, "n"]:
    """One logit a person from one output, or from two classes of which the second is favourable."""
    if outputs.shape[1] not in (1, 2):
        raise BadModel(f"{name}: gives {outputs.shape[1]} numbers a person; one, or two classes, are needed")
    if not np.isfinite(outputs).all():
        raise BadModel(f"{name}: gives numbers that are not finite")
    if not probability:
        return outputs[:, 0] if outputs.shape[1] == 1 else outputs[:, 1] - outputs[:, 0]
    if outputs.min(initial=0.0) < -LEAST_PROBABILITY or outputs.max(initial=0.0) > 1 + LEAST_PROBABILITY:
        raise BadModel(f"{name}: gives numbers outside 0 to 1, so they are no probabilities")
    favourable = outputs[:, -1].clip(LEAST_PROBABILITY, 1 - LEAST_PROBABILITY)
    return np.log(favourable) - np.log1p(-favourable)


@dataclass(frozen=True)
class BlackBox:
    """R copies of one foreign model as a `Scorer`; ``view`` makes the model's inputs of encoded people."""

    running: Running
    probability: bool
    view: Float[Tensor, "h d"]
    copies: int = 1

    @property
    def runs(self) -> int:
        """Number of models R."""
        return self.copies

    @cached_property
    def first_weight(self) -> Float[Tensor, "r h d"]:
        """The inputs themselves."""
        return self.view.expand(self.copies, *self.view.shape)

    @cached_property
    def first_bias(self) -> Float[Tensor, "r h"]:
        """Nothing is added to them."""
        return self.view.new_zeros(self.copies, len(self.view))

    def quantize_input(
        self, inputs: Float[Tensor, "*n d"], run: Int[Tensor, "b"] | None = None
    ) -> Float[Tensor, "*n d"]:
        """The inputs themselves."""
        return inputs

    def forward_from_first(self, first: Float[Tensor, "r n h"]) -> Float[Tensor, "r n"]:
        """Logits, without a gradient."""
        inputs = first.detach().flatten(0, 1).double().numpy()
        logits = as_logits(self.running.outputs(inputs), self.probability, self.running.file.name)
        return torch.from_numpy(logits).to(first.dtype).view(first.shape[:2])

    def highest(self, low: Float[Tensor, "r n h"], high: Float[Tensor, "r n h"]) -> Float[Tensor, "r n"]:
        """Nothing is known of its bounds."""
        return torch.full(low.shape[:2], torch.inf, dtype=low.dtype)

    def take(self, runs: Sequence[int]) -> BlackBox:
        """Copies of the one model."""
        return replace(self, copies=len(runs))

    def to(self, dtype: torch.dtype) -> BlackBox:
        """The same model; what it computes in stays its own."""
        return replace(self, view=self.view.to(dtype))
