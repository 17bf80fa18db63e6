"""Which protected group each of a teacher's test people belongs to, so that every result can be told by group.

Views of single people and permutation tests of group gaps then need no raw table.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from cfq_core.artifacts.artifact import Arrays, ArtifactInput, Computed
from cfq_core.pipeline import TeacherRecourse


@dataclass(frozen=True)
class GroupLabels:
    """The protected groups of a teacher's test people; small integers and what they stand for."""

    levels: dict[str, tuple[str, ...]]  # by group column
    test: dict[str, Int[np.ndarray, "n"]]  # of every test row, indices into levels
    people: dict[str, Int[np.ndarray, "k"]]  # of the denied people who were promised recourse, in their order

    def arrays(self) -> Arrays:
        """As it is stored."""
        out: dict[str, np.ndarray] = {}
        for column, names in self.levels.items():
            out[f"{column}.levels"] = np.array(names)
            out[f"{column}.test"], out[f"{column}.people"] = self.test[column], self.people[column]
        return out

    @staticmethod
    def of_arrays(stored: Arrays) -> GroupLabels:
        """As it was before it was stored."""
        columns = [k.removesuffix(".levels") for k in stored if k.endswith(".levels")]
        levels = {c: tuple(str(w) for w in stored[f"{c}.levels"]) for c in columns}
        return GroupLabels(levels, *({c: stored[f"{c}.{part}"] for c in columns} for part in ("test", "people")))


@dataclass(frozen=True)
class Groups:
    """Levels in the order of their names."""

    KEY = "groups"
    revision: int = 1  # raised when the same fields give other labels

    def compute(self, given: ArtifactInput) -> Computed:
        """Of the teacher."""
        return Computed(self.of(given.promise).arrays())

    def of(self, p: TeacherRecourse) -> GroupLabels:
        """Who of a teacher's test people belongs to which group."""
        levels, test, people = {}, {}, {}
        for column, words in p.design.table.groups().items():
            names, label = np.unique([words[i] for i in p.design.split.test], return_inverse=True)
            levels[column], test[column] = tuple(str(n) for n in names), label.astype(np.int16)
            people[column] = test[column][p.person]
        return GroupLabels(levels, test, people)


PLUGIN = Groups()
