"""Reasons in the card's words and units: as plain objects, and as a table that anybody can run on the file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from cfq_core.actions.action_set import ActionSet
from cfq_core.papers.reasons import WORDS, Denied, Reason
from cfq_core.tables.schema import Feature

FIRST_ROW = 2  # of people in a file whose header is row 1


@dataclass(frozen=True)
class Told:
    """The denied of one run, and what their rows mean."""

    denied: Sequence[Denied]
    actions: ActionSet
    rows: Int[np.ndarray, "n"]  # row of the table of every test person
    logits: Float[np.ndarray, "n"]  # of every test person on the shipped model

    @property
    def features(self) -> tuple[Feature, ...]:
        """Columns, in order."""
        return self.actions.schema.features

    def counts(self) -> dict[str, int]:
        """How many are denied, and of these by what is said of them."""
        found = Counter(d.how for d in self.denied)
        return {"denied": len(self.denied)} | {how: found[how] for how in WORDS}

    def by_feature(self) -> list[dict[str, Any]]:
        """How often each feature is a reason, and how often the first; the most frequent first."""
        first = Counter(d.reasons[0].feature for d in self.denied if d.reasons)
        every = Counter(r.feature for d in self.denied for r in d.reasons)
        order = sorted(every, key=lambda i: (-first[i], -every[i], i))
        return [{"feature": self.features[i].words, "first": first[i], "among four": every[i]} for i in order]

    def warnings(self) -> list[dict[str, Any]]:
        """Columns that nobody changes and that alone would decide otherwise about some of the denied."""
        found = Counter(i for d in self.denied for i in d.decides)
        kind = {i: "protected" if self.features[i].protected else "cannot be changed" for i in found}
        order = sorted(found, key=lambda i: (kind[i] != "protected", -found[i], i))
        return [
            {"column": self.features[i].words, "what it is": kind[i], "denied it would decide about": found[i]}
            for i in order
        ]

    def people(self) -> list[dict[str, Any]]:
        """One plain object a denied person."""
        return [self._person(d) for d in self.denied]

    def frame(self) -> pd.DataFrame:
        """One row a reason, with the person before and after it in the table's own cells; one row where there is none.

        What is told "together" has one row a change, each with all the changes in its cells.
        """
        out: list[dict[str, Any]] = []
        for d, person in zip(self.denied, self.people(), strict=True):
            about = {k: person[k] for k in ("person", "row", "logit", "answer")}
            protected = "; ".join(
                f"{c['column']}: {c['now']} -> {c['instead']}" for c in person["decided_by_protected"]
            )
            before = {f"before {k}": v for k, v in person["cells"].items()}
            for rank, (reason, r) in enumerate(zip(person["reasons"], d.reasons, strict=True), start=1):
                told = {k: reason[k] for k in ("feature", "words", "now", "instead", "follows", "cost")}
                told["follows"] = "; ".join(told["follows"])
                after = {f"after {k}": v for k, v in self._cells(r.after).items()}
                out.append(about | {"rank": rank} | told | {"decided by protected": protected} | before | after)
            if not d.reasons:
                out.append(about | {"decided by protected": protected} | before)
        return pd.DataFrame(out)

    def reason(self, before: Int[np.ndarray, "f"], r: Reason) -> dict[str, Any]:
        """One change in words, with what follows from it."""
        f, own, there = self.features[r.feature], int(before[r.feature]), int(r.after[r.feature])
        lines = dict(zip(np.flatnonzero(before != r.after), self.actions.advice(before, r.after), strict=True))
        return {
            "feature": f.name, "words": f.words, "now": f.format_cell(own), "instead": f.format_cell(there),
            "follows": [line for i, line in lines.items() if i in self.actions.followers], "cost": r.cost,
        }  # fmt: skip

    def _person(self, d: Denied) -> dict[str, Any]:
        apart = [{"column": self.features[i].words, "now": self.features[i].format_cell(int(d.before[i])),
                  "instead": self.features[i].format_cell(v), "protected": self.features[i].protected}
                 for i, v in d.decides.items()]  # fmt: skip
        return {
            "person": d.person, "row": int(self.rows[d.person]) + FIRST_ROW, "logit": float(self.logits[d.person]),
            "how": d.how, "answer": WORDS[d.how], "cells": self._cells(d.before),
            "reasons": [self.reason(d.before, r) | {"changes": self._changes(d, r)} for r in d.reasons],
            "decided_by_protected": [_without(c) for c in apart if c["protected"]],
            "decided_by_facts": [_without(c) for c in apart if not c["protected"]],
        }  # fmt: skip

    def _changes(self, d: Denied, r: Reason) -> dict[str, Any]:
        """Cells of the table that are others after it."""
        before, after = self._cells(d.before), self._cells(r.after)
        return {k: v for k, v in after.items() if v != before[k]}

    def _cells(self, values: Int[np.ndarray, "f"]) -> dict[str, Any]:
        """A row in the table's own words and units."""
        each = zip(self.features, values.tolist(), strict=True)
        return {f.name: f.levels[c] if f.levels else float(f.raw(np.array([c]))[0]) for f, c in each}


def _without(column: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in column.items() if k != "protected"}
