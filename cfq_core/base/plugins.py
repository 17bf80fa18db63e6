"""Plug-in folders: the file name is the name, the file ends in ``PLUGIN = ...``.

Nothing is registered anywhere else, so to add a part is to add one file. Listing reads the folder
only; a file is imported when its part is asked for.
"""

from __future__ import annotations

import ast
import importlib
from functools import cache
from pathlib import Path
from typing import Any

from cfq_core.base.errors import UnknownName, unknown

ROOT = Path(__file__).parent.parent

#: Plug-in folder -> what one of its parts is called in a message.
FOLDERS = {
    "datasets": "data set",
    "recourse": "recourse solver",
    "allocators": "allocator",
    "methods": "method",
    "metrics": "metric",
    "certificates": "certificate",
    "probes": "probe",
}


@cache
def names(folder: str) -> tuple[str, ...]:
    """Sorted names of the parts in a plug-in folder of ``cfq_core``."""
    files = sorted((ROOT / folder).glob("*.py"))
    return tuple(f.stem for f in files if any(s.startswith("PLUGIN = ") for s in f.read_text().splitlines()))


def load(folder: str, name: str) -> Any:
    """The part called ``name``; raises `UnknownName` with the names there are."""
    if name not in names(folder):
        raise UnknownName(unknown(FOLDERS[folder], name, names(folder)))
    return importlib.import_module(f"cfq_core.{folder}.{name}").PLUGIN


def load_all(folder: str) -> dict[str, Any]:
    """Every part of a folder by name."""
    return {name: load(folder, name) for name in names(folder)}


def summary(folder: str, name: str) -> str:
    """First line of a part's own documentation (its file's docstring), read without importing it."""
    text = (ROOT / folder / f"{name}.py").read_text(encoding="utf-8")
    return (ast.get_docstring(ast.parse(text)) or "").strip().splitlines()[0]
