"""People whom exact recourse does not prove at once: how many it proves in how many boxes, what it says of the rest.

A part of `benchmarks/exact.py`: the first denied test people of one teacher of diabetes (seven movable numbers, nearly
all of their values reachable), one at a time. Then actions that cost less than the proved bounds are sampled.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.search_quality import KAPPA, Case, case
from cfq_core.base.seeds import repeatable
from cfq_core.recourse.exact import Exact
from cfq_core.recourse.find import find_recourse
from cfq_core.recourse.outcome import Recourse
from cfq_core.recourse.search import Search
from tests.oracles.below import sampled

NAME = "diabetes"
NETS = ((32, 32), (64, 64, 32))
BOXES = (20_000, 60_000)
PEOPLE = 20
SAMPLES = 1_200_000  # actions tried below the bounds of everybody together


@dataclass(frozen=True)
class Budgeted:
    """One net and budget."""

    data_set: str
    hidden: str
    boxes: int
    people: int
    proved: int
    cpu: float  # seconds a person, those of the search that starts it included
    slowest: float
    gap: float  # mean of everybody, 0 where proved
    widest: float
    widest_units: float  # the same in units of cost
    sampled: int  # actions below the bounds
    valid: int  # of them
    closest: float  # logits that the best of them lacks


def budgeted(hidden: tuple[int, ...]) -> list[Budgeted]:
    """A net under every budget."""
    with repeatable():
        asked = case(NAME, (0,), PEOPLE, hidden)
        find_recourse(asked.model, asked.queries, Search(), KAPPA)  # the first call pays for torch's start
        return [_budgeted(asked, hidden, boxes) for boxes in BOXES]


def _budgeted(asked: Case, hidden: tuple[int, ...], boxes: int) -> Budgeted:
    (ask,) = asked.queries
    answers, seconds = [], []
    for person in range(len(ask.values)):
        start = time.process_time()
        few = [ask.take(slice(person, person + 1))]
        answers.append(find_recourse(asked.model, few, Exact(boxes=boxes), KAPPA))
        seconds.append(time.process_time() - start)
    known = Recourse(**{name: np.concatenate([getattr(a, name) for a in answers]) for name in vars(answers[0])})
    gap, left = np.nan_to_num(known.gap), np.where(known.has_recourse, known.cost - known.lower, 0.0)
    below = sampled(asked.model, ask, known, KAPPA, SAMPLES // len(known.cost))
    return Budgeted(
        NAME, "-".join(map(str, hidden)), boxes, len(known.cost), int(known.proved.sum()), float(np.mean(seconds)),
        max(seconds), float(gap.mean()), float(gap.max()), float(np.max(left, where=~known.proved, initial=0.0)),
        below.points, below.valid, below.closest,
    )  # fmt: skip


def table(found: Sequence[Mapping[str, Any]]) -> list[str]:
    """The lines of RESULTS.md."""
    if not found:
        return []
    out = [
        "", f"Where seven numbers move ({NAME}, {PEOPLE} denied test people of seed 0, one at a time), by the boxes "
        "that a person may take; whoever needs more has a third as many spent on raising the lower bound:", "",
        "| net | boxes | proved | CPU s a person | slowest | could be saved, mean | most | in units of cost "
        "| actions sampled below the bounds | valid | logits short |",
        "|" + "---|" * 11,
    ]  # fmt: skip
    for b in found:
        cells = [
            b["hidden"], f"{b['boxes']:,}", f"{b['proved']} of {b['people']}", f"{b['cpu']:.2f}", f"{b['slowest']:.1f}",
            f"{b['gap']:.1%}", f"{b['widest']:.1%}", f"{b['widest_units']:.2f}", f"{b['sampled']:,}", b["valid"],
            f"{b['closest']:.4f}",
        ]  # fmt: skip
        out.append("| " + " | ".join(map(str, cells)) + " |")
    return out
