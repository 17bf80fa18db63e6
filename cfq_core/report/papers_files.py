"""The papers of a run as files: one HTML page, one JSON object, and a CSV of every table."""

from __future__ import annotations

import json
import math
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from cfq_core.base.cells import csv
from cfq_core.base.errors import BadInput
from cfq_core.base.whole import write_whole
from cfq_core.report import papers_page
from cfq_core.report.papers import FORMAT, Papers, sha256
from cfq_core.report.reasons import Reason, Reasons
from cfq_core.tables.schema import Feature

VALUE = "value of "  # before a feature's name, in people.csv


def files(p: Papers) -> dict[str, bytes]:
    """Every file by its name; papers.json, the last, holds the sha256 of the others."""
    tables = {"people.csv": people(p), "reasons.csv": reasons(p), "inventory.csv": inventory(p),
              "challengers.csv": p.challengers, "impact.csv": p.impact}  # fmt: skip
    out = {"papers.html": papers_page.page(p).encode(), **{name: csv(rows) for name, rows in tables.items()}}
    out |= {p.shipped.name: p.shipped.content} if p.shipped else {}
    told = as_json(p) | {"files": {name: sha256(content) for name, content in out.items()}}
    return out | {"papers.json": (json.dumps(told, indent=1, allow_nan=False) + "\n").encode()}


def write(folder: Path, made: dict[str, bytes]) -> None:
    """Write all files into a folder, or none: each is whole before the first of them takes its place."""
    if folder.exists() and not folder.is_dir():
        raise BadInput(f"{folder}: a file; name a folder")
    if not folder.absolute().parent.is_dir():
        raise BadInput(f"{folder}: the folder {folder.absolute().parent} is not there")
    if taken := [name for name in made if (folder / name).is_dir()]:
        raise BadInput(f"{folder / taken[0]}: a folder; name another place")
    with tempfile.TemporaryDirectory(dir=folder.absolute().parent, prefix=".papers") as held:
        for name, content in made.items():
            write_whole(Path(held) / name, content)
        folder.mkdir(exist_ok=True)
        for name in made:
            (Path(held) / name).replace(folder / name)


# ---------------------------------------------------------------------- tables
def inventory(p: Papers) -> pd.DataFrame:
    """One row an entry: what was said, what is stored, hashes, limits."""
    rows = [*p.inventory.items(), *((f"sha256: {k}", v) for k, v in p.hashes.items())]
    rows += [("reasons verified on", p.verified), *((f"limit {n}", text) for n, text in enumerate(p.limits, 1))]
    return pd.DataFrame(rows, columns=["entry", "value"])


def people(p: Papers) -> pd.DataFrame:
    """One row a denied person: what the reasons are, what reviewers should look at, and their values."""
    features, test = p.run.design.table.schema.features, p.run.design.split.test
    rows = [
        {
            "person": r.person, "row": int(test[r.person]), "logit": r.logit, "kind": r.kind, "reasons": len(r.reasons),
            "further": r.further, "why": r.why, "for reviewers": "; ".join(x.line for x in r.protected),
            **{VALUE + f.name: cell(f, c) for f, c in zip(features, r.before, strict=True)},
        }
        for r in p.reasons
    ]  # fmt: skip
    head = ["person", "row", "logit", "kind", "reasons", "further", "why", "for reviewers"]
    return pd.DataFrame(rows, columns=None if rows else [*head, *(VALUE + f.name for f in features)])


def reasons(p: Papers) -> pd.DataFrame:
    """One row a (person, reason), the most telling first; ``logit_after``: where the change, or all of a set, leads."""
    head = ("person", "kind", "rank", "feature", "words", "own", "to", "change", "cost", "logit_after", "follows")
    features = p.run.design.table.schema.features
    rows = [
        (r.person, r.kind, rank, x.name, x.words, cell(features[x.feature], x.own), cell(features[x.feature], x.to),
         x.line, x.cost, at, "; ".join(follows))
        for r in p.reasons for rank, (x, at, follows) in enumerate(_told(p, r), 1)
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=list(head))


def _told(p: Papers, r: Reasons) -> Iterator[tuple[Reason, float, list[str]]]:
    """Each reason with the logit it leads to and what follows from it under the card."""
    actions, features = p.run.design.actions, p.run.design.table.schema.features
    for k, x in enumerate(r.reasons):
        at = 0 if len(r.after) == 1 else k
        after = r.after[at]
        follows = [f"{features[i].words}: {features[i].format_cell(r.before[i])} -> {features[i].format_cell(after[i])}"
                   for i in actions.followers if after[i] != r.before[i]]  # fmt: skip
        yield x, r.logits[at], follows


def cell(f: Feature, count: int) -> str | float:
    """A level's word, or a number in raw units."""
    if f.levels:
        return f.levels[count]
    return float(f.raw(pd.Series([count]).to_numpy())[0])


# ---------------------------------------------------------------------- JSON
def as_json(p: Papers) -> dict[str, Any]:
    """Everything but the sha256 of the files."""
    return {
        "format": FORMAT, "inventory": dict(p.inventory), "sha256": dict(p.hashes), "limits": list(p.limits),
        "verified": p.verified, "unconfirmed": p.unconfirmed, **counts(p),
        "challengers": _records(p.challengers), "not_in_the_study": p.missing, "impact": _records(p.impact),
        "people": [_person(p, r) for r in p.reasons],
    }  # fmt: skip


def counts(p: Papers) -> dict[str, int]:
    """How many test people there are, are denied, and have which kind of reasons."""
    kinds = Counter(r.kind for r in p.reasons)
    return {"test_people": len(p.run.test), "denied": len(p.reasons), "alone": kinds["alone"],
            "together": kinds["together"], "none": kinds["none"],
            "for_reviewers": sum(bool(r.protected) for r in p.reasons)}  # fmt: skip


def _person(p: Papers, r: Reasons) -> dict[str, Any]:
    features = p.run.design.table.schema.features
    told = [
        {"feature": x.name, "words": x.words, "own": cell(features[x.feature], x.own),
         "to": cell(features[x.feature], x.to), "change": x.line, "cost": x.cost, "logit_after": at, "follows": follows}
        for x, at, follows in _told(p, r)
    ]  # fmt: skip
    return {
        "person": r.person, "row": int(p.run.design.split.test[r.person]), "logit": r.logit, "kind": r.kind,
        "reasons": told, "further": r.further, "why": r.why, "for_reviewers": [x.line for x in r.protected],
    }  # fmt: skip


def _records(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """A table's rows as plain values; what is not defined is null."""
    return [{str(k): _plain(v) for k, v in row.items()} for row in rows.to_dict("records")]


def _plain(value: Any) -> Any:
    value = value.item() if hasattr(value, "item") else value
    return None if isinstance(value, float) and not math.isfinite(value) else value
