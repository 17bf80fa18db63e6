"""How likely rounding breaks a promise, before anything is quantized. A forecast, never a guarantee.

Rounding errors are taken as independent and uniform within half a step, and the logit as linear in them:
``sigma^2 = sum_l (sum_o g_o^2 step_o^2 / 12) |x_l|^2 + sum_v |dz/dv|^2 s_v^2 / 12``, ``g`` being the gradient of
the logit at layer l's pre-activation, ``x_l`` what the layer is given, and ``v`` everything that becomes a code of
step ``s_v``: inputs, outputs, and the pre-activations and branches of layers with a table or a sum. One
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
    exact, layers = teacher.to(torch.float64), teacher.architecture
    given = torch.as_tensor(inputs, dtype=torch.float64)[None].requires_grad_()
    passed = exact.passed(given)
    seen = [given, *(p.output for p in passed[:-1])]
    rounded = list(zip(seen, grid.input_steps, strict=True))
    for layer, (each, p) in enumerate(zip(layers, passed, strict=True)):
        rounded += [(p.total, grid.activations.total_steps[layer])] if each.curved else []
        rounded += [(p.branch, grid.activations.branch_steps[layer])] if each.skip is not None else []
    before = [p.total for p in passed]
    slopes = torch.autograd.grad(passed[-1].output.sum(), [*before, *(value for value, _ in rounded)])
    variance = torch.zeros(len(inputs), dtype=torch.float64)
    for x, slope, step in zip(seen, slopes, grid.weight_steps, strict=False):
        variance += (slope[0] * step[0].double()).square().sum(1) / 12 * x[0].detach().square().sum(1)
    for (value, step), slope in zip(rounded, slopes[len(before) :], strict=True):
        moved = value[0].detach() != 0  # a zero is exact on every grid
        variance += (slope[0] * moved).square().sum(1) * step[0].double().square() / 12
    return variance.sqrt().numpy()
