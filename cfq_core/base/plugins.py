"""Parts by name: a folder with one file an algorithm, or a table with one line a record.

In a folder the file name is the name and the file ends in ``PLUGIN = ...``; in a table the keys of ``PARTS`` are the
names and ``about=`` is what a list says. Nothing is registered anywhere else, so to add a part is to add one file or
one line. Listing reads the source only, and so do traits of records; a part is imported when it is asked for.
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
        return tuple(sorted(_records(folder)))
    where, ending = place(folder)
    files = sorted((ROOT / where).glob("*.py"))
    return tuple(f.stem for f in files if any(s.startswith(f"{ending} = ") for s in f.read_text().splitlines()))


def load(folder: str, name: str) -> Any:
    """The part called ``name``; raises `UnknownName` with the names there are."""
    if folder not in FOLDERS:
        raise UnknownName(unknown("kind of part", folder, FOLDERS))
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
        return str(trait(folder, name, "about"))
    text = (ROOT / place(folder)[0] / f"{name}.py").read_text(encoding="utf-8")
    return (ast.get_docstring(ast.parse(text)) or "").strip().splitlines()[0]


def trait(folder: str, name: str, of: str) -> Any:
    """A plain fact of a table's record, for example "trained" of a method, read without importing it.

    It is a literal among the record's keywords, or in the body of its class, or of the class of one of its parts; the
    outermost counts. None where nothing says it, and for a name that this version does not know.
    """
    record = _records(folder).get(name)
    classes = {a.name: n.module for n in _source(TABLES[folder]).body if isinstance(n, ast.ImportFrom) for a in n.names}
    for call in ast.walk(record) if record else ():
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name):
            literals = {k.arg: k.value.value for k in call.keywords if isinstance(k.value, ast.Constant)}
            if module := classes.get(call.func.id):
                literals = _class_literals(module.removeprefix("cfq_core."), call.func.id) | literals
            if of in literals:
                return literals[of]
    return None


@cache
def _source(module: str) -> ast.Module:
    return ast.parse((ROOT / f"{module.replace('.', '/')}.py").read_text(encoding="utf-8"))


@cache
def _records(folder: str) -> dict[str, ast.Call]:
    """Names and records in a table's source."""
    body = _source(TABLES[folder]).body
    table = next(n.value for n in body if isinstance(n, ast.AnnAssign) and ast.unparse(n.target) == "PARTS")
    assert isinstance(table, ast.Dict)
    return {str(k.value): r for k, r in zip(table.keys, table.values, strict=True)
            if isinstance(k, ast.Constant) and isinstance(r, ast.Call)}  # fmt: skip


@cache
def _class_literals(module: str, name: str) -> dict[str | None, Any]:
    """Class attributes without a type, so no fields, whose value stands there."""
    found = [n for n in _source(module).body if isinstance(n, ast.ClassDef) and n.name == name]
    lines = [n for n in (found[0].body if found else ()) if isinstance(n, ast.Assign)]
    return {t.id: n.value.value for n in lines for t in n.targets
            if isinstance(t, ast.Name) and isinstance(n.value, ast.Constant)}  # fmt: skip
