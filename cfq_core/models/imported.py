"""A file as the model that is searched: its layers where onnxruntime computes the same, else the file itself."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from cfq_core.models.blackbox import BlackBox
from cfq_core.models.dense import dense
from cfq_core.models.integers import IntegerNet, integer_net
from cfq_core.models.reading import Reading
from cfq_core.nets.stack import Scorer, Stack, score
from cfq_core.quant.quantized import QuantStack
from cfq_core.tables.encode import Encoding, Values

#: How far an imported network may be from the runtime that computes it: float32 rounding, relative to the logit.
TOLERANCE = 1e-3
SATURATED = 8.0  # logits; beyond, a float32 probability cannot tell them apart
COMPUTED = "computed by onnxruntime, searched without gradients"


@dataclass(frozen=True)
class Imported:
    """A model of encoded people, what it is in words, and why it is no list of layers where it might have been."""

    model: Scorer
    how: str
    problem: str = ""

    @property
    def is_blind(self) -> bool:
        """Whether nothing but its decisions is known."""
        return isinstance(self.model, BlackBox)


def _tolerance(reading: Reading) -> float:
    """Half precision is a hundred times as coarse, where any of a file is in it."""
    half = any(e.kind == "float16" for e in reading.file.entries)
    return 10 * TOLERANCE if half else TOLERANCE


def imported(reading: Reading, encoding: Encoding, values: Values) -> Imported:
    """The model of people under an encoding; checked on ``values`` against what onnxruntime computes."""
    blind, name = BlackBox(reading, encoding), reading.file.name
    model = layers_of(reading, encoding) or integer_net(reading, encoding)
    if model is None:
        return Imported(blind, COMPUTED)
    logits = reading.logits(values)
    found = score(model, torch.tensor(encoding.encode(values))[None])[0].numpy()
    differing = int(((found > 0) != (logits > 0)).sum())
    near = np.abs(logits) < SATURATED
    off = float((np.abs(found - logits) / (1 + np.abs(logits)))[near].max(initial=0.0))
    if differing or (off > _tolerance(reading) and not isinstance(model, QuantStack | IntegerNet)):
        return Imported(
            blind,
            COMPUTED,
            f"{name}: a network was read from it, but onnxruntime decides {differing} of {len(values)} rows otherwise "
            f"(logits by up to {off:.2g}); what onnxruntime computes is audited",
        )
    return Imported(model, _described(model))


def layers_of(reading: Reading, encoding: Encoding) -> Scorer | None:
    """The network of encoded people in a file; None where it is none, or a logarithm lies before it."""
    raw = dense(reading.file, reading.columns.groups)
    seen = reading.columns.apart.of(encoding)
    if raw is None or seen is None:
        return None
    if isinstance(raw, QuantStack):
        plain = replace(reading.scale, sign=1.0, slope=1.0, cut=0.0, column=0)
        return raw if _is_same(*seen) and reading.scale == plain else None
    assert isinstance(raw, Stack)
    return seen_through(reading.scale.network(raw), *seen)


def seen_through(network: Stack, weight: np.ndarray, bias: np.ndarray) -> Stack:
    """A network of columns that are ``weight @ inputs + bias``, as one of the inputs."""
    if _is_same(weight, bias):
        return network
    first, by, plus = network.weights[0], torch.from_numpy(weight), torch.from_numpy(bias)
    return replace(
        network,
        weights=(first @ by, *network.weights[1:]),
        biases=(network.biases[0] + first @ plus, *network.biases[1:]),
    )


def _is_same(weight: np.ndarray, bias: np.ndarray) -> bool:
    return weight.shape[0] == weight.shape[1] and not bias.any() and bool((weight == np.eye(len(weight))).all())


def _described(model: Scorer) -> str:
    if isinstance(model, IntegerNet):
        return "quantized by another tool: its integers, computed as onnxruntime does, searched with gradients"
    if isinstance(model, QuantStack):
        return "our own quantized file: the integers of the audit, searched with gradients"
    assert isinstance(model, Stack)
    widths = "-".join(str(w.shape[1]) for w in model.weights)
    kinds = ", ".join(sorted({x.activation for x in model.architecture[:-1]})) or "logistic regression"
    residual = ", residual" if any(x.skip is not None for x in model.architecture) else ""
    return f"dense network {widths} ({kinds}{residual}), imported and searched with gradients"
