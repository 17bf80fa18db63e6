"""Commands about tables: `cfq data list | fetch | check`, and `cfq draft`, a card from a table."""

from __future__ import annotations

from pathlib import Path

import click

from cfq_core.base import plugins
from cfq_core.base.errors import BadInput, UnknownName, unknown
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


@click.command()
@click.argument("table", type=click.Path(path_type=Path))
@click.option("--target", required=True, help="Column with the outcome.")
@click.option("--favourable", multiple=True, help="Cell of it that people hope for; may be given more than once.")
@click.option("-o", "out", type=click.Path(path_type=Path), help="File to write the card to, beside the table.")
@json_option
def draft(table: Path, target: str, favourable: tuple[str, ...], out: Path | None, as_json: bool) -> None:
    """Draft a card from a table as it is: what was found, what only you can answer, and what must be mended."""
    from cfq_core.datasets.card_rows import MAX_CSV
    from cfq_core.datasets.draft import draft as drafted
    from cfq_core.report.files import write_whole

    if not table.is_file():
        raise BadInput(f"{table}: no such file")
    if table.stat().st_size > MAX_CSV:
        raise BadInput(f"{table}: {table.stat().st_size / 1e6:.0f} MB; at most {MAX_CSV / 1e6:g} MB")
    found = drafted(table.read_bytes(), table.name, target, favourable)
    if out is not None:
        if out.resolve().parent != table.resolve().parent:
            raise BadInput(f"{out}: a card stands in its table's folder, {table.resolve().parent}")
        write_whole(out, found.card.encode())
    if as_json:
        print_json({"card": found.card, "questions": [*found.questions], "problems": [*found.problems],
                    "rows": found.rows, "columns": found.columns})  # fmt: skip
        return
    click.echo(f"{table.name}: {found.rows:,} rows, {found.columns} columns", err=True)
    for title, lines in (("To answer", found.questions), ("To mend", found.problems)):
        for line in (f"{title}:", *(f"  {x}" for x in lines)) if lines else ():
            click.echo(line, err=True)
    first = "mend what is listed above, answer its questions" if found.problems else "answer its questions"
    click.echo(found.card if out is None else f"{out}: {first}, then: cfq run --dataset {out}")


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


COMMANDS = (data, draft)
