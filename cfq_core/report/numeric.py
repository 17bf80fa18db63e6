"""Stored models in numpy: the arithmetic of `cfq_core.nets.stack.Stack` and `cfq_core.quant.quantized.QuantStack`.

A student's sums are of integers below 2^53, exact in float64 in any order, and it rescales in the engine's order: its
logits are the engine's bit for bit. A teacher's sums may differ in the last bits, as BLAS orders them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

Arrays = Mapping[str, np.ndarray]
INPUT, HIDDEN = (-128.0, 127.0), (0.0, 255.0)  # codes of 8-bit activations: signed at the input, then behind a ReLU


@dataclass(frozen=True)
class FloatNet:
    """One full-precision ReLU network, in float64."""

    weights: tuple[Float[np.ndarray, "o i"], ...]
    biases: tuple[Float[np.ndarray, "o"], ...]

    @staticmethod
    def of(arrays: Arrays) -> FloatNet:
        """From a stored teacher's weights, a stack of one."""
        layers = range(len(arrays) // 2)
        kinds = (tuple(arrays[f"{k}.{i}"][0].astype(np.float64) for i in layers) for k in ("weights", "biases"))
        return FloatNet(*kinds)

    def logits(self, inputs: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n"]:
        """Of encoded people."""
        hidden = inputs
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            hidden = np.maximum(hidden @ weight.T + bias, 0.0)
        return (hidden @ self.weights[-1].T + self.biases[-1])[:, 0]


@dataclass(frozen=True)
class IntegerNets:
    """M quantized networks of one shape: codes and steps, held as float64."""

    codes: tuple[Float[np.ndarray, "m o i"], ...]
    bias_codes: tuple[Float[np.ndarray, "m o"], ...]
    weight_steps: tuple[Float[np.ndarray, "m o"], ...]
    input_steps: tuple[Float[np.ndarray, "m"], ...]

    @staticmethod
    def of(stored: Sequence[Arrays]) -> IntegerNets:
        """From the weights of stored runs of one teacher."""
        layers = range(len(stored[0]) // 4)

        def each(kind: str) -> tuple[np.ndarray, ...]:
            return tuple(np.stack([a[f"{kind}.{i}"] for a in stored]).astype(np.float64) for i in layers)

        steps = tuple(s.reshape(len(stored)) for s in each("input_step"))
        return IntegerNets(each("codes"), each("bias_codes"), each("weight_steps"), steps)

    def logits(self, inputs: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "m n"]:
        """Of encoded people on every network."""
        given, bounds = np.broadcast_to(inputs, (len(self.input_steps[0]), *inputs.shape)), INPUT
        total = given
        for codes, bias, scale, step in zip(
            self.codes, self.bias_codes, self.weight_steps, self.input_steps, strict=True
        ):
            integers = np.rint(np.clip(total / step[:, None, None], *bounds))
            total = integers @ codes.transpose(0, 2, 1) + bias[:, None]
            total, bounds = total * (scale * step[:, None])[:, None], HIDDEN
        return total[..., 0]
