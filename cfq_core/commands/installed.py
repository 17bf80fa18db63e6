"""Commands about what is installed: `cfq parts | doctor`."""

from __future__ import annotations

import importlib.util
import os
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path

import click

from cfq_core.base import plugins
from cfq_core.base.errors import BadInput, CfqError
from cfq_core.commands.data import where
from cfq_core.commands.options import json_option, open_store, store_option
from cfq_core.commands.printing import print_json, print_table


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
    """Check that this machine can run a study; exit 1 where something is wrong."""
    checks = [_check(name, test) for name, test in _CHECKS(folder).items()]
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
        "sqlite": lambda: sqlite3.sqlite_version,
        "cores": lambda: str(os.cpu_count()),
        "store": lambda: f"{open_store(folder).folder.resolve()} can be written",
        "data sets": lambda: "; ".join(f"{n}: {where(n)}" for n in plugins.names("datasets")),
        "parts": lambda: "; ".join(f"{len(plugins.load_all(f))} {f}" for f in plugins.FOLDERS),
    }


def _torch() -> str:
    if importlib.util.find_spec("torch") is None:
        raise BadInput("torch is not installed: pip install torch==2.13.0")
    import torch

    return f"{torch.__version__}, one thread a process"


def _check(name: str, test: Callable[[], str]) -> tuple[str, bool, str]:
    try:
        return name, True, test()
    except (CfqError, OSError, ImportError) as problem:
        return name, False, str(problem)


COMMANDS = (parts, doctor)
