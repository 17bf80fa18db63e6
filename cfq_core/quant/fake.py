"""Fake quantization with learned steps: what training sees of a quantized layer.

LSQ (Esser et al., arXiv 1902.08153): ``v_hat = s * round(clip(v / s, low, high))`` with the gradient
of the step ``round(u) - u`` inside the range and the rim's code outside (section 2.1, equation 3). torch's own kernel
(`torch._fake_quantize_learnable_per_channel_affine`) masks on the rounded value: for ``high < u < high + 0.5``, many
weights at 2 and 3 bits, it is another gradient. The logarithm of the step is learned: a raw step goes negative under
Adam (https://github.com/OpenPPL/ppq/issues/518). PACT (Choi et al., arXiv 1805.06085) is the same without the term
inside the range.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from cfq_core.quant.grid import Bound


class FakeQuantize(torch.autograd.Function):
    """``v_hat`` with LSQ's gradients; where ``clip_only`` is 1 the step's gradient is PACT's."""

    @staticmethod
    def forward(ctx: Any, v: Tensor, step: Tensor, low: Bound, high: Bound, clip_only: Tensor) -> Tensor:
        """Values on the grid; ``step``, ``low``, ``high`` and ``clip_only`` broadcast over ``v``."""
        u = v / step
        code = torch.clamp(u, low, high).round_()  # type: ignore[arg-type]
        ctx.range = (low, high)
        ctx.save_for_backward(u, code, step, clip_only)
        return code * step

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
        """Straight through inside the range; LSQ's or PACT's gradient of the step."""
        u, code, step, clip_only = ctx.saved_tensors
        low, high = ctx.range
        (g,) = gradients
        whole = u if clip_only.ndim == 0 and not clip_only else u * (1 - clip_only) + code * clip_only
        of_step = (g * (code - inside(whole, u, low, high))).sum_to_size(step.shape)
        return inside(g, u, low, high), of_step, None, None, None


def inside(x: Tensor, u: Tensor, low: Bound, high: Bound) -> Tensor:
    """``x`` where ``low < u < high``, else 0. A chosen one of two values (`torch.where`) takes ten times as long."""
    if isinstance(low, Tensor) or isinstance(high, Tensor):
        return x * (u > low).logical_and_(u < high)
    return torch.ops.aten.hardtanh_backward(x, u, low, high)
