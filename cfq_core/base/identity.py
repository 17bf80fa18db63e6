"""Identities: a spec is named by the sha256 of its canonical JSON, defaults filled in."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ID_LENGTH = 12  # hex digits: 48 bits, ample for the runs of one store
LARGEST = 10**15  # what a number in a file that others wrote is below: no count, time or process id comes near


def canonical(value: Any) -> Any:
    """Plain JSON form of a spec: dataclasses become objects that carry their class name."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: canonical(getattr(value, f.name)) for f in dataclasses.fields(value)}
        return {"kind": type(value).__name__, **fields}
    if isinstance(value, dict):
        return {str(k): canonical(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [canonical(v) for v in value]
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    raise TypeError(f"a spec holds plain values and dataclasses, not {type(value).__name__}")


def identity(value: Any) -> str:
    """First 12 hex digits of the sha256 of the canonical JSON of ``value``."""
    text = json.dumps(canonical(value), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:ID_LENGTH]


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
