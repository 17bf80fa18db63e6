"""What decides: the file that ships on onnxruntime, or the stored integers that an export is proved equal to."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float

from cfq_core.nets.stack import score
from cfq_core.papers.alone import Decide
from cfq_core.quant.quantized import QuantStack
from cfq_core.tables.encode import Encoding, Values

#: People in exact integer form -> logits at every way to run the model; approved above 0.
Every = Callable[[Values], Float[np.ndarray, "ways n"]]


@dataclass(frozen=True)
class Shipped:
    """A model that decides about people as it does where it is deployed."""

    says: str  # what ran, for a reader
    decide: Decide
    every: Every  # the same at every optimisation level: what is stated is checked on all of them
    sha256: str = ""  # of the file; empty where there is none


def of_file(content: bytes, name: str, encoding: Encoding) -> Shipped:
    """An exported file with encoded inputs, as onnxruntime runs it. Needs onnxruntime."""
    from cfq_core.models import verify

    levels = verify.levels()
    running = [verify.logits(verify.session(content, level)) for level in levels]
    sha256 = hashlib.sha256(content).hexdigest()
    runtime = verify.runtime()["runtime"]
    says = f"{name} (sha256 {sha256}) on {runtime}; what is stated holds at optimisation {', '.join(levels)}"
    return Shipped(
        says,
        lambda people: running[-1]({"people": encoding.encode(people)}),
        lambda people: np.stack([run({"people": encoding.encode(people)}) for run in running]),
        sha256,
    )


def of_integers(student: QuantStack, encoding: Encoding) -> Shipped:
    """The audited integers in float64: what an export is proved equal to on every test person."""

    def decide(people: Values) -> Float[np.ndarray, "n"]:
        inputs = torch.tensor(encoding.encode(people))[None]
        return score(student.to(torch.float64), inputs)[0].numpy()

    says = "the audited integers, computed by cfq: onnx or onnxruntime is not installed, so no file was written or run"
    return Shipped(says, decide, lambda people: decide(people)[None])
