"""A quantized file of another author in whole numbers, rescaled and rounded as onnxruntime does by default.

Static quantization as QDQ or QOperator and dynamic quantization of dense nets: nodes are computed one by one
(`integer_nodes.py`). Steps that a runtime finds anew in every batch are those of each person alone. Such a model is
searched with gradients, which pass through the rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from onnx import TensorProto, numpy_helper
from torch import Tensor

from cfq_core.models.integer_nodes import NODES, Constant, Unknown, kind_of, real
from cfq_core.models.reading import Reading
from cfq_core.models.scale import LEAST_PROBABILITY
from cfq_core.tables.encode import Encoding

QUANTIZED = frozenset({"QuantizeLinear", "DynamicQuantizeLinear"})  # one of them at least
#: Element types of tensors that such a file holds.
KEPT = (
    TensorProto.FLOAT, TensorProto.UINT8, TensorProto.INT8, TensorProto.INT32, TensorProto.INT64, TensorProto.DOUBLE
)  # fmt: skip


@dataclass(frozen=True)
class IntegerNet:
    """R copies of one quantized file; an interpreter of its nodes. Encoded people go in by one affine map."""

    reading: Reading
    weight: Float[Tensor, "k d"]  # the file's columns of encoded people
    bias: Float[Tensor, "k"]
    copies: int = 1
    dtype: torch.dtype = torch.float64

    @property
    def runs(self) -> int:
        """Number of models R."""
        return self.copies

    @property
    def first_weight(self) -> Float[Tensor, "r k d"]:
        """From encoded people to the file's columns."""
        return self.weight.to(self.dtype).expand(self.copies, *self.weight.shape)

    @property
    def first_bias(self) -> Float[Tensor, "r k"]:
        """Of the same map."""
        return self.bias.to(self.dtype).expand(self.copies, len(self.bias))

    def quantize_input(
        self, inputs: Float[Tensor, "*n d"], run: Int[Tensor, "b"] | None = None
    ) -> Float[Tensor, "*n d"]:
        """The inputs themselves."""
        return inputs

    def forward_from_first(self, first: Float[Tensor, "r n k"]) -> Float[Tensor, "r n"]:
        """Logits of the file's columns."""
        out = self._outputs(first.flatten(0, 1).double()).double()
        if out.requires_grad:
            logits = _logits(self.reading, out)
        else:
            logits = torch.from_numpy(self.reading.of_outputs(out.numpy()))
        return logits.to(first.dtype).view(first.shape[:2])

    def highest(self, low: Float[Tensor, "r n k"], high: Float[Tensor, "r n k"]) -> Float[Tensor, "r n"]:
        """Nothing is known of its bounds."""
        return torch.full(low.shape[:2], torch.inf, dtype=low.dtype)

    def take(self, runs: Sequence[int]) -> IntegerNet:
        """Copies of the one model."""
        return replace(self, copies=len(runs))

    def to(self, dtype: torch.dtype) -> IntegerNet:
        """The same model; what it computes in stays its own."""
        return replace(self, dtype=dtype)

    @cached_property
    def _held(self) -> dict[str, Constant]:
        graph = self.reading.file.proto.graph
        held = {c.name: Constant(numpy_helper.to_array(c)) for c in graph.initializer if c.data_type in KEPT}
        for node in graph.node:
            if node.op_type == "Constant" and node.attribute and node.attribute[0].name == "value":
                held[node.output[0]] = Constant(numpy_helper.to_array(node.attribute[0].t))
        return held

    def _outputs(self, columns: Float[Tensor, "n k"]) -> Float[Tensor, "n c"]:
        file = self.reading.file
        values: dict[str, Any] = {"": None, **self._held, file.given: columns.float()}
        for node in file.proto.graph.node:
            if node.op_type == "Constant":
                continue
            found = NODES[kind_of(node)](node, [values[name] for name in node.input])
            for name, value in zip(node.output, found if isinstance(found, tuple) else (found,), strict=False):
                values[name] = value
        return real(values[file.gives.name]).reshape(len(columns), -1)


def integer_net(reading: Reading, encoding: Encoding) -> IntegerNet | None:
    """A quantized file that takes one tensor of float32 columns; None of any other."""
    graph, seen = reading.file.proto.graph, reading.columns.of(encoding)
    kinds = {kind_of(n) for n in graph.node}
    entries = reading.file.entries
    if seen is None or len(entries) != 1 or entries[0].kind != "float32" or entries[0].flat:
        return None
    if not kinds & QUANTIZED or not kinds <= {*NODES, "Constant"}:
        return None
    net = IntegerNet(reading, torch.from_numpy(seen[0]), torch.from_numpy(seen[1]))
    try:
        net._outputs(torch.zeros(2, len(seen[1]), dtype=torch.float64))
    except (Unknown, KeyError, IndexError, ValueError, TypeError, AttributeError, RuntimeError):
        return None  # the last six are torch's and numpy's own ways to say that shapes do not fit
    return net


def _logits(reading: Reading, outputs: Float[Tensor, "n c"]) -> Float[Tensor, "n"]:
    """As `Scale.logits` has them, for gradients."""
    scale = reading.scale
    u = outputs[:, scale.column]
    if scale.kind == "probability":
        p = u.clamp(LEAST_PROBABILITY, 1 - LEAST_PROBABILITY)
        return scale.sign * (p.logit() - float(np.log(scale.cut) - np.log1p(-scale.cut)))
    if scale.classes == 2:
        u = u - outputs[:, 1 - scale.column]
    return scale.sign * scale.slope * (u - scale.cut)
