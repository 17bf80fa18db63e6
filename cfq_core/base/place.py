"""Where results are kept unless somebody says otherwise."""

from __future__ import annotations

import os
from pathlib import Path

DEFAULT_STORE = ".cfq"


def store_place(folder: Path | None) -> Path:
    """Where the store lies: as given, else CFQ_STORE, else ./.cfq."""
    return folder or Path(os.environ.get("CFQ_STORE", DEFAULT_STORE))
