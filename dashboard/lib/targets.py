"""From a mark of a picture to the people behind it: a link on the mark, and the same as a list for the keyboard."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from cfq_core.report import fmt
from cfq_core.report import names as names_of
from cfq_core.report.first_look import Place
from dashboard.lib import component
from dashboard.lib.state import Selection

#: What a mark stands for: a method at a budget, or a group (or a crossing of two) of the selected model.
MODEL, GROUP = ("method", "budget"), ("column", "level")
MARKS = ("rect", "text", "point")  # what can be clicked


@dataclass(frozen=True)
class Target:
    """Some people, by the fields of the marks that stand for them."""

    mark: tuple[Any, ...]
    text: str
    url: str


def of(sel: Selection, rows: pd.DataFrame, fields: tuple[str, str], fate: str = "broken") -> list[Target]:
    """One target a (method, budget) or group in a picture's rows."""
    place = Place.of(sel.study, sel.dataset, sel.matched, sel.seed)
    found = []
    for a, b in dict.fromkeys(zip(rows[fields[0]], rows[fields[1]], strict=True)):
        if fields == MODEL:
            text, url = f"{names_of.both(a)} at {fmt.bits(b)}", place.people(a, f"{b:g}", fate)
            found.append(Target((a, b), text, url))
        elif (within := _group(a, b)) is not None:
            found.append(Target((a, b), f"{a}: {b}", place.people(sel.method, f"{sel.budget:g}", fate, **within)))
    return found


def _group(column: str, level: str) -> dict[str, str] | None:
    """The filters of a group; None where a crossing's words do not say which is which."""
    columns, levels = column.split(" x "), level.split(", ")
    if len(columns) == 1:
        return {f"in-{column}": level}
    return {f"in-{c}": v for c, v in zip(columns, levels, strict=True)} if len(columns) == len(levels) else None


def linked(spec: dict[str, Any], targets: list[Target], fields: tuple[str, str]) -> dict[str, Any]:
    """A chart's specification whose marks open their people; the one that is given stays as it is."""
    urls = {t.mark: t.url for t in targets}
    tables, known = {}, set()
    for name, rows in spec.get("datasets", {}).items():
        if set(fields) <= set(rows.columns):
            rows = rows.assign(url=[urls.get(k, "") for k in zip(rows[fields[0]], rows[fields[1]], strict=True)])
            known.add(name)
        tables[name] = rows
    own = spec.get("data", {}).get("name")
    layers = [_linked(x) if x.get("data", {}).get("name", own) in known else x for x in spec.get("layer", [])]
    return {**spec, "datasets": tables, "layer": layers}


def _linked(layer: dict[str, Any]) -> dict[str, Any]:
    mark = layer["mark"] if isinstance(layer.get("mark"), dict) else {"type": layer.get("mark")}
    if mark["type"] not in MARKS:
        return layer
    href = {"field": "url", "type": "nominal"}
    return {**layer, "mark": {**mark, "cursor": "pointer"}, "encoding": {**layer["encoding"], "href": href}}


def listed(targets: list[Target], key: str) -> None:
    """The same targets as links."""
    component.mount("links", {"links": [{"text": t.text, "url": t.url} for t in targets]}, key=key)
