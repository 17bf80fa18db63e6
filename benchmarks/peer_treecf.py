"""treecf on a forest: it reads the trees, is told each person's box and grid, and minimises our cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.peer_question import Answers, one_by_one, quietly

if TYPE_CHECKING:
    from benchmarks.peer_forests import ForestAsked, ForestLibrary

#: treecf asks for a score from here on, a forest approves above one half.
ABOVE = 0.5 + 1e-9


def treecf(backend: str, **settings: Any) -> ForestLibrary:
    """One of its searches, one person at a time."""

    def ask(asked: ForestAsked) -> tuple[Answers, list[bool]]:
        from treecf import Counterfactual, Explainer, Target  # not a dependency: it has an environment of its own
        from treecf.ir.parsers import parse_model

        ir, proved = parse_model(asked.forest, None), [False] * len(asked.people)
        target = Target.raw(op=">=", value=ABOVE)

        def answer(i: int) -> np.ndarray | None:
            own = asked.encoding.encode(asked.people[i][None])[0]
            with quietly():
                made = Explainer(ir, constraints=box(asked, i), **cost(asked), value_policy=grids(asked))
                found = made.explain(own, target, backend=backend, seed=0, **settings)
            if not isinstance(found, Counterfactual):
                return None
            proved[i] = found.proof == "optimal"
            return asked.encoding.decode(found.x_cf[None])[0]

        return one_by_one(asked, answer), proved

    return ask


def box(asked: ForestAsked, person: int) -> list[Any]:
    """What one person may do, in treecf's constraints: everything else is frozen."""
    from treecf import Freeze, OneHot, Range

    actions, encoding, own = asked.query.actions, asked.encoding, asked.people[person][None]
    told: list[Any] = []
    open_ = np.zeros(encoding.width, bool)
    for i in actions.numbers:
        low, high = (float(encoding.standardised(i, end)[0]) for end in actions.box(i, own))
        told.append(Range(name(encoding.starts[i]), low, high))
        open_[encoding.starts[i]] = low < high
    for i in actions.switches:
        columns = encoding.starts[i] + np.flatnonzero(actions.reachable(i, own)[0])
        if len(columns) > 1:
            told.append(OneHot(tuple(map(name, columns))))
            open_[columns] = True
    return told + [Freeze(name(k)) for k in np.flatnonzero(~open_)]


def cost(asked: ForestAsked) -> dict[str, Any]:
    """Scales and weights under which treecf's distance is our cost; a switch changes two columns."""
    actions, encoding = asked.query.actions, asked.encoding
    scales, weights = np.ones(encoding.width), {}
    for i, (f, start) in enumerate(zip(encoding.schema.features, encoding.starts, strict=True)):
        if f.is_category:
            weights |= {name(start + k): f.weight / 2 for k in range(len(f.levels))}
        else:
            weights[name(start)] = f.weight
            scales[start] = actions.scales[i] / encoding.std[i]
    return {"normalizers": scales, "weights": weights}


def grids(asked: ForestAsked) -> dict[str, Any]:
    """The grid of every number, in the forest's units; one that is modelled by its logarithm has none."""
    from treecf import Grid

    encoding, features = asked.encoding, asked.encoding.schema.features
    steps = {i: 1.0 if features[i].levels else features[i].step for i in asked.query.actions.numbers}
    return {
        name(encoding.starts[i]): Grid(step / encoding.std[i], -encoding.mean[i] / encoding.std[i])
        for i, step in steps.items()
        if not features[i].log
    }


def name(column: int) -> str:
    """What treecf calls a column of a forest that names none."""
    return f"f{column}"
