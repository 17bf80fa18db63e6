"""Where each allocator's PTQ plan stands among all allocations of the net (4 layers: 256 plans).

    python -m benchmarks.allocations [adult compas german] [--seeds 5] [--people 1000]

Validity drop at test people's recourse points, raw / with the threshold moved to the teacher's approval rate on
validation rows; mean over seeds, and the best plan of the whole landscape (chosen on the same points: a bound, not a
method). Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict

import numpy as np
import torch

from cfq_core import pipeline
from cfq_core.allocators.landscape import Points, landscape
from cfq_core.base.plugins import load
from cfq_core.base.seeds import repeatable
from cfq_core.quant.calibrate import Calibration

ALLOCATORS = ("uniform", "random", "loss_sensitivity", "hessian_trace", "recourse_sensitivity")
BUDGETS = (2.5, 3.0, 3.5, 4.0, 5.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("datasets", nargs="*", default=["adult"])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--people", type=int, default=1000)
    given = parser.parse_args()
    print("| data set | budget | " + " | ".join(ALLOCATORS) + " | best of 256 |")
    print("|" + "---|" * (len(ALLOCATORS) + 3))
    for name in given.datasets:
        for budget, cells in table(name, given.seeds, given.people).items():
            shown = [f"{raw:.3f} / {matched:.3f}" for raw, matched in cells]
            print(f"| {name} | {budget:g} | " + " | ".join(shown) + " |", flush=True)


def table(name: str, seeds: int, people: int) -> dict[float, list[tuple[float, float]]]:
    """For each budget, mean VD (raw, matched) of every allocator's plan and of the best plan."""
    setting = pipeline.Setting(people=people)
    data = load("datasets", name).load()
    found: dict[float, list[list[tuple[float, float]]]] = defaultdict(list)
    started = time.process_time()
    for seed in range(seeds):
        promises = pipeline.training_recourse(pipeline.promise([pipeline.prepare(data, seed)], setting), setting)
        p = promises[0]
        with repeatable():
            data = pipeline.training_data_of(promises)
            encoded = p.design.encoding.encode(p.recourse.after[p.recourse.has_recourse])
            points = Points(torch.tensor(encoded, dtype=torch.float32), data.validation[0])
            table = landscape(p.teacher, points, Calibration(), data.inputs[0, : Calibration().rows])
            plans = {a: load("allocators", a).plans(data, Calibration(), BUDGETS) for a in ALLOCATORS}
        for i, budget in enumerate(BUDGETS):
            at = [table.of(plans[a][i]) for a in ALLOCATORS] + [table.best(budget)]
            found[budget].append([(table.vd[k], table.vd_matched[k]) for k in at])
    print(f"<!-- {name}: {time.process_time() - started:.0f} CPU s -->")
    return {b: [tuple(np.mean(np.array(rows)[:, k], axis=0)) for k in range(len(rows[0]))] for b, rows in found.items()}


if __name__ == "__main__":
    main()
