"""HAWQ-V2: mean Hessian trace of a layer times its squared rounding error (Dong et al., arXiv 1911.03852).

``Omega_l(b) = Tr(H_l) / n_l * ||Q_b(W_l) - W_l||^2``. For a piecewise linear network with one logit and
cross-entropy the logit is locally linear in each layer's weights, so the trace has a closed form,
``Tr(H_l) = mean_i p_i (1 - p_i) |a_{l-1,i}|^2 |dz_i/du_{l,i}|^2`` with ``u_l`` the pre-activation: one
backward pass instead of hundreds of Hutchinson probes, and no noise (tests/oracles/test_allocation.py compares the
two). With curved activations the same formula is the trace of the Gauss-Newton matrix, the Hessian without the
activations' own second derivatives.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from cfq_core.allocators.sensitivity import CHOICES, ROWS, one_teacher_at_a_time, plans_of, rounded_weight
from cfq_core.nets.elementwise import sigmoid
from cfq_core.nets.forward import walk
from cfq_core.nets.stack import Stack
from cfq_core.quant.bits import BitPlan
from cfq_core.quant.calibrate import Calibration
from cfq_core.quant.training_data import TrainingData


@dataclass(frozen=True)
class HessianTrace:
    """Average Hessian trace times squared weight error."""

    KEY = "hessian_trace"
    rows: int = ROWS

    def plans(self, data: TrainingData, calibration: Calibration, budgets: Sequence[float]) -> tuple[BitPlan, ...]:
        """One plan a run and budget, budgets innermost."""
        return plans_of(self.sensitivity(data, calibration), data.teachers.sizes, budgets)

    @one_teacher_at_a_time
    def sensitivity(self, data: TrainingData, calibration: Calibration) -> Float[Tensor, "r l c"]:
        """Omega of every run, layer and choice of bits."""
        teachers = data.teachers
        weight = None if data.row_weight is None else data.row_weight[:, : self.rows]
        traces = hessian_traces(teachers, data.inputs[:, : self.rows], weight)
        out = torch.zeros(teachers.runs, len(teachers.weights), len(CHOICES))
        for layer, (weight, size) in enumerate(zip(teachers.weights, teachers.sizes, strict=True)):
            for choice, bits in enumerate(CHOICES):
                error = (rounded_weight(teachers, layer, bits, calibration) - weight).square().sum((1, 2))
                out[:, layer, choice] = traces[:, layer] / size * error
        return out


def hessian_traces(
    stack: Stack, inputs: Float[Tensor, "r n d"], row_weight: Float[Tensor, "r n"] | None = None
) -> Float[Tensor, "r l"]:
    """Trace of the training loss's Hessian in each layer's weights, mean over rows; labels do not enter."""
    passed = list(walk(stack.architecture, stack, stack.linear(0, inputs).requires_grad_()))
    logits = passed[-1].output[..., 0]
    slopes = torch.autograd.grad(logits.sum(), [p.total for p in passed])
    share = sigmoid(logits.detach())
    curvature = share * (1 - share)
    curvature = curvature if row_weight is None else curvature * row_weight
    seen = [inputs, *(p.output.detach() for p in passed)]
    norms = [curvature * a.square().sum(2) * g.square().sum(2) for a, g in zip(seen, slopes, strict=False)]
    return torch.stack([n.mean(1) for n in norms], dim=1)


PLUGIN = HessianTrace()
