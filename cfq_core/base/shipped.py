"""Files that come with the project: cards, plans, the gallery of stored results."""

from __future__ import annotations

import os
from importlib.resources import files
from pathlib import Path


def shipped(name: str) -> Path:
    """Where a folder of ``data/`` lies: inside the installed package, or in the checkout."""
    installed = Path(str(files("cfq_core"))) / "_data" / name
    return installed if installed.is_dir() else Path(__file__).parents[2] / "data" / name


def gallery() -> Path:
    """The read-only store of shipped results; ``CFQ_GALLERY`` names another one."""
    return Path(os.environ.get("CFQ_GALLERY") or shipped("gallery"))
