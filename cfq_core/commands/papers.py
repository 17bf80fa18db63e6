"""`cfq papers`: what is filed of a model that ships, built from data."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cfq_core.commands.options import json_option, one_run, open_store, print_json, store_option

if TYPE_CHECKING:
    from cfq_core.report.papers import Shipped
    from cfq_core.study.store import Store


@click.command()
@click.argument("run")
@click.option("--output", "-o", type=click.Path(path_type=Path), help="Folder for the files [papers-RUN].")
@click.option("--owner", default="", help="Who answers for the model [not stated].")
@click.option("--purpose", default="", help="What it is used for [not stated].")
@click.option("--tier", default="", help="Its tier of risk, in your own words [not stated].")
@click.option("--expires", default="", help="Day on which these papers expire, YYYY-MM-DD [not stated].")
@click.option("--card", type=click.Path(path_type=Path), help="Where the run's card lies now, if it has moved.")
@store_option
@json_option
def papers(run: str, output: Path | None, card: Path | None, folder: Path | None, as_json: bool, **said: str) -> None:
    """Write what is filed of a model: reasons per denied person, inventory, challengers, impact; HTML, JSON and CSV.

    RUN: a run's id, or a study's that holds one run. Reasons are decided anew on the exported file, which is written
    beside them, where the export extra is installed; else on the stored integers.
    """
    from cfq_core.api.filed import checked, papers_of
    from cfq_core.report import papers_files
    from cfq_core.report.papers import sha256
    from cfq_core.study.store import readable

    checked(said, "--")
    opened = open_store(folder, must_exist=True)
    with readable(opened):
        id = one_run(opened, run)
        found = papers_of(opened, id, said, card, _shipped)
        made = papers_files.files(found)
    output = output or Path(f"papers-{id}")
    papers_files.write(output, made)
    counts = papers_files.counts(found)
    if as_json:
        hashes = {name: sha256(content) for name, content in made.items()}
        told = {"unconfirmed": found.unconfirmed, "verified": found.verified, "not_in_the_study": found.missing}
        print_json({"run": id, "folder": str(output), **counts, **told, "files": hashes})
        return
    click.echo(f"{output}: papers of run {id}: {', '.join(made)}")
    click.echo(
        f"  {counts['denied']} of {counts['test_people']} test people denied; reasons alone {counts['alone']}, "
        f"together {counts['together']}, none {counts['none']}; for reviewers {counts['for_reviewers']}"
    )
    click.echo(f"  verified on {found.verified}")


def _shipped(store: Store, run: str, card: Path | None) -> Shipped | None:
    """The run's exported file."""
    from cfq_core.api.filed import shipped

    return shipped(store, run, card)


COMMANDS = (papers,)
