"""Share of people whose recourse is cheaper on the student by more than a thousandth."""

from __future__ import annotations

from cfq_core.evidence import Evidence, Metric, PerRow
from cfq_core.metrics.crg_mean import score as gap

LEAST = 1e-3  # relative; below it the two costs count as equal


def score(e: Evidence) -> PerRow:
    """1 where the action became cheaper."""
    signed = gap(e)
    return PerRow((signed.values < -LEAST).astype(float), signed.rows)


PLUGIN = Metric("recourse became cheaper", "share", "lower", score)
