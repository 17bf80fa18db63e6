"""Who audited or ran which file when: one JSON line an event, each with the sha256 of the line before.

    STORE/audit-log.jsonl  the events    STORE/audit-log.head.json  number, size and sha256 of the last one

A changed, removed or moved line no longer fits the one after it; of the last line that is told by the head. Whoever can
write to the folder can write both anew: the sha256 that `cfq log --verify` prints, kept elsewhere, tells that as well.
"""

from __future__ import annotations

import hashlib
import json
import os
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

try:
    import fcntl
except ImportError:  # Windows: one process at a time has to write
    fcntl = None  # type: ignore[assignment]

from cfq_core.base.errors import BadInput
from cfq_core.base.identity import file_sha256
from cfq_core.base.whole import system_refused, write_whole

FILE, HEAD = "audit-log.jsonl", "audit-log.head.json"
NOT_NAMED = "not named"
STUDY, AUDIT, UPLOAD, EXPORT, SHARE, UNSHARE = "study started", "audit", "upload", "export", "share", "unshare"
NOTHING = "0" * 64  # stands before the first line


@dataclass(frozen=True)
class Head:
    """Where the log ended when it was last written to."""

    count: int = 0
    size: int = 0  # bytes
    sha256: str = NOTHING  # of the last line


def append(
    store: Path,
    action: str,
    user: str = NOT_NAMED,
    ids: Mapping[str, str] | None = None,
    files: Mapping[str, str] | None = None,
) -> None:
    """Write one event, whole or not at all; raises `SystemRefused`. ``files``: sha256 by name."""
    try:
        store.mkdir(parents=True, exist_ok=True)
        with _locked(store / FILE) as log:
            last = _last(store, log)
            event = {"n": last.count + 1, "at": datetime.now(UTC).isoformat(timespec="milliseconds"), "user": user,
                     "action": action, "ids": dict(ids or {}), "files": dict(files or {}),
                     "before": last.sha256}  # fmt: skip
            _write(store, log, json.dumps(event).encode(), last.count + 1)
    except OSError as problem:
        raise system_refused(problem, store / FILE) from None


def events(store: Path) -> list[dict[str, Any]]:
    """Every event that can be read, the oldest first."""
    return [event for line in _lines(store) if (event := _event(line)) is not None]


def problems(store: Path) -> list[str]:
    """What is wrong with the log, a line each; empty where every event is as it was written."""
    found, before, size = [], NOTHING, 0
    lines = _lines(store)
    head = _head(store)
    for number, line in enumerate(lines, 1):
        event = _event(line)
        if event is None:
            found.append(f"line {number}: is no event (half written, or changed)")
        elif event["before"] != before or event["n"] != number:
            found.append(f"line {number}: does not follow the line before it (changed, removed or moved)")
        before, size = _sha256(line), size + len(line) + 1
        if number == head.count and (head.sha256, head.size) != (before, size):
            found.append(f"line {number}: is not the one that was written last")
    if head.count > len(lines):
        found.append(f"the last {head.count - len(lines)} of {head.count} events are missing")
    if lines and not (store / HEAD).is_file():
        found.append(f"{HEAD} is missing: whether the last events are there cannot be told")
    return found


def digest(store: Path) -> str:
    """The sha256 of the last line, which stands for all before it."""
    lines = _lines(store)
    return _sha256(lines[-1]) if lines else NOTHING


def sha256_of(files: Iterable[Path | str]) -> dict[str, str]:
    """The sha256 by name of the files among these that are there, and of a card its table's."""
    found = {}
    for path in map(Path, files):
        if path.is_file():
            found[path.name] = file_sha256(path)
        if path.is_file() and path.suffix == ".toml":
            found |= _table_of(path)
    return found


def _table_of(card: Path) -> dict[str, str]:
    """Of a card that cannot be read nothing: whoever reads it next says why."""
    try:
        table = card.parent / Path(str(tomllib.loads(card.read_text(encoding="utf-8"))["csv"])).name
    except (ValueError, KeyError):
        return {}
    return {table.name: file_sha256(table)} if table.is_file() else {}


# ---------------------------------------------------------------------- files
@contextmanager
def _locked(file: Path) -> Iterator[int]:
    """The log, open to append, held by this process alone."""
    log = os.open(file, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        if fcntl is not None:
            fcntl.flock(log, fcntl.LOCK_EX)
        yield log
    finally:
        os.close(log)


def _last(store: Path, log: int) -> Head:
    """The head, and what was written after it by a process that was killed before it could say so."""
    head = _head(store)
    count, sha256, size = head.count, head.sha256, os.fstat(log).st_size
    for line in os.pread(log, max(0, size - head.size), head.size).split(b"\n"):
        if line:
            count, sha256 = count + 1, _sha256(line)
    return Head(count, size, sha256)


def _write(store: Path, log: int, line: bytes, number: int) -> None:
    """The line, then the head; where the machine refuses either, the log is as long as it was."""
    size = os.fstat(log).st_size
    torn = b"\n" if size and os.pread(log, 1, size - 1) != b"\n" else b""  # a crash of the machine: stays, and is told
    try:
        _all(log, torn + line + b"\n")
        head = {"count": number, "size": os.fstat(log).st_size, "sha256": _sha256(line)}
        write_whole(store / HEAD, json.dumps(head).encode())
    except OSError:
        os.ftruncate(log, size)
        raise


def _all(log: int, content: bytes) -> None:
    while content:
        content = content[os.write(log, content) :]


def _head(store: Path) -> Head:
    try:
        return Head(**json.loads((store / HEAD).read_bytes()))
    except FileNotFoundError:
        return Head()
    except (ValueError, TypeError):
        raise BadInput(f"{store / HEAD}: is damaged; put it back from a copy, or move the log and it away") from None


def _lines(store: Path) -> list[bytes]:
    try:
        content = (store / FILE).read_bytes()
    except FileNotFoundError:
        return []
    lines = content.split(b"\n")
    return lines[:-1] if not lines[-1] else lines


def _event(line: bytes) -> dict[str, Any] | None:
    try:
        event = json.loads(line)
        texts = [event[k] for k in ("at", "user", "action", "before")] + [
            *event["ids"].values(),
            *event["files"].values(),
        ]
        return event if all(isinstance(t, str) for t in texts) and isinstance(event["n"], int) else None
    except (ValueError, LookupError, TypeError, AttributeError):
        return None


def _sha256(line: bytes) -> str:
    return hashlib.sha256(line).hexdigest()
