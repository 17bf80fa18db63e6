"""The changes a person can make: A(x).

Immutable features fixed, monotone ones one way, numbers inside bounds and on their grid, each
category exactly one level. Bounds never exclude the person's own value. What ties features together,
and columns that follow from others, are in `joint.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Int

from cfq_core.actions.cost import price, scale
from cfq_core.actions.joint import Joint
from cfq_core.actions.regimes import under
from cfq_core.base.errors import BadTable
from cfq_core.tables.encode import modelled
from cfq_core.tables.schema import Feature, Schema

Values = Int[np.ndarray, "n f"]

#: Percentiles of the training rows that bound a number whose card gives no limit.
OUTER = (1.0, 99.0)


@dataclass(frozen=True)
class ActionSet:
    """A(x) for every person of one data set, training split and regime; costs included."""

    schema: Schema  # moves already as the regime allows
    low: tuple[int, ...]  # per feature, grid counts; 0 for categories
    high: tuple[int, ...]
    scales: tuple[float, ...]  # per feature, in modelled units; 1 for categories

    @staticmethod
    def fit(schema: Schema, training: Values, regime: str = "default") -> ActionSet:
        """Bounds and cost scales from the training rows; raises `BadTable` where nothing can move."""
        moved = under(regime, schema)
        if all(f.move == "fixed" for f in moved.features):
            raise BadTable(f'data set "{schema.name}": no feature is actionable in the regime "{regime}"')
        bounds = [_bounds(f, training[:, i]) for i, f in enumerate(moved.features)]
        scales = [1.0 if f.is_category else scale(f, training[:, i]) for i, f in enumerate(moved.features)]
        return ActionSet(moved, tuple(b[0] for b in bounds), tuple(b[1] for b in bounds), tuple(scales))

    @cached_property
    def numbers(self) -> tuple[int, ...]:
        """Features a person can move along a grid (numbers, integers, ordinals)."""
        return tuple(i for i, f in enumerate(self.schema.features) if f.move != "fixed" and not f.is_category)

    @cached_property
    def switches(self) -> tuple[int, ...]:
        """Categories a person can switch."""
        return tuple(i for i, f in enumerate(self.schema.features) if f.move != "fixed" and f.is_category)

    @cached_property
    def joint(self) -> Joint | None:
        """The card's constraints; None where it has none."""
        return Joint(self.schema) if self.schema.constraints else None

    @cached_property
    def tied(self) -> Joint | None:
        """The card's constraints where they tie movable features together; else None."""
        return self.joint if self.joint is not None and self.joint.ties else None

    @cached_property
    def followers(self) -> tuple[int, ...]:
        """Columns that follow from movable ones, sources first."""
        return tuple(self.tied.follows) if self.tied else ()

    def box(self, i: int, before: Values) -> tuple[Int[np.ndarray, "n"], Int[np.ndarray, "n"]]:
        """Lowest and highest grid count each person can reach on number ``i``; nobody's where it is not known."""
        move, own = self.schema.features[i].move, before[:, i]
        low = own if move in ("up", "fixed") else np.minimum(own, self.low[i])
        high = own if move in ("down", "fixed") else np.maximum(own, self.high[i])
        if i in self.schema.flags:
            missing = before[:, self.schema.flags[i]] == 1
            low, high = np.where(missing, own, low), np.where(missing, own, high)
        return (low, high) if self.joint is None else self.joint.narrowed(i, before, low, high)

    def reachable(self, i: int, before: Values) -> Bool[np.ndarray, "n levels"]:
        """Levels each person can be in on category ``i``; their own always.

        ``up`` and ``down`` go along the order of the levels; whoever starts at a level of ``never``
        stands outside that order and may move anywhere in it.
        """
        f, own = self.schema.features[i], before[:, i]
        rank, own_rank = np.arange(len(f.levels))[None, :], own[:, None]
        outside = np.array([level in f.never for level in f.levels])
        open_ = np.broadcast_to(~outside, (len(own), len(f.levels))).copy()
        if f.move == "up":
            open_ &= (rank > own_rank) | outside[own][:, None]
        elif f.move == "down":
            open_ &= (rank < own_rank) | outside[own][:, None]
        elif f.move == "fixed":
            open_[:] = False
        if self.joint is not None and f.move != "fixed":
            open_ &= self.joint.open(i, before)
        open_[np.arange(len(own)), own] = True
        return open_

    def legal(self, before: Values, after: Values) -> Bool[np.ndarray, "n"]:
        """Whether each person can get from ``before`` to ``after``."""
        ok = np.ones(len(before), bool) if self.tied is None else self.tied.holds(before, after)
        for i, f in enumerate(self.schema.features):
            if i in self.followers:
                continue
            if f.is_category:
                known = (after[:, i] >= 0) & (after[:, i] < len(f.levels))
                reach = self.reachable(i, before)
                ok &= known & reach[np.arange(len(after)), after[:, i].clip(0, len(f.levels) - 1)]
            else:
                low, high = self.box(i, before)
                ok &= (after[:, i] >= low) & (after[:, i] <= high)
        return ok

    def completed(self, before: Values, after: Values) -> Values:
        """The same actions with every column that follows from others where it follows to."""
        return after if self.tied is None else self.tied.completed(before, after)

    def cost(self, before: Values, after: Values) -> Float[np.ndarray, "n"]:
        """Weighted L1 cost of each move, in scale units."""
        return price(self.schema.features, self.scales, before, after)

    def displacement(self, before: Values, after: Values) -> Float[np.ndarray, "n width"]:
        """Each move as a vector whose L1 norm is its cost: signed numbers, and one axis for every level switched to."""
        axes = []
        for i, f in enumerate(self.schema.features):
            if f.is_category:
                to = np.zeros((len(after), len(f.levels)))
                to[np.arange(len(after)), after[:, i]] = f.weight * (before[:, i] != after[:, i])
                axes.append(to)
            else:
                moved = modelled(f, after[:, i]) - modelled(f, before[:, i])
                axes.append((f.weight * moved / self.scales[i])[:, None])
        return np.concatenate(axes, axis=1)

    def advice(self, before: Int[np.ndarray, "f"], after: Int[np.ndarray, "f"]) -> list[str]:
        """One person's action in the card's words and units, one line a changed feature."""
        changed = [i for i in range(len(before)) if before[i] != after[i]]
        lines = [self._line(self.schema.features[i], int(before[i]), int(after[i])) for i in changed]
        return [f"{line} (follows)" if i in self.followers else line for i, line in zip(changed, lines, strict=True)]

    @staticmethod
    def _line(f: Feature, old: int, new: int) -> str:
        return f"{f.words}: {f.format_cell(old)} -> {f.format_cell(new)}"


def _bounds(f: Feature, column: Int[np.ndarray, "n"]) -> tuple[int, int]:
    if f.is_category:
        return 0, 0
    if f.levels:
        allowed = [k for k, level in enumerate(f.levels) if level not in f.never]
        return allowed[0], allowed[-1]
    low, high = np.percentile(column, OUTER)
    low = np.floor(low) if f.low is None else np.ceil(f.low / f.step - 1e-9)
    high = np.ceil(high) if f.high is None else np.floor(f.high / f.step + 1e-9)
    return int(low), int(high)


def objections(actions: ActionSet, before: Int[np.ndarray, "f"], after: Int[np.ndarray, "f"]) -> list[str]:
    """One line a feature that cannot be changed like this; empty where the action is legal."""
    found = []
    for i, f in enumerate(actions.schema.features):
        own, there = int(before[i]), int(after[i])
        if own != there and i not in actions.followers and (why := _objection(actions, i, f, before, there)):
            found.append(f"{f.words}: {f.format_cell(own)} -> {f.format_cell(there)}: {why}")
    return found + ([] if actions.tied is None else [f"breaks: {s}" for s in actions.tied.broken(before, after)])


def _objection(actions: ActionSet, i: int, f: Feature, before: Int[np.ndarray, "f"], there: int) -> str:
    own = int(before[i])
    if f.move == "fixed":
        return "cannot be changed"
    if f.levels and f.levels[there] in f.never:
        return "nobody is told to move there"
    if f.is_category:
        reach = actions.reachable(i, before[None])[0]
        if not reach[there] and actions.joint is not None and not actions.joint.open(i, before[None])[0, there]:
            return "not from where they are, by a constraint of the card"
        return "" if reach[there] else f"may only go {f.move}"
    if i in actions.schema.flags and before[actions.schema.flags[i]] == 1:
        return "is not known of them"
    if (f.move == "up" and there < own) or (f.move == "down" and there > own):
        return f"may only go {f.move}"
    low, high = (int(end[0]) for end in actions.box(i, before[None]))
    return "" if low <= there <= high else f"outside {f.format_cell(low)} to {f.format_cell(high)}"
