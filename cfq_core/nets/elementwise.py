"""Sums, products and functions of single numbers whose result does not depend on their place in a tensor.

A run's bits must not depend on what else is in its stack. What would make them (torch 2.13, measured;
tests/study/test_company.py holds it to this):

- torch's sigmoid and softplus, and the fused optimizer, compute the numbers behind the last full vector by another
  formula; exp, log1p, tanh, erf, arithmetic, sums and means do not. Hence `sigmoid`, `softplus` and `nets/optim.py`.
- a product whose matrices start at addresses of different alignment takes other kernels: rows come in multiples of
  `ALIGNED` (`aligned`, `padded`), and `linear` pads a weight whose size is odd.
- one run with one output takes another kernel than several: a stack that is trained has at least two runs.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad


def _sigmoid(x: Tensor) -> Tensor:
    small = torch.exp(-x.abs())
    return torch.where(x >= 0, 1 / (1 + small), small / (1 + small))


class _Sigmoid(torch.autograd.Function):
    """With its own slope: that of ``|x|`` is 0 at 0, where the sigmoid's is a quarter."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        share = _sigmoid(x)
        ctx.save_for_backward(share)
        return share

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (share,) = ctx.saved_tensors
        return gradients[0] * share * (1 - share)


class _Softplus(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x.clamp_min(0.0) + torch.log1p(torch.exp(-x.abs()))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return gradients[0] * _sigmoid(*ctx.saved_tensors)


def sigmoid(x: Tensor) -> Tensor:
    """``1 / (1 + exp(-x))``, without overflow on either side."""
    return _Sigmoid.apply(x)


def softplus(x: Tensor) -> Tensor:
    """``log(1 + exp(x))``."""
    return _Softplus.apply(x)


def cross_entropy(logits: Tensor, outcome: Tensor) -> Tensor:
    """Binary cross-entropy of logits, element by element."""
    return softplus(logits) - logits * outcome


def linear(given: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """``x W^T + b`` of every run: [R, N, i], [R, o, i], [R, o] -> [R, N, o]."""
    outputs = weight.shape[1]
    if not weight.requires_grad or outputs * weight.shape[2] % 4 == 0:
        return torch.baddbmm(bias[:, None], given, weight.mT)
    more = -outputs % 4
    return torch.baddbmm(pad(bias, (0, more))[:, None], given, pad(weight, (0, 0, 0, more)).mT)[..., :outputs]


#: Rows that a stacked product has a multiple of: every run's matrix then starts at an address of the same alignment.
ALIGNED = 16


def aligned(rows: int) -> int:
    """The most rows, of so many, that a stacked product may have so that no run's bits depend on its place."""
    return rows - rows % ALIGNED if rows >= ALIGNED else rows


def padded(inputs: Tensor) -> Tensor:
    """Inputs [R, N, d] with rows repeated up to a multiple of `ALIGNED`; the first N are the given ones."""
    missing = -inputs.shape[1] % ALIGNED
    if not missing:
        return inputs
    return torch.cat([inputs, inputs[:, torch.arange(missing) % inputs.shape[1]]], dim=1)
