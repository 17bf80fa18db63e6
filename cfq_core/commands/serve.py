"""Commands around the dashboard: background studies, the shipped gallery, and the server itself."""

from __future__ import annotations

import importlib.util
import os
import sys
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
        end = j.error or j.study or j.audit or j.what
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
    names = "id kind state done total what study audit error created started ended given".split()
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
@store_option
def dashboard_command(port: int, address: str, folder: Path | None) -> None:
    """Serve the dashboard."""
    found = importlib.util.find_spec("dashboard")
    if found is None or not found.submodule_search_locations or importlib.util.find_spec("streamlit") is None:
        raise BadInput("the dashboard is not installed: pip install cfq")
    app = Path(found.submodule_search_locations[0]) / "app.py"
    if folder:
        os.environ["CFQ_STORE"] = str(folder.resolve())
    if not Path(".streamlit/config.toml").is_file():  # installed: the safe settings lie beside the app
        os.environ.update(_settings(app.parent / "settings.toml"))
    server = ["--server.port", str(port), "--server.address", address]
    os.execv(sys.executable, [sys.executable, "-m", "streamlit", "run", str(app), *server])


def _settings(file: Path) -> dict[str, str]:
    """Streamlit's settings as environment variables, for where no ``.streamlit/`` is at hand."""
    import json
    import tomllib

    out = {}
    for section, values in tomllib.loads(file.read_text()).items():
        for key, value in values.items():
            words = "".join(f"_{c}" if c.isupper() else c for c in key).upper()
            if not isinstance(value, dict):
                out[f"STREAMLIT_{section.upper()}_{words}"] = value if isinstance(value, str) else json.dumps(value)
    return out


COMMANDS = (jobs_group, gallery_group, dashboard_command)
