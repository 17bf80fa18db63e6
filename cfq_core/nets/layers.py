"""A network is a list of layers: linear, then an activation, then perhaps an earlier layer's output added to it.

The last layer has no activation and one output, the logit; a network of one layer is a logistic regression. In the
integer model (`quant/quantized.py`) "none" and "relu" go straight from an accumulator to the next code; any other
activation is *curved*: a table from signed pre-activation codes to output codes, as runtimes have it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from cfq_core.nets.elementwise import sigmoid

Activation = Literal["none", "relu", "leaky_relu", "elu", "gelu", "silu", "tanh", "sigmoid", "hard_swish", "gelu_tanh"]
ACTIVATIONS: tuple[Activation, ...] = get_args(Activation)
ALPHA = float(np.float32(0.01))  # slope of a leaky ReLU below 0, as a file keeps it
#: Activations that take a number, as "leaky_relu:0.2" and "elu:0.5"; without one it is `ALPHA`, and 1.
TAKING = ("leaky_relu", "elu")
STORED = "architecture"  # name of the array that holds one


@dataclass(frozen=True)
class Layer:
    """What follows a linear map: an activation, then ``+`` the output of hidden layer ``skip``, of the same width."""

    activation: Activation = "relu"
    skip: int | None = None

    @property
    def curved(self) -> bool:
        """Whether integer models look it up in a table."""
        return self.activation not in ("none", "relu")


Architecture = tuple[Layer, ...]
LOGIT = Layer("none")


def architecture(hidden: Sequence[int], activation: Activation = "relu", residual: bool = False) -> Architecture:
    """Hidden layers of one activation; with ``residual`` each adds the layer before it where both are as wide."""
    skips = [i - 1 if residual and i and width == hidden[i - 1] else None for i, width in enumerate(hidden)]
    return (*(Layer(activation, skip) for skip in skips), LOGIT)


def checked(layers: Architecture, outputs: Sequence[int]) -> Architecture:
    """The architecture of layers with these many outputs; ReLU behind every hidden one where none is given."""
    layers = layers or architecture(outputs[:-1])
    fits = len(layers) == len(outputs) and layers[-1] == LOGIT
    for i, layer in enumerate(layers if fits else ()):
        skips = layer.skip is None or (0 <= layer.skip < i and outputs[layer.skip] == outputs[i])
        fits = fits and known(layer.activation) and skips
    if not fits:
        raise ValueError(f"{layers} is no architecture of layers with {list(outputs)} outputs")
    return layers


def taken(kind: str) -> tuple[str, float | None]:
    """The name of an activation, and the number it takes; None where it says none."""
    name, colon, number = kind.partition(":")
    try:
        return name, float(number) if colon else None
    except ValueError:
        return "", None


def known(kind: str) -> bool:
    """Whether it is an activation."""
    name, number = taken(kind)
    return kind in ACTIVATIONS if number is None else name in TAKING and 0 < number < 100


def operands(layers: Architecture) -> frozenset[int]:
    """Layers whose output a later one adds."""
    return frozenset(layer.skip for layer in layers if layer.skip is not None)


def signed_output(layers: Architecture, layer: int) -> bool:
    """Whether the codes of a hidden layer's output are signed: where it may be negative, and in every sum."""
    positive = layers[layer].activation in ("relu", "sigmoid")
    return not positive or layers[layer].skip is not None or layer in operands(layers)


def code_range(bits: int, signed: bool) -> tuple[float, float]:
    """Least and largest code of an activation; plain numbers, which torch clamps to five times faster."""
    low = -(2 ** (bits - 1)) if signed else 0
    return float(low), float(low + 2**bits - 1)


def branch_range(layers: Architecture, layer: int, bits: int) -> tuple[float, float]:
    """Codes an activation's output may get; that of a ReLU begins at 0 on any grid, which is the ReLU."""
    low, high = code_range(bits, signed_output(layers, layer))
    return 0.0 if layers[layer].activation in ("relu", "sigmoid") else low, high


def stored(layers: Architecture, activation_bits: int = 8) -> dict[str, np.ndarray]:
    """The one array that keeps it beside a network's weights; none for ReLU chains with 8-bit activations."""
    if layers == architecture([0] * (len(layers) - 1)) and activation_bits == 8:
        return {}
    plain = {"layers": spelled(layers), "activation_bits": activation_bits}
    return {STORED: np.frombuffer(json.dumps(plain).encode(), np.uint8).copy()}


def restored(arrays: Mapping[str, np.ndarray]) -> tuple[Architecture, int]:
    """Architecture and bits of activations; no layers (a ReLU chain, once it is known how long) where none is kept."""
    if STORED not in arrays:
        return (), 8
    plain: dict[str, Any] = json.loads(np.asarray(arrays[STORED], np.uint8).tobytes())
    return read(plain["layers"]), int(plain["activation_bits"])


def spelled(layers: Architecture) -> tuple[str, ...]:
    """Each layer in a word: "silu", or "silu+0" where it adds the output of layer 0."""
    return tuple(x.activation + ("" if x.skip is None else f"+{x.skip}") for x in layers)


def read(words: Iterable[str]) -> Architecture:
    """Layers from their words; raises `ValueError`."""
    parts = [word.partition("+") for word in words]
    if not all(known(kind) for kind, _, _ in parts):
        raise ValueError("an activation that is not known")
    return tuple(Layer(cast(Activation, kind), int(skip) if plus else None) for kind, plus, skip in parts)


# ---------------------------------------------------------------------- activations
@dataclass(frozen=True)
class Curve:
    """An activation and what bounds of it need: between its kinks it is smooth, and falls before its valley only."""

    value: Callable[[Tensor], Tensor]
    slope: Callable[[Tensor], Tensor]
    bend: float  # the second derivative's largest size between kinks
    kinks: tuple[float, ...] = ()
    valley: tuple[float, float] | None = None  # where it is least, and what it is there; None: it rises everywhere

    def ends(self, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        """Its least and largest value over intervals."""
        at_low, at_high = self.value(low), self.value(high)
        least, most = torch.minimum(at_low, at_high), torch.maximum(at_low, at_high)
        if self.valley is None:
            return least, most
        inside = (low < self.valley[0]) & (high > self.valley[0])
        return torch.where(inside, self.valley[1], least), most


def _gelu_slope(x: Tensor) -> Tensor:
    density = torch.exp(-x * x / 2) / math.sqrt(2 * math.pi)
    return (1 + torch.erf(x / math.sqrt(2))) / 2 + x * density


def _silu_slope(x: Tensor) -> Tensor:
    s = sigmoid(x)
    return s * (1 + x * (1 - s))


def _sigmoid_slope(x: Tensor) -> Tensor:
    s = sigmoid(x)
    return s * (1 - s)


BENT = math.sqrt(2 / math.pi), 0.044715  # of the tanh form of GELU (Hendrycks and Gimpel 2016)


VALLEY = (-0.7524614220710163, -0.17004075057125406)  # where it is least, and what it is there


def _gelu_tanh(x: Tensor) -> Tensor:
    return x / 2 * (1 + torch.tanh(BENT[0] * (x + BENT[1] * x * x * x)))


def _gelu_tanh_slope(x: Tensor) -> Tensor:
    t = torch.tanh(BENT[0] * (x + BENT[1] * x * x * x))
    return (1 + t) / 2 + x / 2 * (1 - t * t) * BENT[0] * (1 + 3 * BENT[1] * x * x)


def _leaky(alpha: float) -> Curve:
    return Curve(
        lambda x: torch.where(x >= 0, x, alpha * x), lambda x: torch.where(x >= 0, 1.0, alpha).to(x.dtype), 0.0, (0.0,)
    )


def _elu(alpha: float) -> Curve:
    return Curve(
        lambda x: torch.where(x > 0, x, alpha * torch.expm1(_below(x))),
        lambda x: torch.where(x > 0, 1.0, alpha * torch.exp(_below(x))), alpha, () if alpha == 1 else (0.0,),
    )  # fmt: skip


class _Curves(dict[str, Curve]):
    """Curves by the name of their activation; one that takes a number is made when it is asked for."""

    def __missing__(self, kind: str) -> Curve:
        name, number = taken(kind)
        if number is None or not known(kind):
            raise KeyError(kind)
        self[kind] = _leaky(number) if name == "leaky_relu" else _elu(number)
        return self[kind]


def _below(x: Tensor) -> Tensor:
    return torch.clamp_max(x, 0.0)


CURVES: dict[str, Curve] = _Curves({
    "none": Curve(lambda x: x, torch.ones_like, 0.0),
    "relu": Curve(torch.relu, lambda x: (x > 0).to(x.dtype), 0.0, (0.0,)),
    "leaky_relu": _leaky(ALPHA),
    "elu": _elu(1.0),
    "gelu": Curve(
        lambda x: x / 2 * (1 + torch.erf(x / math.sqrt(2))), _gelu_slope, 0.79789,
        valley=(-0.7517915246935645, -0.16997120747990370),
    ),
    "silu": Curve(lambda x: x * sigmoid(x), _silu_slope, 0.5, valley=(-1.2784645427610738, -0.27846454276107385)),
    "tanh": Curve(torch.tanh, lambda x: 1 - torch.tanh(x).square(), 0.76981),
    "sigmoid": Curve(sigmoid, _sigmoid_slope, 0.09623),
    "hard_swish": Curve(
        lambda x: x * torch.clamp(x + 3, 0.0, 6.0) / 6,
        lambda x: torch.where(x.abs() < 3, (2 * x + 3) / 6, (x >= 3).to(x.dtype)), 0.33334, (-3.0, 3.0),
        valley=(-1.5, -0.375),
    ),
    "gelu_tanh": Curve(_gelu_tanh, _gelu_tanh_slope, 0.79789, valley=VALLEY),
})  # fmt: skip


class _Activate(torch.autograd.Function):
    """A curve with its own slope: autograd's of ``|x|`` would be 0 at 0, where quantized pre-activations often lie."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, kind: Activation) -> Tensor:
        ctx.kind = kind
        ctx.save_for_backward(x)
        return CURVES[kind].value(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0] * CURVES[ctx.kind].slope(*ctx.saved_tensors), None


def activated(kind: Activation, x: Tensor) -> Tensor:
    """An activation of every element."""
    if kind == "none":
        return x
    if kind == "relu":
        return torch.relu(x)
    return _Activate.apply(x, kind) if x.requires_grad else CURVES[kind].value(x)


# ---------------------------------------------------------------------- codes of activations
@dataclass(frozen=True)
class Codes:
    """How the hidden activations of R integer models are coded, beside the step of what each layer is given.

    One entry a hidden layer in each tuple, or none where no hidden layer is curved or adds another's output; what a
    layer does not need is 1, or an empty table.
    """

    bits: int = 8
    total_steps: tuple[Float[Tensor, "r"], ...] = ()  # of a curved layer's pre-activation
    branch_steps: tuple[Float[Tensor, "r"], ...] = ()  # of what is added to another layer's output
    tables: tuple[Float[Tensor, "r _"], ...] = ()  # output code by pre-activation code, from the least one on

    def each(self, of: Callable[[Tensor], Tensor]) -> Codes:
        """The same with every tensor changed."""
        return Codes(self.bits, *(tuple(map(of, t)) for t in (self.total_steps, self.branch_steps, self.tables)))

    @staticmethod
    def join(several: Iterable[Codes]) -> Codes:
        """Those of all runs of several stacks."""
        parts = list(several)
        if len({p.bits for p in parts}) > 1:
            raise ValueError("stacks with activations of different bits are not joined")
        each = ("total_steps", "branch_steps", "tables")
        joined = [tuple(map(torch.cat, zip(*(getattr(p, k) for p in parts), strict=True))) for k in each]
        return Codes(parts[0].bits, *joined)

    @property
    def size_bytes(self) -> int:
        """Bytes of a deployed file: the tables, a byte an entry, and the steps that stand beside inputs'."""
        steps = 4 * sum(bool((s != 1).any()) for s in (*self.total_steps, *self.branch_steps))
        return steps + sum(t.shape[-1] for t in self.tables)
