"""Exact recourse: everybody proved in how much time, how far the fast search is from it, beside HiGHS.

    python -m benchmarks.exact [german compas adult diabetes] [--nets 32-32 ...] [--people 300] [--highs 12] ...

Denied test people of one teacher a net (German: eight seeds pooled, its splits are small), kappa = 0.2, the data
sets' own actions. CPU seconds of one thread; the exact solver's include the search that starts it. HiGHS is asked
about the first people only, with the search's cost as its cutoff; what it answers is judged again by the network.
Students are post-training quantized (`ptq`), with 8-bit activations. Diabetes is measured as `exact_budget.py` says.
Writes its cells into benchmarks/numbers/exact.json, beside those of other calls.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import exact_budget
from benchmarks.search_quality import KAPPA, SAME, Case, case, one_thread
from cfq_core.base import plugins
from cfq_core.base.seeds import repeatable
from cfq_core.quant.calibrate import Calibration
from cfq_core.quant.quantized import QuantStack
from cfq_core.recourse.exact import Exact
from cfq_core.recourse.find import Solver, find_recourse, logits64
from cfq_core.recourse.outcome import Recourse
from cfq_core.recourse.problem import RecourseQuery
from cfq_core.recourse.search import Search
from cfq_core.tables.split import split
from tests.oracles import lattice, milp
from tests.oracles.legality import frame

OUT = Path(__file__).parent / "numbers" / "exact.json"
NETS = ((32, 32), (32, 32, 32), (64, 64, 32))
SEEDS = {"adult": (0,), "compas": (0,), "german": tuple(range(8))}
BITS = {(32, 32): (4, 3), (32, 32, 32): (4,), (64, 64, 32): (4,)}
LOOSER = 1.5  # HiGHS, where it fails at a cutoff, is asked again with one so many times higher


@dataclass(frozen=True)
class Timed:
    """An answer, and the CPU seconds it took."""

    recourse: Recourse
    cpu: float


@dataclass(frozen=True)
class Cell:
    """One data set and net."""

    data_set: str
    hidden: str
    people: int
    proved: float  # share
    no_action: float  # share, proved
    cpu: float  # seconds for everybody
    ms: float  # a person
    search_ms: float
    search_found: float  # share of those with an action
    search_gap: float  # mean, of proved people
    search_worst: float
    search_optimal: float  # share
    highs_people: int
    highs_finished: float  # share
    highs_s: float  # CPU seconds a person
    exact_s: float  # of the same people
    ratio: float
    highs_differs: int  # finished and another cost
    highs_missed: int  # no answer, or called infeasible, where a verified action exists


@dataclass(frozen=True)
class Gap:
    """CRG of one data set, net and bit-width: all answers of the search, and those proved on both sides."""

    data_set: str
    hidden: str
    bits: int
    pairs: int
    proved: float  # share of both-sided answers
    ms: float  # a person, student
    vd_search: float  # of the search's promises
    vd_exact: float  # of the cheapest actions
    median_search: float
    median_exact: float
    abs_search: float
    abs_exact: float


def answered(model: object, asked: Case, solver: Solver) -> Timed:
    """CPU time of one call."""
    start = time.process_time()
    recourse = find_recourse(model, asked.queries, solver, KAPPA)  # type: ignore[arg-type]
    return Timed(recourse, time.process_time() - start)


def measure(name: str, hidden: tuple[int, ...], given: argparse.Namespace) -> tuple[Cell, list[Gap]]:
    """One cell and the students of its teachers."""
    with repeatable():
        asked = case(name, SEEDS[name], given.people, hidden)
        find_recourse(asked.model, asked.queries, Search(), KAPPA)  # the first call pays for torch's start
        fast, sure = answered(asked.model, asked, Search()), answered(asked.model, asked, Exact())
        gaps = [_gap(name, hidden, asked, bits, fast.recourse, sure.recourse) for bits in BITS[hidden]]
    return _cell(name, hidden, asked, fast, sure, given), gaps


def _cell(name: str, hidden: tuple[int, ...], asked: Case, fast: Timed, sure: Timed, given: argparse.Namespace) -> Cell:
    s, e = fast.recourse, sure.recourse
    n, both = len(e.run), e.has_recourse & e.proved & s.has_recourse & (e.cost > 0)
    gap = s.cost[both] / e.cost[both] - 1
    few, truth = _first(asked, s, given)
    known = np.array([t.status == "proved" for t in truth])
    cost = np.array([t.cost for t in truth])
    exact = np.concatenate([e.of(r).cost[: len(f)] for r, f in enumerate(few)])
    seconds = sum(c for f in few for c in f)
    with repeatable():
        start = time.process_time()
        queries = [
            RecourseQuery(a.values[: len(f)], a.encoding, a.actions) for a, f in zip(asked.queries, few, strict=True)
        ]
        find_recourse(asked.model, queries, Exact(), KAPPA)
        own = time.process_time() - start
    either = np.isfinite(cost) | np.isfinite(exact)
    with np.errstate(invalid="ignore"):
        differs = known & either & ~(np.abs(cost - exact) <= 1e-4 * np.maximum(1.0, exact))
    return Cell(
        name, "-".join(map(str, hidden)), n, float(e.proved.mean()), float((np.isinf(e.lower)).mean()), sure.cpu,
        1000 * sure.cpu / n, 1000 * fast.cpu / n, float(s.has_recourse[e.has_recourse].mean()), float(gap.mean()),
        float(gap.max()),
        float((gap <= SAME).mean()), len(cost), float(known.mean()), seconds / len(cost), own / len(cost),
        seconds / own, int(differs.sum()), int((np.isinf(cost) & np.isfinite(exact)).sum()),
    )  # fmt: skip


def _first(asked: Case, search: Recourse, given: argparse.Namespace) -> tuple[list[list[float]], list[milp.Answer]]:
    """HiGHS on the first people of every run: seconds of each, and what it says."""
    seconds: list[list[float]] = []
    truth = []
    share = -(-given.highs // len(asked.queries))
    for run, (ask, rules) in enumerate(zip(asked.queries, asked.rules, strict=True)):
        network, mine = lattice.Network.of(asked.model, run), search.of(run)
        seconds.append([])
        for (_, person), cost in list(zip(frame(asked.schema, ask.values).iterrows(), mine.cost, strict=True))[:share]:
            start = time.process_time()
            program = milp.Person.of(network, ask.encoding, rules, person)
            found = milp.least_cost(program, KAPPA, float(cost), given.seconds)
            if found.status != "proved" and np.isfinite(cost):
                found = milp.least_cost(program, KAPPA, LOOSER * float(cost), given.seconds)
            truth.append(found)
            seconds[-1].append(time.process_time() - start)
    return seconds, truth


def _gap(name: str, hidden: tuple[int, ...], asked: Case, bits: int, fast: Recourse, sure: Recourse) -> Gap:
    student = _student(name, asked, bits)
    again, best = answered(student, asked, Search()).recourse, answered(student, asked, Exact())
    proved = sure.proved & best.recourse.proved
    searched, exact = _relative(fast, again), _relative(sure, best.recourse)
    pairs = np.isfinite(exact) & proved
    return Gap(
        name, "-".join(map(str, hidden)), bits, int(pairs.sum()), float(proved[np.isfinite(exact)].mean()),
        1000 * best.cpu / len(sure.run), _broken(student, asked, fast), _broken(student, asked, sure),
        float(np.nanmedian(searched)), float(np.median(exact[pairs])),
        float(np.nanmean(np.abs(searched))), float(np.abs(exact[pairs]).mean()),
    )  # fmt: skip


def _student(name: str, asked: Case, bits: int) -> QuantStack:
    table = plugins.load("datasets", name).load()
    rows = [split(table, s).train for s in SEEDS[name]]
    inputs = np.stack([a.encoding.encode(table.values[r]) for a, r in zip(asked.queries, rows, strict=True)])
    plan = torch.full((asked.model.runs, len(asked.model.weights)), bits)
    return Calibration().quantize(asked.model, plan, torch.tensor(inputs, dtype=torch.float32))


def _relative(mine: Recourse, theirs: Recourse) -> np.ndarray:
    """Relative change of cost; NaN where one side has no action."""
    both = mine.has_recourse & theirs.has_recourse & (mine.cost > 0)
    return np.where(both, np.where(both, theirs.cost, 0.0) / np.where(both, mine.cost, 1.0) - 1, np.nan)


def _broken(student: QuantStack, asked: Case, recourse: Recourse) -> float:
    at = [logits64(student, r, a.encoding, recourse.of(r).after) for r, a in enumerate(asked.queries)]
    return float((np.concatenate(at) <= 0)[recourse.has_recourse].mean())


def section(path: Path = OUT) -> str:
    """The tables of RESULTS.md; empty where the program has not run."""
    if not path.is_file():
        return ""
    found = json.loads(path.read_text(encoding="utf-8"))
    out = ["## Exact recourse", "", f"`{found['command']}`; CPU time of one thread, one run on a shared machine.", ""]
    out += [
        "HiGHS's time limit is wall clock, so on a busy machine it finishes fewer; its ratio is then unfair to it.",
        "",
    ]
    out += [
        "| data set | net | people | proved | of these no action | ms a person | search ms | search found "
        "| search gap, mean | worst | optimal "
        "| HiGHS people | finished | HiGHS s | exact s | ratio | other answer | action missed |",
        "|" + "---|" * 18,
    ]
    for c in found["cells"]:
        cells = [
            c["data_set"], c["hidden"], c["people"], _share(c["proved"]), _share(c["no_action"]), f"{c['ms']:.1f}",
            f"{c['search_ms']:.1f}", _share(c["search_found"]), _share(c["search_gap"], 3),
            _share(c["search_worst"], 1), _share(c["search_optimal"]), c["highs_people"],
            _share(c["highs_finished"], 0), f"{c['highs_s']:.2f}",
            f"{c['exact_s']:.3f}", f"{c['ratio']:.0f}", c["highs_differs"], c["highs_missed"],
        ]  # fmt: skip
        out.append("| " + " | ".join(map(str, cells)) + " |")
    out += ["", "CRG of the search against CRG of pairs proved on both sides (`ptq` students, 8-bit activations):", ""]
    out += [
        "| data set | net | bits | pairs | proved | ms a person | VD search | VD exact "
        "| CRG median search | exact | CRG abs search | exact |",
        "|" + "---|" * 12,
    ]
    for g in found["gaps"]:
        numbers = [g[k] for k in ("vd_search", "vd_exact", "median_search", "median_exact", "abs_search", "abs_exact")]
        cells = [g["data_set"], g["hidden"], g["bits"], g["pairs"], _share(g["proved"]), f"{g['ms']:.1f}"]
        out.append("| " + " | ".join(map(str, [*cells, *(f"{x:.4f}" for x in numbers)])) + " |")
    return "\n".join([*out, *exact_budget.table(found.get("budgets", []))])


def _share(value: float, digits: int = 2) -> str:
    return f"{100 * value:.{digits}f} %"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures every cell and writes the numbers after each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data_sets", nargs="*", default=[*SEEDS, exact_budget.NAME])
    parser.add_argument("--nets", nargs="+", default=["-".join(map(str, n)) for n in NETS])
    parser.add_argument("--people", type=int, default=300)
    parser.add_argument("--highs", type=int, default=12, help="people HiGHS is asked about, of each cell")
    parser.add_argument("--seconds", type=float, default=10.0, help="time limit of each call of HiGHS")
    parser.add_argument("--out", type=Path, default=OUT)
    given = parser.parse_args(arguments)
    one_thread()
    for net in given.nets:
        hidden = tuple(int(width) for width in net.split("-"))
        for name in given.data_sets:
            if name == exact_budget.NAME:
                budgets = exact_budget.budgeted(hidden) if hidden in exact_budget.NETS else []
                print(*budgets, sep="\n", flush=True)
                _write(given, {"budgets": budgets}, (name, net))
                continue
            cell, gaps = measure(name, hidden, given)
            print(cell, *gaps, sep="\n  ", flush=True)
            _write(given, {"cells": [cell], "gaps": gaps}, (name, net))


def _write(given: argparse.Namespace, measured: Mapping[str, Sequence[Any]], place: tuple[str, str]) -> None:
    """Put what was measured of a data set and net in the place of its last measurement; the rest stays as it is."""
    known = json.loads(given.out.read_text(encoding="utf-8")) if given.out.is_file() else {"cells": [], "gaps": []}
    options = f"--people {given.people} --highs {given.highs} --seconds {given.seconds:g}"
    if measured.keys() & {"cells", "gaps"} or "command" not in known:
        known["command"] = f"python -m benchmarks.exact {options}"
    for kind, fresh in measured.items():
        kept = [k for k in known.get(kind, []) if (k["data_set"], k["hidden"]) != place]
        made = kept + [asdict(one) for one in fresh]
        known[kind] = sorted(made, key=lambda k: (len(k["hidden"]), k["hidden"], k["data_set"]))
    given.out.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
