"""What a column means, what a person may do about it, and a table of people in exact integer form.

Every cell is stored as an integer: a number as its count of grid steps, an ordered or unordered
category as the index of its level. Raw words and units come back exactly, and no step of the
pipeline can lose a digit.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import date, timedelta
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from cfq_core.base.errors import BadTable, unknown
from cfq_core.base.identity import ID_LENGTH, LABEL, identity

if TYPE_CHECKING:
    from cfq_core.datasets.dialect import Dialect

Kind = Literal["number", "integer", "ordinal", "category", "date"]  # a date is an integer once its table is read
Move = Literal["any", "up", "down", "fixed"]
KINDS: tuple[Kind, ...] = ("number", "integer", "ordinal", "category")
MOVES: tuple[Move, ...] = ("any", "up", "down", "fixed")
#: What becomes of a column's missing cells: a level of their own, the median (and a column that says where), or none.
Missing = Literal["refuse", "level", "median", "indicator", "drop"]
FILLED: tuple[Missing, ...] = ("median", "indicator")
MISSING_LEVEL, OTHER = "missing", "other"  # levels that tables make, to which nobody is told to move
_FLAG = "_missing"  # behind the name of a column: that of the column that says where its cells are missing
#: Fields that features did not have at engine revision 3.
_SINCE_3 = frozenset({"thousands", "missing", "aside", "format", "reference", "round", "other_below", "bins"})

PARTS = ("train", "valid", "test")  # of a table that is split already

#: Spare significant digits when a grid count is turned back into a raw number.
DECIMALS = 9


@dataclass(frozen=True)
class Feature:
    """One column: its kind, what a person may do about it, and the words to say it in."""

    KEY = "feature"
    name: str
    kind: Kind
    label: str = field(default="", metadata=LABEL)  # words for a reader; empty: the name
    unit: str = field(default="", metadata=LABEL)  # of a number, e.g. "months"
    move: Move = "any"  # in the default regime; on a category: along `levels`
    immutable: bool = False  # a fact about the person, movable in no regime but `any`
    protected: bool = False  # movable in no regime; a group column of every fairness table
    easy: bool = False  # kept in the regime `strict`
    low: float | None = None  # hard limits in raw units; else 1st and 99th percentile
    high: float | None = None
    step: float = 1.0  # grid of a number in raw units; 1 for integers
    log: bool = False  # modelled and priced as log(1 + value)
    levels: tuple[str, ...] = ()  # of an ordinal or category, in order
    never: tuple[str, ...] = ()  # levels nobody is told to move to (unknown, unpaid, ...)
    weight: float = 1.0  # price of one scale unit, or of one switch of category
    bands: tuple[float, ...] = ()  # inner edges that cut a protected number into groups
    thousands: str = field(default="", metadata=LABEL)  # mark between groups of digits in this column of a CSV
    missing: Missing = "refuse"  # what becomes of missing cells
    aside: bool = False  # no model sees it; nobody can change it
    format: str = field(default="", metadata=LABEL)  # how dates are written, as `strptime` has it; empty: ISO
    round: bool = field(default=False, metadata=LABEL)  # cells off the grid are rounded to it
    other_below: int = 0  # levels with fewer training rows are one level, "other"
    bins: tuple[float, ...] = field(default=(), metadata=LABEL)  # inner edges that cut a number into ordered levels
    reference: str = field(default="", metadata=LABEL)  # ISO date from which days are counted back

    @property
    def is_category(self) -> bool:
        """Unordered levels, encoded one-hot."""
        return self.kind == "category"

    @property
    def words(self) -> str:
        """The label, or the name where there is none."""
        return self.label or self.name

    @property
    def width(self) -> int:
        """Number of encoded columns."""
        return 0 if self.aside else len(self.levels) if self.is_category else 1

    @property
    def flag(self) -> str:
        """Name of the column that says where this one's cells are missing."""
        return f"{self.name}{_FLAG}"

    def raw(self, counts: Int[np.ndarray, "n"]) -> Float[np.ndarray, "n"]:
        """Raw units of grid counts; exact decimals (321 steps of 0.1 give the double 32.1)."""
        if self.kind in ("ordinal", "category", "integer"):
            return counts.astype(np.float64)
        per_unit = 1.0 / self.step
        if per_unit >= 1 and abs(per_unit - round(per_unit)) < 1e-9:
            return counts / round(per_unit)  # correctly rounded, so it equals the decimal literal
        return np.round(counts * self.step, DECIMALS)

    def date(self, count: int) -> str:
        """The ISO date of one cell of a column of dates; empty of all others, and beyond the calendar."""
        try:
            return (date.fromisoformat(self.reference) - timedelta(days=count)).isoformat() if self.reference else ""
        except OverflowError:
            return ""

    def days(self, day: str) -> int:
        """Days from an ISO date to the reference of a column of dates; raises `ValueError`."""
        return (date.fromisoformat(self.reference) - date.fromisoformat(day)).days

    def counts(self, raw: Float[np.ndarray, "n"] | Int[np.ndarray, "n"]) -> Int[np.ndarray, "n"]:
        """Grid counts of raw units, to the nearest step."""
        return np.rint(np.asarray(raw, np.float64) / self.step).astype(np.int64)

    def format_cell(self, count: int) -> str:
        """One cell in words: its level, or its number with its unit."""
        if self.levels:
            return self.levels[count]
        if day := self.date(count):
            return day
        number = float(self.raw(np.array([count]))[0])
        text = f"{number:,.10g}" if abs(number) < 1e12 else f"{number:g}"
        return f"{text} {self.unit}".strip()


@dataclass(frozen=True)
class Schema:
    """The columns of a data set, in order, and what its decision is about."""

    KEY = "schema"
    name: str
    title: str = field(metadata=LABEL)
    features: tuple[Feature, ...]
    favourable: str = field(metadata=LABEL)  # the favourable decision in words
    unfavourable: str = field(metadata=LABEL)
    note: str = field(default="", metadata=LABEL)  # limits a reader must know, in plain words
    source: str = field(default="", metadata=LABEL)
    licence: str = field(default="", metadata=LABEL)
    favourable_cells: tuple[str, ...] = field(default=(), metadata=LABEL)  # of the target column, as they stand there
    constraints: tuple[str, ...] = ()  # what ties columns together, see `constraints.py`

    def __getitem__(self, name: str) -> Feature:
        for feature in self.features:
            if feature.name == name:
                return feature
        raise BadTable(unknown("feature", name, [f.name for f in self.features]))

    @property
    def protected(self) -> tuple[Feature, ...]:
        """The group columns of every fairness table."""
        return tuple(f for f in self.features if f.protected)

    @cached_property
    def flags(self) -> dict[int, int]:
        """Of each column with cells filled in, the column that says where: places of features."""
        place = {f.name: i for i, f in enumerate(self.features)}
        return {i: place[f.flag] for i, f in enumerate(self.features) if f.missing in FILLED and f.flag in place}

    @property
    def seen(self) -> tuple[Feature, ...]:
        """The columns that models see."""
        return tuple(f for f in self.features if not f.aside)

    def with_features(self, *changed: Feature) -> Schema:
        """The same schema with some features replaced by name."""
        by_name = {f.name: f for f in changed}
        return replace(self, features=tuple(by_name.get(f.name, f) for f in self.features))


@dataclass(frozen=True)
class Table:
    """People: one row each, in exact integer form, with the outcome that was observed."""

    schema: Schema
    values: Int[np.ndarray, "n f"]  # grid counts and level indices
    outcome: Bool[np.ndarray, "n"]  # True: favourable
    published_test: Bool[np.ndarray, "n"] | None = field(default=None)
    part: Int[np.ndarray, "n"] | None = field(default=None)  # its card's own split: an index into `PARTS`
    unseen: Bool[np.ndarray, "n"] | None = field(default=None)  # people whom no model is trained on, only tested on
    row_weight: Float[np.ndarray, "n"] | None = field(default=None)  # its card's sampling weights: of training losses
    model: Mapping[str, Any] = field(default_factory=dict)  # what its card says of model files
    missing: tuple[str, ...] = ()  # its card's words for a value that is not known, besides the empty cell
    dialect: Dialect | None = None  # how its file is written, which new people's may be too; None: as plain CSV
    warnings: tuple[str, ...] = ()  # of a user's own table: what may have been meant otherwise, a line each
    origin: str = ""  # fingerprint of the table this was made of, see `tables.fitted`

    def __len__(self) -> int:
        return len(self.values)

    def fingerprint(self) -> str:
        """Identity of rows and what of the schema changes numbers: part of every run's spec."""
        return self.origin or identity(self._about(self.schema))

    def fingerprint_of_3(self) -> str:
        """The same as engine revision 3 computed it, labels and class names included: its stores are found by it."""
        features = [{"kind": "Feature", **{k: v for k, v in asdict(f).items() if k not in _SINCE_3}}
                    for f in self.schema.features]  # fmt: skip
        schema = {k: v for k, v in asdict(self.schema).items() if k not in ("favourable_cells", "constraints")}
        about = self._about({"kind": "Schema", **schema, "features": features})
        text = json.dumps(about, sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()[:ID_LENGTH]

    def _about(self, schema: Any) -> list[Any]:
        split = b"" if self.published_test is None else self.published_test.tobytes()
        apart = b"" if self.unseen is None else self.unseen.tobytes()
        own = b"" if self.part is None else self.part.astype(np.int8).tobytes()
        rows = hashlib.sha256(self.values.tobytes() + self.outcome.tobytes() + split + apart + own).hexdigest()
        about = [schema, rows, self.published_test is not None, *([] if self.part is None else ["parts"])]
        about += [] if self.unseen is None else ["unseen"]
        if self.row_weight is None:
            return about
        return [*about, "weights", hashlib.sha256(self.row_weight.astype(np.float64).tobytes()).hexdigest()]

    def frame(self) -> pd.DataFrame:
        """The table in raw units and words, one column a feature."""
        columns = {}
        for i, f in enumerate(self.schema.features):
            cells = self.values[:, i]
            columns[f.name] = np.array(f.levels, dtype=object)[cells] if f.levels else f.raw(cells)
        return pd.DataFrame(columns)

    def groups(self) -> dict[str, list[str]]:
        """For each protected feature, every person's group in words."""
        return {f.name: _group_words(f, self.values[:, self.schema.features.index(f)]) for f in self.schema.protected}


def between(edges: Sequence[float]) -> list[str]:
    """Names of what the edges cut a number into."""
    inner = [f"{a:g} to {b:g}" for a, b in pairwise(edges)]
    return [f"under {edges[0]:g}", *inner, f"{edges[-1]:g} and over"]


def _group_words(f: Feature, counts: Int[np.ndarray, "n"]) -> list[str]:
    if f.levels:
        return [f.levels[c] for c in counts]
    edges = [*f.bands] or [float(np.median(f.raw(counts)))]
    names = between(edges)
    return [names[i] for i in np.searchsorted(edges, f.raw(counts), side="right")]
