"""A column of a user's table as whole numbers: counts of grid steps, or places in a list of levels.

Whatever does not fit what the card says is refused with its row. What the card asks to be changed, numbers rounded to
the grid or rare levels joined, is done and told with the number of cells.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from cfq_core.datasets.card_dates import as_days
from cfq_core.datasets.card_rows import (
    DISTINCT,
    FROM_ROWS,
    MAX_COUNT,
    MAX_LEVELS,
    NOISE,
    NUMBER,
    STEPS,
    Column,
    Numbers,
    PerWord,
    Rows,
    Wrong,
    counted,
    level_mistake,
    one_of,
    quoted,
    spellings,
)  # fmt: skip
from cfq_core.datasets.dialect import Dialect, number_marks
from cfq_core.tables.schema import OTHER, Feature, between


@dataclass(frozen=True)
class Valued:
    """A feature with levels or step filled in from the rows, every row as an integer, and what was done to cells."""

    feature: Feature
    counts: Rows
    told: tuple[str, ...] = ()


def as_counts(feature: Feature, column: Column, reference: str = "") -> Valued:
    """A column as its feature says; ``reference``: the day from which the card counts dates back."""
    found, counts, told = of_words(feature, column, reference)
    if counts.min() == counts.max():
        cure = "a constant column tells nothing, leave it out of the card"
        raise column.place.bad(f"every row is {quoted(column.words[0])}; {cure}")
    return Valued(found, counts[column.cells], (told,) if told else ())


def of_words(feature: Feature, column: Column, reference: str = "") -> tuple[Feature, PerWord, str]:
    """The same of each distinct cell, constant or not, as a part of a table may be; and what was done to them."""
    told = ""
    if feature.kind == "date":
        feature, counts = as_days(feature, column, reference)
    elif feature.bins:
        feature, counts = _binned(feature, column)
    elif feature.kind in ("ordinal", "category"):
        feature, counts = _levels(feature, column)
        told = _joined(feature, column) if feature.other_below else ""
    else:
        feature, counts = _numbers(feature, column)
        told = _rounded(feature, column, counts) if feature.round else ""
    return feature, counts, told


def _levels(feature: Feature, column: Column) -> tuple[Feature, PerWord]:
    if feature.other_below:
        return _levels_or_other(feature, column)
    levels = feature.levels or _levels_seen(column)
    index = {level: i for i, level in enumerate(levels)}
    for k, word in enumerate(column.words):
        if word not in index:
            raise column.bad(k, f"is not a level; {one_of(levels, word)}")
    return replace(feature, levels=levels), np.array([index[word] for word in column.words], np.int64)


def _levels_or_other(feature: Feature, column: Column) -> tuple[Feature, PerWord]:
    """Levels with enough rows, and one for all others; those with too few training rows join them seed by seed."""
    often = np.bincount(column.cells, minlength=len(column.words)) >= feature.other_below
    if not feature.levels:
        few = column.of_rows(often[column.cells])
        seen = [w for w in (_levels_seen(few) if len(few.words) else ()) if w != OTHER]
        feature = replace(feature, levels=(*seen, OTHER))
    rare = {word for word in column.words if word not in feature.levels}
    feature = replace(feature, never=tuple(dict.fromkeys((*(n for n in feature.never if n not in rare), OTHER))))
    index = {level: i for i, level in enumerate(feature.levels)}
    return feature, np.array([index.get(word, index[OTHER]) for word in column.words], np.int64)


def _joined(feature: Feature, column: Column) -> str:
    """What a reader must know of levels that are one."""
    rest = [k for k, word in enumerate(column.words) if word not in feature.levels]
    rows = int(np.isin(column.cells, rest).sum())
    often = f'levels with under {feature.other_below} training rows are "{OTHER}"'
    return f"{column.place.part}: {often}; {len(rest)} of them with {rows:,} of {len(column.cells):,} rows in all of it"


def _binned(feature: Feature, column: Column) -> tuple[Feature, PerWord]:
    unit = f" {feature.unit}" if feature.unit else ""
    levels = tuple(f"{name}{unit}" for name in between(feature.bins))
    counts = np.searchsorted(np.array(feature.bins), numbers_of(column), side="right").astype(np.int64)
    return replace(feature, kind="ordinal", levels=levels, unit="", step=1.0), counts


def _rounded(feature: Feature, column: Column, counts: PerWord) -> str:
    """What a reader must know of numbers that were rounded."""
    raw, off = numbers_of(column), ~on_grid(feature, numbers_of(column))
    rows = int(off[column.cells].sum())
    by = float(np.abs(feature.raw(counts) - raw).max())
    much = f"{rows:,} of {len(column.cells):,} cells are rounded to multiples of {feature.step:g}, by at most {by:.3g}"
    return f"{column.place.part}: {much}" if rows else ""


def _levels_seen(column: Column) -> tuple[str, ...]:
    if len(column.words) > MAX_LEVELS:
        doubt = "is it an identifier, or a number?"
        raise column.place.bad(f"has {len(column.words)} levels; at most {MAX_LEVELS} ({doubt})")
    for k, word in enumerate(column.words):
        if mistake := level_mistake(word):
            raise column.bad(k, mistake)
    if len(column.words) > DISTINCT * len(column.cells):
        raise column.place.bad(
            f"has {len(column.words)} levels in {len(column.cells)} rows: an identifier, or a number?"
        )
    for several in spellings(column.words):
        words = [column.words.index(w) for w in several]
        cure = "make them one, or list every level in the card, levels = [...]"
        raise column.place.bad(f"{len(several)} spellings of one level: {counted(column, words)}; {cure}")
    return tuple(sorted(column.words))


def _numbers(feature: Feature, column: Column) -> tuple[Feature, PerWord]:
    raw = numbers_of(column)
    refuse(column, (raw < 0) & feature.log, "is below 0; log = true needs values of 0 or more")
    feature = _with_step(feature, raw)
    step = f"{feature.step:g}"
    refuse(column, np.abs(raw) > MAX_COUNT * feature.step, f"is too large; at most {MAX_COUNT:g} steps of {step}")
    grid = f"is not a multiple of step = {step}; round the column, or give the card a finer step, or round = true"
    whole = 'is not a whole number; kind = "integer" needs whole numbers, kind = "number" takes any'
    if feature.round:
        return feature, feature.counts(raw)
    refuse(column, ~on_grid(feature, raw), whole if feature.kind == "integer" else grid)
    return feature, feature.counts(raw)


def refuse(column: Column, wrong: Wrong, text: str) -> None:
    """Refuse the first distinct cell that is wrong, if one is."""
    if wrong.any():
        raise column.bad(int(np.argmax(wrong)), text)


def numbers_of(column: Column) -> Numbers:
    """The distinct cells of a column as finite numbers."""
    words = [column.dialect.number(word) for word in column.words]
    for k, word in enumerate(words):
        if not NUMBER.fullmatch(word) or not np.isfinite(float(word)):
            raise column.bad(k, f"is not a finite number; {_cure(column)}")
    return np.array([float(word) for word in words])


def _cure(column: Column) -> str:
    """How a column of numbers can be read: by saying how they are written, where that can be seen."""
    seen = number_marks([w for w in column.words if w])
    says = card_keys(seen.dialect) if seen is not None else ""
    return f"say {says} in the card" if says else "write plain numbers such as 1200 or 12.5"


def card_keys(dialect: Dialect) -> str:
    """The keys with which a card says how numbers are written; empty where they stand as they are."""
    keys: tuple[tuple[str, Any, Any], ...] = (
        ("decimal", dialect.decimal, "."),
        ("thousands", dialect.thousands, ""),
        ("strip", [*dialect.strip], []),
    )
    return ", ".join(f"{key} = {json.dumps(v, ensure_ascii=False)}" for key, v, usual in keys if v != usual)


def doubt_about_numbers(column: Column) -> str:
    """Where every decimal point of a column has just three digits behind it: it may be a mark of thousands."""
    seen = number_marks(column.words)
    if seen is None or seen.sure or column.dialect.thousands:
        return ""
    example = next(w for w in column.words if column.dialect.decimal in w)
    mark = json.dumps(column.dialect.decimal)
    return (
        f"{column.place.part}: every value with a {mark} has three digits behind it, such as {quoted(example)}; it is "
        f"read as {column.dialect.number(example)}. If that is a mark of thousands, say thousands = {mark} under its "
        "[[feature]]"
    )


def _with_step(feature: Feature, raw: Numbers) -> Feature:
    if feature.step != FROM_ROWS:
        return feature
    candidates = [replace(feature, step=step) for step in STEPS]
    return next((f for f in candidates if on_grid(f, raw).all()), candidates[-1])


def on_grid(feature: Feature, raw: Numbers) -> Wrong:
    """Which numbers are multiples of a feature's step."""
    fits = np.abs(raw) <= MAX_COUNT * feature.step
    nearest = feature.raw(feature.counts(np.where(fits, raw, 0.0)))
    return fits & (np.abs(nearest - raw) <= NOISE * np.abs(raw))
