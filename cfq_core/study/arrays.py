"""Arrays as the bytes of a file and back, nothing pickled."""

from __future__ import annotations

import tempfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from safetensors import SafetensorError

Arrays = Mapping[str, np.ndarray]
#: What the readers of arrays raise at a damaged file.
NO_ARRAYS = (SafetensorError, BadZipFile, zlib.error, OSError, RuntimeError, ValueError, EOFError, AttributeError)


def as_npz(arrays: Arrays) -> bytes:
    """Compressed, as numpy writes them."""
    with tempfile.SpooledTemporaryFile(max_size=1 << 28) as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)
        file.seek(0)
        return file.read()


def of_npz(path: Path) -> dict[str, np.ndarray]:
    """Every array of a file; raises one of `NO_ARRAYS` where it is none."""
    with np.load(path, allow_pickle=False) as file:
        return {k: file[k] for k in file.files}
