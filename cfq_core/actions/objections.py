"""Why an action is not allowed, in the card's words: for advice that comes from anywhere."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int

from cfq_core.actions.action_set import ActionSet
from cfq_core.tables.schema import Feature


def objections(actions: ActionSet, before: Int[np.ndarray, "f"], after: Int[np.ndarray, "f"]) -> list[str]:
    """One line a feature that cannot be changed like this; empty where the action is legal."""
    found = []
    for i, f in enumerate(actions.schema.features):
        own, there = int(before[i]), int(after[i])
        if own != there and (why := _objection(actions, i, f, own, there)):
            found.append(f"{f.words}: {f.format_cell(own)} -> {f.format_cell(there)}: {why}")
    return found


def _objection(actions: ActionSet, i: int, f: Feature, own: int, there: int) -> str:
    if f.move == "fixed":
        return "cannot be changed"
    if f.levels and f.levels[there] in f.never:
        return "nobody is told to move there"
    if f.is_category:
        reach = actions.reachable(i, np.array([own]))[0]
        return "" if reach[there] else f"may only go {f.move}"
    if (f.move == "up" and there < own) or (f.move == "down" and there > own):
        return f"may only go {f.move}"
    low, high = (int(end[0]) for end in actions.box(i, np.array([own])))
    return "" if low <= there <= high else f"outside {f.format_cell(low)} to {f.format_cell(high)}"
