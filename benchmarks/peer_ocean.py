"""OCEAN on a forest, by constraint programming; its integer program asks for a Gurobi without a limit on size.

It knows features, not people: everything that a person may not do is added to its model as a constraint, a person at a
time. It counts a number from the thresholds of the trees, not from a grid, so it is given the same forest with every
threshold half-way between two grid points and its numbers in units of our cost; its distance is then below our cost by
half a step for each number moved, no more.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.peer_question import Answers, one_by_one, quietly

if TYPE_CHECKING:
    from sklearn.ensemble import RandomForestClassifier

    from benchmarks.peer_forests import ForestAsked

FAR = 1e4  # beyond every encoded number
SECONDS = 60  # a person, its default


def ocean(asked: ForestAsked) -> tuple[Answers, list[bool]]:
    """The cheapest answer by its own distance, with whether the solver proved it."""
    from ocean import ConstraintProgrammingExplainer  # not a dependency: it has an environment of its own

    unit = units(asked)
    with quietly():
        model = ConstraintProgrammingExplainer(between(asked, unit), mapper=mapper(asked))
    proved = [False] * len(asked.people)

    def answer(i: int) -> np.ndarray | None:
        own = asked.encoding.encode(asked.people[i][None])[0] * unit
        with quietly():
            confine(model, asked, i, unit)
            found = model.explain(own, y=1, norm=1, num_workers=1, max_time=SECONDS)
        if found is None:
            return None
        proved[i] = model.get_solving_status() == "OPTIMAL"
        return asked.encoding.decode((found.x / unit)[None])[0]

    return one_by_one(asked, answer), proved


def units(asked: ForestAsked) -> np.ndarray:
    """What one unit of every encoded column costs; 1 of a level and of what nobody moves."""
    out = np.ones(asked.encoding.width)
    for i in asked.query.actions.numbers:
        weight = asked.encoding.schema.features[i].weight
        out[asked.encoding.starts[i]] = weight * asked.encoding.std[i] / asked.query.actions.scales[i]
    return out


def between(asked: ForestAsked, unit: np.ndarray) -> RandomForestClassifier:
    """The same forest on every person of the grid: movable numbers in units of cost, thresholds between two points."""
    out = copy.deepcopy(asked.forest)
    encoding = asked.encoding
    for i in asked.query.actions.numbers:
        f, start = encoding.schema.features[i], encoding.starts[i]
        assert not f.log, "a number that is modelled by its logarithm has no even grid"
        step = (1.0 if f.levels else f.step) / encoding.std[i]
        origin = -encoding.mean[i] / encoding.std[i]
        for tree in (e.tree_ for e in out.estimators_):
            mine = tree.feature == start
            below = np.floor((tree.threshold[mine] - origin) / step + 1e-6)
            tree.threshold[mine] = (origin + (below + 0.5) * step) * unit[start]
    return out


def mapper(asked: ForestAsked) -> Any:
    """The columns in OCEAN's words."""
    import pandas as pd
    from ocean.abc import Mapper
    from ocean.feature import Feature

    features, columns = {}, []
    for f in asked.encoding.schema.features:
        if f.is_category:
            codes = [code(k) for k in range(len(f.levels))]
            features[f.name] = Feature(Feature.Type.ONE_HOT_ENCODED, codes=codes)
            columns += [(f.name, c) for c in codes]
        else:
            features[f.name] = Feature(Feature.Type.CONTINUOUS, levels=(-FAR, FAR))
            columns.append((f.name, ""))
    return Mapper(features, columns=pd.MultiIndex.from_tuples(columns))


def code(level: int) -> str:
    """A level's name; OCEAN sorts them."""
    return f"{level:03d}"


def confine(model: Any, asked: ForestAsked, person: int, unit: np.ndarray) -> None:
    """One person's box as constraints that go with the question."""
    actions, encoding, own = asked.query.actions, asked.encoding, asked.people[person][None]
    for i, f in enumerate(encoding.schema.features):
        variable = model.mapper[f.name]
        if f.is_category:
            open_ = actions.reachable(i, own)[0]
            for k in np.flatnonzero(~open_):
                model.add_garbage(model.Add(variable.xget(code(k)) == 0))
            continue
        ends = actions.box(i, own) if i in actions.numbers else (own[:, i], own[:, i])
        low, high = (float(encoding.standardised(i, end)[0]) * unit[encoding.starts[i]] for end in ends)
        first, last = (int(np.searchsorted(variable.levels, at, side="left")) - 1 for at in (low, high))
        model.add_garbage(model.Add(variable.xget() >= first), model.Add(variable.xget() <= last))
