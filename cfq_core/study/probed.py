"""What the probes of a stored study read: mean and spread over seeds, as tables and as plain values."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import mean, stdev
from typing import Any

from cfq_core.artifacts.artifact import ProbeResult, artifact, of_arrays
from cfq_core.study import summary
from cfq_core.study.store import Row, Store
from cfq_core.study.summary import OverSeeds

TEACHER = "teacher"


@dataclass(frozen=True)
class ProbeLine:
    """One measure of all seeds of one model under one condition."""

    dataset: str
    method: str  # "teacher": read of the teachers themselves
    budget: float | None  # None of teachers
    probe: str
    series: str
    at: float
    label: str
    measure: str
    over: OverSeeds  # no interval over people: readings are weighted, each run has its own
    setting: dict[str, Any]  # as of `summary.Line`


def names(store: Store, study: str) -> tuple[str, ...]:
    """Probes that a study's plan names; older plans name none."""
    return tuple(store.study(study)["plan"].get("probes", ()))


def readings(store: Store, owner: str, probe: str) -> list[ProbeResult]:
    """What a probe read of a teacher or run; empty where it has not (yet)."""
    name = artifact(probe)
    return of_arrays(store.arrays(owner, name)) if store.has_artifact(owner, name) else []


def probe_lines(store: Store, study: str) -> list[ProbeLine]:
    """One line a (probe, data set, setting, model, condition, measure), teachers first, in the order they were read."""
    gathered: dict[tuple[Any, ...], list[ProbeResult]] = {}
    for key, reading in _every(store, study):
        gathered.setdefault((*key, reading.series, reading.at, reading.label, reading.measure), []).append(reading)
    keys = summary.varied(store.study(study)["plan"])
    out = []
    for (probe, dataset, values, method, budget, series, at, label, measure), found in gathered.items():
        setting = dict(zip(keys, values, strict=True))
        out.append(ProbeLine(dataset, method, budget, probe, series, at, label, measure, _over(found), setting))
    return out


def as_plain(store: Store, owner: str, probes: tuple[str, ...]) -> dict[str, list[dict[str, Any]]]:
    """Readings of one teacher or run for ``--json``."""
    return {
        p: [
            {"series": r.series, "at": r.at, "label": r.label, "measure": r.measure, "value": r.result.value,
             "low": r.result.low, "high": r.result.high, "count": r.result.count}
            for r in readings(store, owner, p)
        ]
        for p in probes
    }  # fmt: skip


def tables(store: Store, study: str) -> Iterator[tuple[str, list[str], list[list[str]]]]:
    """Each probe's name, the head of its table, and a row a (model, condition) with ``mean ± sd`` over seeds."""
    found, keys = probe_lines(store, study), summary.varied(store.study(study)["plan"])
    for probe in names(store, study):
        mine = [x for x in found if x.probe == probe]
        measures = list(dict.fromkeys(x.measure for x in mine))
        rows: dict[tuple[str, ...], dict[str, str]] = {}
        for x in mine:
            budget = "" if x.budget is None else f"{x.budget:g}"
            apart = (summary.format_setting(x.setting[k]) for k in keys)
            row = rows.setdefault((x.dataset, *apart, x.method, budget, x.series, x.label), {})
            row[x.measure] = summary.format_mean(x.over)
        head = ["data set", *keys, "method", "bits", "series", "condition", *measures]
        yield probe, head, [[*about, *(row.get(m, "") for m in measures)] for about, row in rows.items()]


def _every(store: Store, study: str) -> Iterator[tuple[tuple[Any, ...], ProbeResult]]:
    """Every reading with what it is of: teachers before runs."""
    probes, keys = names(store, study), summary.varied(store.study(study)["plan"])

    def apart(spec: dict[str, Any]) -> tuple[Any, ...]:
        values = (summary.value_of(spec["setting"], k) for k in keys)
        return tuple(summary.format_setting(v) if isinstance(v, dict) else v for v in values)

    owners: list[tuple[Row, tuple[Any, ...]]] = []
    if probes:
        teachers = sorted(store.teachers(study), key=lambda t: t["created"])
        owners += [(t, (t["dataset"], apart(t["spec"]), TEACHER, None)) for t in teachers]
        owners += [
            (r, (r["dataset"], apart(r["spec"]["teacher"]), r["method"], r["budget"])) for r in store.runs(study)
        ]
    for probe in probes:
        for row, about in owners:
            yield from (((probe, *about), reading) for reading in readings(store, row["id"], probe))


def _over(found: list[ProbeResult]) -> OverSeeds:
    known = [r.result.value for r in found if r.result.value is not None]
    people = sum(r.result.count for r in found)
    if not known:
        return OverSeeds(None, None, 0, None, None, people)
    return OverSeeds(mean(known), stdev(known) if len(known) > 1 else None, len(known), None, None, people)
