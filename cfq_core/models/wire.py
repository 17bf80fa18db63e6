"""What a protocol buffer holds, counted before it is unfolded: two bytes of a file can be a hundred in memory.

Only tags and lengths are looked at, and only so far as the limits reach, so that a hostile file costs no more than an
honest one. Field numbers are those of onnx.proto.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
MOST_FIELDS = 2_000_000  # of any kind, but for the numbers of attributes
DEEPEST = 24  # messages in messages; types may hold types


@dataclass(frozen=True)
class _Message:
    """Fields of a message: what each counts as, and the message it holds; ``refused``: fields no plain graph has."""

    fields: dict[int, tuple[str, Any]] = field(default_factory=dict)
    refused: dict[int, str] = field(default_factory=dict)


_GRAPHS = "holds a graph of its own; loops and branches are not run"
_SPARSE = "holds sparse tensors"
_ENTRY = _Message()
_TENSOR = _Message({6: ("names", None), 13: ("names", _ENTRY), 16: ("names", _ENTRY)})
_TYPE = _Message()
_SHAPE = _Message({1: ("names", None)})
_TYPE.fields.update({
    1: ("names", _Message({2: ("names", _SHAPE)})), 8: ("names", _Message({2: ("names", _SHAPE)})),
    4: ("names", _Message({1: ("names", _TYPE)})), 5: ("names", _Message({2: ("names", _TYPE)})),
    9: ("names", _Message({1: ("names", _TYPE)})),
})  # fmt: skip
_VALUE = _Message({2: ("names", _TYPE), 4: ("names", _ENTRY)})
_ATTRIBUTE = _Message(
    {5: ("names", _TENSOR), 10: ("names", _TENSOR), 9: ("strings", None), 14: ("names", _TYPE), 15: ("names", _TYPE)},
    {6: _GRAPHS, 11: _GRAPHS, 22: _SPARSE, 23: _SPARSE},
)
_NODE = _Message(
    {1: ("names", None), 2: ("names", None), 5: ("names", _ATTRIBUTE), 9: ("names", _ENTRY)},
    {10: "holds device configurations"},
)
_GRAPH = _Message(
    {
        1: ("nodes", _NODE), 5: ("names", _TENSOR), 11: ("names", _VALUE), 12: ("names", _VALUE), 13: ("names", _VALUE),
        14: ("names", _Message({2: ("names", _ENTRY)})), 16: ("names", _ENTRY),
    },
    {15: _SPARSE},
)  # fmt: skip
_PLAIN = "holds functions of its own or training graphs; a plain graph is needed"
MODEL = _Message(
    {7: ("graphs", _GRAPH), 8: ("names", _ENTRY), 14: ("names", _ENTRY)},
    {20: _PLAIN, 25: _PLAIN, 26: "holds device configurations"},
)

#: Numbers of an attribute, each with its tag: floats and whole numbers. A forest has millions; they are passed over.
_NUMBERS = re.compile(rb"(?:\x3d.{4}|\x40[\x80-\xff]{0,9}[\x00-\x7f])+", re.DOTALL)


class Refused(ValueError):
    """Why a file is not unfolded."""


def check(content: bytes, limits: dict[str, int]) -> None:
    """Raises `Refused` where a model holds more than ``limits`` say (nodes, names, strings), or what none may hold.

    What is no protocol buffer at all passes: the parser says so.
    """
    _check(content, 0, len(content), MODEL, limits, Counter(), 0)


def _check(
    data: bytes, at: int, end: int, of: _Message, limits: dict[str, int], seen: Counter[str], depth: int
) -> bool:
    """Whether the fields could be read to the end."""
    if depth > DEEPEST:
        raise Refused("holds messages nested too deeply")
    while at < end:
        if of is _ATTRIBUTE and (numbers := _NUMBERS.match(data, at, end)) is not None:
            at = numbers.end()
            continue
        tag, at = _varint(data, at, end)
        kind, number = tag & 7, tag >> 3
        if kind in (FIXED64, FIXED32):
            _count("", limits, seen)
            at += 8 if kind == FIXED64 else 4
        elif kind == BYTES:
            size, at = _varint(data, at, end)
            if at + size > end:
                return False
            if size and number in of.refused:
                raise Refused(of.refused[number])
            what, inside = of.fields.get(number, ("", None))
            _count(what, limits, seen)
            if inside is not None and not _check(data, at, at + size, inside, limits, seen, depth + 1):
                return False
            at += size
        elif kind == VARINT:
            _, at = _varint(data, at, end)
            _count("names" if number == 1 else "", limits, seen)  # dimensions of a tensor
        else:
            return False
    return at == end


def _count(what: str, limits: dict[str, int], seen: Counter[str]) -> None:
    seen["fields"] += 1
    if seen["fields"] > MOST_FIELDS:
        raise Refused(f"holds more than {MOST_FIELDS} fields")
    seen[what] += 1
    if seen[what] > limits.get(what, seen[what]):
        only = "has" if what == "nodes" else "holds"
        raise Refused(f"{only} more than {limits[what]} {what}")


def _varint(data: bytes, at: int, end: int) -> tuple[int, int]:
    """A number and the place behind it; one that does not end is taken for the end of all."""
    value = shift = 0
    while at < end and shift < 70:
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at
    return 1 << 40 | 7, end  # of no kind there is
