"""Action-constraint regimes: who may change what (PAPER figures 18 to 20).

A regime is a function of the schema. Protected features are fixed in every one of them, and so are columns that
follow from others: they are moved by what they follow, at no cost of their own. Constraints hold in all regimes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from cfq_core.base.errors import BadPlan, unknown
from cfq_core.tables.constraints import determined
from cfq_core.tables.schema import Feature, Schema


def _any(f: Feature) -> Feature:
    return replace(f, move="any")


def _immutable(f: Feature) -> Feature:
    return replace(f, move="fixed" if f.immutable else "any")


def _default(f: Feature) -> Feature:
    return replace(f, move="fixed") if f.immutable else f


def _strict(f: Feature) -> Feature:
    return _default(f) if f.easy else replace(f, move="fixed")


REGIMES: dict[str, Callable[[Feature], Feature]] = {
    "any": _any,  # everything but protected features, in both directions
    "immutable": _immutable,  # facts about the person stay, the rest moves in both directions
    "default": _default,  # what the card says
    "strict": _strict,  # only the card's easiest features, as the card says
}


def under(regime: str, schema: Schema) -> Schema:
    """The schema with every feature's move as the regime allows; raises `BadPlan` for an unknown one."""
    if regime not in REGIMES:
        raise BadPlan(unknown("action regime", regime, REGIMES))
    rule, follows = REGIMES[regime], determined(schema)
    flags = {schema.features[k].name for k in schema.flags.values()}  # where a value is missing is no action
    still = [f.protected or f.aside or f.name in flags for f in schema.features]
    moved = [replace(f, move="fixed") if s else rule(f) for f, s in zip(schema.features, still, strict=True)]
    moved = [replace(f, move="fixed", weight=0.0) if f.name in follows else f for f in moved]
    return replace(schema, features=tuple(moved))
