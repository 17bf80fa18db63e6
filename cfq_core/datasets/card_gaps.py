"""Missing cells of a user's table: rows left out, a level of their own, or a value filled in from training rows.

=============  ====================================================================================
``refuse``     the table is not read, and every column with such cells is told
``drop``       their rows are left out
``level``      of a category: a level "missing", to which nobody is told to move
``median``     the median of the training rows; whose cell it is, is not told to change that column
``indicator``  the same, and models see a column that says where it is missing
=============  ====================================================================================

Which cells mean missing is said by the card: the empty one, and those of its ``missing = [...]``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from cfq_core.datasets.card_outcome import cell_is
from cfq_core.datasets.card_rows import MIN_ROWS, Column, Outcome, Rows, check_present, gaps_of
from cfq_core.datasets.card_values import as_counts
from cfq_core.tables.schema import FILLED, MISSING_LEVEL, Feature


@dataclass(frozen=True)
class Kept:
    """Columns without the rows that a card leaves out, and what a reader must be told of those."""

    columns: Mapping[str, Column]
    told: tuple[str, ...] = ()


@dataclass(frozen=True)
class Filled:
    """A column as integers, beside it the column that says where its cells are missing, and what was done."""

    features: tuple[Feature, ...]
    counts: tuple[Rows, ...]
    told: tuple[str, ...] = ()


def mistakes_of_gaps(f: Feature) -> Iterator[str]:
    """What is wrong with the policy of a feature."""
    if f.missing == "level" and f.kind != "category":
        yield 'missing = "level"; only for kind = "category"; a number takes "median", "indicator" or "drop"'
    if f.missing in FILLED and f.kind == "category":
        yield f'missing = "{f.missing}"; words have no median; a category takes "level" or "drop"'
    if f.aside and f.move != "fixed":
        yield "move must be fixed (or left out), because aside = true: what no model sees changes no decision"


def without_gaps(
    features: Sequence[Feature],
    columns: Mapping[str, Column],
    missing: Sequence[str],
    target: str,
    ignored: Sequence[str],
) -> Kept:
    """Leave out the rows of ``drop``, and refuse missing cells of which nothing is said.

    Outcomes that are ``ignored`` may be missing cells: their rows are left out as open.
    """
    policy = {f.name: f.missing for f in features}
    refused = [c for name, c in columns.items() if name != target and policy.get(name, "refuse") == "refuse"]
    outcome = columns[target]
    open_ = [k for k, word in enumerate(outcome.words) if any(cell_is(word, cell) for cell in ignored)]
    check_present([outcome.of_rows(~np.isin(outcome.cells, open_)), *refused], missing)
    kept, told = np.ones(len(next(iter(columns.values())).cells), bool), []
    for name in (n for n, p in policy.items() if p == "drop"):
        gone = missing_rows(columns[name], missing)
        kept &= ~gone
        if gone.any():
            told.append(f"{columns[name].place.part}: {_of(gone)} missing; their rows are left out")
    if kept.sum() < MIN_ROWS:
        place = next(columns[n] for n, p in policy.items() if p == "drop").place
        raise place.bad(f'missing = "drop" leaves {kept.sum()} rows; at least {MIN_ROWS}')
    if len(told) > 1:
        told.append(f"{(~kept).sum():,} rows are left out in all")
    return Kept({name: column.of_rows(kept) for name, column in columns.items()}, tuple(told))


def missing_rows(column: Column, missing: Collection[str]) -> Outcome:
    """In which rows a cell is missing."""
    return np.isin(column.cells, gaps_of(column, missing))


def known(column: Column, missing: Sequence[str]) -> Column:
    """The rows of which a column says something."""
    return column.of_rows(~missing_rows(column, missing))


def _of(gone: Outcome) -> str:
    return f"{int(gone.sum()):,} of {len(gone):,} cells are"


def as_filled(f: Feature, column: Column, missing: Sequence[str], reference: str) -> Filled:
    """A column as integers, its missing cells as its feature says; ``reference``: the card's day."""
    gone = missing_rows(column, missing)
    if not gone.any():
        there = as_counts(f, column, reference)
        return Filled((there.feature,), (there.counts,), there.told)
    if gone.all():
        raise column.place.bad("every cell is missing; leave it out of the card")
    with_ = _with_level if f.missing == "level" else _with_median
    return with_(f, column, gone, reference)


def _with_level(f: Feature, column: Column, gone: Outcome, reference: str) -> Filled:
    there = column.of_rows(~gone)
    if MISSING_LEVEL in there.words:
        raise there.bad(
            there.words.index(MISSING_LEVEL), "is a level beside missing cells; add it to the card's missing = [...]"
        )
    levels = _levels_of(f, there, reference)
    gaps = set(np.unique(column.cells[gone]).tolist())
    named = replace(column, words=tuple(MISSING_LEVEL if k in gaps else word for k, word in enumerate(column.words)))
    given = replace(f, levels=(*levels, MISSING_LEVEL), never=(*f.never, MISSING_LEVEL))
    named_too = as_counts(given, named, reference)
    told = f'{column.place.part}: {_of(gone)} missing; they have a level "{MISSING_LEVEL}"'
    return Filled((named_too.feature,), (named_too.counts,), (*named_too.told, told))


def _levels_of(f: Feature, there: Column, reference: str) -> tuple[str, ...]:
    """Levels of the cells that are there, as they are found without the others."""
    if len(there.words) == 1 and not f.levels:
        return there.words
    return as_counts(f, there, reference).feature.levels


def _with_median(f: Feature, column: Column, gone: Outcome, reference: str) -> Filled:
    there = as_counts(f, column.of_rows(~gone), reference)
    counts = np.full(len(gone), there.counts.min(), np.int64)
    counts[~gone] = there.counts
    flag = Feature(
        f.flag, "ordinal", label=f"{f.words} is missing", move="fixed", immutable=True, levels=("no", "yes"),
        aside=f.missing == "median" or f.aside,
    )  # fmt: skip
    seen = " and a column that says where" if f.missing == "indicator" else ""
    told = (
        f"{column.place.part}: {_of(gone)} missing; they have the median of the training rows{seen}. Nobody is told to "
        "change a value that is not known"
    )
    return Filled((there.feature, flag), (counts, gone.astype(np.int64)), (*there.told, told))
