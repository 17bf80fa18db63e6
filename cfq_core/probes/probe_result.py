"""What a probe read, and how it is stored. Without torch: results are read through it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cfq_core.evidence import Measure

Arrays = Mapping[str, np.ndarray]

TEXTS = ("series", "label", "measure")
NUMBERS = ("value", "low", "high")


@dataclass(frozen=True)
class ProbeResult:
    """One measure of one model under one condition."""

    series: str  # conditions that belong together, e.g. "reweighted"
    at: float  # where on the series' axis
    label: str  # the condition in words
    measure: str
    result: Measure


def artifact(probe: str) -> str:
    """Name of the artifact that holds a probe's readings."""
    return f"probe.{probe}"


def arrays(readings: Sequence[ProbeResult], spec: str) -> Arrays:
    """As they are stored; ``spec`` is the identity of the probe that read them."""
    out: dict[str, np.ndarray] = {t: np.array([getattr(r, t) for r in readings], dtype=str) for t in TEXTS}
    out["at"] = np.array([r.at for r in readings], dtype=float)
    out["count"] = np.array([r.result.count for r in readings], dtype=np.int64)
    for n in NUMBERS:
        out[n] = np.array([_known(getattr(r.result, n)) for r in readings], dtype=float)
    return {**out, "spec": np.array(spec)}


def of_arrays(stored: Arrays) -> list[ProbeResult]:
    """As they were before they were stored."""
    found = []
    for i in range(len(stored["at"])):
        value, low, high = (_number(stored[n][i]) for n in NUMBERS)
        series, label, measure = (str(stored[t][i]) for t in TEXTS)
        count = int(stored["count"][i])
        found.append(ProbeResult(series, float(stored["at"][i]), label, measure, Measure(value, low, high, count)))
    return found


def _known(value: float | None) -> float:
    return float("nan") if value is None else value


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
