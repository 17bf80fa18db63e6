"""SAWB: a weight channel's clip from two statistics of it, ``clip = c1 sqrt(E w^2) + c2 E|w|`` (arXiv 1807.06964).

The paper fits the two constants to the clips of least squared error of six distributions, on a grid without 0. These
are fitted the same way on the grid used here, codes ``-2^(b-1) .. 2^(b-1) - 1`` of step ``clip / (2^(b-1) - 1)``, by
`benchmarks/sawb.py`; a test fits them anew.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from cfq_core.quant.grid import LEAST_STEP, signed_range

#: c1 and c2 by bits.
SAWB = {
    2: (2.405, -1.701),
    3: (6.288, -5.655),
    4: (11.18, -11.16),
    5: (16.45, -17.28),
    6: (21.87, -23.66),
    8: (32.90, -36.74),
}

NARROWEST = 0.1  # of the widest weight: the least clip, where the two statistics are those of no such distribution


def sawb_step(weight: Float[Tensor, "r out in"], bits: Int[Tensor, "r"]) -> Float[Tensor, "r out"]:
    """Step of every output channel."""
    table = torch.tensor([SAWB[b] for b in bits.tolist()])
    spread, size = weight.square().mean(2).sqrt(), weight.abs().mean(2)
    clip = table[:, :1] * spread + table[:, 1:] * size
    widest = weight.abs().amax(2)
    high = signed_range(bits)[1].float()[:, None]
    return torch.minimum(clip.clamp_min(NARROWEST * widest), widest).clamp_min(LEAST_STEP) / high
