"""What stacking buys: 48 quantization-aware runs as one stack, one by one, and one by one with Brevitas.

    python -m benchmarks.training_speed            # ours only
    BREVITAS/bin/python -m benchmarks.training_speed --brevitas

Net 64-64-32, batch 256, Adam, weights per channel with learned steps, 8-bit activations, int32 bias, CPU seconds of one
thread, everything in one run. Also: anchored CFQ's training over plain QAT's, and the landscape of 65,536 plans.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Callable

import torch

from cfq_core.allocators.landscape import Points, landscape
from cfq_core.nets.stack import Stack, score
from cfq_core.quant.calibrate import Calibration
from cfq_core.quant.material import Material, Pairs
from cfq_core.training.finetune import Recipe, Schedule, finetune
from cfq_core.training.losses import Weights

SHAPES = {"german": (630, 56), "adult": (29_304, 52)}  # training rows, encoded columns
HIDDEN = (64, 64, 32)
RUNS = 48
STEPS = 60


def material(rows: int, columns: int) -> Material:
    random = torch.Generator().manual_seed(0)
    teacher = Stack.initial(columns, HIDDEN, [0])
    inputs = torch.randn(1, rows, columns, generator=random)
    pairs = Pairs(inputs[:, :400], inputs[:, :400] + 0.2, torch.tensor([400]))
    return Material(teacher, inputs, (score(teacher, inputs) > 0).float(), (0,), pairs)


def seconds(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def brevitas_run(m: Material, bits: int) -> None:
    import brevitas.nn as qnn
    from brevitas.quant import Int8ActPerTensorFloat, Int8WeightPerChannelFloat, Int32Bias, Uint8ActPerTensorFloat

    sizes = [m.inputs.shape[2], *HIDDEN, 1]
    layers: list[torch.nn.Module] = [qnn.QuantIdentity(act_quant=Int8ActPerTensorFloat, return_quant_tensor=True)]
    for i, (a, b) in enumerate(itertools.pairwise(sizes)):
        weight = {"weight_quant": Int8WeightPerChannelFloat, "weight_bit_width": bits}
        layers.append(qnn.QuantLinear(a, b, bias=True, bias_quant=Int32Bias, **weight))
        if i + 2 < len(sizes):
            layers.append(qnn.QuantReLU(act_quant=Uint8ActPerTensorFloat, return_quant_tensor=True))
    net = torch.nn.Sequential(*layers)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    for step in range(STEPS):
        rows = torch.arange(step * 256, step * 256 + 256) % m.inputs.shape[1]
        out = net(m.inputs[0, rows])
        logits = (out.value if hasattr(out, "value") else out)[:, 0]
        optimizer.zero_grad()
        torch.nn.functional.binary_cross_entropy_with_logits(logits, m.outcome[0, rows]).backward()
        optimizer.step()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--brevitas", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(1)
    how = Schedule(least_steps=STEPS, most_steps=STEPS)
    plans = torch.tensor([[(2, 3, 4)[r % 3]] * 4 for r in range(RUNS)])
    print(
        f"| shape | {RUNS} runs stacked, CPU s | one by one | ratio | Brevitas one by one | ratio | anchored over QAT |"
    )
    print("|---|---|---|---|---|---|---|")
    for name, (rows, columns) in SHAPES.items():
        m = material(rows, columns)
        stacked = seconds(lambda m=m: finetune(m, [0] * RUNS, plans, [Recipe()] * RUNS, how))
        alone = seconds(lambda m=m: [finetune(m, [0], plans[r : r + 1], [Recipe()], how) for r in range(RUNS)])
        anchored = Recipe(Weights(task=0.0, distill=0.5, segment=0.5, end=1.0))
        ours = seconds(lambda m=m, a=anchored: finetune(m, [0] * RUNS, plans, [a] * RUNS, how))
        theirs = float("nan")
        if given.brevitas:
            theirs = seconds(lambda m=m: [brevitas_run(m, int(plans[r, 0])) for r in range(RUNS)])
        cells = f"{stacked:.1f} | {alone:.1f} | {alone / stacked:.1f} | {theirs:.1f} | {theirs / stacked:.1f}"
        print(f"| {name} | {cells} | {ours / stacked:.2f} |", flush=True)
    deep = Stack.initial(40, (32,) * 7, [0])
    points = Points(torch.randn(2000, 40), torch.randn(1000, 40))
    took = seconds(lambda: landscape(deep, points, Calibration(), torch.randn(500, 40)))
    one = Calibration().quantize(deep, torch.full((1, 8), 4), torch.randn(1, 500, 40)).to(torch.float32)
    both = torch.cat([points.recourse, points.rows])[None]
    naive = seconds(lambda: [score(one, both) for _ in range(50)]) / 50 * 4**8
    print(f"\nLandscape of 65,536 plans, 2,000 recourse points and 1,000 rows: {took:.0f} CPU s;")
    print(f"a loop over plans, extrapolated from 50: {naive:.0f} CPU s")


if __name__ == "__main__":
    main()
