"""An audited student as it is stored: its integers, what was seen of it, what that measures by group."""

from __future__ import annotations

from typing import Any

import numpy as np

from cfq_core.pipeline import Audited
from cfq_core.study.models import arrays_of_student


def groups_of(a: Audited) -> dict[str, Any]:
    """What was measured of every group, as plain values."""

    def plain(m: Any) -> dict[str, Any]:
        return {"value": m.value, "low": m.low, "high": m.high, "count": m.count}

    return {
        column: {level: {name: plain(m) for name, m in found.items()} for level, found in levels.items()}
        for column, levels in a.measures.groups.items()
    }


def codes_of(a: Audited) -> dict[str, np.ndarray]:
    """The integers and steps of the student."""
    return arrays_of_student(a.student)


def per_person(a: Audited) -> dict[str, np.ndarray]:
    """What was seen of it, row by row and person by person."""
    e, m = a.raw, a.matched
    raw = {
        k: getattr(e, k)
        for k in ("student", "student_at", "reaudited", "student_has_recourse", "student_cost", "cosine")
    }
    raw |= {} if e.proved is None else {"proved": e.proved}
    raw |= {f"lowest_{name}": low for name, low in e.logit_lower_bound.items()}
    return raw | {f"matched_{k}": getattr(m, k) for k in ("student_has_recourse", "student_cost", "cosine")}
