"""What the commands share: options, the store they name, numbers as typed, tables and JSON as printed."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from cfq_core.base.errors import BadInput, BadPlan, CfqError, UnknownName
from cfq_core.base.place import store_place

store_option = click.option(
    "--store", "folder", type=click.Path(path_type=Path), help="Folder of results [CFQ_STORE, else ./.cfq]."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")

LAYOUTS, OUTPUTS = ["auto", "standardised", "raw", "levels", "named"], ["auto", "logit", "probability", "score"]
#: How a model file is read, as `models.contract` has it.
CONTRACT = (
    ("favourable", str, "Which side of its output is good: high, low, or a class's label [its card's, else high]."),
    ("threshold", float, "The cut, in the output's own units [0.5 of a probability, 0 of a logit]."),
    ("output", click.Choice(OUTPUTS), "What it gives [found]."),
    ("layout", click.Choice(LAYOUTS), "Input columns: one a level, numbers standardised or raw; levels: one a feature; "
     "named: one input a feature [the one under which it ranks the outcomes best]."),
)  # fmt: skip


def contract_options(command: Any) -> Any:
    """How the model file is read (both, where there are two)."""
    return _contract(command, "", "")


def student_options(command: Any) -> Any:
    """How the second file is read where it differs."""
    return _contract(command, "student-", "Of the student, where it differs. ")


def _contract(command: Any, prefix: str, whose: str) -> Any:
    for name, kind, words in reversed(CONTRACT):
        default = {"favourable": "", "threshold": None}.get(name, "auto")
        command = click.option(f"--{prefix}{name}", type=kind, default=default, help=whose + words)(command)
    return command


def open_store(folder: Path | None, must_exist: bool = False) -> Any:
    """The store at its place; one that must exist is opened for reading, else it is made.

    It is closed when the command ends, however it ends.
    """
    from cfq_core.study.store import Store

    found = store_place(folder)
    store = Store.for_reading(found) if must_exist else Store(found)
    if (command := click.get_current_context(silent=True)) is not None:
        command.call_on_close(store.close)
    return store


def one_run(store: Any, id: str) -> str:
    """A run's id; of a study that of its only run."""
    try:
        return str(store.run(id)["id"])
    except UnknownName:
        runs = store.runs(store.study(id)["id"])
    if len(runs) != 1:
        some = ", ".join(f"{r['id']} ({r['method']} at {r['budget']:g} bits, seed {r['seed']})" for r in runs[:3])
        raise BadInput(f'study "{id}" holds {len(runs)} runs; name the one that shipped: {some}, ...')
    return str(runs[0]["id"])


def number(option: str, text: str, of: Callable[[str], Any]) -> Any:
    """An option's number; what is none is BadPlan with the option's name."""
    try:
        return of(text.strip())
    except ValueError:
        kind = "whole numbers" if of is int else "numbers"
        raise BadPlan(f'{option} "{text}": {kind}, separated by commas where several are allowed') from None


def share(option: str, text: str) -> float:
    """A share as typed: 2% or 0.02; what is none, or could be either, is BadInput."""
    plain = text.strip()
    try:
        value = float(plain.removesuffix("%")) / (100 if plain.endswith("%") else 1)
    except ValueError:
        value = -1.0
    if not 0 < value < 1:
        raise BadInput(f'{option} "{text}": a share between 0 and 1, such as 2% or 0.02')
    return value


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Rows below their head, each column as wide as its widest cell; an empty head is left out."""
    cells = [[str(c) for c in row] for row in ([list(head)] if head else []) + [list(r) for r in rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))] if cells else []
    for row in cells:
        click.echo("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip())


def print_json(value: Any) -> None:
    """One line of JSON; a number that is nan is an error, for JSON has none."""
    click.echo(json.dumps(value, allow_nan=False))


def needs(*modules: str, extra: str) -> None:
    """Raise `CfqError` where a module of an extra is not installed."""
    if any(importlib.util.find_spec(m) is None for m in modules):
        raise CfqError(f"the {extra} extra is not installed: pip install 'cfq[{extra}]'")
