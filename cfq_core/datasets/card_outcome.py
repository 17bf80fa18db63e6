"""Which side of its target each row of a user's table is on: favourable, not, or left out because it is still open."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from cfq_core.datasets.card_rows import (
    MAX_TEXT,
    MIN_OUTCOMES,
    NUMBER,
    Column,
    Outcome,
    Place,
    counted,
    level_mistake,
    one_of,
    quoted,
    spellings,
)


def cell_is(word: str, wanted: str) -> bool:
    """Whether a cell is what a card names: the same text, or the same number or truth value in another spelling."""
    if word == wanted:
        return True
    if NUMBER.fullmatch(word) and NUMBER.fullmatch(wanted):
        return float(word) == float(wanted)
    return wanted in ("true", "false") and word.casefold() == wanted


@dataclass(frozen=True)
class Judged:
    """The outcome of every row, which rows have one, and what a reader must be told of it."""

    outcome: Outcome
    kept: Outcome  # False where the outcome is still open
    warning: str = ""


def as_outcome(favourable: Collection[str], ignore: Collection[str], column: Column, card: Place) -> Judged:
    """True where the target is a favourable cell; ``card`` is where the card names the target."""
    for k, word in enumerate(column.words):
        if not any(cell_is(word, cell) for cell in ignore) and (mistake := level_mistake(word)):
            raise column.bad(k, mistake)
    good, open_ = (_named(cells, key, column, card) for cells, key in ((favourable, "favourable"), (ignore, "ignore")))
    if both := good & open_:
        raise card.bad(f"{quoted(column.words[min(both)])} is both favourable and ignored")
    _check_spellings(column, good, open_, card)
    outcome, kept = np.isin(column.cells, sorted(good)), ~np.isin(column.cells, sorted(open_))
    said = counted(column, good)
    if outcome[kept].all():
        raise column.place.bad(f"every row is {said}; a model needs both outcomes")
    for what, count in (("are", outcome[kept].sum()), ("are not", (~outcome[kept]).sum())):
        if count < MIN_OUTCOMES:
            raise column.place.bad(f"{count} rows {what} {said}; at least {MIN_OUTCOMES} of each outcome")
    if len(column.words) == 2:
        return Judged(outcome, kept)
    rest = set(range(len(column.words))) - good - open_
    sides = [
        f"{side}: {counted(column, k)}" for side, k in (("favourable", good), ("not", rest), ("left out", open_)) if k
    ]
    return Judged(outcome, kept, f"{card.part}: {'; '.join(sides)}")


def _named(cells: Collection[str], key: str, column: Column, card: Place) -> set[int]:
    found: set[int] = set()
    for cell in cells:
        mine = {k for k, word in enumerate(column.words) if cell_is(word, cell)}
        if not mine:
            raise card.bad(f"{key} = {quoted(cell)}; {one_of(sorted(column.words), cell)}")
        found |= mine
    return found


def _check_spellings(column: Column, good: set[int], open_: set[int], card: Place) -> None:
    """Refuse a target of which one spelling is on one side and another on the other, without being named."""
    for several in spellings(column.words):
        words = [column.words.index(w) for w in several]
        sides = {(k in good, k in open_) for k in words}
        if len(sides) > 1:
            listed = json.dumps(several, ensure_ascii=False)
            cure = f"name every cell that is favourable, favourable = {listed}, or mend them"
            raise card.bad(f"{len(several)} spellings of one word: {counted(column, words)}; {cure}")


def about_models(place: Place, model: Any) -> Mapping[str, Any]:
    """The ``[model]`` table, whose keys and words the reader of models checks."""
    if not isinstance(model, dict) or any(isinstance(v, dict | list) for v in model.values()):
        raise place.bad("[model] must be one table of plain values: favourable, threshold, output, layout")
    return {str(k)[:MAX_TEXT]: v[:MAX_TEXT] if isinstance(v, str) else v for k, v in model.items()}
