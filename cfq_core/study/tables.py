"""The table that a stored teacher was taught on, where it is on disk. Without torch: a page reads people through it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from cfq_core.base.errors import CfqError
from cfq_core.datasets import slices
from cfq_core.datasets.card import read_card, state_of
from cfq_core.datasets.fetch import FILES, on_disk
from cfq_core.tables.schema import Table

LONGEST = 300  # characters of why a table is not here: names of a damaged store can be anything


@dataclass(frozen=True)
class FoundTable:
    """A table, or why it is not here."""

    table: Table | None
    missing: str = ""


def found_table(dataset: str, data: str, plans: Iterable[Mapping[str, Any]], store: Path | None = None) -> FoundTable:
    """The table of this name and fingerprint ``data``; cards are those that the plans name.

    A relative path is looked for here, and beside the ``store``, which is where a study is usually started.
    """
    reasons = []
    for name in dict.fromkeys(_places(dataset, plans, store)):
        gone = [f.name for f in FILES.get(slices.base_of(name), ()) if on_disk(f) is None]
        if gone:
            reasons.append(f"{name}: {', '.join(gone)} not on disk")
            continue
        try:
            found = _same(name, data)
        except CfqError as problem:
            reasons.append(str(problem))
            continue
        if found is not None:
            return FoundTable(found)
        reasons.append(f"{name}: another table than the one it was audited with")
    told = "; ".join(reasons) or f"{dataset}: no data set of this name"
    return FoundTable(None, told if len(told) <= LONGEST else f"{told[:LONGEST]}…")


def _places(dataset: str, plans: Iterable[Mapping[str, Any]], store: Path | None = None) -> Iterator[str]:
    """Where the table may be: a data set's name, or a card that a plan names."""
    if slices.known(dataset):
        yield dataset
    for card in (d for plan in plans for d in plan["datasets"] if d.endswith(".toml")):
        yield card
        if store is not None and not Path(card).is_absolute():
            yield str(store.resolve().parent / card)


def _same(place: str, data: str) -> Table | None:
    """The table at a place, if it is the one of this fingerprint; whether a card changed is looked at each time."""
    table, fingerprints = _of_card(place, state_of(Path(place))) if place.endswith(".toml") else _built_in(place)
    return table if data in fingerprints else None


@lru_cache(maxsize=4)
def _of_card(place: str, state: str) -> tuple[Table, tuple[str, str]]:
    """A page asks on every move of a slider: the same files are read once."""
    table = read_card(Path(place))
    return table, (table.fingerprint(), table.fingerprint_of_3())


@lru_cache(maxsize=4)
def _built_in(name: str) -> tuple[Table, tuple[str, str]]:
    table = slices.load(name)
    return table, (table.fingerprint(), table.fingerprint_of_3())
