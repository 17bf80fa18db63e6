"""A table cut into pieces that can be read apart from each other, by other processes on other machines.

A CSV is cut at the first line end behind every so many bytes, without reading what lies between. That is the end of a
row unless a cell holds the line break. Whoever reads a piece finds out: a piece that begins where a row does and ends
without an open quote proves that the next begins where a row does. So if every piece can be read, every cut was sound;
from the first that cannot, the file is read in one go (`export.spread`).

A Parquet file is cut between row groups. Of a gzipped CSV, in which nobody can start in the middle, the bytes are sent.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from cfq_core.base.errors import BadInput, CfqError
from cfq_core.datasets.card_rows import Place
from cfq_core.datasets.table_files import GZIP, PARQUET, ZIP

BYTES = 8_000_000  # of CSV, a piece
SEEN = 4096  # bytes from which a file is known again
LONGEST = 1_000_000  # bytes of a line; where one is longer, the rest is not cut


@dataclass(frozen=True)
class Piece:
    """Some rows of a file; as it is, all of them."""

    path: Path
    start: int = 0  # the first byte, of what is packed once it is unpacked; of Parquet the first row group
    stop: int | None = None  # behind the last; None: to the end
    header: tuple[str, ...] = ()  # of a CSV; empty: it comes first
    rows: int = 0  # of the file above this piece, where that is known
    content: bytes | None = None  # what lies there, sent along
    mark: str = ""  # size and some bytes of the file

    def check(self) -> None:
        """Raise `CfqError` where this process does not see the file that was cut."""
        if not self.mark:
            return
        try:
            found = mark_of(self.path, None if is_parquet(self.path) else self.start)
        except OSError as problem:
            raise CfqError(
                f"{self.path}: a worker cannot read it ({problem.strerror}); workers need it under the same path, as "
                "in a shared folder"
            ) from None
        if found != self.mark:
            raise CfqError(f"{self.path}: is another file where a worker runs, or has changed since this audit began")


def is_parquet(path: Path) -> bool:
    """Whether a file is Parquet, by its first bytes."""
    with path.open("rb") as file:
        return file.read(4) == PARQUET


def opener(path: Path, place: Place) -> Any:
    """What opens a table's bytes, unpacked: `open` or `gzip.open`; raises `BadCard` where it is no single table."""
    if not path.is_file():
        raise place.bad("no such file")
    with path.open("rb") as file:
        first = file.read(4)  # a file is known by its first bytes, not by its name
    if first == ZIP:
        raise place.bad("is a workbook or a zip; save it as CSV or Parquet to read it in parts")
    return gzip.open if first.startswith(GZIP) else open


def mark_of(path: Path, start: int | None) -> str:
    """Size and a digest of the bytes at ``start``; None: of the last ones, where Parquet says what it holds."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - SEEN) if start is None else start)
        return f"{size} {hashlib.sha256(file.read(SEEN)).hexdigest()}"


def cut_text(path: Path, opened: Any, header: tuple[str, ...], size: int = BYTES) -> Iterator[Piece]:
    """A CSV in pieces of about ``size`` bytes; what cannot be cut is the last of them, without a stop."""
    sent, start = opened is not open, 0
    with cast("IO[bytes]", opened(path, "rb")) as file:
        while True:
            try:
                stop, content = _piece(file, start, size, sent)
            except (OSError, EOFError, zlib.error):  # damaged: told by whoever reads on from here
                stop, content = None, None
            if stop == start:
                return
            mark = "" if sent or stop is None else mark_of(path, start)
            yield Piece(path, start, stop, header if start else (), 0, content, mark)
            if stop is None:
                return
            start = stop


def _piece(file: IO[bytes], start: int, size: int, sent: bool) -> tuple[int | None, bytes | None]:
    """Where a piece stops, and its bytes where they are sent; no place where its last line has no end in sight."""
    whole = file.read(size) if sent else b""
    if not sent:
        file.seek(min(start + size, os.fstat(file.fileno()).st_size))
    line = file.readline(LONGEST)
    if len(line) == LONGEST and not line.endswith(b"\n"):
        return None, None
    return file.tell(), whole + line if sent else None


def cut_groups(path: Path, size: int) -> Iterator[Piece]:
    """A Parquet file in pieces of whole row groups, of ``size`` rows or more."""
    try:
        from pyarrow import ArrowException
        from pyarrow.parquet import ParquetFile
    except ImportError:
        raise BadInput(f"{path.name}: reading Parquet needs pyarrow: pip install pyarrow") from None
    try:
        with ParquetFile(path) as file:
            rows = [file.metadata.row_group(k).num_rows for k in range(file.metadata.num_row_groups)]
    except ArrowException as problem:
        raise Place(path.name).bad(f"is no Parquet file that can be read ({str(problem)[:80]})") from None
    mark, start, before, held = mark_of(path, None), 0, 0, 0
    for stop, more in enumerate(rows, 1):
        held += more
        if held >= size or stop == len(rows):
            yield Piece(path, start, stop, (), before, None, mark)
            start, before, held = stop, before + held, 0
