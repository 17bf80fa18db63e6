"""Certificates under attack, how much they prove, how tight they are, and how well the forecast is calibrated.

    python -m benchmarks.certificates [german compas adult] [--people 300] [--trials 400000]

Teachers 2x32, least-cost actions with kappa 0.2 and 1. ``people`` and ``trials`` are those of each data set, over all
its teachers; a trial is an attacked (person, rounding) or (person, point), half of the roundings are corners of the
box. The gradient attack starts from each person's own point. Forecast: odds before quantizing beside what
min-max post-training quantization then does. Writes benchmarks/numbers/certificates.json after each data set.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from benchmarks.search_quality import Case, case, one_thread
from cfq_core.base import plugins
from cfq_core.base.seeds import numpy_stream, repeatable
from cfq_core.certificates.logit_lower_bound import lower_bound_nearby, lower_bound_rounded
from cfq_core.certificates.table import RADIUS
from cfq_core.nets.stack import Stack, score
from cfq_core.quant.break_probability import break_probability
from cfq_core.quant.calibrate import Calibration
from cfq_core.quant.forecast import rounding_noise
from cfq_core.quant.quantized import QuantStack
from cfq_core.recourse.find import find_recourse
from cfq_core.recourse.search import Search
from cfq_core.tables.split import split

OUT = Path(__file__).parent / "numbers" / "certificates.json"
BITS = (8, 6, 5, 4, 3, 2)
KAPPAS = (0.2, 1.0)
SEEDS = {"german": (0, 1, 2, 3, 4, 5, 6, 7), "compas": (0, 1, 2, 3), "adult": (0,)}
STEPS = 10  # of the gradient attack
BINS = 5  # of the calibration curve


@dataclass(frozen=True)
class Told:
    """One teacher, the grid of one bit-width, and the encoded recommended points with their logits."""

    teacher: Stack
    grid: QuantStack
    points: np.ndarray
    margin: np.ndarray


def deployed(told: Told, errors: list[torch.Tensor]) -> QuantStack:
    """The integer model whose weights are so many half-steps off; errors have a leading axis of models."""
    t, g, n = told.teacher, told.grid, len(errors[0])
    weights = [w.double() / s[..., None] + e / 2 for w, s, e in zip(t.weights, g.weight_steps, errors, strict=True)]
    biases = [
        (b.double() / (s * x[:, None])).expand(n, -1)
        for b, s, x in zip(t.biases, g.weight_steps, g.input_steps, strict=True)
    ]
    return QuantStack(
        tuple(weights), tuple(biases), tuple(s.expand(n, -1) for s in g.weight_steps),
        tuple(x.expand(n) for x in g.input_steps),
    )  # fmt: skip


def sampled(told: Told, lowest: np.ndarray, trials: int, random: np.random.Generator) -> int:
    """How many of so many (person, rounding) pairs lie below the proved bound."""
    below, at_once = 0, 16
    points = torch.tensor(told.points)[None].expand(at_once, -1, -1)
    for block in range(-(-trials // (at_once * len(told.points)))):
        errors = [torch.tensor(random.uniform(-1, 1, (at_once, *w.shape[1:]))) for w in told.teacher.weights]
        errors = [e.sign() for e in errors] if block % 2 else errors
        below += int((score(deployed(told, errors), points).numpy() < lowest).sum())
    return below


def attacked(told: Told, people: int) -> np.ndarray:
    """The lowest logit that signed gradient steps find, each person with roundings of their own."""
    points = torch.tensor(told.points[:people])[:, None]
    n = len(points)
    errors = [torch.zeros(n, *w.shape[1:], dtype=torch.float64, requires_grad=True) for w in told.teacher.weights]
    found = np.full(n, np.inf)
    for _ in range(STEPS):
        logits = score(deployed(told, errors), points)[:, 0]
        found = np.minimum(found, logits.detach().numpy())
        slopes = torch.autograd.grad(logits.sum(), errors)
        errors = [(-g.sign()).requires_grad_() for g in slopes]
    return found


def nearby(told: Told, movable: list[int], lowest: np.ndarray, trials: int, random: np.random.Generator) -> int:
    """How many of so many (person, point within the radius) pairs lie below the proved bound."""
    below = 0
    for block in range(-(-trials // len(told.points))):
        move = random.uniform(-1, 1, (len(told.points), len(movable)))
        near = told.points.copy()
        near[:, movable] += RADIUS * (np.sign(move) if block % 2 else move)
        below += int((score(told.grid, torch.tensor(near)[None])[0].numpy() < lowest).sum())
    return below


def measure(name: str, given: argparse.Namespace) -> list[dict[str, object]]:
    """One line a margin and bit-width of one data set, all its teachers pooled."""
    with repeatable():
        asked = case(name, SEEDS[name], given.people)
        return [_line(name, asked, kappa, bits, given) for kappa in KAPPAS for bits in BITS]


def _line(name: str, asked: Case, kappa: float, bits: int, given: argparse.Namespace) -> dict[str, object]:
    promised = find_recourse(asked.model, asked.queries, Search(), kappa)
    table = plugins.load("datasets", name).load()
    random = numpy_stream(bits, f"benchmarks/certificates/{name}/{kappa}")
    share = given.trials // (2 * len(KAPPAS) * len(BITS) * len(asked.queries))
    parts: dict[str, list[np.ndarray]] = {}
    counts = {"trials": 0, "contradictions": 0}
    seconds = 0.0
    for run, (ask, seed) in enumerate(zip(asked.queries, SEEDS[name], strict=True)):
        mine = promised.of(run)
        if not mine.has_recourse.any():
            continue
        points = ask.encoding.encode(mine.after[mine.has_recourse])
        watched = torch.tensor(ask.encoding.encode(table.values[split(table, seed).train][:2048]), dtype=torch.float32)
        teacher = asked.model.take([run])
        plan = torch.full((1, len(teacher.weights)), bits)
        grid = Calibration(weights="min-max").quantize(teacher, plan, watched[None])
        told = Told(teacher, grid, points, mine.margin[mine.has_recourse])
        movable = [ask.encoding.starts[i] for i in ask.actions.numbers]
        start = time.process_time()
        lowest, near = (
            lower_bound_rounded(teacher, grid, points),
            lower_bound_nearby(grid, points, movable, RADIUS, "each"),
        )
        seconds += time.process_time() - start
        met = attacked(told, -(-given.attacked // len(asked.queries)))
        few = slice(None, len(met))
        counts["trials"] += 2 * share + STEPS * len(met)
        counts["contradictions"] += sampled(told, lowest, share, random) + int((met < lowest[few]).sum())
        counts["contradictions"] += nearby(told, movable, near, share, random)
        real = score(grid, torch.tensor(points)[None])[0].numpy()
        drop = np.maximum(told.margin[few] - lowest[few], 1e-12)
        odds = break_probability(told.margin, rounding_noise(teacher, grid, points))
        for key, value in {
            "proved": lowest > 0, "attackable": met <= 0, "tightness": (told.margin[few] - met) / drop,
            "region": near > 0, "broken": real <= 0, "odds": odds,
        }.items():  # fmt: skip
            parts.setdefault(key, []).append(np.asarray(value, float))
    whole = {k: np.concatenate(v) for k, v in parts.items()}
    return {
        "data_set": name, "kappa": kappa, "bits": bits, "people": len(whole["proved"]), **counts,
        "ms": 1000 * seconds / len(whole["proved"]), "tightness": float(np.median(whole["tightness"])),
        **{k: float(whole[k].mean()) for k in ("proved", "attackable", "region", "broken", "odds")},
        "curve": _curve(whole["odds"], whole["broken"]),
    }  # fmt: skip


def _curve(odds: np.ndarray, broken: np.ndarray) -> list[list[float]]:
    """Mean forecast, share that broke and people, of equally large groups in order of the forecast."""
    order = np.argsort(odds, kind="stable")
    return [[float(odds[part].mean()), float(broken[part].mean()), len(part)] for part in np.array_split(order, BINS)]


def section(path: Path = OUT) -> str:
    """The tables of RESULTS.md; empty where the program has not run."""
    if not path.is_file():
        return ""
    found = json.loads(path.read_text(encoding="utf-8"))
    lines = found["lines"]
    trials, wrong = (sum(x[k] for x in lines) for k in ("trials", "contradictions"))
    out = [
        "## Certificates and the forecast",
        "",
        f"`{found['command']}`: {wrong} contradictions in {trials:,} trials.",
        "",
    ]
    out += [
        "Rounding: proved for every rounding within half a step (min-max grid, 8-bit activations); attackable:",
        "a gradient attack finds a rounding that breaks it, so nothing could prove it; tightness: what the attack",
        f"takes of what the bound allows, median. Region: every movable number within {RADIUS:g} sd, on the student.",
        "Odds: forecast, not proved, of breaking.",
        "",
        "| data set | kappa | bits | people | rounding proved | attackable | tightness | region | broken in fact "
        "| odds, mean | ms a person |",
        "|" + "---|" * 11,
    ]
    for x in lines:
        shares = [x[k] for k in ("proved", "attackable", "tightness", "region", "broken", "odds")]
        cells = [x["data_set"], x["kappa"], x["bits"], x["people"], *(f"{s:.3f}" for s in shares), f"{x['ms']:.2f}"]
        out.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(out)


def main() -> None:
    """Measures every data set and writes the numbers after each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data_sets", nargs="*", default=list(SEEDS), help="german, compas, adult; all by default")
    parser.add_argument("--people", type=int, default=300, help="of each data set")
    parser.add_argument("--attacked", type=int, default=60, help="people of each data set that gradients attack")
    parser.add_argument("--trials", type=int, default=400_000, help="of each data set")
    parser.add_argument("--out", type=Path, default=OUT)
    given = parser.parse_args()
    one_thread()
    lines: list[dict[str, object]] = []
    for number, name in enumerate(given.data_sets, 1):
        lines += measure(name, given)
        options = f"--people {given.people} --attacked {given.attacked} --trials {given.trials}"
        command = f"python -m benchmarks.certificates {' '.join(given.data_sets[:number])} {options}"
        given.out.write_text(json.dumps({"command": command, "lines": lines}, indent=1) + "\n", encoding="utf-8")
    print(section(given.out))


if __name__ == "__main__":
    main()
