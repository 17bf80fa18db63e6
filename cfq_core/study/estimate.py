"""About how long a study takes, from configurations that were timed. A hint for whoever waits, not a promise.

What takes time is counted (`Work`); seconds of each count are in `paces.json`, which `python -m benchmarks.estimates`
measures and writes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cfq_core.base import plugins
from cfq_core.datasets.slices import base_of

if TYPE_CHECKING:  # imports torch, which this module is read before
    from cfq_core.pipeline import Setting
    from cfq_core.tables.schema import Table

MEASURED = Path(__file__).parent / "paces.json"
BY_SIZE = ("german", "compas", "adult")  # which pace a user's own table has before it is read

#: Seconds of work that are worth further processes.
LONG = 5.0

#: What another run of the same stack costs to train, as a share of one alone: 0.25 on Adult, less on smaller tables.
FURTHER_RUN = 0.25

#: Seconds a teacher that a probe takes: timed on german and compas with 200 to 300 people a seed.
PROBES = {"action_noise": 2.0, "shift": 5.0, "deployment_variants": 19.0}

TEST_SHARE, TRAINING_SHARE = 0.3, 0.63  # of a table's rows, as `tables.split` cuts it


@dataclass(frozen=True)
class Pace:
    """Seconds on one core."""

    rows: int
    teacher: float  # a seed: training, and its recourse
    audit: float  # a run: rounding and the second search
    trained: float  # further seconds of a run that is fine-tuned
    recourse: float = 0.0  # further seconds of a seed whose training people's recourse a method asks for


@dataclass(frozen=True)
class Work:
    """Counts of what takes time on one table under one setting."""

    rows: int
    weights: int  # of a network
    steps: int  # of a teacher's training, all its epochs
    rows_per_step: int
    people: int  # denied test people who are asked for
    audited: int  # of them, on each student
    training_people: int  # denied, whose recourse methods learn from
    tuned_steps: int  # of a student's training
    hard: int  # numbers that can be moved, times moves tried in pairs, times the root of all features that can

    @staticmethod
    def of(table: Table, setting: Setting) -> Work:
        """As expected before anything is trained: as many are denied as had the unfavourable outcome."""
        from cfq_core.actions.regimes import under
        from cfq_core.training.finetune import Schedule

        features = under(setting.regime, table.schema).features
        inputs = sum(f.width for f in features)
        sizes = [inputs, *setting.hidden, 1]
        training = round(TRAINING_SHARE * len(table))
        how = setting.teacher_training.on(training)
        share = float(1 - table.outcome.mean()) if setting.approve is None else 1 - setting.approve
        denied, most = round(TEST_SHARE * share * len(table)), setting.people
        people = denied if most is None else min(denied, most)
        return Work(
            rows=len(table), weights=sum(a * b for a, b in pairwise(sizes)),
            steps=how.epochs * math.ceil(training / how.rows_per_step), rows_per_step=how.rows_per_step,
            people=people, audited=min(people, setting.n_reaudited),
            training_people=min(round(share * training), setting.n_training_recourse),
            tuned_steps=Schedule().steps(training), hard=_hard(features),
        )  # fmt: skip

    def terms(self, part: str) -> tuple[float, ...]:
        """What a part of a pace is a sum of, each times a measured number of seconds."""
        size, hard = self.weights / 1e4, self.hard * (0.5 + self.weights / 1e4)
        return {
            "teacher": (
                1,
                self.rows * size,
                self.steps,
                self.steps * self.rows_per_step * size,
                self.people,
                self.people * hard,
            ),
            "audit": (1, self.rows * size, self.audited, self.audited * hard),
            "trained": (1, self.tuned_steps, self.tuned_steps * size),
            "recourse": (1, self.training_people, self.training_people * hard),
        }[part]

    def pace(self, seconds: dict[str, Sequence[float]] | None = None) -> Pace:
        """Its seconds, as measured unless others are given."""
        known = measured()["seconds"] if seconds is None else seconds
        parts = (f.name for f in fields(Pace) if f.name != "rows")
        return Pace(self.rows, *(_dot(known[part], self.terms(part)) for part in parts))


def _hard(features: Sequence[Any]) -> int:
    from cfq_core.recourse.search import Search

    free = [f for f in features if f.move != "fixed"]
    numbers = sum(not f.is_category for f in free)
    moves = 2 * numbers + sum(len(f.levels) for f in free if f.is_category)
    return round(numbers * min(Search().wide, moves) * math.sqrt(len(free)))


def _dot(a: Sequence[float], b: Sequence[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


@cache
def measured() -> dict[str, Any]:
    """Seconds of each count, and the work of the shipped tables."""
    found: dict[str, Any] = json.loads(MEASURED.read_text(encoding="utf-8"))
    return found


def probing(names: Sequence[str], teachers: int) -> float:
    """Seconds that probes take; one that was not timed counts as the longest."""
    return teachers * sum(PROBES.get(n, max(PROBES.values())) for n in names)


def is_known(dataset: str) -> bool:
    """Whether a data set's work is known without reading it."""
    return base_of(dataset) in measured()["work"]


def pace_of(dataset: str, rows: int | None = None) -> Pace:
    """A known table's pace, or that of the smallest known one with at least as many rows."""
    work = {name: Work(**counts) for name, counts in measured()["work"].items()}
    if base_of(dataset) in work:
        return work[base_of(dataset)].pace()
    larger = [work[name] for name in BY_SIZE if rows is not None and work[name].rows >= rows]
    return (larger[0] if larger else work[BY_SIZE[-1]]).pace()


def seconds(pace: Pace, methods: Sequence[str], budgets: int, seeds: int) -> float:
    """Of a study of these methods, by name or "all": each run is audited, and some are trained before.

    The budgets of a seed train in one stack; that of several seeds of a small table is larger, and quicker still.
    """
    names = plugins.names("methods") if list(methods) == ["all"] else methods
    trained = sum(bool(plugins.trait("methods", m, "trained")) for m in names)
    of_a_seed = pace.teacher + budgets * len(names) * pace.audit + trained * stacked(pace.trained, budgets)
    return seeds * (of_a_seed + (pace.recourse if trained else 0.0))


def stacked(seconds: float, runs: int) -> float:
    """Seconds to train so many runs in one stack, where one alone takes so many."""
    return seconds * (1 + FURTHER_RUN * (runs - 1))


def format_time(estimate: float) -> str:
    """``about 3 minutes``."""
    if estimate < 50:
        return f"about {max(5, 5 * round(estimate / 5))} seconds"
    if estimate < 5400:
        minutes = round(estimate / 60)
        return f"about {minutes} minute{'s' if minutes > 1 else ''}"
    if estimate < 48 * 3600:
        return f"about {estimate / 3600:.1f} hours"
    return f"about {estimate / 86400:,.0f} days"
