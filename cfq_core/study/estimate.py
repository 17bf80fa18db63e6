"""About how long a study takes, from runs that were timed. A hint for whoever waits, not a promise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cfq_core.base import plugins
from cfq_core.datasets.slices import base_of


@dataclass(frozen=True)
class Pace:
    """Seconds on one core, nets 64-64-32: timed on diabetes, digits, german and compas, the others scaled."""

    rows: int
    teacher: float  # a seed: training, and its recourse
    audit: float  # a run: rounding and the second search
    trained: float  # further seconds of a run that is fine-tuned


PACES = {
    "toy": Pace(1200, 0.8, 0.5, 0.3),
    "diabetes": Pace(442, 0.8, 1.8, 0.1),
    "digits": Pace(1797, 1.9, 0.6, 0.6),
    "german": Pace(1000, 0.8, 0.5, 0.3),
    "compas": Pace(6172, 1.5, 1.6, 0.9),
    "fashion": Pace(30000, 10.0, 2.0, 6.0),
    "adult": Pace(48842, 15.0, 4.0, 8.0),
}
BY_SIZE = ("german", "compas", "adult")  # which pace a user's own table has


#: Seconds of work that are worth further processes.
LONG = 5.0

#: Seconds a teacher that a probe takes: timed on german and compas with 200 to 300 people a seed.
PROBES = {"action_noise": 2.0, "shift": 5.0, "deployment_variants": 19.0}


def probing(names: Sequence[str], teachers: int) -> float:
    """Seconds that probes take; one that was not timed counts as the longest."""
    return teachers * sum(PROBES.get(n, max(PROBES.values())) for n in names)


def pace_of(dataset: str, rows: int | None = None) -> Pace:
    """A known table's pace, or that of the smallest known one with at least as many rows."""
    if base_of(dataset) in PACES:
        return PACES[base_of(dataset)]
    larger = [PACES[name] for name in BY_SIZE if rows is not None and PACES[name].rows >= rows]
    return larger[0] if larger else PACES[BY_SIZE[-1]]


def seconds(pace: Pace, methods: Sequence[str], budgets: int, seeds: int) -> float:
    """Of a study of these methods, by name or "all": each run is audited, and some are trained before."""
    names = plugins.names("methods") if list(methods) == ["all"] else methods
    trained = sum(bool(plugins.trait("methods", m, "trained")) for m in names)
    return seeds * (pace.teacher + budgets * (len(names) * pace.audit + trained * pace.trained))


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
