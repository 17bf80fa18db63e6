"""What of a stored study a question looks at, and how its sentence says values with their intervals over seeds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from cfq_core.report import fmt


@dataclass(frozen=True)
class Asked:
    """What of a study is looked at."""

    dataset: str
    budget: float
    measure: str  # vd or vd_matched

    @property
    def matched(self) -> bool:
        """At the teacher's approval rate."""
        return self.measure.endswith("_matched")


def ends(rows: list[Any]) -> str:
    """``18 in 100 (12 to 25) → 2 in 100 (0 to 4)``; a dash where nobody is there to judge by."""
    each = ["–" if pd.isna(e["mean"]) else f"**{fmt.in_100(e['mean'])}**{_within(e)}" for e in rows]
    return " → ".join(each)


def _within(row: Any) -> str:
    return "" if pd.isna(row["seed_low"]) else f" ({100 * row['seed_low']:.0f} to {100 * row['seed_high']:.0f})"


def seeds(rows: pd.DataFrame) -> str:
    """What the brackets are, and over how many seeds."""
    return f"in brackets: {fmt.interval(rows)}"
