"""Approvals and broken promises of one run by protected group and crossing; small groups counted, not judged."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from jaxtyping import Bool

from cfq_core.base.errors import BadInput
from cfq_core.evidence import SMALLEST_GROUP, Evidence, GroupCell, NotKept, approved, group_cells, wilson

EVERYBODY = "everybody"
Line = dict[str, Any]
Ends = tuple[float | None, float | None, float | None]
NONE: Ends = (None, None, None)


def difference(one: Bool[np.ndarray, "n"], other: Bool[np.ndarray, "m"]) -> Ends:
    """A share less another with its 95 % interval (Newcombe 1998, method 10); None where either has under 30 people."""
    if min(len(one), len(other)) < SMALLEST_GROUP:
        return NONE
    p, q = float(one.mean()), float(other.mean())
    (p_low, p_high), (q_low, q_high) = wilson(int(one.sum()), len(one)), wilson(int(other.sum()), len(other))
    low, high = math.hypot(p - p_low, q_high - q), math.hypot(p_high - p, q - q_low)
    return p - q, p - q - low, p - q + high


def impact(evidence: Evidence, overall: Mapping[str, Any], groups: Mapping[str, Any]) -> list[Line]:
    """One line for everybody and one a group and crossing; ``overall`` and ``groups`` are what was measured of the run.

    The differences are of a group against all others. Raises `BadInput` where a store holds no test people.
    """
    try:
        cells = [_everybody(evidence), *group_cells(evidence.groups)]
        return [_line(evidence, cell, _measured(cell, overall, groups)) for cell in cells]
    except NotKept as missing:
        raise BadInput(
            f"this store does not keep what an impact table needs ({missing}), as a gallery; run the study here"
        ) from None


def _everybody(e: Evidence) -> GroupCell:
    return GroupCell(EVERYBODY, "", np.ones(len(e.student), bool), single=True)


def _measured(cell: GroupCell, overall: Mapping[str, Any], groups: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = overall if cell.column == EVERYBODY else groups[cell.column][cell.level]
    return found


def _line(e: Evidence, cell: GroupCell, measured: Mapping[str, Any]) -> Line:
    yes, of = approved(e.student), cell.members
    asked = e.person[e.has_recourse]
    broken, mine = ~approved(e.student_at[e.has_recourse]), of[asked]
    shift, people = measured["approval_shift"], int(of.sum())
    judged = people >= SMALLEST_GROUP
    line: Line = {"column": cell.column, "group": cell.level, "people": people, "judged": judged}
    line |= {"approved_original": float(approved(e.teacher)[of].mean()) if judged else None}
    line |= dict(_named("approved", _share(yes[of])))
    line |= dict(_named("shift", (shift["value"], shift["low"], shift["high"])))
    line |= dict(_named("approved_against_others", difference(yes[of], yes[~of])))
    line |= {"promised": int(mine.sum())}
    line |= dict(_named("vd", _share(broken[mine])))
    return line | dict(_named("vd_against_others", difference(broken[mine], broken[~mine])))


def _share(of: Bool[np.ndarray, "n"]) -> Ends:
    return (float(of.mean()), *wilson(int(of.sum()), len(of))) if len(of) >= SMALLEST_GROUP else NONE


def _named(name: str, ends: Ends) -> Iterator[tuple[str, float | None]]:
    yield from zip((name, f"{name}_low", f"{name}_high"), ends, strict=True)
