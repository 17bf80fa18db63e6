"""What an exported file says about itself: which run it is, and the very encoding its inputs were trained with.

One JSON object under the key ``cfq`` of the file's metadata. Whoever reads it back trusts nothing in it.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from cfq_core.base.errors import BadInput
from cfq_core.tables.encode import Encoding
from cfq_core.tables.schema import KINDS, Feature, Schema

KEY = "cfq"
FORMAT = 1
MOST_TEXT = 2_000_000  # characters; thousands of features with hundreds of levels each stay below

Role = Literal["student", "teacher"]


class BadModel(BadInput):
    """An ONNX file that cannot be read as a model of people."""


@dataclass(frozen=True)
class Input:
    """One feature of the card and the columns it takes in the model's input, in order."""

    name: str
    kind: str
    first: int  # column; a category takes one a level, anything else one
    levels: tuple[str, ...] = ()
    step: float = 1.0  # raw units per grid count
    log: bool = False  # log(1 + value) before it is standardised
    mean: float = 0.0  # subtracted
    std: float = 1.0  # and divided by


@dataclass(frozen=True)
class Provenance:
    """Where an exported model comes from and how its inputs are made from people."""

    role: Role
    dataset: str
    data: str  # fingerprint of the table it was trained on
    seed: int  # of split and training
    kappa: float  # logits; the margin of the promises it was audited with
    favourable: str  # what a logit above 0 means, in words
    inputs: tuple[Input, ...]
    run: str = ""  # empty for a teacher
    teacher: str = ""
    method: str = ""
    budget: float = 0.0
    bits: tuple[int, ...] = ()  # weight bits of every layer; empty for a teacher
    threshold: float = 0.0  # logit at which the student approves as many validation people as its teacher
    layers: tuple[str, ...] = ()  # as `nets.layers.spelled`; none: a ReLU behind every hidden layer
    activation_bits: int = 8
    format: int = FORMAT

    def text(self) -> str:
        """The JSON that is written into the file."""
        grown = {"layers": (), "activation_bits": 8}  # left out where they are that, as in files from before them
        plain = {k: v for k, v in asdict(self).items() if k not in grown or v != grown[k]}
        return json.dumps(plain, separators=(",", ":"), allow_nan=False)


def inputs_of(encoding: Encoding) -> tuple[Input, ...]:
    """The columns of a fitted encoding."""
    each = zip(encoding.schema.features, encoding.starts, encoding.mean, encoding.std, strict=True)
    return tuple(
        Input(f.name, f.kind, start, f.levels, f.step, f.log, mean, std) for f, start, mean, std in each if not f.aside
    )


def encoding_of(provenance: Provenance, schema: Schema, where: str) -> Encoding:
    """The encoding a file was trained with, for a card of the same features; raises `BadModel` where they differ."""
    names = [i.name for i in provenance.inputs]
    if names != [f.name for f in schema.seen]:
        raise BadModel(
            f"{where}: was trained on the features {_listed(names)}; the card describes other ones or orders"
        )
    for i, f in zip(provenance.inputs, schema.seen, strict=True):
        if (i.kind, i.levels, i.log) != (f.kind, f.levels, f.log) or not math.isclose(i.step, f.step):
            raise BadModel(
                f'{where}: feature "{f.name}" was {_described(i)} when it was trained; the card says {_described(f)}'
            )
    of = {i.name: i for i in provenance.inputs}
    each = [of.get(f.name) for f in schema.features]
    return Encoding(schema, tuple(i.mean if i else 0.0 for i in each), tuple(i.std if i else 1.0 for i in each))


def _described(f: Input | Feature) -> str:
    levels = f" with levels {_listed(f.levels)}" if f.levels else f" in steps of {f.step:g}"
    return f"{f.kind}{levels}{', log(1 + value)' if f.log else ''}"


def _listed(names: tuple[str, ...] | list[str]) -> str:
    shown = [n[:40] for n in names[:6]]
    return ", ".join(shown) + (f" and {len(names) - 6} more" if len(names) > 6 else "")


# ---------------------------------------------------------------------- reading what anybody may have written
def read_provenance(text: str, where: str) -> Provenance:
    """The provenance in a file's metadata; raises `BadModel` in one line."""
    if len(text) > MOST_TEXT:
        raise BadModel(f"{where}: metadata of {len(text)} characters; at most {MOST_TEXT}")
    try:
        given = json.loads(text)
    except (ValueError, RecursionError) as problem:
        raise BadModel(f"{where}: metadata is not JSON ({type(problem).__name__})") from None
    if not isinstance(given, dict) or given.get("format") != FORMAT:
        raise BadModel(f"{where}: metadata of another format; this version reads format {FORMAT}")
    inputs = given.get("inputs")
    if not isinstance(inputs, list) or not inputs:
        raise BadModel(f'{where}: metadata without "inputs"')
    read = _record(given, Provenance, where) | {"inputs": tuple(Input(**_record(i, Input, where)) for i in inputs)}
    told = Provenance(**read)
    _check(told, where)
    return told


def _record(given: Any, of: type, where: str) -> dict[str, Any]:
    """The fields of a dataclass from plain JSON, each of its own type."""
    if not isinstance(given, dict):
        raise BadModel(f"{where}: metadata holds {type(given).__name__} where an object is due")
    known = {f.name: str(f.type) for f in fields(of)}
    out = {}
    for key, kind in known.items():
        if key == "inputs" or (key in ("layers", "activation_bits") and key not in given):
            continue
        if key not in given or not _is(given[key], kind):
            raise BadModel(f'{where}: metadata "{key}" is missing or no {kind}')
        value = given[key]
        out[key] = tuple(value) if isinstance(value, list) else float(value) if kind == "float" else value
    return out


def _is(value: Any, kind: str) -> bool:
    if kind.startswith("tuple[int"):
        return isinstance(value, list) and all(_is(v, "int") for v in value)
    if kind.startswith("tuple[str"):
        return isinstance(value, list) and all(isinstance(v, str) for v in value)
    if kind == "bool":
        return isinstance(value, bool)
    if kind == "int":
        return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63
    if kind == "float":
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return number and math.isfinite(value) if not isinstance(value, int) else number and abs(value) < 2**63
    return isinstance(value, str)


def _check(provenance: Provenance, where: str) -> None:
    if provenance.role not in ("student", "teacher"):
        raise BadModel(f'{where}: metadata "role" = "{provenance.role[:40]}"; one of student, teacher')
    column = 0
    for i in provenance.inputs:
        if i.kind not in KINDS or i.first != column or not i.std > 0 or not i.step > 0:
            raise BadModel(f'{where}: metadata of input "{i.name[:40]}" is not one this version writes')
        if i.kind == "category" and not i.levels:
            raise BadModel(f'{where}: metadata of input "{i.name[:40]}" is a category without levels')
        column += len(i.levels) if i.kind == "category" else 1
