"""Few changes that approve a denied person only together: every one of them is needed.

Sets of two, three and four features are run, each with the two values that come nearest to approval alone, of the
features that bring most. The smallest that approves is taken, the cheapest of its size; then every change in it is
made as small as still approves, and a set of which a part is enough gives way to that part.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import combinations, product

import numpy as np
from jaxtyping import Int

from cfq_core.papers.alone import TRIED, Alone, Question
from cfq_core.tables.encode import Values

MOST = 4  # changes told to one person
CONSIDERED = 8  # features that bring most

Row = Int[np.ndarray, "f"]


def together(question: Question, before: Row, each: Sequence[Alone], k: int, known: Row | None = None) -> Row | None:
    """A row that approves person ``k`` of a scan, at most `MOST` changes away, all of them needed; None: none found.

    ``known``: a row somewhere that is known to approve them, however many changes away.
    """
    order = sorted(each, key=lambda a: -a.gain[k])[:CONSIDERED]
    features = np.array([a.feature for a in order], np.int64)
    options = np.array([a.best[k] for a in order], np.int64)
    for size in range(2, min(MOST, len(order)) + 1):
        places, which = _sets(len(order), size)
        rows = np.repeat(before[None], len(places), axis=0)
        rows[np.arange(len(rows))[:, None], features[places]] = options[places, which]
        if (found := _cheapest(question, before, rows)) is not None:
            return needed(question, before, _smaller(question, before, found))
    if known is None or not question.approved(before[None], known[None])[0]:
        return None
    least = needed(question, before, known) if len(changed(question, before, known)) <= 2 * MOST else known
    return least if len(changed(question, before, least)) <= MOST else None


def changed(question: Question, before: Row, after: Row) -> list[int]:
    """Features that somebody changes; not those that follow."""
    return [i for i in question.movable if before[i] != after[i]]


def parts(question: Question, before: Row, after: Row) -> Values:
    """The same person with every choice of some of the changes but not all of them; nobody for a single change."""
    members = changed(question, before, after)
    chosen = [c for size in range(1, len(members)) for c in combinations(members, size)]
    rows = np.repeat(before[None], len(chosen), axis=0)
    for row, of in zip(rows, chosen, strict=True):
        row[list(of)] = after[list(of)]
    return question.actions.completed(np.repeat(before[None], len(rows), axis=0), rows)


def needed(question: Question, before: Row, after: Row) -> Row:
    """The smallest part of the changes that still approves, the cheapest of its size: each change in it is needed."""
    rows = parts(question, before, after)
    sizes = np.array([len(changed(question, before, row)) for row in rows])
    good = question.approved(np.repeat(before[None], len(rows), axis=0), rows) if len(rows) else np.zeros(0, bool)
    if not good.any():
        return after
    found = _cheapest(question, before, rows[good & (sizes == sizes[good].min())])
    return after if found is None else found


@lru_cache(maxsize=64)
def _sets(features: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Places of the features of every set, and which of the two values each has."""
    each = [(c, w) for c in combinations(range(features), size) for w in product((0, 1), repeat=size)]
    return np.array([c for c, _ in each]), np.array([w for _, w in each])


def _cheapest(question: Question, before: Row, rows: Values) -> Row | None:
    start = np.repeat(before[None], len(rows), axis=0)
    rows = question.actions.completed(start, rows)
    good = question.approved(start, rows)
    if not good.any():
        return None
    found: Row = rows[good][question.actions.cost(start[good], rows[good]).argmin()]
    return found


def _smaller(question: Question, before: Row, after: Row) -> Row:
    """Each change of a number in turn as small as still approves, of up to `TRIED` sizes."""
    for i in changed(question, before, after):
        if question.actions.schema.features[i].is_category:
            continue
        steps = np.rint(before[i] + (after[i] - before[i]) * np.arange(1, TRIED) / TRIED).astype(np.int64)
        rows = np.repeat(after[None], len(steps), axis=0)
        rows[:, i] = steps
        start = np.repeat(before[None], len(rows), axis=0)
        rows = question.actions.completed(start, rows)
        good = np.flatnonzero(question.approved(start, rows))
        after = rows[good[0]] if good.size else after
    return after
