"""Measures of stored runs under the metrics there are now: what is missing or older is computed from stored evidence.

No model is made again and no table is read. What was computed is written back where the store can be written to, else
it is kept by this process. Evidence that a store does not hold (a gallery has no test rows) leaves a measure as it was
stored, or unknown, which `unknown` tells.
"""

from __future__ import annotations

import sqlite3
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from cfq_core.base.errors import BadStore
from cfq_core.base.identity import identity
from cfq_core.base.plugins import load_all
from cfq_core.evidence import (
    CONFIDENCE,
    OTHER_THRESHOLD,
    RESAMPLES,
    SMALLEST_GROUP,
    TIED,
    Evidence,
    Measure,
    Measures,
    Metric,
    measure,
    tied,
)
from cfq_core.study.audited import evidence_in, plain_groups, stored_teacher
from cfq_core.study.store import Arrays, Row, Store

UNKNOWN = "unknown"  # before a spec: tried, and the evidence is not kept
MOST = 1024  # runs whose measures a process keeps where it cannot write them

Values = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Measured:
    """What is measured of one run, as plain values."""

    overall: Values  # by measure: value, low, high, count
    groups: dict[str, dict[str, Values]]  # by column, level and measure
    specs: dict[str, str]  # what each metric's values were made under; empty where an older store does not say

    @property
    def unknown(self) -> tuple[str, ...]:
        """Metrics whose evidence is not kept: without a value, or with that of an earlier version."""
        return tuple(sorted(n for n, spec in self.specs.items() if spec.startswith(UNKNOWN)))


_kept: OrderedDict[tuple[str, str, str], Measured] = OrderedDict()


def specs(metrics: dict[str, Metric]) -> dict[str, str]:
    """The identity of what each metric says of the same evidence."""
    how = [SMALLEST_GROUP, CONFIDENCE, RESAMPLES]
    return {n: identity([n, m.unit, m.summary, m.decision, m.by_group, m.revision, how]) for n, m in metrics.items()}


def current_measures(store: Store, study: str, runs: Sequence[Row] | None = None) -> dict[str, Measured]:
    """What is measured of a study's stored runs (or of some of them), by run."""
    metrics: dict[str, Metric] = load_all("metrics")
    now, stored = specs(metrics), store.measures_of(study)
    known: dict[str, dict[str, str]] = {"": {}}
    evidence, out, made = _Evidence(store), {}, {}
    for run in store.runs(study) if runs is None else runs:
        id, spec = run["id"], run["measured"]
        known[spec] = known[spec] if spec in known else store.metrics(spec)
        overall = stored.get(id, {})
        was = known[spec] or {n: now[n] for n in now if n in overall}  # an older store's metrics are as they were
        out[id] = Measured(overall, run["groups"], was)
        missing = {n: metrics[n] for n in now if was.get(n) not in (now[n], f"{UNKNOWN} {now[n]}")}
        place = (str(store.folder.resolve()), id, identity(now))
        if missing or not was.keys() <= now.keys():
            out[id] = made[id] = _kept.get(place) or _again(evidence, run, out[id], missing, now)
            _kept[place] = made[id]
    _write(store, made)
    while len(_kept) > MOST:
        _kept.popitem(last=False)
    return out


def about_unknown(of: Iterable[Measured]) -> str:
    """One sentence about what cannot be measured of stored runs; empty where everything can."""
    runs = list(of)
    names = sorted({n for m in runs for n in m.unknown})
    if not names:
        return ""
    some = sum(bool(m.unknown) for m in runs)
    which = "these results" if some == len(runs) else f"{some} of these {len(runs)} runs"
    return (
        f"Not all evidence of {which} is kept, so these metrics are missing or as an earlier version measured them: "
        f"{', '.join(names)}."
    )


class _Evidence:
    """Evidence of runs, their teachers' part read once."""

    def __init__(self, store: Store) -> None:
        self.store, self.teachers = store, dict[str, tuple[Arrays, Arrays]]()

    def of(self, run: Row) -> tuple[Evidence, Evidence]:
        teacher = run["teacher_id"]
        if teacher not in self.teachers:
            self.teachers[teacher] = stored_teacher(self.store, teacher)
        return evidence_in(*self.teachers[teacher], self.store.arrays(run["id"], "people"), run["threshold"])


def _again(evidence: _Evidence, run: Row, was: Measured, missing: dict[str, Metric], now: dict[str, str]) -> Measured:
    """A run's measures with the missing metrics computed, and without those that are no longer there."""
    try:
        found = _measure(missing, *evidence.of(run), was.overall.get(OTHER_THRESHOLD)) if missing else Measures({}, {})
    except BadStore:
        return was  # a damaged run counts as not stored: the next `cfq run` makes it again
    gone = set(was.specs) - set(now) | set(missing)
    replaced = {f"{n}{ending}" for n in gone for ending in ("", "_matched", TIED)} - set(found.unknown)

    def kept(values: Values) -> Values:
        return {n: v for n, v in values.items() if n not in replaced}

    groups = {column: {level: kept(v) for level, v in levels.items()} for column, levels in was.groups.items()}
    for column, levels in plain_groups(found.groups).items():
        for level, values in levels.items():
            groups.setdefault(column, {}).setdefault(level, {}).update(values)
    unknown = {n.removesuffix("_matched") if n not in now else n for n in found.unknown}
    under = {n: f"{UNKNOWN} {spec}" if n in unknown else spec for n, spec in now.items()}
    made = {n: spec if n in missing else was.specs.get(n, spec) for n, spec in under.items()}
    overall = kept(was.overall) | {n: dict(vars(m)) for n, m in found.overall.items()}
    return Measured(dict(sorted(overall.items())), groups, made)


def _measure(metrics: dict[str, Metric], raw: Evidence, matched: Evidence, other: dict[str, Any] | None) -> Measures:
    """Some metrics of a run, at the other end of a tie too where its matched threshold lies at one."""
    found = measure(metrics, raw, matched)
    if other is not None:
        found.overall.update(tied(metrics, raw, other["value"]))
    return found


def _write(store: Store, made: dict[str, Measured]) -> None:
    if store.read_only or not made:
        return
    plain = ((id, {n: Measure(**v) for n, v in m.overall.items()}, m.groups, m.specs) for id, m in made.items())
    with suppress(BadStore, sqlite3.OperationalError):  # somebody else writes, or nobody may: it is kept in memory
        store.put_measures(plain)
