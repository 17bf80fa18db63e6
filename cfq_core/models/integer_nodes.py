"""What one node of a quantized dense net computes, of all people at once: codes, whole numbers with a scale, float32.

Sums of products of codes are whole numbers (exact in float64); a quantizer that follows takes them by one float32
factor, as onnxruntime's fused kernels do by default. An x86 processor without VNNI adds u8 x s8 products in pairs into
16 bits and cuts them off there: so does this, where it runs on one. Gradients pass through the rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx
import torch
from jaxtyping import Bool, Float, Real
from onnx import TensorProto
from torch import Tensor

from cfq_core.models import verify
from cfq_core.models.read import attributes
from cfq_core.quant.grid import BIAS_LIMIT, round_through

RANGES = {np.dtype("uint8"): (0, 255), np.dtype("int8"): (-128, 127), np.dtype("int32"): (-BIAS_LIMIT - 1, BIAS_LIMIT)}
CODES = 255  # largest of unsigned ones
MOST_16 = 2**15 - 1
SATURATES = verify.runtime()["machine"] in ("x86_64", "AMD64") and not any(
    "vnni" in e for e in verify.runtime()["extensions"]
)
ONE = torch.ones(())


class Unknown(Exception):
    """A node that is none of a quantized dense net's."""


@dataclass(frozen=True)
class Whole:
    """``value * scale``: whole numbers, and what one of them is worth (float32; a number, or one a column)."""

    value: Float[Tensor, "n k"]
    scale: Tensor
    product: bool = False  # sums of products, which a quantizer that follows is fused with
    zero: Tensor | float = 0.0  # of codes: ``value + zero`` are those that are multiplied
    signed: bool = False  # codes of 8 bits with a sign

    @property
    def real(self) -> Float[Tensor, "n k"]:
        """In float32."""
        return self.value.float() * self.scale


@dataclass(frozen=True)
class Constant:
    """A tensor of the file, as it is stored: its element type says the range of codes."""

    array: np.ndarray

    @property
    def real(self) -> Tensor:
        """In float32."""
        return torch.from_numpy(self.array.astype(np.float32))

    @property
    def value(self) -> Tensor:
        """Codes, in float64."""
        return torch.from_numpy(self.array.astype(np.float64))


Value = Tensor | Whole | Constant  # codes or real numbers; scaled whole numbers; what stands in the file


def kind_of(node: onnx.NodeProto) -> str:
    """Its operator, by which `NODES` knows it."""
    return node.op_type if node.domain in ("", "ai.onnx", "com.microsoft") else f"{node.domain}.{node.op_type}"


# ---------------------------------------------------------------------- kinds of values
def real(value: Any) -> Tensor:
    """In float32."""
    return value if isinstance(value, Tensor) else value.real


def _codes(value: Any) -> Tensor:
    """Codes, in float64."""
    return value.value if isinstance(value, Constant) else value.double()


def _whole(codes: Any, scale: Any, zero: Any, axis: int | None = None) -> Whole:
    """``(codes - zero) * scale``."""
    value, by = _codes(codes), real(scale)
    offset = torch.zeros((), dtype=torch.float64) if zero is None else _codes(zero)
    if by.ndim == 1 and by.numel() > 1 and axis == 0 and value.ndim == 2:
        by, offset = by[:, None], offset[:, None] if offset.numel() > 1 else offset
    stored = codes if isinstance(codes, Constant) else zero
    signed = isinstance(stored, Constant) and stored.array.dtype == np.int8
    return Whole(value - offset, by.reshape(()) if by.numel() == 1 else by, False, offset, signed)


def _rounded(scaled: Tensor, zero: Any) -> Tensor:
    """Codes of multiples of a step."""
    low, high = RANGES[np.dtype("uint8") if zero is None else zero.array.dtype]
    offset = torch.zeros((), dtype=torch.float64) if zero is None else zero.value.reshape(())
    return (round_through(scaled.double()) + offset).clamp(low, high)


def _to_codes(value: Any, scale: Any, zero: Any) -> Tensor:
    """As `QuantizeLinear`; of sums of products by one float32 factor, as the kernels that it is fused with."""
    step = real(scale).reshape(())
    if isinstance(value, Whole) and value.product:
        return _rounded(value.value.float() * (value.scale / step), zero)
    return _rounded(real(value) / step, zero)


def _product(given: Whole, weight: Whole, bias: Any, transposed: bool) -> Whole:
    """Sums of products of codes; the bias lies on their scale."""
    matrix = weight.value.mT if transposed else weight.value
    by = weight.scale.reshape(-1) if weight.scale.numel() > 1 else weight.scale
    total = given.value @ matrix
    if weight.signed:
        raw = weight.value + weight.zero
        total = total + _cut_off(given.value + given.zero, given.signed, raw.mT if transposed else raw)
    out = Whole(total, given.scale * by, True)
    if bias is None:
        return out
    codes = bias.value if isinstance(bias, Whole) else (real(bias).double() / out.scale.double()).round()
    return Whole(out.value + codes, out.scale, True)


def exceeds_16_bits(weight: Real[np.ndarray, "k h"]) -> Bool[np.ndarray, "j h"]:
    """Which pairs of products of 8-bit codes with INT8 weights, one below the other, may leave 16 bits."""
    pairs = weight[: len(weight) // 2 * 2].reshape(-1, 2, weight.shape[1])
    return (CODES * pairs.clip(0, None).sum(1) > MOST_16) | (CODES * pairs.clip(None, 0).sum(1) < -MOST_16 - 1)


def _cut_off(codes: Float[Tensor, "n k"], signed: bool, weight: Float[Tensor, "k h"]) -> Float[Tensor, "n h"] | float:
    """What a processor without VNNI loses of u8 x s8 products added in pairs; signed codes are first moved by 128."""
    if not SATURATES:
        return 0.0
    odd = len(weight) % 2
    pairs = torch.nn.functional.pad(weight, (0, 0, 0, odd)).unflatten(0, (-1, 2))  # [k / 2, 2, h]
    high, low = CODES * pairs.clamp(min=0).sum(1), CODES * pairs.clamp(max=0).sum(1)
    pair, column = ((high > MOST_16) | (low < -MOST_16 - 1)).nonzero(as_tuple=True)
    if not len(pair):
        return 0.0
    # whole numbers below 2**24: float32 holds all of them
    given = torch.nn.functional.pad(codes.detach().float() + (128.0 if signed else 0.0), (0, odd)).mT.contiguous()
    one, other = (pairs[pair, side, column].float()[:, None] for side in (0, 1))
    sums = torch.addcmul(given[2 * pair] * one, given[2 * pair + 1], other)  # [pairs, n]
    lost = torch.zeros(weight.shape[1], len(codes)).index_add_(0, column, sums.clamp(-MOST_16 - 1, MOST_16).sub_(sums))
    return lost.mT.double()


# ---------------------------------------------------------------------- nodes
Node = onnx.NodeProto


def _quantize(node: Node, given: list[Any]) -> Tensor:
    value, scale, *zero = given
    if real(scale).numel() != 1:
        raise Unknown
    return _to_codes(value, scale, zero[0] if zero else None)


def _dequantize(node: Node, given: list[Any]) -> Whole:
    codes, scale, *zero = given
    at = attributes(node)
    if at.get("block_size", 0):
        raise Unknown
    return _whole(codes, scale, zero[0] if zero else None, int(at.get("axis", 1)))  # type: ignore[call-overload]


def _gemm(node: Node, given: list[Any]) -> Value:
    at, bias = attributes(node), given[2] if len(given) > 2 else None
    if at.get("transA", 0) or at.get("alpha", 1.0) != 1 or at.get("beta", 1.0) != 1:
        raise Unknown
    transposed = bool(at.get("transB", 0))
    if isinstance(given[0], Whole) and isinstance(given[1], Whole):
        return _product(given[0], given[1], bias, transposed)
    matrix = real(given[1])
    out = real(given[0]) @ (matrix.mT if transposed else matrix)
    return out if bias is None else out + real(bias)


def _qgemm(node: Node, given: list[Any]) -> Value:
    a, a_scale, a_zero, b, b_scale, b_zero, *rest = given
    at = attributes(node)
    transposed = bool(at.get("transB", 0))
    if at.get("transA", 0) or at.get("alpha", 1.0) != 1:
        raise Unknown
    weight = _whole(b, b_scale, b_zero, 0 if transposed else 1)
    out = _product(_whole(a, a_scale, a_zero), weight, None, transposed)
    if rest and rest[0] is not None:
        out = Whole(out.value + rest[0].value, out.scale, True)
    if len(rest) < 2 or rest[1] is None:
        return out.real
    return _to_codes(out, rest[1], rest[2] if len(rest) > 2 else None)


def _qmatmul(node: Node, given: list[Any]) -> Tensor:
    a, a_scale, a_zero, b, b_scale, b_zero, scale, zero = given
    out = _product(_whole(a, a_scale, a_zero), _whole(b, b_scale, b_zero, 1), None, False)
    return _to_codes(out, scale, zero)


def _qadd(node: Node, given: list[Any]) -> Tensor:
    a, a_scale, a_zero, b, b_scale, b_zero, scale, zero = given
    total = _whole(a, a_scale, a_zero).real + _whole(b, b_scale, b_zero).real
    return _to_codes(total, scale, zero)


def _qcurve(of: Callable[[Node], Callable[[Tensor], Tensor]]) -> Callable[[Node, list[Any]], Tensor]:
    def step(node: Node, given: list[Any]) -> Tensor:
        x, x_scale, x_zero, scale, zero = given
        return _to_codes(of(node)(_whole(x, x_scale, x_zero).real), scale, zero)

    return step


def _leaky_of(node: Node) -> Callable[[Tensor], Tensor]:
    alpha = float(attributes(node).get("alpha", 0.01))  # type: ignore[arg-type]
    return lambda x: torch.nn.functional.leaky_relu(x, alpha)


def _found_step(node: Node, given: list[Any]) -> tuple[Tensor, Tensor, Tensor]:
    """`DynamicQuantizeLinear` of every person alone: codes, a scale and a zero point each."""
    x = real(given[0])
    low, high = x.amin(1, keepdim=True).clamp(max=0.0), x.amax(1, keepdim=True).clamp(min=0.0)
    scale = ((high - low) / CODES).detach()
    scale = torch.where(scale == 0, torch.ones_like(scale), scale)
    zero = (-low.detach() / scale).round().clamp(0, CODES)
    codes = (round_through((x / scale).double()) + zero.double()).clamp(0, CODES)
    return codes, scale, zero.double()


def _matmul_integer(node: Node, given: list[Any]) -> Tensor:
    a, b, *zeros = [*given, None, None][:4]
    weight = _whole(b, ONE, zeros[1], 1)
    out = _product(_whole(a, ONE, zeros[0]), weight, None, False)
    return out.value


def _matmul_to_float(node: Node, given: list[Any]) -> Tensor:
    a, b, a_scale, b_scale, a_zero, b_zero, bias = [*given, None, None, None][:7]
    total = _matmul_integer(node, [a, b, a_zero, b_zero]).float() * (real(a_scale) * real(b_scale))
    return total if bias is None else total + real(bias)


def _cast(node: Node, given: list[Any]) -> Tensor:
    if attributes(node).get("to") != TensorProto.FLOAT:
        raise Unknown
    return real(given[0]).float()


def _elementwise(of: Callable[..., Tensor]) -> Callable[[Node, list[Any]], Tensor]:
    return lambda node, given: of(*(real(g) for g in given))


def _relu(node: Node, given: list[Any]) -> Value:
    if isinstance(given[0], Whole):
        return replace(given[0], value=given[0].value.clamp(min=0.0))
    return real(given[0]).relu()


def _leaky(node: Node, given: list[Any]) -> Tensor:
    return _leaky_of(node)(real(given[0]))


def _same(node: Node, given: list[Any]) -> Value:
    if node.op_type == "Flatten" and attributes(node).get("axis", 1) not in (1, -1):
        raise Unknown
    return given[0]


def _softmax(node: Node, given: list[Any]) -> Tensor:
    if attributes(node).get("axis", -1) not in (1, -1):
        raise Unknown
    return real(given[0]).softmax(1)


NODES: Mapping[str, Callable[[Node, list[Any]], Any]] = {
    "QuantizeLinear": _quantize,
    "DequantizeLinear": _dequantize,
    "DynamicQuantizeLinear": _found_step,
    "Gemm": _gemm,
    "MatMul": _gemm,
    "QGemm": _qgemm,
    "QLinearMatMul": _qmatmul,
    "QLinearAdd": _qadd,
    "QLinearSigmoid": _qcurve(lambda node: torch.sigmoid),
    "QLinearLeakyRelu": _qcurve(_leaky_of),
    "MatMulInteger": _matmul_integer,
    "MatMulIntegerToFloat": _matmul_to_float,
    "Cast": _cast,
    "Relu": _relu,
    "LeakyRelu": _leaky,
    "Add": _elementwise(torch.add),
    "Sub": _elementwise(torch.sub),
    "Mul": _elementwise(torch.mul),
    "Div": _elementwise(torch.div),
    "Sigmoid": _elementwise(torch.sigmoid),
    "Tanh": _elementwise(torch.tanh),
    "Erf": _elementwise(torch.erf),
    "Softmax": _softmax,
    **dict.fromkeys(("Identity", "Flatten"), _same),
}
