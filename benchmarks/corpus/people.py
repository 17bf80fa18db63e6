"""Loan applications made up from a fixed seed, and how each kind of model file is given them.

Nothing here is taken from the package that is tested: what a file takes and gives is said by whoever makes it
(`Truth`), so that `judge.py` can ask the file itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import pandas as pd

ROWS = 800
NUMBERS = ("income", "debt", "years", "age")
EDUCATION = ("school", "college", "university")  # ordered
HOUSING = ("family", "own", "rent")
PURPOSE = ("car", "home", "other", "study")
LEVELS = {"education": EDUCATION, "housing": HOUSING, "purpose": PURPOSE}
FEATURES = ("income", "debt", "years", "education", "housing", "purpose", "age")
GOOD, BAD = "repaid", "defaulted"
CATEGORIES = ("housing", "purpose")
CARDS = ("split", "whole", "log")  # own parts; none; none, and income priced by its logarithm

_HEAD = """name = "loans"
title = "Synthetic loans"
csv = "people.csv"
target = "status"
favourable = "repaid"
"""
_FEATURES = """
[[feature]]
name = "income"
kind = "integer"
move = "up"
{log}
[[feature]]
name = "debt"
kind = "number"
step = 0.01
move = "down"

[[feature]]
name = "years"
kind = "integer"
move = "up"

[[feature]]
name = "education"
kind = "ordinal"
levels = ["school", "college", "university"]
move = "up"

[[feature]]
name = "housing"
kind = "category"
levels = ["family", "own", "rent"]

[[feature]]
name = "purpose"
kind = "category"
levels = ["car", "home", "other", "study"]

[[feature]]
name = "age"
kind = "integer"
protected = true
"""


def card(kind: str) -> str:
    """The text of a card."""
    split = 'split = "part"\n' if kind == "split" else ""
    return _HEAD + split + _FEATURES.format(log="log = true\n" if kind == "log" else "")


@cache
def people() -> pd.DataFrame:
    """Every application with its outcome and its part."""
    rng = np.random.default_rng(20261126)
    frame = pd.DataFrame(
        {
            "income": rng.integers(900, 5000, ROWS),
            "debt": rng.uniform(0.02, 0.9, ROWS).round(2),
            "years": rng.integers(0, 30, ROWS),
            "education": rng.choice(EDUCATION, ROWS, p=[0.4, 0.35, 0.25]),
            "housing": rng.choice(HOUSING, ROWS),
            "purpose": rng.choice(PURPOSE, ROWS),
            "age": rng.integers(19, 75, ROWS),
        }
    )
    steps = frame["education"].map(EDUCATION.index)
    z = 0.0013 * (frame["income"] - 2700) - 5.0 * (frame["debt"] - 0.45) + 0.04 * frame["years"] + 0.5 * steps
    z += 0.9 * (frame["housing"] == "own") - 0.7 * (frame["purpose"] == "car") * (frame["debt"] > 0.5) - 1.1
    frame["status"] = np.where(rng.uniform(size=ROWS) < 1 / (1 + np.exp(-1.4 * z)), GOOD, BAD)
    frame["part"] = np.where(np.arange(ROWS) % 20 < 9, "train", np.where(np.arange(ROWS) % 20 < 12, "valid", "test"))
    return frame


def training() -> np.ndarray:
    """Which rows models are trained on."""
    return (people()["part"] == "train").to_numpy()


@dataclass(frozen=True)
class Column:
    """One column of an input: a number as ``(x - mean) / std``, a level (0 or 1), the index of one, or the word."""

    feature: str
    level: str = ""
    mean: float = 0.0
    std: float = 1.0
    word: bool = False


@dataclass(frozen=True)
class Input:
    """One input of a file."""

    name: str
    columns: tuple[Column, ...]
    kind: str = "float32"


@dataclass(frozen=True)
class Truth:
    """What a file takes and gives, as its maker knows it."""

    inputs: tuple[Input, ...]
    output: str = "y"
    good: Any = 0  # column of the favourable side, or the key of a map
    bad: int | None = None  # subtracted: two logits
    cut: float = 0.0
    sign: float = 1.0
    at_cut: bool = False  # whether who stands at the cut is approved
    batch: int | None = None  # people at a time; one where a person's numbers depend on who else is asked
    levels: dict[str, tuple[str, ...]] = field(default_factory=lambda: dict(LEVELS))

    @property
    def layout(self) -> str:
        """What `--layout` calls how it is given people."""
        columns = [c for i in self.inputs for c in i.columns]
        if len(self.inputs) > 1:
            return "named"
        if not any(c.level for c in columns):
            return "levels"
        return "standardised" if any(c.std != 1 for c in columns) else "raw"


def hot(scaled: bool, rows: np.ndarray | None = None) -> tuple[Column, ...]:
    """A category one column a level; numbers and ordered levels as they are, or standardised on some rows."""
    out: list[Column] = []
    for f in FEATURES:
        if f in CATEGORIES:
            out += [Column(f, level) for level in LEVELS[f]]
        else:
            out.append(Column(f, mean=_mean(f, rows), std=_std(f, rows)) if scaled else Column(f))
    return tuple(out)


def indexed() -> tuple[Column, ...]:
    """One column a feature, a category as the index of its level."""
    return tuple(Column(f) for f in FEATURES)


def named(kinds: dict[str, str]) -> tuple[Input, ...]:
    """One input a feature; words for those of kind str."""
    return tuple(Input(f, (Column(f, word=k == "str"),), k) for f, k in kinds.items())


def made(columns: Sequence[Column], frame: pd.DataFrame | None = None) -> np.ndarray:
    """Columns of numbers, float64."""
    frame = people() if frame is None else frame
    out = []
    for c in columns:
        if c.level:
            out.append((frame[c.feature] == c.level).to_numpy(float))
        else:
            out.append((_values(c.feature, frame) - c.mean) / c.std)
    return np.stack(out, axis=1)


def outcome() -> np.ndarray:
    """1 for repaid."""
    return (people()["status"] == GOOD).to_numpy(float)


def _values(feature: str, frame: pd.DataFrame) -> np.ndarray:
    if feature in LEVELS:
        return frame[feature].map(LEVELS[feature].index).to_numpy(float)
    return frame[feature].to_numpy(float)


def _mean(feature: str, rows: np.ndarray | None) -> float:
    values = _values(feature, people())
    return float(values.mean() if rows is None else values[rows].mean())


def _std(feature: str, rows: np.ndarray | None) -> float:
    values = _values(feature, people())
    return float(values.std() if rows is None else values[rows].std())
