"""An audited student as it is stored: its integers, what was seen of it, what that measures by group."""

from __future__ import annotations

from typing import Any

import numpy as np

from cfq_core.pipeline import Audited


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
    student, out = a.student, {}
    for i in range(len(student.weights)):
        out[f"codes.{i}"] = student.weights[i][0].numpy().astype(np.int8)
        out[f"bias_codes.{i}"] = student.biases[i][0].numpy().astype(np.int32)
        out[f"weight_steps.{i}"] = student.weight_steps[i][0].numpy().astype(np.float32)
        out[f"input_step.{i}"] = student.input_steps[i].numpy().astype(np.float32)
    return out


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
