"""Tables as files: CSV that no spreadsheet runs, Parquet, both of many in one zip; and files written whole."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from cfq_core.base import whole
from cfq_core.base.cells import csv
from cfq_core.base.errors import BadInput

__all__ = ["csv", "packed", "parquet", "write_whole", "zipped"]

EARLIEST = (1980, 1, 1, 0, 0, 0)  # date of every member: the same tables give the same zip


def parquet(rows: pd.DataFrame) -> bytes:
    """A table as Parquet."""
    return rows.to_parquet(index=False)


def zipped(tables: Mapping[str, pd.DataFrame]) -> bytes:
    """Every table as CSV and as Parquet in one zip; names are made safe and stay apart."""
    contents, taken = dict[str, bytes](), set[str]()
    for name, rows in tables.items():
        safe = _free(re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip(".-") or "table", taken)
        contents |= {f"{kind}/{safe}.{kind}": make(rows) for kind, make in (("csv", csv), ("parquet", parquet))}
    return packed(contents)


def packed(contents: Mapping[str, bytes]) -> bytes:
    """Files by name as one zip."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in contents.items():
            about = zipfile.ZipInfo(name, EARLIEST)
            about.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(about, content)
    return out.getvalue()


def write_whole(path: Path, content: bytes) -> None:
    """Write a file whole or not at all; raises `BadInput` where it cannot be written."""
    if path.is_dir():
        raise BadInput(f"{path}: a folder; name a file")
    if not path.parent.is_dir():
        raise BadInput(f"{path}: the folder {path.parent} is not there")
    try:
        whole.write_whole(path, content)
    except OSError as problem:
        raise BadInput(f"{path}: cannot be written ({problem.strerror})") from None


def _free(name: str, taken: set[str]) -> str:
    number, found = 1, name
    while found.lower() in taken:
        number += 1
        found = f"{name}-{number}"
    taken.add(found.lower())
    return found
