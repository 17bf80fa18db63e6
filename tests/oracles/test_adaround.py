"""Learned rounding against every way to round a small layer, and against rounding to nearest.

The method is a heuristic: it halves nearest's error here, the best of all roundings has a tenth of it.
"""

from __future__ import annotations

from itertools import product

import torch

from cfq_core.base.seeds import repeatable
from cfq_core.nets.stack import Stack
from cfq_core.quant.adaround import AdaRound
from cfq_core.quant.calibrate import Calibration
from cfq_core.quant.grid import codes
from cfq_core.quant.quantized import QuantStack

WIDTH, SEEDS = 9, (0, 1, 2, 3)


def correlated(rows: int = 400) -> torch.Tensor:
    """Rows whose columns move together: there rounding to nearest is not best."""
    random = torch.Generator().manual_seed(7)
    common = torch.randn(len(SEEDS), rows, 3, generator=random) @ torch.randn(3, WIDTH, generator=random)
    return common + 0.1 * torch.randn(common.shape, generator=random)


def error(model: QuantStack, run: int, teacher: Stack, inputs: torch.Tensor, weight: torch.Tensor) -> float:
    """Mean squared difference of a one-layer net's output with these weights and its inputs as the grid has them."""
    step = model.input_steps[0][run]
    seen = codes(inputs[run].double(), step, -128.0, 127.0) * step
    return float(((seen @ weight - inputs[run].double() @ teacher.weights[0][run, 0].double()) ** 2).mean())


def test_learned_rounding_beats_nearest_and_no_rounding_beats_the_best_of_all() -> None:
    teacher, inputs, bits = Stack.initial(WIDTH, (), SEEDS), correlated(), torch.full((len(SEEDS), 1), 3)
    with repeatable():
        learned = AdaRound().quantize(teacher, bits, inputs, SEEDS, SEEDS)
    nearest = Calibration().quantize(teacher, bits, inputs)
    totals = {"learned": 0.0, "nearest": 0.0, "best": 0.0}
    for run in SEEDS:
        step = learned.weight_steps[0][run, 0]
        lower = (teacher.weights[0][run, 0].double() / step).floor()
        ways = [(lower + torch.tensor(up)).clamp(-4, 3) for up in product((0.0, 1.0), repeat=WIDTH)]
        assert any(torch.equal(learned.weights[0][run, 0], way) for way in ways)
        totals["best"] += min(error(learned, run, teacher, inputs, way * step) for way in ways)
        for name, model in (("learned", learned), ("nearest", nearest)):
            totals[name] += error(learned, run, teacher, inputs, model.weights[0][run, 0] * step)
    assert totals["best"] <= totals["learned"] < 0.6 * totals["nearest"]


def test_a_run_does_not_depend_on_its_neighbours() -> None:
    teacher, inputs = Stack.initial(WIDTH, (6,), SEEDS), correlated()
    bits = torch.tensor([[2, 3], [3, 4], [4, 8], [2, 2]])
    with repeatable():
        together = AdaRound(iterations=50).quantize(teacher, bits, inputs, SEEDS, SEEDS)
        alone = AdaRound(iterations=50).quantize(teacher.take([2]), bits[[2]], inputs[[2]], [0], [2])
    assert all(torch.equal(a[[2]], b) for a, b in zip(together.weights, alone.weights, strict=True))
