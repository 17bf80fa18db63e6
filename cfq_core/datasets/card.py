"""A user's own table: a CSV and the TOML card that says what its columns mean.

``data/cards/template.toml`` explains every field. Whatever is wrong with the card or the CSV is one
`BadCard` line that names the file, the feature, the value and what is allowed; nothing is guessed,
converted or dropped in silence.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, replace
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, NewType, TypeVar, get_args, get_origin, get_type_hints

import numpy as np

from cfq_core.base.errors import did_you_mean, unknown
from cfq_core.datasets.card_checks import about_weights, check_filled, gives_away, only_tested, parts, row_weights
from cfq_core.datasets.card_constraints import Judged, checked, taken_out
from cfq_core.datasets.card_gaps import as_filled, known, mistakes_of_gaps, without_gaps
from cfq_core.datasets.card_outcome import about_models, as_outcome, cell_is
from cfq_core.datasets.card_rows import (
    FROM_ROWS,
    MAX_COUNT,
    MAX_CSV,
    MAX_LEVELS,
    MAX_TEXT,
    UNSAFE,
    Place,
    content_of,
    decoded,
    inside,
    level_mistake,
    quoted,
    read_columns,
)
from cfq_core.datasets.card_values import doubt_about_numbers
from cfq_core.datasets.dialect import THOUSANDS, Dialect, mistakes
from cfq_core.tables.schema import FILLED, Feature, Schema, Table

MAX_CARD = 1_000_000  # bytes; a card is written by hand
STEP_RANGE = (1e-9, 1e9)  # `Feature.raw` keeps nine decimals
MAX_NUMBER = MAX_COUNT * STEP_RANGE[1]

NUMERIC = ("number", "integer")
COUNTED = (*NUMERIC, "date")
#: Keys that mean something for some kinds only; elsewhere they would be silently without effect.
ONLY_FOR = {
    "thousands": NUMERIC, "unit": NUMERIC,
    "low": COUNTED, "high": COUNTED, "step": NUMERIC, "log": NUMERIC, "bands": COUNTED,
    "format": ("date",), "reference": ("date",), "round": NUMERIC, "bins": NUMERIC, "other_below": ("category",),
    "levels": ("ordinal", "category"), "never": ("category",),
}  # fmt: skip

#: A text of several lines, read as one paragraph.
Prose = NewType("Prose", str)
#: A text that may be a blank: a mark between cells or digits.
Mark = NewType("Mark", str)
#: Cells of a column: one or a list, as text, number or truth value; compared as `cell_is` does.
Cells = NewType("Cells", tuple[str, ...])


@dataclass(frozen=True)
class Card:
    """The keys of a card, above its ``[[feature]]`` tables; those without a default are required."""

    name: str
    title: str
    csv: str  # file beside the card
    target: str  # column with the outcome
    favourable: Cells  # its cell, or cells, that are the favourable outcome
    favourable_words: str = ""  # empty: the cell
    unfavourable_words: str = ""  # empty: the other cell, or "not <favourable>"
    note: Prose = Prose("")
    source: Prose = Prose("")
    licence: Prose = Prose("")
    missing: tuple[str, ...] = ()  # cells that mean missing, besides the empty one
    split: str = ""  # column that says of each row whether it is of train, valid or test; empty: split anew each seed
    weights: str = ""  # column of sampling weights: how much each row counts in training; empty: all alike
    model: Mapping[str, Any] | None = None  # how files of models are read, see `models.contract`
    ignore: Cells = Cells(())  # cells of the target whose outcome is still open: their rows are left out
    delimiter: Mark = Mark(",")
    decimal: Mark = Mark(".")
    thousands: Mark = Mark("")
    strip: tuple[str, ...] = ()  # texts around numbers, such as a currency
    encoding: str = "utf-8"
    sheet: str = ""  # of a workbook with several
    reference: str = ""  # ISO date from which dates are counted back
    group: tuple[str, ...] = ()  # columns of words that no model sees: groups of every fairness table
    constraints: tuple[str, ...] = ()  # what ties columns together, see `tables.constraints`
    feature: tuple[Feature, ...] = ()


Described = TypeVar("Described", Card, Feature)
CARD_FIELDS = tuple(f.name for f in fields(Card))
FEATURE_FIELDS = tuple(f.name for f in fields(Feature))


def read_card(path: Path) -> Table:
    """The table of a card file and the CSV in its folder; raises `BadCard`."""
    card, content = _files(path)
    return _table(card, content, path.name, card.csv)


def state_of(path: Path) -> str:
    """A hash of all that `read_card` reads, for a fraction of its time; raises `BadCard`."""
    card, content = _files(path)
    return hashlib.sha256(repr(card).encode() + content).hexdigest()


def _files(path: Path) -> tuple[Card, bytes]:
    """A card, and the content of its CSV."""
    card = card_of(path)
    place = Place(path.name).at("csv", card.csv)
    return card, content_of(inside(path.parent, card.csv, place), place, MAX_CSV)


def card_of(path: Path) -> Card:
    """What a card file says, without its table; raises `BadCard`."""
    place = Place(path.name)
    return _card(decoded(content_of(path, place, MAX_CARD), place, MAX_CARD), path.name)


def parse_card(card_text: str, csv: bytes | str, card_name: str, csv_name: str) -> Table:
    """The table of an uploaded card and CSV; no file is opened and `Card.csv` is not looked up."""
    card = _card(decoded(card_text, Place(card_name), MAX_CARD), card_name)
    return _table(card, csv, card_name, csv_name)


def _card(text: str, file: str) -> Card:
    place = Place(file)
    try:
        raw = tomllib.loads(text)
    except RecursionError:
        raise place.bad("not valid TOML: lists or tables nested too deeply") from None
    except tomllib.TOMLDecodeError as error:
        raise place.bad(f"not valid TOML: {error}") from None
    except ValueError:
        raise place.bad("not valid TOML: an integer of thousands of digits") from None
    tables, model = raw.pop("feature", []), raw.pop("model", {})
    card = replace(_record(place, raw, Card), model=about_models(place, model))
    if not re.fullmatch(r"\w[\w-]*", card.name):
        raise place.bad(f"name = {quoted(card.name)}; one word of letters, digits, _ and -")
    if not tables or not isinstance(tables, list) or not all(isinstance(t, dict) for t in tables):
        raise place.bad("no features; describe each column under its own [[feature]], with two brackets")
    tables, sentences = taken_out(place, tables)
    features = [_feature(place, i, t) for i, t in enumerate(tables, 1)]
    features += [
        Feature(name, "category", move="fixed", protected=True, missing="level", aside=True) for name in card.group
    ]
    card = replace(card, feature=tuple(features), constraints=(*sentences, *card.constraints))
    _check_together(card, place)
    return card


def _record(place: Place, raw: dict[str, Any], record: type[Described]) -> Described:
    """A dataclass from TOML keys; its fields, types and defaults say what is allowed."""
    hints = get_type_hints(record)
    required = [f.name for f in fields(record) if f.default is MISSING]
    for key in raw:
        if key not in hints:
            raise place.bad(unknown("unknown key", key[:MAX_TEXT], hints))
    for key in required:
        if key not in raw:
            raise place.bad(f'no key "{key}"; required: {", ".join(required)}')
    typed = {key: _typed(place, key, value, hints[key]) for key, value in raw.items()}
    for key in required:
        if not typed[key]:
            raise place.bad(f"{key} is empty; required: {', '.join(required)}")
    return record(**typed)


def _typed(place: Place, key: str, value: Any, hint: Any) -> Any:
    value = value.isoformat() if isinstance(value, date) else value
    said = f"{key} = {quoted(value)}"
    if hint is Cells:
        return Cells(tuple(_cell(place, key, v) for v in (value if isinstance(value, list) else [value])))
    if hint is Mark:
        if not isinstance(value, str) or len(value) > 1:
            raise place.bad(f"{said}; must be one character in quotes, or none")
        return value
    if get_origin(hint) is tuple:
        if not isinstance(value, list):
            raise place.bad(f"{said}; must be a list in [ ]")
        return tuple(_typed(place, f"entry {i} of {key}", v, get_args(hint)[0]) for i, v in enumerate(value, 1))
    if get_origin(hint) is Literal:
        if value not in get_args(hint):
            near = did_you_mean(quoted(value).strip('"'), get_args(hint))
            raise place.bad(f"{said}; one of {', '.join(get_args(hint))}{near}")
        return value
    if hint is bool:
        if not isinstance(value, bool):
            raise place.bad(f"{said}; must be true or false, without quotes")
        return value
    if hint is int:
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MAX_COUNT:
            raise place.bad(f"{said}; must be a whole number from 0, without quotes")
        return value
    if hint in (str, Prose):
        return _text(place, said, value, hint)
    return _finite(place, said, value)


def _cell(place: Place, key: str, value: Any) -> str:
    """A cell that a card names, as the table's text has it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return f"{_finite(place, f'{key} = {quoted(value)}', value):.15g}"
    return _text(place, f"{key} = {quoted(value)}", value, str)


def _text(place: Place, said: str, value: Any, hint: Any) -> str:
    if not isinstance(value, str):
        raise place.bad(f"{said}; must be text in quotes")
    text = " ".join(value.split()) if hint is Prose else value.strip()
    if UNSAFE.search(text):
        raise place.bad(f"{said}; has a control character, must be plain text")
    if hint is str and len(text) > MAX_TEXT:
        raise place.bad(f"{said}; has {len(text)} characters, at most {MAX_TEXT}")
    return text


def _finite(place: Place, said: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise place.bad(f"{said}; must be a number, without quotes")
    if not abs(value) <= MAX_NUMBER:  # also refuses nan, and integers too long for a float
        raise place.bad(f"{said}; must be a finite number")
    return float(value)


def _feature(place: Place, number: int, raw: dict[str, Any]) -> Feature:
    name = raw.get("name")
    place = place.at("feature", name if isinstance(name, str) else f"#{number}")
    for key in raw:
        if key in CARD_FIELDS and key not in FEATURE_FIELDS:
            raise place.bad(f'key "{key}" belongs to the card; write it above the first [[feature]]')
    feature = _record(place, raw, Feature)
    if "move" not in raw and (feature.protected or feature.immutable or feature.aside):
        feature = replace(feature, move="fixed")
    for mistake in _mistakes(feature, raw):
        raise place.bad(mistake)
    return replace(feature, step=FROM_ROWS) if feature.kind == "number" and "step" not in raw else feature


def _mistakes(f: Feature, raw: dict[str, Any]) -> Iterator[str]:
    """What is wrong with a feature by itself, most basic first."""
    for key in raw:
        if f.kind not in ONLY_FOR.get(key, (f.kind,)):
            yield f'{key} = {quoted(raw[key])}; only for kind = {" or ".join(ONLY_FOR[key])}, not "{f.kind}"'
    if f.move != "fixed" and (f.protected or f.immutable):
        why = "protected" if f.protected else "immutable"
        yield f'move = "{f.move}"; must be fixed (or left out), because {why} = true is never actionable'
    if f.weight <= 0:
        yield f"weight = {f.weight:g}; must be over 0"
    if f.thousands and f.thousands not in THOUSANDS:
        yield f"thousands = {quoted(f.thousands)}; a point, a comma, an apostrophe or a space"
    yield from mistakes_of_gaps(f)
    yield from _mistakes_of_levels(f)
    yield from _mistakes_of_numbers(f, raw)


def _mistakes_of_levels(f: Feature) -> Iterator[str]:
    if f.kind == "ordinal" and not f.levels:
        yield "no levels; an ordinal needs levels = [...], lowest first"
    if f.kind == "category" and f.move in ("up", "down") and not f.levels:
        yield f'move = "{f.move}"; needs levels = [...] in order, because a category has no order of its own'
    if f.kind == "category" and len(f.levels) > MAX_LEVELS:
        yield f"levels has {len(f.levels)} entries; at most {MAX_LEVELS}"
    for level, count in Counter(f.levels).items():
        if count > 1:
            yield f"levels has {quoted(level)} {count} times; each level once"
        if mistake := level_mistake(level):
            yield f"levels has {quoted(level)}, which {mistake}"


def _mistakes_of_numbers(f: Feature, raw: Mapping[str, Any]) -> Iterator[str]:
    if f.kind == "integer" and f.step != 1:
        yield f'step = {f.step:g}; must be 1 for an integer (kind = "number" takes other steps)'
    if not STEP_RANGE[0] <= f.step <= STEP_RANGE[1]:
        yield f"step = {f.step:g}; must be over 0, from {STEP_RANGE[0]:g} to {STEP_RANGE[1]:g}"
    if f.low is not None and f.high is not None and f.low > f.high:
        yield f"low = {f.low:g} is above high = {f.high:g}; low must be at most high"
    for key, limit in (("low", f.low), ("high", f.high)):
        if f.log and limit is not None and limit < 0:
            yield f"{key} = {limit:g}; must be 0 or more, because log = true"
    for key, edges in (("bands", f.bands), ("bins", f.bins)):
        if any(a >= b for a, b in pairwise(edges)):
            yield f"{key} = {quoted(edges)}; must increase"
    for key in ("low", "high", "step", "log", "bands", "round"):
        if f.bins and key in raw and raw[key]:
            yield f"{key} = {quoted(raw[key])}; without effect beside bins, which make levels of the number"
    if f.round and f.kind == "number" and "step" not in raw:
        yield "round = true; needs a step, the grid to which cells are rounded, such as step = 0.01"
    if f.other_below and f.levels:
        yield f"other_below = {f.other_below}; levels are listed already, leave one of the two out"
    if f.bands and not f.protected:
        yield f"bands = {quoted(f.bands)}; only for protected = true, whose groups they cut"


def _check_together(card: Card, place: Place) -> None:
    for name, count in Counter(f.name for f in card.feature).items():
        if count > 1:
            also = "is a group too, which no model sees; one of the two" if name in card.group else ""
            raise place.at("feature", name).bad(also or f"described {count} times; each feature once")
    for f in card.feature:
        if f.missing in FILLED and any(g.name == f.flag for g in card.feature):
            raise place.at("feature", f.flag).bad(f'is how the column is named that says where "{f.name}" is missing')
    taken = [card.target, *(f.name for f in card.feature)]
    if card.split and card.split in taken:
        raise place.at("split", card.split).bad("is also the target or a feature; a split is neither")
    if card.weights and card.weights in (*taken, card.split):
        raise place.at("weights", card.weights).bad(
            "is also the target, the split or a feature; a weight is none of them"
        )
    if card.target in [f.name for f in card.feature]:
        raise place.at("feature", card.target).bad("is also the target; an outcome is no input")
    if all(f.aside for f in card.feature):
        raise place.bad("no feature that a model sees: every one is a group or has aside = true")
    if all(f.move == "fixed" for f in card.feature):
        reason = "every one is fixed, immutable or protected"
        raise place.bad(f"no feature is actionable: {reason}; one needs move = any, up or down")


def _table(card: Card, data: bytes | str, card_name: str, csv_name: str) -> Table:
    place = Place(card_name)
    target = place.at("target", card.target)
    places = {f.name: place.at("feature", f.name) for f in card.feature}
    own = {name: place.at(key, name) for key, name in (("split", card.split), ("weights", card.weights)) if name}
    dialect = dialect_of(card, place)
    columns = read_columns(data, csv_name, {card.target: target, **places, **own}, dialect)
    kept = without_gaps(card.feature, columns, card.missing, card.target, card.ignore)
    judged = as_outcome(card.favourable, card.ignore, kept.columns[card.target], target)
    columns = {name: column.of_rows(judged.kept) for name, column in kept.columns.items()}
    columns |= {f.name: columns[f.name].written_with(f.thousands) for f in card.feature}
    outcome = judged.outcome[judged.kept]
    filled = [as_filled(f, columns[f.name], card.missing, card.reference) for f in card.feature]
    features = tuple(feature for each in filled for feature in each.features)
    for f in card.feature:
        check_filled(next(g for g in features if g.name == f.name), places[f.name])
    values = np.stack([counts for each in filled for counts in each.counts], axis=1)
    numbers = [columns[f.name] for f in features if not f.levels]
    warnings = [judged.warning, *(doubt_about_numbers(known(c, card.missing)) for c in numbers)]
    warnings += [gives_away(f, values[:, i], outcome) for i, f in enumerate(features)]
    done = [*kept.told, *(line for each in filled for line in each.told)]
    part = parts(columns[card.split], outcome) if card.split else None
    weight = row_weights(columns[card.weights], outcome, part) if card.weights else None
    done += [] if weight is None else [about_weights(own[card.weights], weight)]
    rules = _checked(card, place, features, values, columns[card.target].words, done)
    warnings += only_tested(features, values, part) if part is not None else ()
    told = tuple(w for w in (*warnings, *done, *rules.warnings) if w)
    return Table(
        rules.schema, values, outcome, part=part, row_weight=weight, model=card.model or {}, warnings=told,
        missing=card.missing, dialect=dialect,
    )  # fmt: skip


def _checked(
    card: Card, place: Place, features: tuple[Feature, ...], values: np.ndarray, outcomes: tuple[str, ...],
    done: Sequence[str],
) -> Judged:  # fmt: skip
    """The schema with its constraints, compared with the rows whose cells are all known."""
    schema = _schema(card, features, outcomes)
    schema = replace(schema, note=" ".join(filter(None, [schema.note, *(f"{line}." for line in done)])))
    return checked(place, schema, values)


def dialect_of(card: Card, place: Place) -> Dialect:
    """How a card says its table is written; raises `BadCard`."""
    dialect = Dialect(card.delimiter, card.decimal, card.thousands, card.strip, card.encoding, card.sheet)
    if wrong := mistakes(dialect):
        raise place.bad(wrong)
    return dialect


def _schema(card: Card, features: tuple[Feature, ...], outcomes: tuple[str, ...]) -> Schema:
    good = [word for word in outcomes if any(cell_is(word, cell) for cell in card.favourable)]
    open_ = [word for word in outcomes if any(cell_is(word, cell) for cell in card.ignore)]
    rest, named = [word for word in outcomes if word not in good + open_], " or ".join(good)
    return Schema(
        name=card.name,
        title=card.title,
        features=features,
        favourable=card.favourable_words or named,
        unfavourable=card.unfavourable_words or (rest[0] if len(rest) == 1 else f"not {named}"),
        note=card.note,
        source=card.source,
        licence=card.licence,
        favourable_cells=tuple(good),
        constraints=card.constraints,
    )
