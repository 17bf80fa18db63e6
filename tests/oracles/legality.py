"""Whether an action is allowed and what it costs, told from raw words and units alone.

Everything here is written a second time, on purpose: it reads the fields of the card and the rows of
`Table.frame()`, and shares no code with `cfq_core.actions`. Grid arithmetic is exact (fractions of the
decimals that are printed), so a bound that is off by one step shows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from cfq_core.tables.schema import Feature, Schema, Table

from .joint_rules import Sentences


@dataclass(frozen=True)
class Rules:
    """What the card and the raw training rows allow in one regime, and what it costs."""

    schema: Schema
    move: dict[str, str]  # feature -> any, up, down or fixed
    ends: dict[str, tuple[int, int]]  # number -> lowest and highest grid count for a person inside them
    scale: dict[str, float]  # number -> price scale, in modelled units

    @staticmethod
    def read(schema: Schema, training: pd.DataFrame, regime: str = "default") -> Rules:
        """The rules of raw training rows."""
        numbers = [f for f in schema.features if f.kind != "category"]
        return Rules(
            schema,
            {f.name: _move(f, regime) for f in schema.features},
            {f.name: _ends(f, training[f.name]) for f in numbers},
            {f.name: _scale(f, training[f.name]) for f in numbers},
        )

    @cached_property
    def sentences(self) -> Sentences:
        """What the card says of several columns together."""
        return Sentences(self.schema)

    @cached_property
    def followers(self) -> frozenset[str]:
        """Columns that nobody moves and that cost nothing."""
        return frozenset(self.sentences.followers())

    def violations(self, before: pd.DataFrame, after: pd.DataFrame) -> list[str]:
        """One line for every cell that nobody could have been told, and every sentence broken: row, what and reason."""
        lines = []
        if self.schema.constraints:
            pairs = zip(before.to_dict("records"), after.to_dict("records"), strict=True)
            lines = [f"row {row}: {text}" for row, (old, new) in enumerate(pairs) for text in self.broken(old, new)]
        for f in self.schema.features:
            old, new = before[f.name].to_numpy(), after[f.name].to_numpy()
            for row in np.flatnonzero(_differ(old, new)):
                reason = self._reason(f, old[row], new[row])
                if reason:
                    lines.append(f"row {row}, {f.name}: {old[row]} -> {new[row]}: {reason}")
        return lines

    def broken(self, old: Mapping[Any, Any], new: Mapping[Any, Any]) -> list[str]:
        """Sentences that one move breaks."""
        return self.sentences.broken(old, new)

    def choices(self, f: Feature, own: str | float) -> list[int]:
        """Grid counts or level indices a person may have on a feature, their own first."""
        here = count(f, own)
        if f.name in self.followers:
            return [here]
        if f.kind == "category" or f.levels:
            others = range(len(f.levels))
        else:
            low, high = self.ends[f.name]
            others = range(min(low, here), max(high, here) + 1)
        return [here, *(k for k in others if k != here and not self._reason(f, own, cell(f, k)))]

    def price(self, f: Feature, own: str | float, counts: Sequence[int]) -> np.ndarray:
        """Cost of moving one feature to each of the counts."""
        here = count(f, own)
        if f.kind == "category":
            return np.array([f.weight * (k != here) for k in counts], float)
        moved = [abs(_modelled(f, k) - _modelled(f, here)) for k in counts]
        return f.weight * np.array(moved) / self.scale[f.name]

    def cost(self, before: pd.DataFrame, after: pd.DataFrame) -> np.ndarray:
        """Cost of every row's action."""
        total = np.zeros(len(before))
        for f in (f for f in self.schema.features if f.name not in self.followers):
            pairs = zip(before[f.name], after[f.name], strict=True)
            total += [self.price(f, old, [count(f, new)])[0] for old, new in pairs]
        return total

    def _reason(self, f: Feature, old: str | float, new: str | float) -> str:
        """Why one changed cell is not allowed; empty where it is."""
        move = self.move[f.name]
        if f.name in self.followers:
            return ""  # judged with what it follows
        if f.protected or move == "fixed":
            return "fixed"
        if f.levels:
            return _level_reason(f, move, old, new)
        steps = Fraction(str(float(new))) / Fraction(str(f.step))
        if steps.denominator != 1:
            return f"off the grid of {f.step}"
        here, there = count(f, old), int(steps)
        low, high = self.ends[f.name]
        if (move == "up" and there < here) or (move == "down" and there > here):
            return f"may only go {move}"
        if not min(low, here) <= there <= max(high, here):
            return f"outside {cell(f, min(low, here))} to {cell(f, max(high, here))}"
        return ""


def _level_reason(f: Feature, move: str, old: str | float, new: str | float) -> str:
    if new not in f.levels:
        return "no such level"
    if new in f.never:
        return "nobody is told to move there"
    outside = old in f.never  # not on the ladder, so every rung is open
    climbs = f.levels.index(new) > f.levels.index(old)
    if move == "up" and not climbs and not outside:
        return "may only go up"
    if move == "down" and climbs and not outside:
        return "may only go down"
    return ""


def frame(schema: Schema, values: np.ndarray) -> pd.DataFrame:
    """Raw words and units of people in exact integer form."""
    return Table(schema, values, np.zeros(len(values), bool)).frame()


def count(f: Feature, raw: str | float) -> int:
    """Level index of a word, grid count of a number; an error where it is neither."""
    if f.levels:
        return f.levels.index(raw)
    steps = Fraction(str(float(raw))) / Fraction(str(f.step))
    if steps.denominator != 1:
        raise ValueError(f"{f.name} = {raw} is off the grid of {f.step}")
    return int(steps)


def cell(f: Feature, steps: int) -> str | float:
    """The word or number of a count."""
    return f.levels[steps] if f.levels else float(steps * Fraction(str(f.step)))


def _move(f: Feature, regime: str) -> str:
    if f.protected:
        return "fixed"
    if regime == "any":
        return "any"
    if f.immutable:
        return "fixed"
    if regime == "immutable":
        return "any"
    if regime == "strict" and not f.easy:
        return "fixed"
    return f.move


def _ends(f: Feature, raw: pd.Series) -> tuple[int, int]:
    if f.levels:
        return 0, len(f.levels) - 1  # levels are judged by name
    step = Fraction(str(f.step))
    cells = sorted(count(f, x) for x in raw)
    low = math.floor(_percentile(cells, 1)) if f.low is None else math.ceil(Fraction(str(f.low)) / step)
    high = math.ceil(_percentile(cells, 99)) if f.high is None else math.floor(Fraction(str(f.high)) / step)
    return low, high


def _percentile(cells: list[int], percent: int) -> Fraction:
    place = Fraction(percent, 100) * (len(cells) - 1)
    below = math.floor(place)
    above = min(below + 1, len(cells) - 1)
    return cells[below] + (place - below) * (cells[above] - cells[below])


def _modelled(f: Feature, steps: int) -> float:
    raw = float(steps) if f.levels else float(steps * Fraction(str(f.step)))
    return math.log1p(raw) if f.log else raw


def _scale(f: Feature, raw: pd.Series) -> float:
    column = pd.Series([_modelled(f, count(f, x)) for x in raw])
    deviation = (column - column.median()).abs().median()
    return float(deviation or column.std(ddof=0) or 1.0)


def _differ(old: np.ndarray, new: np.ndarray) -> np.ndarray:
    """Cells that are not the same, bit for bit."""
    if old.dtype.kind == "f" and new.dtype.kind == "f":
        return old.view(np.int64) != new.view(np.int64)
    return old != new
