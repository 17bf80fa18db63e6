"""How likely rounding breaks a promise, before anything is quantized. A forecast, never a guarantee.

Rounding errors are taken as independent and uniform within half a step, and the logit as linear in them:
``sigma^2 = sum_l (sum_o g_o^2 step_o^2 / 12) |x_l|^2 + sum_l |g W_l|^2 s_l^2 / 12``, ``g`` being the gradient of
the logit at layer l's pre-activation, ``x_l`` what the layer is given and ``s_l`` its activation step. One
teacher's weights are rounded once for everybody, so shares over people scatter far more than these odds suggest.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float

from cfq_core.nets.stack import Stack
from cfq_core.quant.quantized import QuantStack


def rounding_noise(teacher: Stack, grid: QuantStack, inputs: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n"]:
    """Standard deviation, in logits, of what rounding onto a grid does at each point (R = 1); only steps count."""
    exact = teacher.to(torch.float64)
    given = exact.layer_inputs(torch.as_tensor(inputs, dtype=torch.float64)[None])
    gradient = torch.ones(len(inputs), 1, dtype=torch.float64)
    variance = torch.zeros(len(inputs), dtype=torch.float64)
    for layer in range(len(exact.weights) - 1, -1, -1):
        weight, x = exact.weights[layer][0], given[layer][0]
        step, seen = grid.weight_steps[layer][0].double(), grid.input_steps[layer][0].double()
        variance += (gradient * step).square().sum(1) / 12 * x.square().sum(1)
        back = gradient @ weight
        moved = x > 0 if layer else x != 0  # a zero is exact on every grid
        variance += (back * moved).square().sum(1) * seen.square() / 12
        gradient = back * (x > 0)
    return variance.sqrt().numpy()
