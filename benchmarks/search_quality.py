"""How close the default search comes to the true optimum: found share, cost gap, legality, speed.

    python -m benchmarks.search_quality [adult compas german] [--people 200] [--seeds 0 1 2] [--worst 3] [--json FILE]

Denied test people of 2x32 teachers; seeds are pooled where one split has too few. Adult and COMPAS are held to
the whole lattice of actions, visited in order of cost; German, whose lattices have up to 1e12 points, to a
mixed-integer program that is given the search's cost as a cutoff.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from cfq_core.actions.action_set import ActionSet
from cfq_core.base import plugins
from cfq_core.base.seeds import numpy_stream, repeatable
from cfq_core.nets.stack import Stack
from cfq_core.recourse.find import find_recourse, logits64
from cfq_core.recourse.outcome import Recourse
from cfq_core.recourse.problem import RecourseQuery
from cfq_core.recourse.search import Search
from cfq_core.tables.encode import Encoding
from cfq_core.tables.schema import Schema, Table
from cfq_core.tables.split import Split, split
from cfq_core.training.loop import Fold, TeacherTraining, train_teachers
from tests.oracles import lattice, milp
from tests.oracles.legality import Rules, frame

HIDDEN = (32, 32)
SEEDS = {"adult": (0,), "compas": (0,), "german": (0, 1, 2, 3, 4, 5)}
BY_PROGRAM = ("german",)  # lattices too large to enumerate
KAPPA = 0.2  # logits
PROCESSES = 2
SAME = 1e-6  # relative cost difference that is rounding


@dataclass(frozen=True)
class Case:
    """Teachers of one data set, the denied people who ask each of them, and the rules they live under."""

    schema: Schema
    model: Stack
    queries: tuple[RecourseQuery, ...]
    rules: tuple[Rules, ...]


def case(name: str, seeds: Sequence[int], people: int, hidden: Sequence[int] = HIDDEN) -> Case:
    """``people`` denied test people, drawn at random; all seeds in one stack."""
    table = plugins.load("datasets", name).load()
    parts = [split(table, s) for s in seeds]
    encodings = [Encoding.fit(table.schema, table.values[p.train]) for p in parts]
    train, valid = (_fold(table, encodings, [getattr(p, which) for p in parts]) for which in ("train", "valid"))
    model = train_teachers(Stack.initial(encodings[0].width, hidden, seeds), train, valid, seeds, TeacherTraining())
    queries, left = [], people
    for run, (seed, part, encoding) in enumerate(zip(seeds, parts, encodings, strict=True)):
        share = math.ceil(left / (len(seeds) - run))
        chosen = _denied(table, part, encoding, model, run, seed)[:share]
        left -= len(chosen)
        queries.append(
            RecourseQuery(table.values[chosen], encoding, ActionSet.fit(table.schema, table.values[part.train]))
        )
    rules = [Rules.read(table.schema, frame(table.schema, table.values[p.train])) for p in parts]
    return Case(table.schema, model, tuple(queries), tuple(rules))


def _fold(table: Table, encodings: Sequence[Encoding], rows: Sequence[np.ndarray]) -> Fold:
    inputs = np.stack([e.encode(table.values[r]) for e, r in zip(encodings, rows, strict=True)])
    outcome = np.stack([table.outcome[r] for r in rows])
    return Fold(torch.tensor(inputs, dtype=torch.float32), torch.tensor(outcome, dtype=torch.float32))


def _denied(table: Table, part: Split, encoding: Encoding, model: Stack, run: int, seed: int) -> np.ndarray:
    test = part.test[logits64(model, run, encoding, table.values[part.test]) <= 0]
    return numpy_stream(seed, "benchmarks/people").permutation(test)


# ---------------------------------------------------------------------- the oracle, one person a job


@dataclass(frozen=True)
class Job:
    """One person for the oracle."""

    by_program: bool
    network: lattice.Network
    encoding: Encoding
    rules: Rules
    person: pd.Series
    cutoff: float  # the search's cost; infinite where it found nothing
    seconds: float


@dataclass(frozen=True)
class Truth:
    """What the oracle says of one person."""

    cost: float  # of the best point it knows
    after: list[int] | None
    lower: float  # no action costs less
    proved: bool
    cpu: float  # seconds


def truth(job: Job) -> Truth:
    """Runs the oracle on one person."""
    start = time.process_time()
    target = max(KAPPA, lattice.LEAST_LOGIT)
    if job.by_program:
        program = milp.Person.of(job.network, job.encoding, job.rules, job.person)
        found = milp.least_cost(program, target, job.cutoff, job.seconds)
        lower, proved = found.lower, found.status == "proved"
    else:
        found = lattice.Lattice.of(job.network, job.encoding, job.rules, job.person).optimum(target)
        lower, proved = found.cost, True
    after = None if found.after is None else found.after.tolist()
    return Truth(found.cost, after, lower, proved, time.process_time() - start)


def one_thread() -> None:
    """Cores are used by processes."""
    torch.set_num_threads(1)


# ---------------------------------------------------------------------- one data set


@dataclass(frozen=True)
class Row:
    """One data set's line of the table; gaps are relative, over people whom both answer."""

    data_set: str
    people: int
    have_action: int  # an action is known to exist
    found: float  # share of those
    mean_gap: float
    median_gap: float
    p95_gap: float
    max_gap: float
    cost_ratio: float  # total cost of the search over the optimum's
    optimal: float  # share
    proved: float  # share of people of whom the oracle is sure
    violations: int
    cheaper_than_proved: int  # must be 0: the oracle would be wrong
    people_per_cpu_s: float
    oracle_cpu_s: float  # a person


def measure(name: str, seeds: Sequence[int], people: int, seconds: float, worst: int) -> tuple[Row, list[dict]]:
    """The line of one data set, and its people."""
    with repeatable():
        asked = case(name, seeds, people)
        find_recourse(asked.model, asked.queries, Search(), KAPPA)  # the first call pays for torch's start
        start = time.process_time()
        answer = find_recourse(asked.model, asked.queries, Search(), KAPPA)
        cpu = time.process_time() - start
    truths = _truths(name, asked, answer, seconds)
    row = _row(name, asked, answer, truths, cpu)
    records = [_record(asked.schema, answer, truths, i) for i in range(len(truths))]
    for record in sorted(records, key=lambda r: -r["gap"])[:worst]:
        if record["gap"] > SAME:
            print(f"{name} person {record['person']}: {record['search_cost']:.4f} against {record['best_cost']:.4f}")
            print(f"    search  {'; '.join(record['search'])}\n    optimum {'; '.join(record['best'])}")
    return row, records


def _truths(name: str, asked: Case, answer: Recourse, seconds: float) -> list[Truth]:
    jobs = []
    for run, (ask, rules) in enumerate(zip(asked.queries, asked.rules, strict=True)):
        network, mine = lattice.Network.of(asked.model, run), answer.of(run)
        for (_, person), cost in zip(frame(asked.schema, ask.values).iterrows(), mine.cost, strict=True):
            jobs.append(Job(name in BY_PROGRAM, network, ask.encoding, rules, person, float(cost), seconds))
    with ProcessPoolExecutor(PROCESSES, multiprocessing.get_context("spawn"), one_thread) as pool:
        return list(pool.map(truth, jobs))


def _row(name: str, asked: Case, answer: Recourse, truths: list[Truth], cpu: float) -> Row:
    optimum, proved = np.array([t.cost for t in truths]), np.array([t.proved for t in truths])
    best = np.minimum(optimum, answer.cost)
    both = answer.has_recourse & np.isfinite(best)
    gap = _gaps(answer.cost[both], best[both])
    broken = []
    for run, rules in enumerate(asked.rules):
        mine = answer.of(run)
        broken += rules.violations(frame(asked.schema, mine.before), frame(asked.schema, mine.after))
    for line in broken:
        print(f"{name}: {line}")
    exists = int(np.isfinite(best).sum())
    return Row(
        name, len(truths), exists, float(answer.has_recourse.sum() / max(exists, 1)),
        float(gap.mean()), float(np.median(gap)), float(np.quantile(gap, 0.95)), float(gap.max()),
        float(answer.cost[both].sum() / best[both].sum()), float((gap <= SAME).mean()), float(proved.mean()),
        len(broken), int((proved & (answer.cost < optimum * (1 - SAME) - SAME)).sum()),
        len(truths) / cpu, float(np.mean([t.cpu for t in truths])),
    )  # fmt: skip


def _gaps(cost: np.ndarray, best: np.ndarray) -> np.ndarray:
    return np.where(best > 0, cost / np.where(best > 0, best, 1.0) - 1, 0.0)


def _record(schema: Schema, answer: Recourse, truths: list[Truth], i: int) -> dict:
    """One person's answers in words."""
    found, known = truths[i], answer.before[i]
    best = min(found.cost, float(answer.cost[i]))
    after = answer.after[i] if found.after is None else np.array(found.after)
    if math.isinf(best):
        gap = 0.0
    else:
        gap = float(_gaps(answer.cost[i : i + 1], np.array([best]))[0])
    return {
        "run": int(answer.run[i]), "person": i, "why": int(answer.why[i]), "search_cost": float(answer.cost[i]),
        "best_cost": best, "lower": found.lower, "proved": found.proved, "gap": gap,
        "search": _spoken(schema, known, answer.after[i]), "best": _spoken(schema, known, after),
        "oracle_cpu_s": found.cpu,
    }  # fmt: skip


def _spoken(schema: Schema, before: np.ndarray, after: np.ndarray) -> list[str]:
    cells = zip(schema.features, before, after, strict=True)
    return [f"{f.name} {f.format_cell(int(old))} -> {f.format_cell(int(new))}" for f, old, new in cells if old != new]


def table(rows: Sequence[Row]) -> str:
    """Markdown; shares and gaps in per cent."""
    head = (
        "| data set | people | have an action | found | mean gap | median | p95 | max | total cost over optimum "
        "| optimal | proved | violations | search, people/CPU-s | oracle, CPU-s/person |"
    )
    lines = [head, "|---" * 14 + "|"]
    for r in rows:
        shares = [r.found, r.mean_gap, r.median_gap, r.p95_gap, r.max_gap, r.cost_ratio - 1, r.optimal, r.proved]
        cells = [f"{100 * s:.2f} %" for s in shares]
        counts = [r.violations, f"{r.people_per_cpu_s:.0f}", f"{r.oracle_cpu_s:.2f}"]
        lines.append(f"| {' | '.join(str(c) for c in [r.data_set, r.people, r.have_action, *cells, *counts])} |")
    return "\n".join(lines)


def main() -> None:
    """Prints one line a data set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data_sets", nargs="*", default=list(SEEDS), help="adult, german, compas; all by default")
    parser.add_argument("--people", type=int, default=200, help="of each data set, shared evenly by its seeds")
    parser.add_argument("--seeds", type=int, nargs="+", help="teachers and splits; by default 0, and 0 to 5 for german")
    parser.add_argument("--seconds", type=float, default=60.0, help="time limit of the oracle's program, a person")
    parser.add_argument("--worst", type=int, default=3, help="people with the largest gaps to show")
    parser.add_argument("--json", type=Path, help="also write every person here")
    given = parser.parse_args()
    one_thread()
    measured = [measure(n, given.seeds or SEEDS[n], given.people, given.seconds, given.worst) for n in given.data_sets]
    rows = [row for row, _ in measured]
    print(table(rows))
    if given.json:
        found = [{"row": asdict(row), "people": people} for row, people in measured]
        given.json.write_text(json.dumps(found, indent=1))
    if any(r.violations or r.cheaper_than_proved for r in rows):
        raise SystemExit("an answer breaks the rules, or beats a proved optimum: one of the two programs is wrong")


if __name__ == "__main__":
    main()
