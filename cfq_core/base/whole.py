"""Files that are written whole or not at all, and what the system refuses in one line that says what to do."""

from __future__ import annotations

import errno
import os
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TypeGuard

from cfq_core.base.errors import CfqError

Refusal = OSError | sqlite3.Error
AGAIN = "what is finished is stored; then run the same command again"
#: What the system says -> what to do about it.
HINTS = {
    errno.ENOSPC: f"the disk is full; make room, {AGAIN}",
    errno.EDQUOT: f"the disk quota is used up; make room, {AGAIN}",
    errno.EFBIG: f"larger than files may be here (ulimit -f); raise the limit, {AGAIN}",
    errno.ENAMETOOLONG: "the name is too long for this file system; take a shorter one",
    errno.EROFS: "the file system is read-only; name another place",
    errno.EACCES: "permission denied; name another place",
    errno.EMFILE: "too many open files (ulimit -n)",
    errno.EIO: f"the disk failed to read or write; check it, {AGAIN}",
}
SQLITE_HINTS = {
    "database or disk is full": HINTS[errno.ENOSPC],
    "disk i/o error": f"the database cannot be written: the disk failed, is full or went away; {AGAIN}",
    "readonly": "the database is read-only, or was moved or removed while it was open; open it where it is now",
    "locked": f"another process holds the database; wait for it, {AGAIN}",
}
#: Of these, what is no fault of the file itself.
WRITING = ("database or disk is full", "disk i/o error")
MOVED = (
    "was moved, removed or replaced while it was written to; what was finished is in it; run the same command with its "
    "new place as --store"
)


class SystemRefused(CfqError):
    """The machine could not do it: no room, no rights, a name too long."""


def is_refusal(problem: BaseException, of_sqlite: Iterable[str] = tuple(SQLITE_HINTS)) -> TypeGuard[Refusal]:
    """Whether it is the machine that could not, so that `HINTS` know what to do; not a mistake in what was asked."""
    if isinstance(problem, sqlite3.Error):
        return any(text in str(problem).lower() for text in of_sqlite)
    return isinstance(problem, OSError) and problem.errno in HINTS


def system_refused(problem: Refusal, where: object = None) -> SystemRefused:
    """What a system's refusal means, and of which file, in one line."""
    if isinstance(problem, sqlite3.Error):
        said = next((hint for text, hint in SQLITE_HINTS.items() if text in str(problem).lower()), str(problem))
        return SystemRefused(f"{where or 'database'}: {said}")
    name = where or problem.filename
    said = HINTS.get(problem.errno or 0, problem.strerror or str(problem) or type(problem).__name__)
    shown = str(name)
    return SystemRefused(f"{shown if len(shown) <= 200 else f'{shown[:200]}…'}: {said}" if name else said)


@contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """A file to write, which takes its place at the end; of one that fails nothing is left. Raises `OSError`."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".part")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_whole(path: Path, content: bytes) -> None:
    """The same of content that is there already. Raises `OSError`."""
    with whole_file(path) as file:
        file.write(content)
