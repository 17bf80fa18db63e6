"""Whether one person's promised action holds on every stored student of their teacher."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from cfq_core.report import fmt
from cfq_core.report.charts import _decided
from cfq_core.report.frames import Stored
from cfq_core.report.picture import Picture


def rows(study: Stored, teacher: str, person: int, matched: bool = False) -> pd.DataFrame:
    """One row a student: its logits before and after the action, its decision, the cost of its own cheapest action."""
    of = _decided.of_runs(study, teacher)
    seen = [study.people(run).set_index("person").loc[person] for run in of.run]
    if not seen or not bool(seen[0].has_recourse):
        return pd.DataFrame()
    made = _decided.decided(of, np.array([s.student_at for s in seen], float), matched)
    columns = {"logit_before": "student_logit", "promised_cost": "cost", "own_cost": "student_cost", "own_gap": "gap"}
    return made.assign(**{new: np.array([s[old] for s in seen], float) for new, old in columns.items()})


def chart(rows: pd.DataFrame, teacher: str, person: int, matched: bool = False) -> Any:
    """A cell a student."""
    return _decided.cells(rows)


def alt_text(rows: pd.DataFrame, teacher: str, person: int, matched: bool = False) -> str:
    """How many keep the promise, and who does not."""
    broken = _decided.refusing(rows)
    kept = f"The promise to person {person} holds on {len(rows) - len(broken)} of {len(rows)} stored students"
    return f"{kept}; it breaks on {fmt.listed(broken)}." if broken else f"{kept}."


PICTURE = Picture(
    "Does it hold?",
    rows,
    chart,
    alt_text,
    "✓ approves, ✗ refuses. Number: the student's logit after the promised action, as audited.",
)
