"""reachml on who has no action at all: its verdict beside the proof of our exact solver.

    python3 -m venv REACH; REACH/bin/pip install torch==2.13.0 scikit-learn scipy jaxtyping pooch safetensors click \\
        reachml==0.2.0a1 cplex docplex     # its way to SCIP imports cplex; nothing is solved with it
    REACH/bin/python -m benchmarks.peer_reachml [--store data/gallery] [--people 100]

Adult, teachers of the store's study, the first denied test people of each. reachml is told a person's whole box: it
enumerates every point that the person may reach (the levels of a category with SCIP), and the teacher decides each of
them. No point approved: the prediction is fixed. Our solver finds an action or proves that there is
none. Adds to benchmarks/numbers/peers.json, a seed at a time: what is there is not made again.
"""

from __future__ import annotations

import argparse
import math
import time
from dataclasses import dataclass
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from benchmarks import peer_tables, peers
from benchmarks.peer_question import quietly
from cfq_core.base.seeds import repeatable
from cfq_core.pipeline import TeacherRecourse
from cfq_core.recourse.exact import Exact
from cfq_core.recourse.find import find_recourse, logits64
from cfq_core.recourse.outcome import Why
from cfq_core.recourse.problem import RecourseQuery
from cfq_core.tables.schema import Table
from tests.oracles.legality import Rules, cell, frame

PEOPLE = 100  # a seed

Found = dict[str, Any]


@dataclass(frozen=True)
class Verdicts:
    """Who has recourse by whose word, and the CPU seconds of all of them."""

    has_recourse: list[bool | None]  # None: no word
    cpu: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path, default=Path("data/gallery"))
    parser.add_argument("--people", type=int, default=PEOPLE, help="a seed")
    parser.add_argument("--out", type=Path, default=peer_tables.OUT)
    given = parser.parse_args()
    torch.set_num_threads(1)
    found = peer_tables.read(given.out)
    there = found.setdefault("verdicts", [])
    for p, _ in peers.cases(given.store):
        if any(r["seed"] == p.design.seed for r in there):
            continue
        there.append(compare(p, given.people))
        peer_tables.write(found, given.out)
        print(p.design.seed, flush=True)


def compare(p: TeacherRecourse, people: int) -> Found:
    """Both verdicts on the first denied people of one teacher, and how many points each may reach."""
    d = p.design
    query = RecourseQuery(p.recourse.before[:people], d.encoding, d.actions)
    rules = Rules.read(d.table.schema, frame(d.table.schema, d.table.values[d.split.train]))
    ours = proved(p, query)
    reached, theirs = enumerated(p, query, d.table)
    return {
        "seed": d.seed, "version": version("reachml"), "box": [size(rules, own) for own in query.values],
        "points": reached,
        "ours": ours.has_recourse, "ours_cpu": round(ours.cpu, 4),
        "reachml": theirs.has_recourse, "reachml_cpu": round(theirs.cpu, 4),
    }  # fmt: skip


def size(rules: Rules, own: np.ndarray) -> int:
    """How many points a person may reach, counted from the rules that judge every answer."""
    return math.prod(len(rules.choices(f, cell(f, int(k)))) for f, k in zip(rules.schema.features, own, strict=True))


def proved(p: TeacherRecourse, query: RecourseQuery) -> Verdicts:
    """An action, or the proof that there is none, of everybody at once."""
    find_recourse(p.teacher, [query.take(slice(0, 2))], Exact(), 0.0)
    started = time.process_time()
    found = find_recourse(p.teacher, [query], Exact(), 0.0)
    cpu = time.process_time() - started
    told = {Why.FOUND: True, Why.NO_ACTION: False}
    return Verdicts([told.get(Why(w)) for w in found.why], cpu)


def enumerated(p: TeacherRecourse, query: RecourseQuery, table: Table) -> tuple[list[int], Verdicts]:
    """Points that each may reach by reachml, and whether the teacher approves one of them."""
    started, sizes, verdicts = time.process_time(), list[int](), list[bool | None]()
    for own in query.values:
        people = reachable(query, table, own)
        approved = bool((logits64(p.teacher, 0, query.encoding, people) > 0).any())
        sizes.append(len(people))
        verdicts.append(approved)
    return sizes, Verdicts(verdicts, time.process_time() - started)


def reachable(query: RecourseQuery, table: Table, own: np.ndarray) -> np.ndarray:
    """Everybody whom a person may become, by reachml; raises where it does not end."""
    from reachml.reachable_set import EnumeratedReachableSet  # not a dependency: it has an environment of its own

    with quietly():
        points = EnumeratedReachableSet(action_set(query, table, own), x=spread(table, own[None])[0], solver="scip")
        points.generate()
    assert points.complete, "reachml has not enumerated all"
    return gathered(table, np.rint(points.X).astype(np.int64))


def columns(table: Table) -> list[list[str]]:
    """By feature: the columns that reachml is given; one a level of a category."""
    return [[f"{f.name}_{level}" for level in f.levels] if f.is_category else [f.name] for f in table.schema.features]


def spread(table: Table, values: np.ndarray) -> np.ndarray:
    """People in those columns: counts, and a 1 in the column of their level."""
    parts = [
        np.eye(len(f.levels))[values[:, i]] if f.is_category else values[:, [i]].astype(float)
        for i, f in enumerate(table.schema.features)
    ]
    return np.concatenate(parts, axis=1)


def gathered(table: Table, points: np.ndarray) -> np.ndarray:
    """People in exact integer form from those columns."""
    out, start = [], 0
    for names in columns(table):
        part = points[:, start : start + len(names)]
        out.append(part.argmax(1) if len(names) > 1 else part[:, 0])
        start += len(names)
    return np.stack(out, axis=1)


def action_set(query: RecourseQuery, table: Table, own: np.ndarray) -> Any:
    """One person's box in reachml's words: numbers with ends, and one of the levels that are open.

    A constraint that names a single column is accepted and not enforced by reachml 0.2.0a1, so a category stands in
    one column a level: there it is.
    """
    from reachml import ActionSet
    from reachml.constraints import OneHotEncoding

    actions, names = query.actions, columns(table)
    ends = np.stack([table.values.min(0), table.values.max(0), own])  # all that it reads of rows
    seen = pd.DataFrame(spread(table, ends), columns=list(chain(*names)))
    out = ActionSet(seen)
    for name in seen.columns:
        out[name].actionable = False
    for i in actions.numbers:
        element = out[names[i][0]]
        element.actionable = True
        element.lb, element.ub = (float(end[0]) for end in actions.box(i, own[None]))
    for i in actions.switches:
        open_ = [names[i][k] for k in np.flatnonzero(actions.reachable(i, own[None])[0])]
        for name in open_ if len(open_) > 1 else []:
            out[name].actionable = True
        if len(open_) > 1:
            out.constraints.add(OneHotEncoding(open_))
    return out


if __name__ == "__main__":
    with repeatable():
        main()
