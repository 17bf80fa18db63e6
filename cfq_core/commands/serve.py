"""Commands around the dashboard: background studies, the shipped gallery, and the server itself."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from cfq_core.base.errors import BadInput
from cfq_core.base.place import store_place
from cfq_core.base.shipped import shipped
from cfq_core.commands.options import json_option, open_store, print_json, store_option


@click.group("jobs")
def jobs_group() -> None:
    """Studies and audits in the background: list, cancel."""


@jobs_group.command("list")
@store_option
@json_option
def jobs_list(folder: Path | None, as_json: bool) -> None:
    """List the newest background studies and audits with their state."""
    from cfq_core.study import jobs

    found = jobs.recent(store_place(folder))
    if as_json:
        print_json({"jobs": [_plain(j) for j in found]})
    elif not found:
        click.echo(f"no background study in {store_place(folder)}; the dashboard's page Study starts one")
    for j in [] if as_json else found:
        end = j.error or j.study or j.what
        about = ", ".join(j.datasets)
        click.echo(f"{j.id}  {j.state:9}  {j.done} of {j.total}  {j.seconds:6.0f} s  {about}  {end}")


@jobs_group.command("cancel")
@click.argument("id")
@store_option
def jobs_cancel(id: str, folder: Path | None) -> None:
    """End a background study by id, or by the start of one; what it finished stays stored."""
    from cfq_core.study import jobs

    job = jobs.find(store_place(folder), id)
    if not job.live:
        raise BadInput(f"job {job.id} is {job.state} already")
    click.echo(f"{job.id}  {jobs.cancel(job).state}")


def _plain(j: Any) -> dict[str, Any]:
    names = "id kind state done total what study error created started ended given".split()
    return {n: getattr(j, n) for n in names}


@click.group("gallery")
def gallery_group() -> None:
    """Results that are shipped with the project."""


@gallery_group.command("pack")
@click.argument("studies", nargs=-1, required=True)
@click.option("--to", type=click.Path(path_type=Path), help="The gallery's folder [data/gallery].")
@click.option("--methods", help="Only these, comma-separated.")
@click.option("--seeds", type=click.IntRange(1), help="Only the first so many of each study.")
@store_option
def gallery_pack(
    studies: Sequence[str], to: Path | None, methods: str | None, seeds: int | None, folder: Path | None
) -> None:
    """Copy studies into a gallery, without any row of a raw table."""
    from cfq_core.study.gallery import Share, pack

    store = open_store(folder, must_exist=True)
    target = to or shipped("gallery")
    share = Share(tuple(methods.split(",")) if methods else None, seeds)
    for kind, size in pack(store, studies, target, share).items():
        click.echo(f"{kind:16} {size / 1e6:8.2f} MB")


@click.command("dashboard")
@click.option("--port", default=8501, show_default=True, type=click.IntRange(1, 65535))
@click.option("--address", default="127.0.0.1", show_default=True, help="Interface to listen on.")
@click.option("--host", "hosts", multiple=True, help="A name that people open it by; may be repeated.")
@click.option("--base-path", default="", help="Where it stands below the host, behind a proxy: tools/cfq.")
@click.option("--workspaces", is_flag=True, help="Each user has tables, studies and jobs of their own.")
@click.option("--user-header", default="", help="Header in which the proxy says who it is, such as X-Forwarded-User.")
@click.option(
    "--jobs-per-user", type=click.IntRange(1, 256), help="Jobs that run at once in a workspace; others wait [2]."
)
@store_option
def dashboard_command(hosts: Sequence[str], folder: Path | None, **options: Any) -> None:
    """Serve the dashboard, with safe settings whatever the current folder holds."""
    from cfq_core.commands import server

    if importlib.util.find_spec("streamlit") is None:
        raise BadInput("the dashboard is not installed: pip install cfq")
    asked = server.Server(hosts=tuple(hosts), store=store_place(folder), **options)
    variables, told = server.variables(asked, os.environ)
    run = server.command(asked)
    for line in told:
        click.echo(line, err=True)
    os.chdir(server.app_file().parent)  # no settings and no modules of the current folder
    os.execve(run[0], run, variables)


@click.command()
@click.option("--days", default=30.0, show_default=True, type=click.FloatRange(0), help="How long ended jobs stay.")
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@store_option
@json_option
def gc(days: float, dry_run: bool, folder: Path | None, as_json: bool) -> None:
    """Clean a store: half-written files, artifacts that nothing names, jobs long ended. No result is removed."""
    from cfq_core.study import clean
    from cfq_core.study.store import Store

    open_store(folder, must_exist=True)  # refuses where there is none
    store = Store(store_place(folder))
    try:
        found = list(clean.leftovers(store, days))
        for each in [] if dry_run else found:
            clean.remove(each)
    finally:
        store.close()
    if as_json:
        print_json({"removed": not dry_run, "leftovers": [{**vars(f), "path": str(f.path)} for f in found]})
        return
    for each in found:
        click.echo(f"{each.size / 1e6:8.2f} MB  {each.path}: {each.why}")
    click.echo(f"{len(found)} {'would go' if dry_run else 'removed'}, {sum(f.size for f in found) / 1e6:.2f} MB")


COMMANDS = (gc, jobs_group, gallery_group, dashboard_command)
