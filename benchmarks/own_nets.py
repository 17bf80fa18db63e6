"""Somebody's own networks on Adult at 3 bits: what rounding and what anchored CFQ leave of their promises.

python -m benchmarks.own_nets        # needs CFQ_DATA_DIR; adds to benchmarks/numbers/own_nets.json a net at a time

Five torch networks of each kind are trained by a plain loop that knows nothing of this package, given to
`promise(..., teacher=)`, quantized, and written as ONNX; onnxruntime then computes every test row and every promised
point from the file and from the teacher's.
"""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path
from statistics import mean
from typing import Any

import torch
from torch import nn

from cfq_core.base import plugins
from cfq_core.export.stored import export_student, run_of
from cfq_core.pipeline import Design, Setting, audit, prepare, promise, training_recourse

OUT = Path(__file__).parent / "numbers" / "own_nets.json"
NETS, BITS = 5, 3.0
SHARE = 0.2  # of ptq's VD that anchored CFQ may leave
SETTING = Setting(people=250, n_reaudited=1, n_training_recourse=1000)
METHODS = ("ptq", "cfq_anchored")
EPOCHS, BATCH, RATE = 3, 256, 2e-3


class Residual(nn.Module):
    """A layer, a block that adds what it is given, and the output."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second, self.last = nn.Linear(width, 32), nn.Linear(32, 32), nn.Linear(32, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """One logit a person."""
        h = torch.relu(self.first(x))
        return self.last(h + torch.relu(self.second(h)))


def net(kind: str, width: int) -> nn.Module:
    """An untrained network of a kind."""
    if kind == "residual":
        return Residual(width)
    if kind == "gelu, batch-norm":
        hidden = [nn.Linear(width, 32), nn.BatchNorm1d(32), nn.GELU(), nn.Linear(32, 32), nn.BatchNorm1d(32), nn.GELU()]
        return nn.Sequential(*hidden, nn.Linear(32, 1))
    return nn.Sequential(nn.Linear(width, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 1))


KINDS = ("relu", "gelu, batch-norm", "residual")


def main() -> None:
    """Every net that is not there yet."""
    torch.set_num_threads(1)
    design = prepare(plugins.load("datasets", "adult").load(), 0)
    found: list[dict[str, Any]] = json.loads(OUT.read_text(encoding="utf-8")) if OUT.is_file() else []
    there = {(f["kind"], f["seed"]) for f in found}
    for kind in KINDS:
        for seed in range(NETS):
            if (kind, seed) not in there:
                found.append(of_net(kind, seed, design))
                OUT.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
                print(found[-1], flush=True)
    print(section())


def of_net(kind: str, seed: int, design: Design) -> dict[str, Any]:
    """One net through every method, and its files through onnxruntime."""
    began = time.process_time()
    model = trained(kind, seed, design)
    promises = training_recourse(promise([design], SETTING, teacher=model), SETTING)
    methods = {name: plugins.load("methods", name) for name in METHODS}
    out: dict[str, Any] = {"kind": kind, "seed": seed, "people": int(promises[0].recourse.has_recourse.sum())}
    with tempfile.TemporaryDirectory() as name:
        for audited in audit(promises, methods, [BITS], SETTING):
            written = export_student(run_of(promises[0], audited, SETTING.kappa), Path(name) / f"{audited.method}.onnx")
            measures = audited.measures.overall
            out[audited.method] = {
                "vd": measures["vd"].value, "vd_matched": measures["vd_matched"].value,
                "approval_shift": measures["approval_shift"].value, "accuracy": measures["accuracy"].value,
                "points": written.parity.points, "differing": written.parity.differing,
            }  # fmt: skip
    return out | {"seconds": round(time.process_time() - began, 1)}


def trained(kind: str, seed: int, design: Design) -> nn.Module:
    """Fitted to the training rows."""
    torch.manual_seed(seed)
    rows = design.split.train
    x = torch.tensor(design.inputs(rows), dtype=torch.float32)
    y = torch.tensor(design.table.outcome[rows], dtype=torch.float32)
    model = net(kind, x.shape[1])
    optimiser = torch.optim.Adam(model.parameters(), RATE)
    for _ in range(EPOCHS):
        for batch in torch.randperm(len(x)).split(BATCH):
            optimiser.zero_grad()
            nn.functional.binary_cross_entropy_with_logits(model(x[batch])[:, 0], y[batch]).backward()
            optimiser.step()
    return model.eval()


def section(path: Path = OUT) -> str:
    """The table for benchmarks/RESULTS.md, from the stored numbers."""
    if not path.is_file():
        return ""
    found = json.loads(path.read_text(encoding="utf-8"))
    out = [
        "## Own networks as teachers",
        "",
        f"Adult, {NETS} torch networks of another author of each kind (2 layers of 32) through",
        f"`promise(..., teacher=)`, {BITS:g} bits, {SETTING.people} people a net; means over nets. Bar: cfq_anchored's",
        f"VD at most {SHARE:g} of ptq's, and the returned ONNX decides every test row and promised point as the",
        "audited model. Made by `python -m benchmarks.own_nets`.",
        "",
        "| kind | nets | VD ptq | VD cfq_anchored | matched ptq | matched cfq_anchored | approval shift ptq, points "
        "| cfq_anchored | share of ptq's VD | worst net's VD | decisions that differ | CPU s a net | reached |",
        "|" + "---|" * 13,
    ]  # fmt: skip
    for kind in KINDS:
        if mine := [f for f in found if f["kind"] == kind]:
            out.append(_line(kind, mine))
    return "\n".join(out)


def _line(kind: str, mine: list[dict[str, Any]]) -> str:
    def each(measure: str, factor: float = 1.0, digits: int = 3) -> list[str]:
        return [f"{factor * mean(f[m][measure] for f in mine):.{digits}f}" for m in METHODS]

    share = mean(f["cfq_anchored"]["vd"] for f in mine) / max(mean(f["ptq"]["vd"] for f in mine), 1e-9)
    pairs = [tuple(f[m]["vd"] for m in reversed(METHODS)) for f in mine]
    worst = "{:.3f} of {:.3f}".format(*max(pairs, key=lambda p: p[0] / max(p[1], 1e-9)))
    differing = sum(f[m]["differing"] for f in mine for m in METHODS)
    points = sum(f[m]["points"] for f in mine for m in METHODS)
    reached = "yes" if share <= SHARE and not differing and len(mine) >= NETS else "**no**"
    cells = [kind, str(len(mine)), *each("vd"), *each("vd_matched"), *each("approval_shift", 100, 1)]
    seconds = mean(f["seconds"] for f in mine)
    cells += [f"{share:.3f}", worst, f"{differing} of {points:,}", f"{seconds:.0f}", reached]
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
