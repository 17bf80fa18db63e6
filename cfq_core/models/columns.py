"""How a file's input columns are made from people.

standardised: features in the card's order, a category one column a level, numbers standardised; raw: the same with
numbers as they are; levels: one column a feature, a category as the index of its level; named: one input a feature,
found by its name, words for those that take words; own: as a file that `cfq export` wrote says itself.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from jaxtyping import Float

from cfq_core.models.provenance import BadModel, encoding_of
from cfq_core.tables.encode import Encoding, Values
from cfq_core.tables.schema import Feature, Schema

if TYPE_CHECKING:
    from cfq_core.models.dense import Group
    from cfq_core.models.read import ModelFile

Layout = Literal["auto", "standardised", "raw", "levels", "named"]
LAYOUTS: tuple[Layout, ...] = get_args(Layout)


@dataclass(frozen=True)
class Block:
    """The columns of one feature: one a level (``hot``) from the level ``first`` on, or one."""

    feature: int
    hot: bool
    first: int = 0  # 1: the first level is left out, as where a model is regressed on them


@dataclass(frozen=True)
class Columns:
    """What a file is given: blocks of columns in its order, numbers encoded as ``encoding`` says."""

    layout: str
    encoding: Encoding
    blocks: tuple[Block, ...]

    def make(self, values: Values) -> Float[np.ndarray, "n d"]:
        """The file's columns, float64; of a column of words the index of the level."""
        features, parts = self.encoding.schema.features, []
        for block in self.blocks:
            f, counts = features[block.feature], values[:, block.feature]
            if block.hot:
                parts.append(np.eye(len(f.levels))[counts][:, block.first :])
            elif f.is_category:
                parts.append(counts[:, None].astype(np.float64))
            else:
                parts.append(self.encoding.standardised(block.feature, counts)[:, None])
        return np.concatenate(parts, axis=1)

    @property
    def words(self) -> str:
        """For a reader."""
        return self.layout + (" without each category's first level" if any(b.first for b in self.blocks) else "")

    @property
    def groups(self) -> tuple[Group, ...]:
        """What each of the file's columns stands for."""
        from cfq_core.models.dense import Group  # torch: a file that was read before is run without it

        features, out = self.encoding.schema.features, list[Group]()
        for block in self.blocks:
            f = features[block.feature]
            hot = [Group()] * (len(f.levels) - block.first)
            out += hot if block.hot else [Group(f.levels if f.is_category else ())]
        return tuple(out)

    @property
    def apart(self) -> Columns:
        """The same with one column a level, as a network that was read has them."""
        features = self.encoding.schema.features
        each = (b if b.hot else Block(b.feature, features[b.feature].is_category) for b in self.blocks)
        return replace(self, blocks=tuple(each))

    def of(self, design: Encoding) -> tuple[Float[np.ndarray, "d e"], Float[np.ndarray, "d"]] | None:
        """The columns as ``weight @ encoded + bias`` of a design; None where a logarithm lies between."""
        weight, bias = [], []
        for block in self.blocks:
            f, start = self.encoding.schema.features[block.feature], design.starts[block.feature]
            i, other = block.feature, design.schema.features[block.feature]
            rows = np.zeros((len(f.levels) - block.first if block.hot else 1, design.width))
            shift = np.zeros(len(rows))
            if block.hot:
                rows[:, start : start + len(f.levels)] = np.eye(len(f.levels))[block.first :]
            elif f.is_category:
                rows[0, start : start + len(f.levels)] = np.arange(len(f.levels))
            elif f.log != other.log:
                return None
            else:
                rows[0, start] = design.std[i] / self.encoding.std[i]
                shift[0] = (design.mean[i] - self.encoding.mean[i]) / self.encoding.std[i]
            weight.append(rows)
            bias.append(shift)
        return np.concatenate(weight), np.concatenate(bias)


def fitting(file: ModelFile, schema: Schema, table: Values, asked: Layout) -> list[Columns]:
    """Every way to make a file's columns that fits it, or the one asked for; raises `BadModel` where none does."""
    if file.says_itself and file.provenance is not None and asked == "auto":
        return [Columns("own", encoding_of(file.provenance, schema, file.name), _hot(schema))]
    if len(file.entries) > 1 or file.entries[0].kind == "str" or asked == "named":
        if asked not in ("auto", "named"):
            raise BadModel(f"{file.name}: takes {len(file.entries)} named inputs, so its layout is named, not {asked}")
        return [Columns("named", plain(schema), _named(file, schema))]
    made = [_of_layout(layout, schema, table) for layout in LAYOUTS[1:4] if asked in ("auto", layout)]
    made += [_without_first(c) for c in made if c.layout in LAYOUTS[1:3] and any(b.hot for b in c.blocks)]
    fits = [c for c in made if _width(c, schema) == file.width]
    if not fits:
        widths = sum(f.width for f in schema.features)
        categories = sum(f.is_category for f in schema.seen)
        raise BadModel(
            f"{file.name}: takes {file.width} columns; this card makes {widths} (a category one a level), "
            f"{widths - categories} without the first level of each, or {len(schema.seen)} with the layout levels "
            "(a category as the index of its level)"
        )
    if len(fits) == 3 and not any(f.is_category for f in schema.seen):
        fits = fits[:2]  # without categories levels is raw
    return fits


def plain(schema: Schema) -> Encoding:
    """Numbers as they are: a logarithm is of the price alone."""
    features = tuple(replace(f, log=False) for f in schema.features)
    n = len(features)
    return Encoding(replace(schema, features=features), (0.0,) * n, (1.0,) * n)


def _of_layout(layout: Layout, schema: Schema, table: Values) -> Columns:
    if layout == "standardised":
        return Columns(layout, Encoding.fit(schema, table), _hot(schema))
    blocks = (
        _hot(schema)
        if layout == "raw"
        else tuple(Block(i, False) for i, f in enumerate(schema.features) if not f.aside)
    )
    return Columns(layout, plain(schema), blocks)


def _without_first(columns: Columns) -> Columns:
    """The same where the first level of every category has no column."""
    return replace(columns, blocks=tuple(replace(b, first=1) if b.hot else b for b in columns.blocks))


def _hot(schema: Schema) -> tuple[Block, ...]:
    return tuple(Block(i, f.is_category) for i, f in enumerate(schema.features) if not f.aside)


def _width(columns: Columns, schema: Schema) -> int:
    return sum(len(schema.features[b.feature].levels) - b.first if b.hot else 1 for b in columns.blocks)


def _named(file: ModelFile, schema: Schema) -> tuple[Block, ...]:
    names = {f.name.casefold(): i for i, f in enumerate(schema.features) if not f.aside}
    blocks = []
    for e in file.entries:
        i = names.get(e.name.casefold())
        if i is None:
            listed = ", ".join(f.name for f in schema.seen[:8])
            raise BadModel(f'{file.name}: its input "{e.name[:40]}" is no feature of the card ({listed}); rename one')
        f = schema.features[i]
        hot = f.is_category and e.width == len(f.levels) and e.kind != "str" and e.width > 1
        if (e.width != 1 and not hot) or (e.kind == "str" and not f.levels):
            takes = "words" if e.kind == "str" else f"{e.width} columns"
            raise BadModel(f'{file.name}: its input "{e.name[:40]}" takes {takes}; the card says {f.kind}')
        blocks.append(Block(i, hot))
    return tuple(blocks)


def feeds(file: ModelFile, schema: Schema) -> list[dict[str, Any]]:
    """How the columns are cut into the file's inputs, as the process that runs it takes it."""
    names: dict[str, Feature] = {f.name.casefold(): f for f in schema.features}
    out, start = [], 0
    for e in file.entries:
        feature = names.get(e.name.casefold()) if e.kind == "str" else None
        words = list(feature.levels) if feature else []
        out.append({**asdict(e), "start": start, "stop": start + e.width, "words": words})
        start += e.width
    return out
