"""From what each layer's error does to a plan: shared by the allocators that measure it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import update_wrapper
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from cfq_core.allocators.knapsack import cheapest_plan
from cfq_core.nets.stack import Stack
from cfq_core.quant.bits import BitPlan
from cfq_core.quant.calibrate import Calibration, weight_step
from cfq_core.quant.grid import codes, signed_range
from cfq_core.quant.training_data import TrainingData

#: The bit-widths an allocator chooses from (the paper's set).
CHOICES = (2, 3, 4, 8)

#: Rows on which sensitivities are measured; more move them by less than the seeds do.
ROWS = 4096


Sensitivity = Callable[[Any, TrainingData, Calibration], Tensor]


@runtime_checkable
class Profiler(Protocol):
    """An allocator whose plans are a knapsack's answer to a profile of the layers."""

    def sensitivity(self, data: TrainingData, calibration: Calibration) -> Float[Tensor, "r l c"]:
        """What rounding each layer to each choice of bits does; the knapsack minimises its sum."""
        ...


def one_teacher_at_a_time(of: Sensitivity) -> Sensitivity:
    """A sensitivity of one teacher as one of many: products of other shapes round otherwise."""

    def sensitivity(self: Any, data: TrainingData, calibration: Calibration) -> Float[Tensor, "r l c"]:
        return torch.cat([of(self, data.take([r]), calibration) for r in range(data.teachers.runs)])

    return update_wrapper(sensitivity, of)


def plans_of(
    sensitivity: Float[Tensor, "r l c"], sizes: Sequence[int], budgets: Sequence[float]
) -> tuple[BitPlan, ...]:
    """The knapsack's plan of every run and budget, budgets innermost."""
    return tuple(cheapest_plan(table.tolist(), CHOICES, sizes, b) for table in sensitivity for b in budgets)


def rounded_weight(stack: Stack, layer: int, bits: int, calibration: Calibration) -> Float[Tensor, "r out in"]:
    """One layer's weights on their grid of ``bits``, back in real units."""
    per_run = torch.full((stack.runs,), bits)
    step = weight_step(stack.weights[layer], per_run, calibration.weights)[..., None]
    low, high = (b[:, None, None] for b in signed_range(per_run))
    return (codes(stack.weights[layer].double(), step, low, high) * step).to(stack.weights[layer].dtype)


def one_layer_rounded(stack: Stack, calibration: Calibration) -> Iterator[tuple[int, int, Stack]]:
    """(layer, choice, the stack with only that layer's weights rounded to that many bits)."""
    for layer in range(len(stack.weights)):
        for choice, bits in enumerate(CHOICES):
            weights = list(stack.weights)
            weights[layer] = rounded_weight(stack, layer, bits, calibration)
            yield layer, choice, replace(stack, weights=tuple(weights))
