"""Parts of the documentation that a program writes while the site is built, so that none can be out of date.

A page holds ``<!-- generated: NAME -->``; what `WRITERS` makes of that name takes its place.
"""

from __future__ import annotations

import dataclasses
import re
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

from cfq_core.base import plugins

ROOT = Path(__file__).parents[1]
MARK = re.compile(r"<!-- generated: (\w+) -->")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Called by mkdocs for every page."""
    return MARK.sub(lambda m: WRITERS[m[1]](), markdown)


def commands() -> str:
    """Every command with its options, from the command line itself."""
    from cfq_core.cli import cli

    return "\n".join(line for name in sorted(cli.commands) for line in _command(f"cfq {name}", cli.commands[name]))


def _command(name: str, command: click.Command) -> Iterator[str]:
    if isinstance(command, click.Group):
        for inner in sorted(command.commands):
            yield from _command(f"{name} {inner}", command.commands[inner])
        return
    given = [p for p in command.params if isinstance(p, click.Argument)]
    arguments = " ".join(str(p.human_readable_name) if p.required else f"[{p.human_readable_name}]" for p in given)
    options = [p for p in command.params if isinstance(p, click.Option) and not p.hidden]
    yield from (f"## {name}", "", f"`{name} {arguments}`".replace(" `", "`"), "", command.help or "", "")
    if options:
        yield from ("| option | |", "|---|---|")
        for option in options:
            usual = option.default if option.show_default and not option.is_flag else None
            told = f"{option.help or ''}{f' Default: {usual}.' if usual not in (None, '') else ''}"
            kind = f" {option.make_metavar(click.Context(command))}" if not option.is_flag else ""
            yield f"| `{', '.join(option.opts)}{kind}` | {_cell(told)} |"
        yield ""


def card_keys() -> str:
    """The keys of a card with kinds and defaults, as its reader has them."""
    from cfq_core.datasets.card import Card
    from cfq_core.tables.schema import Feature

    return f"### Of the table\n\n{_fields(Card)}\n\n### Of each feature\n\n{_fields(Feature)}"


def _fields(record: Any) -> str:
    hints = typing.get_type_hints(record)
    lines = ["| key | kind | default |", "|---|---|---|"]
    for field in dataclasses.fields(record):
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        usual = "required" if required else "" if field.default is dataclasses.MISSING else repr(field.default)
        lines.append(f"| `{field.name}` | {_cell(_kind(hints[field.name]))} | {_cell(f'`{usual}`' if usual else '')} |")
    return "\n".join(lines)


def _kind(hint: Any) -> str:
    names = {str: "text", bool: "true or false", float: "number", int: "whole number"}
    if hint in names:
        return names[hint]
    if typing.get_origin(hint) is typing.Literal:
        return " or ".join(map(str, typing.get_args(hint)))
    if typing.get_origin(hint) is tuple:
        return f"list of {_kind(typing.get_args(hint)[0])}"
    inner = [h for h in typing.get_args(hint) if h is not type(None)]
    if inner and len(inner) < len(typing.get_args(hint)):
        return _kind(inner[0])
    return {"Prose": "text of several lines", "Mark": "one character", "Cells": "cell, or list of cells"}.get(
        getattr(hint, "__name__", ""), getattr(hint, "__name__", str(hint)).lower()
    )


def template() -> str:
    """The card that explains every key."""
    return f"```toml\n{(ROOT / 'data' / 'cards' / 'template.toml').read_text(encoding='utf-8').rstrip()}\n```"


def plan_keys() -> str:
    """What a plan may say, and which of its keys take several values."""
    from cfq_core.study import plan

    example = re.search(r"(?ms)^(datasets = .*?|name = .*?)(?=\Z)", plan.__doc__ or "")
    several = ", ".join(f"`{k}`" for k in plan.LISTABLE)
    keys = ", ".join(f"`{k}`" for k in plan.READERS)
    shown = (example[0] if example else "").rstrip()
    return f"```toml\n{shown}\n```\n\nKeys: {keys}. A list makes a study over several settings: {several}."


def parts() -> str:
    """Methods, solvers, data sets and probes there are, in one line each."""
    titles = {"methods": "Methods", "datasets": "Data sets", "recourse": "Recourse solvers", "probes": "Probes"}
    out = []
    for kind, title in titles.items():
        out += [f"### {title}", "", "| name | |", "|---|---|"]
        out += [f"| `{n}` | {_cell(plugins.summary(kind, n))} |" for n in plugins.names(kind)]
        out.append("")
    return "\n".join(out)


def measures() -> str:
    """What is measured of every student."""
    from cfq_core.report import fmt

    rows = [(n, fmt.measured(n)) for n in plugins.names("metrics")]
    lines = [f"| `{n}` | {_cell(m.title)} | {m.unit} | {m.better} |" for n, m in rows]
    return "\n".join(["| measure | | unit | better |", "|---|---|---|---|", *lines])


def pictures() -> str:
    """Names that `Study.plot` takes."""
    from cfq_core.report import picture

    return ", ".join(f"`{n}`" for n in picture.names())


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


WRITERS: dict[str, Callable[[], str]] = {
    f.__name__: f for f in (commands, card_keys, template, plan_keys, parts, measures, pictures)
}
