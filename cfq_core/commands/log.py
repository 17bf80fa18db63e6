"""`cfq log`: who audited or ran which file when, as the store's log has it."""

from __future__ import annotations

import json
from pathlib import Path

import click

from cfq_core.base import logbook
from cfq_core.base.errors import CfqError
from cfq_core.base.place import store_place
from cfq_core.commands.options import json_option, print_json, store_option


@click.command("log")
@click.option("--csv", "table", type=click.Path(path_type=Path), help="Write the events to this file.")
@click.option("--verify", is_flag=True, help="Check that no event was changed, removed or moved; exit 1 where one was.")
@store_option
@json_option
def log(table: Path | None, verify: bool, folder: Path | None, as_json: bool) -> None:
    """Who audited or ran which file when, the oldest first."""
    store = store_place(folder)
    events = logbook.events(store)
    if table:
        _export(table, events)
    if verify:
        if found := logbook.problems(store):
            raise CfqError(f"{store / logbook.FILE}: {'; '.join(found[:5])}{'; ...' if len(found) > 5 else ''}")
        from cfq_core.report.fmt import counted

        said = counted(len(events), "event")
        click.echo(f"{said}, none changed, removed or moved; sha256 of the last {logbook.digest(store)}")
    elif as_json:
        print_json({"store": str(store), "events": events})
    elif not table:
        for e in events:
            files = [f"{name} {sha256[:12]}" for name, sha256 in e["files"].items()]
            words = [e["at"][:19], e["user"], e["action"], *(f"{k} {v}" for k, v in e["ids"].items()), *files]
            click.echo("  ".join(json.dumps(w)[1:-1] for w in words))


def _export(table: Path, events: list[dict[str, object]]) -> None:
    import pandas as pd

    from cfq_core.base import cells
    from cfq_core.report.files import write_whole

    columns = ["n", "at", "user", "action", "ids", "files", "before"]
    rows = [{k: json.dumps(e[k]) if isinstance(e[k], dict) else e[k] for k in columns} for e in events]
    write_whole(table, cells.csv(pd.DataFrame(rows, columns=columns)))


COMMANDS = (log,)
