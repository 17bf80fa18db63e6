"""Identities: a record is named by the sha256 of its stable key and of the fields that change numbers.

A hashed record carries ``KEY``, a word that stays when the class is renamed or moved. A field at its default is left
out, so that records can grow; a field marked `LABEL` (a title, a note) is never hashed. Defaults are therefore for
ever: another default is another field, or a raised `study.revision.REVISION`.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

ID_LENGTH = 12  # hex digits: 48 bits, ample for the runs of one store
LARGEST = 10**15  # what a number in a file that others wrote is below: no count, time or process id comes near

#: Marks a field that changes no number: ``title: str = field(default="", metadata=LABEL)``.
LABEL = {"label": True}


def described(value: Any) -> Any:
    """Plain JSON form with every field written out, as it is stored for readers."""
    return _plain(value, lambda record, f: True, whole=False)


def canonical(value: Any) -> Any:
    """Plain JSON form of what is hashed: keys, and fields that change numbers and are not at their default."""
    return _plain(value, lambda record, f: not f.metadata.get("label") and not _is_default(record, f), whole=True)


def identity(value: Any) -> str:
    """First 12 hex digits of the sha256 of the canonical JSON of ``value``."""
    text = json.dumps(canonical(value), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:ID_LENGTH]


def _plain(value: Any, kept: Callable[[Any, dataclasses.Field[Any]], bool], whole: bool) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        key = getattr(type(value), "KEY", None)
        if not isinstance(key, str):
            raise TypeError(f"{type(value).__name__} has no KEY, so it has no identity")
        held = {f.name: getattr(value, f.name) for f in dataclasses.fields(value) if kept(value, f)}
        return {"kind": key, **{name: _plain(v, kept, whole) for name, v in held.items()}}
    if isinstance(value, dict):
        return {str(k): _plain(v, kept, whole) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v, kept, whole) for v in value]
    if whole and isinstance(value, float) and value.is_integer():
        return int(value)  # 2 and 2.0 are one budget
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    raise TypeError(f"a spec holds plain values and dataclasses, not {type(value).__name__}")


def _is_default(record: Any, f: dataclasses.Field[Any]) -> bool:
    if f.default is not dataclasses.MISSING:
        default = f.default
    elif f.default_factory is not dataclasses.MISSING:
        default = f.default_factory()
    else:
        return False
    value = getattr(record, f.name)
    return bool(value == default) and isinstance(value, bool) == isinstance(default, bool)


def file_sha256(path: Path) -> str:
    """Hex sha256 of a file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def read_object(path: Path, kinds: Mapping[str, tuple[type, ...]]) -> dict[str, Any]:
    """A JSON object that another process wrote; raises `ValueError` with what is wrong with it.

    Keys of ``kinds`` hold what their kinds say, or are not there where `NoneType` is among them. A missing file is a
    `FileNotFoundError`; a cut one, a number that is none and text that cannot be shown are `ValueError`.
    """
    try:
        given = json.loads(path.read_bytes(), parse_constant=_finite, parse_float=_finite)
        json.dumps(given, ensure_ascii=False).encode()  # half a surrogate pair can be read, and printed nowhere
    except FileNotFoundError:
        raise
    except (OSError, ValueError, RecursionError) as problem:
        raise ValueError(f"{path.name} cannot be read as JSON ({type(problem).__name__})") from None
    return of_kinds(given, kinds, path.name)


def of_kinds(given: Any, kinds: Mapping[str, tuple[type, ...]], where: str) -> dict[str, Any]:
    """The same of plain values that were read already."""
    if not isinstance(given, dict):
        raise ValueError(f"{where} holds {type(given).__name__}, no object")
    for key, kind in kinds.items():
        if not _is(given.get(key), kind):
            raise ValueError(f'{where}: "{key}" is missing or not what this program writes')
    return given


def _is(value: Any, kind: tuple[type, ...]) -> bool:
    if isinstance(value, bool):
        return bool in kind
    return isinstance(value, kind) and (not isinstance(value, int | float) or abs(value) < LARGEST)


def _finite(text: str) -> float:
    if not math.isfinite(value := float(text)):
        raise ValueError(f"{text} is no number")
    return value
