"""`cfq papers`: what is filed of a model that ships, built from data."""

from __future__ import annotations

import importlib.util
import tempfile
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cfq_core.base.errors import BadInput
from cfq_core.commands.options import json_option, one_run, open_store, print_json, store_option

if TYPE_CHECKING:
    from cfq_core.report.papers import Shipped
    from cfq_core.study.store import Store

MODEL = "model.onnx"
LONGEST = 400  # characters of what somebody says


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
    _checked(said)
    from cfq_core.report import papers as engine
    from cfq_core.report import papers_files
    from cfq_core.study.store import readable

    opened = open_store(folder, must_exist=True)
    with readable(opened):
        id = one_run(opened, run)
        shipped = _shipped(opened, id, card)
        today = date.today().isoformat()
        found = engine.papers(opened, engine.stored(opened, id, card), engine.Said(**said, made=today), shipped)
        made = papers_files.files(found)
    output = output or Path(f"papers-{id}")
    papers_files.write(output, made)
    counts = papers_files.counts(found)
    if as_json:
        hashes = {name: engine.sha256(content) for name, content in made.items()}
        told = {"unconfirmed": found.unconfirmed, "verified": found.verified, "not_in_the_study": found.missing}
        print_json({"run": id, "folder": str(output), **counts, **told, "files": hashes})
        return
    click.echo(f"{output}: papers of run {id}: {', '.join(made)}")
    click.echo(
        f"  {counts['denied']} of {counts['test_people']} test people denied; reasons alone {counts['alone']}, "
        f"together {counts['together']}, none {counts['none']}; for reviewers {counts['for_reviewers']}"
    )
    click.echo(f"  verified on {found.verified}")


def _checked(said: dict[str, str]) -> None:
    """Refuse what no paper should carry: text that is no text, a day that is none or has passed."""
    for name, text in said.items():
        if len(text) > LONGEST or not text.isprintable():
            raise BadInput(f"--{name}: at most {LONGEST} characters on one line")
    if not said["expires"]:
        return
    try:
        day = date.fromisoformat(said["expires"])
    except ValueError:
        raise BadInput(f'--expires "{said["expires"]}": a day such as 2030-12-31') from None
    if day.isoformat() != said["expires"]:
        raise BadInput(f'--expires "{said["expires"]}": a day such as 2030-12-31')
    if day < date.today():
        raise BadInput(f"--expires {said['expires']}: has passed")


def _shipped(store: Store, run: str, card: Path | None) -> Shipped | None:
    """The run's exported file at every level at which onnxruntime may run it; None where the extra is missing."""
    if any(importlib.util.find_spec(m) is None for m in ("onnx", "onnxruntime")):
        return None
    from cfq_core.export.parity import LEVELS, computed
    from cfq_core.export.stored import export_student, stored_run
    from cfq_core.models.verify import runtime
    from cfq_core.report.papers import Shipped

    found = stored_run(store, run, card)
    with tempfile.TemporaryDirectory() as held:
        export_student(found, Path(held) / MODEL)
        content = (Path(held) / MODEL).read_bytes()
    encode = found.design.encoding.encode

    def judge(level: str) -> Callable[[Any], Any]:
        run_file = computed(content, level)
        return lambda values: run_file(encode(values))

    told = f"{runtime()['runtime']} at optimisation {', '.join(LEVELS)}"
    return Shipped(MODEL, content, tuple(judge(level) for level in LEVELS), told)


COMMANDS = (papers,)
