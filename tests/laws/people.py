"""Made people for property tests: any schema the data model allows, and rows of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

from cfq_core.tables.schema import MOVES, Feature, Schema, Table

WORDS = ("low", "middle", "high", "top", "other")
FAR = 10**6  # grid steps


@dataclass(frozen=True)
class People:
    """A schema and the cells of some people."""

    schema: Schema
    values: np.ndarray

    @property
    def table(self) -> Table:
        """The people with alternating outcomes."""
        return Table(self.schema, self.values, np.arange(len(self.values)) % 2 == 0)


def _numbers(name: str) -> st.SearchStrategy[Feature]:
    steps = st.sampled_from([1.0, 0.1, 0.01, 0.0001, 0.5, 2.5, 10.0, 0.3])
    limits = st.tuples(st.none() | st.integers(-50, 50), st.none() | st.integers(60, 5000))
    return st.builds(
        lambda kind, step, log, limit, weight, **flags: Feature(
            name,
            kind,
            step=1.0 if kind == "integer" else step,
            log=log,
            low=None if limit[0] is None else float(abs(limit[0]) if log else limit[0]),
            high=None if limit[1] is None else float(limit[1]),
            weight=weight,
            **flags,
        ),
        st.sampled_from(["number", "integer"]),
        steps,
        st.booleans(),
        limits,
        st.sampled_from([0.5, 1.0, 2.0]),
        **_FLAGS,
    )


def _levelled(name: str) -> st.SearchStrategy[Feature]:
    def make(kind: str, count: int, never: int, weight: float, **flags: object) -> Feature:
        unknown = WORDS[:count][-never:] if never and kind == "category" and never < count else ()
        return Feature(name, kind, levels=WORDS[:count], never=unknown, weight=weight, **flags)  # type: ignore[arg-type]

    kinds, weights = st.sampled_from(["ordinal", "category"]), st.sampled_from([0.5, 1.0, 2.0])
    return st.builds(make, kinds, st.integers(2, len(WORDS)), st.integers(0, 2), weights, **_FLAGS)


_FLAGS = {
    "move": st.sampled_from(MOVES),
    "immutable": st.booleans(),
    "easy": st.booleans(),
    "protected": st.sampled_from([False, False, False, True]),
}


@st.composite
def schemas(draw: st.DrawFn) -> Schema:
    """One to five features of any kind."""
    count = draw(st.integers(1, 5))
    features = [draw(st.one_of(_numbers(f"f{i}"), _levelled(f"f{i}"))) for i in range(count)]
    return Schema("made", "Made people", tuple(features), "yes", "no")


@st.composite
def people(draw: st.DrawFn, rows: int = 12, far: int = FAR) -> People:
    """A schema and ``rows`` people: counts up to ``far`` grid steps, negative ones too where no logarithm is taken."""
    schema = draw(schemas())
    columns = []
    for f in schema.features:
        least = 0 if f.log else -far
        cell = st.integers(0, len(f.levels) - 1) if f.levels else st.integers(least, far)
        columns.append(draw(st.lists(cell, min_size=rows, max_size=rows)))
    return People(schema, np.array(columns, np.int64).T)
