"""Commands about data sets: `cfq data list | fetch | check`."""

from __future__ import annotations

import click

from cfq_core.base import plugins
from cfq_core.base.errors import UnknownName, unknown
from cfq_core.commands.options import json_option, print_json, print_table


@click.group()
def data() -> None:
    """Data sets: list, fetch, check."""


@data.command("list")
@json_option
def data_list(as_json: bool) -> None:
    """Which data sets there are, and where their files lie."""
    found = [{"name": n, "about": plugins.summary("datasets", n), "where": where(n)} for n in plugins.names("datasets")]
    if as_json:
        print_json({"datasets": found})
    else:
        print_table(["data set", "where", "about"], [[d["name"], d["where"], d["about"]] for d in found])


@data.command("fetch")
@click.argument("name")
def data_fetch(name: str) -> None:
    """Download a data set's files and check their sha256."""
    from cfq_core.datasets.fetch import FILES, fetch

    _known_dataset(name)
    for file in FILES.get(name, ()):
        click.echo(f"{fetch(file)}: sha256 as published")
    if name not in FILES:
        click.echo(f"{name}: embedded, nothing to fetch")


@data.command("check")
@click.argument("name", required=False)
def data_check(name: str | None) -> None:
    """Check the files that are on disk against their published sha256."""
    from cfq_core.datasets.fetch import FILES, checked, on_disk

    if name:
        _known_dataset(name)
    if name and name not in FILES:
        click.echo(f"{name}: embedded, nothing to check")
    for dataset, files in FILES.items():
        for file in files if name in (None, dataset) else ():
            path = on_disk(file)
            click.echo(
                f"{dataset}: {file.name}: " + (f"{checked(path, file)}: sha256 as published" if path else "not on disk")
            )


def _known_dataset(name: str) -> None:
    if name not in plugins.names("datasets"):
        raise UnknownName(unknown("data set", name, plugins.names("datasets")))


def where(name: str) -> str:
    """Where a data set's files lie, or how to get them."""
    from cfq_core.datasets.fetch import FILES, on_disk

    if name not in FILES:
        return "embedded"
    found = [on_disk(f) for f in FILES[name]]
    return str(found[0].parent) if found and all(found) and found[0] else f"not on disk (cfq data fetch {name})"


COMMANDS = (data,)
