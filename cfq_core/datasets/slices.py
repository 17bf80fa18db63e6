"""A data set of whose people one slice is trained on and the rest is deployed to: a natural shift, at its strictest.

``NAME:COLUMN=LEVEL`` trains on that level's people alone, ``NAME:COLUMN!=LEVEL`` on everybody but them; levels are the
groups of fairness tables ("under 25"), so `compas:age!=under 25` is made for people of 25 and over and then decides
about younger ones. A column of words is left out of such a table: nothing could be learned of a word nobody in
training has, and weights that nothing has trained would decide. A number stays: the models have to extrapolate.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import numpy as np

from cfq_core.base import plugins
from cfq_core.base.errors import BadTable, UnknownName, unknown
from cfq_core.tables.schema import Feature, Schema, Table

WRITTEN = re.compile(r"(?P<base>\w+):(?P<column>\w+)(?P<sign>!?=)(?P<level>.+)")
LEAST_TRAINED, LEAST_DEPLOYED = 100, 30  # people


@dataclass(frozen=True)
class Slice:
    """Who is trained on, of which data set."""

    base: str
    column: str
    level: str
    without: bool  # trained on everybody but them

    @property
    def name(self) -> str:
        """As it is written."""
        return f"{self.base}:{self.column}{'!=' if self.without else '='}{self.level}"

    def words(self, f: Feature) -> str:
        """Who is trained on, for a title."""
        return f"all but {f.words} {self.level}" if self.without else f"{f.words} {self.level} alone"


def slice_of(name: str) -> Slice | None:
    """The slice that a data set's name asks for; None where it is a whole one's."""
    found = WRITTEN.fullmatch(name)
    if found is None or found["base"] not in plugins.names("datasets"):
        return None
    return Slice(found["base"], found["column"], found["level"], found["sign"] == "!=")


def known(name: str) -> bool:
    """Whether a name is that of a data set, or asks for a slice of one; the slice itself is looked up when loaded."""
    return name in plugins.names("datasets") or slice_of(name) is not None


def base_of(name: str) -> str:
    """The whole data set behind a name."""
    asked = slice_of(name)
    return asked.base if asked else name


def load(name: str) -> Table:
    """A data set, or a slice of one; raises `UnknownName` or `BadTable` in one line."""
    asked = slice_of(name)
    if asked is None:
        table: Table = plugins.load("datasets", name).load()
        return table
    return cut(plugins.load("datasets", asked.base).load(), asked)


def schema(name: str) -> Schema:
    """A data set's schema, or a slice's; no table is loaded."""
    asked = slice_of(name)
    if asked is None:
        whole: Schema = plugins.load("datasets", name).schema
        return whole
    return _schema(plugins.load("datasets", asked.base).schema, asked)


def cut(table: Table, asked: Slice) -> Table:
    """The same people, with those marked who are never trained on."""
    sliced = _schema(table.schema, asked)
    levels = _levels(table, asked.column)
    if asked.level not in levels:
        raise UnknownName(f"{asked.name}: {unknown('level', asked.level, sorted(set(levels)))}")
    unseen = (np.array(levels) == asked.level) == asked.without
    trained, deployed = int((~unseen).sum()), int(unseen.sum())
    if trained < LEAST_TRAINED or deployed < LEAST_DEPLOYED:
        raise BadTable(
            f"{asked.name}: {trained:,} people to train on and {deployed:,} others; at least {LEAST_TRAINED} and "
            f"{LEAST_DEPLOYED}"
        )
    kept = [i for i, f in enumerate(table.schema.features) if f in sliced.features]
    return replace(table, schema=sliced, values=np.ascontiguousarray(table.values[:, kept]), unseen=unseen)


def _levels(table: Table, column: str) -> list[str]:
    f = table.schema[column]
    if f.protected:
        return table.groups()[column]
    return [f.levels[c] for c in table.values[:, table.schema.features.index(f)]]


def _schema(whole: Schema, asked: Slice) -> Schema:
    allowed = [f.name for f in whole.features if f.move == "fixed" and (f.protected or f.levels)]
    if asked.column not in allowed:
        raise UnknownName(f"{asked.name}: {unknown('column that nobody can change', asked.column, allowed)}")
    f = whole[asked.column]
    who = asked.words(f)
    return replace(
        whole,
        name=asked.name,
        title=f"{whole.title}; trained on {who}",
        note=f"{whole.note} Teachers and students are trained on {who}; promises are made to the others.",
        features=tuple(g for g in whole.features if g is not f or not f.levels),
    )
