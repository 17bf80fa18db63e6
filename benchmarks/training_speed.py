"""What stacking buys: 48 quantization-aware runs as one stack, one by one, and one by one with Brevitas.

    BREVITAS/bin/python -m benchmarks.training_speed            # everything, in one run
    python -m benchmarks.training_speed --without-brevitas

Net 64-64-32, batch 256, Adam, weights per channel with learned steps, 8-bit activations, int32 bias; CPU seconds of one
thread. Also: anchored CFQ's training over plain QAT's, with kept recourse and with a K = 10 teacher on the fly; and the
landscape of 65,536 plans of an 8x32 net. Writes benchmarks/numbers/training_speed.json, which benchmarks.results shows.
"""

from __future__ import annotations

import argparse
import itertools
import json
import platform
import time
from collections.abc import Callable
from pathlib import Path

import torch

from cfq_core.allocators.landscape import Points, landscape
from cfq_core.methods.table import ANCHORED
from cfq_core.nets.stack import Stack, score
from cfq_core.quant.calibrate import Calibration
from cfq_core.quant.training_data import RecoursePairs, TrainingData
from cfq_core.training.finetune import QatConfig, Schedule, finetune
from cfq_core.training.online_recourse import OnlineRecourse

SHAPES = {"german": (630, 56), "adult": (29_304, 52)}  # training rows, encoded columns
HIDDEN = (64, 64, 32)
RUNS = 48
STEPS = 40
KEPT = 10  # K of the on-the-fly teacher
OUT = Path(__file__).parent / "numbers" / "training_speed.json"


def data(rows: int, columns: int) -> TrainingData:
    random = torch.Generator().manual_seed(0)
    teacher = Stack.initial(columns, HIDDEN, [0])
    inputs = torch.randn(1, rows, columns, generator=random)
    pairs = RecoursePairs(inputs[:, :400], inputs[:, :400] + 0.2, torch.tensor([400]))
    return TrainingData(teacher, inputs, (score(teacher, inputs) > 0).float(), (0,), pairs)


def seconds(work: Callable[[], object], repeats: int = 1) -> float:
    """Least CPU seconds of some repeats: what else runs only adds to them."""
    taken = []
    for _ in range(repeats):
        started = time.process_time()
        work()
        taken.append(time.process_time() - started)
    return min(taken)


def brevitas_run(m: TrainingData, bits: int, steps: int) -> None:
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
    for step in range(steps):
        rows = torch.arange(step * 256, step * 256 + 256) % m.inputs.shape[1]
        out = net(m.inputs[0, rows])
        logits = (out.value if hasattr(out, "value") else out)[:, 0]
        optimizer.zero_grad()
        torch.nn.functional.binary_cross_entropy_with_logits(logits, m.outcome[0, rows]).backward()
        optimizer.step()


def of_shape(rows: int, columns: int, brevitas: bool, steps: int) -> dict[str, float | None]:
    how = Schedule(least_steps=steps, most_steps=steps)
    plans = torch.tensor([[(2, 3, 4)[r % 3]] * 4 for r in range(RUNS)])
    m, live = data(rows, columns), OnlineRecourse(torch.ones(columns), steps=KEPT)
    theirs = seconds(lambda: [brevitas_run(m, int(plans[r, 0]), steps) for r in range(RUNS)]) if brevitas else None
    return {
        "stacked": seconds(lambda: finetune(m, [0] * RUNS, plans, [QatConfig()] * RUNS, how), 1),
        "one_by_one": seconds(lambda: [finetune(m, [0], plans[r : r + 1], [QatConfig()], how) for r in range(RUNS)]),
        "brevitas": theirs,
        "anchored": seconds(lambda: finetune(m, [0] * RUNS, plans, [ANCHORED] * RUNS, how), 1),
        "qat_alone": seconds(lambda: finetune(m, [0], plans[:1], [QatConfig()], how), 2),
        "anchored_alone": seconds(lambda: finetune(m, [0], plans[:1], [ANCHORED], how), 2),
        "live": seconds(lambda: finetune(m, [0] * RUNS, plans, [ANCHORED] * RUNS, how, live), 1),
        "live_alone": seconds(lambda: finetune(m, [0], plans[:1], [ANCHORED], how, live), 2),
    }


def of_landscape() -> dict[str, float]:
    deep = Stack.initial(40, (32,) * 7, [0])
    points = Points(torch.randn(2000, 40), torch.randn(1000, 40))
    took = seconds(lambda: landscape(deep, points, Calibration(), torch.randn(500, 40)))
    one = Calibration().quantize(deep, torch.full((1, 8), 4), torch.randn(1, 500, 40)).to(torch.float32)
    both = torch.cat([points.recourse, points.rows])[None]
    return {"seconds": took, "naive": seconds(lambda: [score(one, both) for _ in range(50)]) / 50 * 4**8}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--without-brevitas", action="store_true")
    parser.add_argument("--steps", type=int, default=STEPS, help="optimizer steps of every run")
    given = parser.parse_args()
    torch.set_num_threads(1)
    versions = {"python": platform.python_version(), "torch": torch.__version__}
    if not given.without_brevitas:
        import brevitas

        versions["brevitas"] = brevitas.__version__
    found = {
        "versions": versions,
        "runs": RUNS,
        "steps": given.steps,
        "shapes": {name: of_shape(*shape, not given.without_brevitas, given.steps) for name, shape in SHAPES.items()},
        "landscape": of_landscape(),
    }
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    print(OUT.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
