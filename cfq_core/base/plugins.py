"""Parts by name: a folder with one file an algorithm, or a table with one line a record.

In a folder the file name is the name and the file ends in ``PLUGIN = ...``; in a table the keys of ``PARTS`` are the
names and ``about=`` is what a list says. Nothing is registered anywhere else, so to add a part is to add one file or
one line. Listing reads the source only; a part is imported when it is asked for.
"""

from __future__ import annotations

import ast
import importlib
from functools import cache
from pathlib import Path
from typing import Any

from cfq_core.base.errors import UnknownName, unknown

ROOT = Path(__file__).parent.parent

#: Kind of part -> what one of its parts is called in a message.
FOLDERS = {
    "datasets": "data set",
    "recourse": "recourse solver",
    "allocators": "allocator",
    "methods": "method",
    "metrics": "metric",
    "certificates": "certificate",
    "artifacts": "artifact",
    "probes": "probe",
}
#: Kinds whose parts are lines of a table, and the module it stands in.
TABLES = {"methods": "methods.table", "metrics": "metrics", "certificates": "certificates.table"}

#: Kinds whose parts are files of another kind's folder, which end in another name than ``PLUGIN``.
BESIDE = {"probes": ("artifacts", "PROBE")}


def place(folder: str) -> tuple[str, str]:
    """The folder of a kind's files, and the name that each ends in."""
    return BESIDE.get(folder, (folder, "PLUGIN"))


@cache
def names(folder: str) -> tuple[str, ...]:
    """Sorted names of the parts of a kind."""
    if folder in TABLES:
        return tuple(sorted(_lines(folder)))
    where, ending = place(folder)
    files = sorted((ROOT / where).glob("*.py"))
    return tuple(f.stem for f in files if any(s.startswith(f"{ending} = ") for s in f.read_text().splitlines()))


def load(folder: str, name: str) -> Any:
    """The part called ``name``; raises `UnknownName` with the names there are."""
    if name not in names(folder):
        raise UnknownName(unknown(FOLDERS[folder], name, names(folder)))
    if folder in TABLES:
        return importlib.import_module(f"cfq_core.{TABLES[folder]}").PARTS[name]
    where, ending = place(folder)
    return getattr(importlib.import_module(f"cfq_core.{where}.{name}"), ending)


def load_all(folder: str) -> dict[str, Any]:
    """Every part of a kind by name."""
    return {name: load(folder, name) for name in names(folder)}


def summary(folder: str, name: str) -> str:
    """What a part says of itself in one line, read without importing it: ``about=``, or its file's docstring."""
    if folder in TABLES:
        return _lines(folder)[name]
    text = (ROOT / place(folder)[0] / f"{name}.py").read_text(encoding="utf-8")
    return (ast.get_docstring(ast.parse(text)) or "").strip().splitlines()[0]


@cache
def _lines(folder: str) -> dict[str, str]:
    """Names and one-line descriptions in a table's source."""
    source = ast.parse((ROOT / f"{TABLES[folder].replace('.', '/')}.py").read_text(encoding="utf-8"))
    table = next(n.value for n in source.body if isinstance(n, ast.AnnAssign) and ast.unparse(n.target) == "PARTS")
    assert isinstance(table, ast.Dict)
    out = {}
    for key, record in zip(table.keys, table.values, strict=True):
        assert isinstance(key, ast.Constant) and isinstance(record, ast.Call)
        out[str(key.value)] = str(next(ast.literal_eval(k.value) for k in record.keywords if k.arg == "about"))
    return out
