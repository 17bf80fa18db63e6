"""What every stored student decides about values that somebody tries out."""

from __future__ import annotations

from typing import Any

import pandas as pd

from cfq_core.report import fmt
from cfq_core.report import person as people
from cfq_core.report.charts import _decided
from cfq_core.report.frames import Stored
from cfq_core.report.picture import Picture


def rows(study: Stored, teacher: str, values: str, matched: bool = False) -> pd.DataFrame:
    """One row a student, computed now; ``values``: `person.packed`. Needs the table."""
    of = _decided.of_runs(study, teacher)
    _, students = people.logits(study, teacher, people.unpacked(values))
    return _decided.decided(of, students[:, 0], matched)


def chart(rows: pd.DataFrame, teacher: str, values: str, matched: bool = False) -> Any:
    """A cell a student."""
    return _decided.cells(rows)


def alt_text(rows: pd.DataFrame, teacher: str, values: str, matched: bool = False) -> str:
    """How many approve, and who does not."""
    no = _decided.refusing(rows)
    yes = f"{len(rows) - len(no)} of {len(rows)} stored students approve"
    return f"{yes}; {fmt.listed(no)} refuse{'s' if len(no) == 1 else ''}." if no else f"{yes}."


PICTURE = Picture(
    "What every model decides",
    rows,
    chart,
    alt_text,
    "✓ approves, ✗ refuses. Number: the student's logit, from its stored integers in the engine's own arithmetic; of a "
    "file that is no list of layers, as onnxruntime computes it.",
)
