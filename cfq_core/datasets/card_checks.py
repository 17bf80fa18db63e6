"""What shows only when a card and its table are put together: parts of a split, weights of rows, limits off the grid,
giveaways."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import ceil, floor

import numpy as np
from jaxtyping import Float
from sklearn.metrics import roc_auc_score

from cfq_core.datasets.card_rows import LISTED, MAX_COUNT, MIN_OUTCOMES, Column, Outcome, Place, Rows, one_of, quoted
from cfq_core.datasets.card_values import numbers_of, refuse
from cfq_core.tables.schema import PARTS, Feature

GIVES_AWAY = 0.98  # area under the ROC curve of one column alone
ROUNDING = 1e-9  # of low and high to grid steps, as in `ActionSet`


def parts(column: Column, outcome: Outcome) -> Rows:
    """Which part each row is of, by the words of its split column."""
    index = {word: k for k, word in enumerate(PARTS)} | {"validation": 1}
    for k, word in enumerate(column.words):
        if word.lower() not in index:
            raise column.bad(k, f"is no part of a split; one of {', '.join(PARTS)}")
    part = np.array([index[word.lower()] for word in column.words], np.int64)[column.cells]
    for k in (0, 2):
        good = int(outcome[part == k].sum())
        if min(good, int((part == k).sum()) - good) < MIN_OUTCOMES:
            raise column.place.bad(f"{PARTS[k]} has fewer than {MIN_OUTCOMES} rows of an outcome")
    return part


def row_weights(column: Column, outcome: Outcome, part: Rows | None) -> Float[np.ndarray, "n"]:
    """Sampling weights of rows, as they stand there; weight 0 is a row that no training learns from."""
    words = numbers_of(column)
    refuse(column, words < 0, "is below 0; a weight is 0 or more")
    refuse(column, words > MAX_COUNT, f"is too large; at most {MAX_COUNT:g}")
    weight = words[column.cells]
    if not weight.any():
        raise column.place.bad("every row has weight 0; some rows must count")
    learned = (weight > 0) & (True if part is None else part == 0)
    good = int(outcome[learned].sum())
    if min(good, int(learned.sum()) - good) < MIN_OUTCOMES:
        where = "" if part is None else f"{PARTS[0]} "
        raise column.place.bad(f"fewer than {MIN_OUTCOMES} {where}rows of an outcome have a weight over 0")
    if part is not None and (part == 1).any() and not weight[part == 1].any():
        raise column.place.bad(f"every {PARTS[1]} row has weight 0, so none can choose when training ends")
    return weight


def about_weights(place: Place, weight: Float[np.ndarray, "n"]) -> str:
    """What a reader must know of sampling weights: where they act, and how many equal rows would say as much (Kish)."""
    shares = weight / weight.max()
    as_many = f"{float(shares.sum() ** 2 / (shares**2).sum()):,.0f}"
    none = int((weight == 0).sum())
    also = f"; {none:,} of weight 0 teach nothing" if none else ""
    return (
        f"{place.part}: what is trained here counts each row by its weight ({len(weight):,} rows say as much as "
        f"{as_many} of equal weight{also}). Every share, rate and mean that is told is of the people in the table, "
        "unweighted"
    )


def only_tested(features: Sequence[Feature], values: np.ndarray, part: Rows) -> Iterator[str]:
    """Levels of which no training row tells a model anything, where the card has a split."""
    for i, f in enumerate(features):
        if not f.is_category or f.other_below:
            continue
        train, test = (np.bincount(values[part == k, i], minlength=len(f.levels)) for k in (0, 2))
        if alone := [k for k in range(len(f.levels)) if test[k] and not train[k]]:
            named = ", ".join(f"{quoted(f.levels[k])} ({test[k]})" for k in alone[:LISTED])
            yield f'feature "{f.name}": {named} only test rows have; other_below = 30 would join what models never saw'


def gives_away(f: Feature, counts: Rows, outcome: Outcome) -> str:
    """A column that alone ranks nearly everybody rightly may have been written after the outcome was known."""
    score = counts.astype(float)
    if f.kind == "category":
        score = (np.bincount(counts, outcome) / np.maximum(1, np.bincount(counts)))[counts]
    area = float(roc_auc_score(outcome, score))
    if max(area, 1 - area) <= GIVES_AWAY:
        return ""
    return (
        f'feature "{f.name}": alone it tells the outcome of nearly everybody (AUC {max(area, 1 - area):.3f}). Was it '
        "known before the decision? If not, leave it out of the card"
    )


def check_filled(f: Feature, place: Place) -> None:
    """Mistakes that show once levels and step are known."""
    for level in f.never:
        if level not in f.levels:
            raise place.bad(f"never = {quoted(level)}; {one_of(f.levels, level)}")
    if f.levels and set(f.levels) <= set(f.never):
        raise place.bad(f"never = {quoted(f.never)}; must leave a level to move to")
    for key, limit in (("low", f.low), ("high", f.high)):
        if limit is not None and abs(limit) > MAX_COUNT * f.step:
            raise place.bad(f"{key} = {limit:g}; at most {MAX_COUNT:g} steps of {f.step:g}")
    if f.low is None or f.high is None:
        return
    if ceil(f.low / f.step - ROUNDING) > floor(f.high / f.step + ROUNDING):
        raise place.bad(f"low = {f.low:g}, high = {f.high:g}; no multiple of step = {f.step:g} lies between")
