"""Commands about what is installed and stored: `cfq parts | doctor | check-store`."""

from __future__ import annotations

import importlib.util
import os
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path

import click

from cfq_core.base import numerics, plugins
from cfq_core.base.errors import BadInput, BadStore, CfqError
from cfq_core.base.place import store_place
from cfq_core.commands.data import where
from cfq_core.commands.options import json_option, print_json, print_table, store_option


@click.command()
@json_option
def parts(as_json: bool) -> None:
    """List every part there is: data sets, solvers, allocators, methods, metrics, certificates."""
    found = {folder: {n: plugins.summary(folder, n) for n in plugins.names(folder)} for folder in plugins.FOLDERS}
    if as_json:
        print_json(found)
        return
    for folder, members in found.items():
        click.echo(f"\n{folder}")
        print_table([], [["", name, about] for name, about in members.items()])


@click.command()
@store_option
@json_option
def doctor(folder: Path | None, as_json: bool) -> None:
    """Check that this machine can run a study, and a store that is named; exit 1 where something is wrong."""
    checks = [_check(name, test) for name, test in _CHECKS(folder).items()]
    if folder is not None and (folder / "studies.sqlite").exists():
        try:
            wrong, found = _stored(folder)
        except BadStore as problem:
            wrong, found = [str(problem)], ""
        checks += [("stored", False, line) for line in wrong] or [("stored", True, found)]
    if as_json:
        print_json({"checks": [{"name": n, "ok": ok, "found": found} for n, ok, found in checks]})
    else:
        print_table([], [["ok" if ok else "FAIL", name, found] for name, ok, found in checks])
    if not all(ok for _, ok, _ in checks):
        sys.exit(1)


def _CHECKS(folder: Path | None) -> dict[str, Callable[[], str]]:  # noqa: N802  (a table of checks, not a helper)
    return {
        "python": lambda: sys.version.split()[0],
        "torch": _torch,
        "numerics": _numerics,
        "sqlite": lambda: sqlite3.sqlite_version,
        "cores": lambda: str(os.cpu_count()),
        "store": lambda: _writable(store_place(folder)),
        "data sets": lambda: "; ".join(f"{n}: {where(n)}" for n in plugins.names("datasets")),
        "parts": lambda: "; ".join(f"{len(plugins.load_all(f))} {f}" for f in plugins.FOLDERS),
    }


@click.command("check-store")
@click.argument("folder", type=click.Path(path_type=Path))
@json_option
def check_store_command(folder: Path, as_json: bool) -> None:
    """Check everything in a store: files and their sha256, runs, measures. Writes nothing; exit 1 if any is wrong."""
    wrong, found = _stored(folder)
    if as_json:
        print_json({"store": str(folder), "found": found, "problems": wrong})
    else:
        click.echo("\n".join([*wrong, found]))
    if wrong:
        sys.exit(1)


def _stored(folder: Path) -> tuple[list[str], str]:
    """A line for everything that is wrong in a store, and what stands in it; raises `BadStore` where it is none."""
    from cfq_core.study.verify import check_store

    c = check_store(folder)
    end = f"{len(c.problems)} things are wrong" if c.problems else "all as it was written"
    size = f"{c.files} files ({c.bytes / 1e6:.1f} MB)"
    return c.problems, f"{folder}: {c.studies} studies, {c.runs} runs, {c.teachers} teachers, {size}: {end}"


def _writable(folder: Path) -> str:
    """Says that a store can be written; nothing is. Raises `BadInput`."""
    made = next(p for p in (folder.resolve(), *folder.resolve().parents) if p.exists())
    if not made.is_dir():
        raise BadInput(f"{made}: a file; a store is a folder")
    if not os.access(made, os.W_OK | os.X_OK):
        raise BadInput(f"{made}: cannot be written")
    return f"{folder.resolve()} can be written"


def _torch() -> str:
    if importlib.util.find_spec("torch") is None:
        raise BadInput("torch is not installed: pip install torch==2.13.0")
    import torch

    return f"{torch.__version__}, one thread a process"


def _numerics() -> str:
    if problem := numerics.warning():
        raise BadInput(problem)
    return numerics.tag()


def _check(name: str, test: Callable[[], str]) -> tuple[str, bool, str]:
    try:
        return name, True, test()
    except (CfqError, OSError, ImportError) as problem:
        return name, False, str(problem)


COMMANDS = (parts, doctor, check_store_command)
