"""IDX files of unsigned bytes, as images and labels of the MNIST family are published (gzip, big-endian)."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from cfq_core.base.errors import BadTable

UNSIGNED_BYTES = 0x08  # the third byte of the magic number; the fourth is the number of dimensions
MOST_BYTES = 100_000_000  # unpacked: twice the largest file of the family; a small file cannot fill the memory


def read_idx(path: Path, dimensions: int) -> UInt8[np.ndarray, "..."]:
    """The array in a gzipped IDX file; raises `BadTable` in one line where it is damaged, cut short or another kind."""
    try:
        with gzip.open(path) as file:
            held = file.read(MOST_BYTES + 1)
    except (gzip.BadGzipFile, EOFError, zlib.error) as problem:
        raise BadTable(f"{path}: not a whole gzip file ({problem})") from problem
    if len(held) > MOST_BYTES:
        raise BadTable(f"{path}: more than {MOST_BYTES:,} bytes when unpacked")
    head = 4 + 4 * dimensions
    if len(held) < head:
        raise BadTable(f"{path}: {len(held)} bytes when unpacked; the header alone takes {head}")
    magic, wanted = int.from_bytes(held[:4], "big"), UNSIGNED_BYTES << 8 | dimensions
    if magic != wanted:
        raise BadTable(
            f"{path}: magic number 0x{magic:08x}; IDX of unsigned bytes in {dimensions} dimensions has 0x{wanted:08x}"
        )
    shape = tuple(int(n) for n in np.frombuffer(held, ">u4", dimensions, 4))
    size = int(np.prod(shape, dtype=object))  # of Python's integers: a hostile header overflows no other
    if len(held) - head != size:
        words = " x ".join(f"{n:,}" for n in shape)
        raise BadTable(f"{path}: {len(held) - head:,} bytes of data; its header says {words} = {size:,}")
    return np.frombuffer(held, np.uint8, size, head).reshape(shape)
