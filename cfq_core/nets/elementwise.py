"""Sigmoid and softplus whose value at an element does not depend on where in a tensor it lies.

torch's own take another path for the elements behind the last full vector; `exp`, `log1p` and arithmetic do not.
"""

from __future__ import annotations

import torch
from torch import Tensor


def sigmoid(x: Tensor) -> Tensor:
    """``1 / (1 + exp(-x))``, without overflow."""
    e = torch.exp(-x.abs())
    return torch.where(x >= 0, 1 / (1 + e), e / (1 + e))


def softplus(x: Tensor) -> Tensor:
    """``log(1 + exp(x))``, without overflow."""
    return torch.clamp_min(x, 0.0) + torch.log1p(torch.exp(-x.abs()))
