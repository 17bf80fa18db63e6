"""A model file somebody uploads: checked in a process with limits, kept in a store under its hash. Without torch."""

from __future__ import annotations

import hashlib
from pathlib import Path

from cfq_core.base.whole import write_whole
from cfq_core.datasets.upload import checked_upload
from cfq_core.models.sandbox import sandboxed_parse

FOLDER = "models"  # of a store


def keep(store: Path, name: str, content: bytes) -> Path:
    """Where the file is kept; raises `BadInput` in one line, and then nothing is written."""
    plain = checked_upload(name, content)
    sandboxed_parse(content, plain)
    home = store / FOLDER / hashlib.sha256(content).hexdigest()[:16]
    home.mkdir(parents=True, exist_ok=True)
    write_whole(home / plain, content)
    return home / plain
