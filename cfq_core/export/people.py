"""What an audit found for each person: what they were told, its cost, and in which ways to run the files it holds.

Enough to check it without us: the row before and after in the card's units and words, and the logits of both files.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from cfq_core.export.audit import PairAudit, Side
from cfq_core.export.ways import listed
from cfq_core.recourse.outcome import Why
from cfq_core.tables.schema import Feature

FIRST_ROW = 2  # of people in a file whose header is row 1


def results(a: PairAudit) -> list[dict[str, Any]]:
    """One plain object a person who was asked."""
    promise, e = a.promise, a.seen.raw
    recourse, design = promise.recourse, promise.design
    at_promise = np.cumsum(recourse.has_recourse) - 1  # place among the promised points
    out = []
    for k, person in enumerate(promise.person):
        has, p = bool(recourse.has_recourse[k]), int(at_promise[k])
        one = {
            "row": int(design.split.test[person]) + FIRST_ROW,
            "answer": Why(int(recourse.why[k])).words,
            "told": design.actions.advice(recourse.before[k], recourse.after[k]) if has else [],
            "cost": _number(recourse.cost[k]),
            "teacher": {"before": float(promise.logits[person]), "after": _number(e.teacher_at[k])},
            "student": {"before": float(e.student[person]), "after": _number(e.student_at[k])},
            "holds": bool(e.student_at[k] > 0) if has else None,
            "approved_without": bool(e.student[person] > 0),
            "student_cost": _number(e.student_cost[k]) if e.reaudited[k] else None,
            "refused_when": _refused(a.student, p) if has else [],
            "teacher_refuses_when": _refused(a.teacher, p) if has else [],
            "tie": bool(has and (_tied(a.teacher, p) or _tied(a.student, p))),
            "groups": {name: levels[person] for name, levels in e.groups.items()},
        }
        for side in ("before", "after"):
            cells = getattr(recourse, side)[k]
            one[side] = {f.name: _cell(f, int(c)) for f, c in zip(a.schema.features, cells, strict=True)}
        out.append(one)
    return out


def _refused(side: Side, promise: int) -> list[str]:
    """The ways to run a file under which it refuses a promised point."""
    ran = [s for s in side.ways if promise < len(s.approved)]
    return listed([s.way for s in ran if not s.approved[promise]], [s.way for s in ran])


def _tied(side: Side, promise: int) -> bool:
    return bool(len(side.tied) and side.tied[promise])


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _cell(f: Feature, count: int) -> str | float:
    return f.levels[count] if f.levels else float(f.raw(np.array([count]))[0])
