"""Constraints of a card: keys of a feature that are short for a sentence, and what the table says to each sentence.

========================  ==================================================
``derive``                ``ltv = loan / price``
``follows``               ``age rises by 2 with education``
``from``                  ``if own housing is rent then housing is rent or own``
``max_change``            ``amount changes by at most 20%``
``low``, ``high``         ``amount <= own limit``, for ``high = "column:limit"``
========================  ==================================================

The sentences themselves are read by `tables.constraints`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from cfq_core.base.errors import BadTable
from cfq_core.datasets.card_rows import Place, quoted
from cfq_core.tables.conditions import AtMost, Of, Span, Values
from cfq_core.tables.constraints import (
    LARGEST,
    Constraint,
    Determined,
    Nearby,
    columns_of,
    constraints,
    mentioned,
    quoted_name,
    read,
)
from cfq_core.tables.schema import Feature, Schema

KEYS = ("derive", "follows", "from", "max_change")
COLUMN = "column:"  # before the name of a column in low and high
MOST = 100  # sentences of a card


def taken_out(place: Place, tables: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[str]]:
    """The tables of features without the keys that are short for sentences, and those; raises `BadCard`."""
    told = [_of_feature(place, raw) for raw in tables]
    return [rest for rest, _ in told], [sentence for _, sentences in told for sentence in sentences]


def _of_feature(place: Place, raw: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    name = raw.get("name")
    if not isinstance(name, str):
        return raw, []
    place, column = place.at("feature", name), quoted_name(name.strip())
    rest = {k: v for k, v in raw.items() if k not in KEYS}
    sentences = list(_sentences(place, column, raw))
    for key, sign in (("low", ">="), ("high", "<=")):
        if isinstance(limit := raw.get(key), str):
            if not limit.startswith(COLUMN):
                raise place.bad(f'{key} = {quoted(limit)}; a number, or "{COLUMN}" and the name of a column')
            sentences.append(f"{column} {sign} own {quoted_name(limit.removeprefix(COLUMN).strip())}")
            del rest[key]
    if "derive" in raw or "follows" in raw:
        if rest.get("move", "fixed") != "fixed":
            raise place.bad(f"move = {quoted(rest['move'])}; must be left out, because the column follows from others")
        rest["move"] = "fixed"
    return rest, sentences


def _sentences(place: Place, column: str, raw: dict[str, Any]) -> Iterator[str]:
    if "derive" in raw:
        yield f"{column} = {_text(place, 'derive', raw['derive'])}"
    for source, amount in _table(place, "follows", raw).items():
        if isinstance(amount, bool) or not isinstance(amount, int | float) or not amount:
            raise place.bad(f"follows = {quoted(raw['follows'])}; each column with what one step of it adds, not 0")
        yield f"{column} {'rises' if amount > 0 else 'falls'} by {abs(amount):.12g} with {quoted_name(source)}"
    for level, to in _table(place, "from", raw).items():
        if not isinstance(to, list) or not all(isinstance(t, str) for t in to):
            raise place.bad(f"from = {quoted(raw['from'])}; each level with the list of levels it may change to")
        allowed = " or ".join(f'"{word}"' for word in (level, *(t for t in to if t != level)))
        yield f'if own {column} is "{level}" then {column} is {allowed}'
    if "max_change" in raw:
        yield f"{column} changes by at most {_most(place, raw['max_change'])}"


def _text(place: Place, key: str, value: Any) -> str:
    if not isinstance(value, str) or not value.strip() or len(value) > LARGEST:
        raise place.bad(f"{key} = {quoted(value)}; must be a formula of columns in quotes")
    return " ".join(value.split())


def _table(place: Place, key: str, raw: dict[str, Any]) -> dict[str, Any]:
    value = raw.get(key, {})
    if not isinstance(value, dict):
        example = "{education = 2}" if key == "follows" else '{rent = ["own"]}'
        raise place.bad(f"{key} = {quoted(value)}; must be a table such as {example}")
    return value


def _most(place: Place, value: Any) -> str:
    share = isinstance(value, str) and value.strip().endswith("%")
    try:
        most = float(value.strip().rstrip("%")) if share else value
    except ValueError:
        most = None
    if isinstance(most, bool) or not isinstance(most, int | float) or not 0 < most < np.inf:
        raise place.bad(f'max_change = {quoted(value)}; a number over 0, or a share of the own value such as "20%"')
    return f"{most:.12f}".rstrip("0").rstrip(".") + "%" * share


@dataclass(frozen=True)
class Judged:
    """A schema whose constraints the table bears out, and what a reader should know."""

    schema: Schema
    warnings: tuple[str, ...]


def checked(place: Place, schema: Schema, values: Values) -> Judged:
    """The constraints read, and compared with the rows; raises `BadCard`."""
    if not schema.constraints:
        return Judged(schema, ())
    if len(schema.constraints) > MOST:
        raise place.bad(f"{len(schema.constraints)} constraints; at most {MOST}")
    try:
        found = constraints(schema)
    except BadTable as problem:
        raise place.bad(str(problem)) from None
    for text in schema.constraints:
        _check_movable(place, schema, text)
        _check_known(place, schema, text)
    follows = columns_of([c for c in found if isinstance(c, Determined) and not c.by_rise])
    for i in follows:
        _check_formula(place, schema, values, i, follows[i])
    return Judged(_bounded(schema, found, values), tuple(_broken(schema, found, values)))


def _check_movable(place: Place, schema: Schema, text: str) -> None:
    c = read(schema, text)
    if isinstance(c, Determined) and schema.features[c.column].move != "fixed":
        f = schema.features[c.column]
        raise place.bad(f'constraint "{text}": "{f.name}" follows from others; give it move = "fixed"')


def _check_known(place: Place, schema: Schema, text: str) -> None:
    """A constraint between columns says nothing of somebody whose value is not known."""
    filled = {schema.features[i].name for i in schema.flags} & mentioned(text)
    if filled and not isinstance(read(schema, text), Nearby):
        raise place.bad(
            f'constraint "{text}": "{min(filled)}" has cells that are filled in, of whom it cannot be judged; give it '
            'missing = "drop", or leave the constraint out'
        )


def _check_formula(place: Place, schema: Schema, values: Values, i: int, formula: Any) -> None:
    """A column that is said to follow does so in the table, to one step."""
    f, ends = schema.features[i], formula.ends(Span.at(schema, values, values))
    known = np.isfinite(ends.low) & (ends.low == ends.high)
    apart = np.abs(np.where(known, ends.low, 0.0) / f.step - values[:, i])
    wrong = np.flatnonzero(known & (apart > 1 + 1e-6))
    if len(wrong):
        k = wrong[0]
        raise place.at("feature", f.name).bad(
            f"derive gives other values than the table has in {len(wrong):,} of {len(values):,} rows, such as "
            f"{ends.low[k]:.6g} where {f.format_cell(int(values[k, i]))} stands; mend the formula or leave it out"
        )


def _bounded(schema: Schema, found: tuple[Constraint, ...], values: Values) -> Schema:
    """A limit in a column stands instead of the percentile that bounds a number without one."""
    changed: dict[str, Feature] = {}
    for c in found:
        if not isinstance(c, AtMost) or not isinstance(c.left, Of) or not isinstance(c.right, Of):
            continue
        small, large = (schema.features[s.column] for s in (c.left, c.right))
        if c.right.own and not c.left.own and small.high is None and not small.levels:
            changed[small.name] = replace(
                changed.get(small.name, small), high=float(large.raw(values[:, c.right.column]).max())
            )
        if c.left.own and not c.right.own and large.low is None and not large.levels:
            low = float(small.raw(values[:, c.left.column]).min())
            changed[large.name] = replace(changed.get(large.name, large), low=max(low, 0.0) if large.log else low)
    return schema.with_features(*changed.values())


def _broken(schema: Schema, found: tuple[Constraint, ...], values: Values) -> Iterator[str]:
    """Constraints that people of the table break as they are: perhaps they are meant otherwise."""
    span = Span.at(schema, values, values)
    for text, c in zip(schema.constraints, found, strict=True):
        if isinstance(c, Determined | Nearby):
            continue
        if wrong := int((~c.judge(span).certain).sum()):
            yield (
                f'constraint "{text}": {wrong:,} of {len(values):,} rows break it as they are. They may stay as they '
                "are, but are told of nothing that breaks it further"
            )
