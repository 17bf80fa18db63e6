"""Tables that are no plain text: gzip, Parquet, a sheet of a workbook, a DataFrame. Each becomes the text of a CSV.

So one reader judges every cell, and the same table gives the same people whatever door it comes by. A file is known by
its first bytes, not by its name.
"""

from __future__ import annotations

import io
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cfq_core.base.errors import BadInput
from cfq_core.datasets.dialect import Dialect

if TYPE_CHECKING:
    from cfq_core.datasets.card_rows import Place

GZIP, PARQUET, ZIP = b"\x1f\x8b", b"PAR1", b"PK\x03\x04"
WORKBOOK = "xl/workbook.xml"  # what a zip file holds that is a workbook
MAX_CSV = 200_000_000  # bytes; a larger table does not belong in one text file
MOST_CELLS = 50_000_000  # of a table that is no text
LARGEST = 1e15  # below it every whole float is one whole number
FRAME = "DataFrame"  # what messages call a table that is no file


def is_text(data: bytes | str) -> bool:
    """Whether a table may be text, as far as its first bytes say."""
    return isinstance(data, str) or not data.startswith((GZIP, PARQUET, ZIP))


def as_text(data: bytes | str, place: Place, dialect: Dialect) -> bytes | str:
    """The text of a table; that of a text file is itself. Raises `BadCard` in one line."""
    if isinstance(data, str) or is_text(data):
        return data
    if data.startswith(GZIP):
        return as_text(_unzipped(data, place), place, dialect)
    frame = _parquet(data, place) if data.startswith(PARQUET) else _workbook(data, place, dialect.sheet)
    return as_csv(frame, dialect.delimiter, dialect.decimal)


def _unzipped(data: bytes, place: Place) -> bytes:
    """All members of a gzip file, up to the size that a text file may have."""
    out = bytearray()
    try:
        while data:
            member = zlib.decompressobj(wbits=31)
            out += member.decompress(data, MAX_CSV + 1 - len(out))
            if len(out) > MAX_CSV:
                raise place.bad(f"has over {MAX_CSV / 1e6:g} MB once it is unpacked; at most that")
            if not member.eof:
                raise place.bad("is cut off: its gzip data has no end; copy it again")
            data = member.unused_data.lstrip(b"\0")
    except zlib.error as problem:
        raise place.bad(f"cannot be unpacked ({problem}); copy it again") from None
    return bytes(out)


def _parquet(data: bytes, place: Place) -> pd.DataFrame:
    try:
        import pyarrow
        import pyarrow.parquet as parquet
    except ImportError:
        raise place.bad("is a Parquet file, which needs pyarrow: pip install pyarrow") from None
    try:
        file = parquet.ParquetFile(io.BytesIO(data))
        _check_size(place, file.metadata.num_rows, file.metadata.num_columns)
        return file.read().to_pandas(ignore_metadata=True)
    except (pyarrow.ArrowException, OSError, ValueError) as problem:
        raise place.bad(f"cannot be read as Parquet ({' '.join(str(problem).split())[:120]}); write it again") from None


def _workbook(data: bytes, place: Place, sheet: str) -> pd.DataFrame:
    """The one sheet with cells, or the one that the card names."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as packed:
            names, size = packed.namelist(), sum(i.file_size for i in packed.infolist())
    except (zipfile.BadZipFile, ValueError) as problem:
        raise place.bad(f"cannot be unpacked ({problem}); copy it again") from None
    if WORKBOOK not in names:
        raise place.bad("is a zip file; unpack it, and give the table that it holds")
    if size > 4 * MAX_CSV:
        raise place.bad(f"has {size / 1e6:.0f} MB once it is unpacked; at most {4 * MAX_CSV / 1e6:g} MB")
    try:
        import openpyxl
    except ImportError:
        raise place.bad('is a workbook, which needs an extra: pip install "cfq[xlsx]"; or save it as CSV') from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of styles and extensions, which are no cells
            book = openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=True)
            sheets = {s.title: list(_filled(s, place)) for s in book.worksheets}
    except (KeyError, ValueError, TypeError, zipfile.BadZipFile, SyntaxError) as problem:
        raise place.bad(f"cannot be read as a workbook ({type(problem).__name__}); save it as CSV") from None
    return _framed(_one(sheets, place, sheet))


def _filled(sheet: Any, place: Place) -> Iterator[tuple[Any, ...]]:
    """Rows of a sheet up to the last with a cell, each up to its last cell."""
    empty = 0
    for number, row in enumerate(sheet.iter_rows(values_only=True), 1):
        _check_size(place, number, len(row))
        if all(cell is None for cell in row):
            empty += 1
            continue
        yield from ((None,) for _ in range(empty))
        empty = 0
        yield row


def _one(sheets: dict[str, list[tuple[Any, ...]]], place: Place, named: str) -> list[tuple[Any, ...]]:
    held = [title for title, rows in sheets.items() if rows]
    listed = ", ".join(f'"{title[:40]}"' for title in held[:8])
    if named and named not in sheets:
        raise place.bad(f'sheet = "{named}"; one of {listed}')
    if not named and len(held) != 1:
        why = (
            f"has {len(held)} sheets with cells ({listed}); say which in the card, sheet = ..." if held else "is empty"
        )
        raise place.bad(why)
    return sheets[named or held[0]]


def _framed(rows: list[tuple[Any, ...]]) -> pd.DataFrame:
    wide = max(len(row) - next((k for k, c in enumerate(reversed(row)) if c is not None), len(row)) for row in rows)
    cells = [(*row, *(None,) * wide)[:wide] for row in rows]
    head = ["" if cell is None else str(cell) for cell in cells[0]]
    frame = pd.DataFrame(cells[1:], columns=range(wide))
    return frame.set_axis(head, axis=1)


def _check_size(place: Place, rows: int, columns: int) -> None:
    if rows * columns > MOST_CELLS:
        raise place.bad(f"has {rows:,} rows of {columns:,} columns; at most {MOST_CELLS:,} cells")


def as_csv(frame: pd.DataFrame, delimiter: str = ",", decimal: str = ".") -> str:
    """A DataFrame as the text of a CSV: numbers in as many digits as give them back, what is missing as an empty cell.

    Its index is no column. Raises `BadInput` where columns have several levels.
    """
    if frame.columns.nlevels > 1:
        raise BadInput(f"{FRAME}: its columns have {frame.columns.nlevels} levels; one name a column is needed")
    columns = [_whole(frame.iloc[:, i]) for i in range(frame.shape[1])]
    plain = pd.concat(columns, axis=1) if columns else frame
    return plain.to_csv(index=False, sep=delimiter, decimal=decimal, lineterminator="\n")


def _whole(column: pd.Series) -> pd.Series:
    """Floats that are all whole as whole numbers, 3 and not 3.0: a gap alone makes them floats."""
    if not pd.api.types.is_float_dtype(column.dtype):
        return column
    known = column.dropna().to_numpy(dtype=float)
    return column.astype("Int64") if np.all((known == np.rint(known)) & (np.abs(known) < LARGEST)) else column
