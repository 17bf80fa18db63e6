"""Commands that read or write files: `cfq report | export | certify | verify | audit | check | watch`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import click

import cfq_core.models as models_folder
from cfq_core.base.errors import BadInput, CfqError
from cfq_core.commands.options import (
    contract_options,
    json_option,
    needs,
    number,
    one_run,
    open_store,
    print_json,
    store_option,
    student_options,
)

#: Runs by itself, also where nothing of this package is installed.
VERIFY = Path(models_folder.__file__).parent / "verify.py"
VERIFY_PROMISES = VERIFY.with_name("verify_promises.py")
VERIFYING = 300  # seconds
ALARM = 3  # exit code of cfq watch


@click.command()
@click.argument("study", default="latest")
@click.option("--html", "path", required=True, type=click.Path(path_type=Path), help="File to write the report to.")
@store_option
@json_option
def report(study: str, path: Path, folder: Path | None, as_json: bool) -> None:
    """Write a study as one HTML file that needs no network: verdicts, pictures with their tables, groups, limits."""
    from cfq_core.report import files, html
    from cfq_core.report.frames import Stored
    from cfq_core.study.store import readable

    store = open_store(folder, must_exist=True)
    row = store.study(study)
    if not row["finished"]:
        raise BadInput(
            f'study "{row["id"]}": none of its {row["runs"]} runs is finished, so there is nothing to report'
        )
    with readable(store):
        content = html.page(Stored(str(store.folder), row["id"], row["finished"])).encode()
    files.write_whole(path, content)
    if as_json:
        print_json({"study": row["id"], "path": str(path), "bytes": len(content)})
    else:
        click.echo(f"{path}: {row['name']} (study {row['id']}), {len(content)} bytes")


@click.command()
@click.argument("run")
@click.option("--onnx", "path", required=True, type=click.Path(path_type=Path), help="File to write the student to.")
@click.option("--teacher", "teacher", type=click.Path(path_type=Path), help="Write its FP32 teacher to this file too.")
@click.option(
    "--form",
    default="auto",
    show_default=True,
    type=click.Choice(["auto", "standard", "exact"]),
    help="standard: float32, as compilers fuse it; exact: float64, as audited; auto: standard where it decides alike.",
)
@click.option("--opset", type=int, help="ONNX operator set, 13 to 25 [the lowest that has the containers: 21].")
@click.option(
    "--containers",
    type=click.Choice(["int8", "int4", "native"]),
    help="Narrowest type of the weights; native: 2 bits in INT2, opset 25 [int4; int8 below opset 21].",
)
@click.option(
    "--inputs",
    default="encoded",
    show_default=True,
    type=click.Choice(["encoded", "raw"]),
    help="raw: one named column a feature in its own units and words; the encoding is inside the file.",
)
@click.option("--card", type=click.Path(path_type=Path), help="Where the run's card lies now, if it has moved.")
@store_option
@json_option
def export(
    run: str, path: Path, teacher: Path | None, form: Any, folder: Path | None, as_json: bool, **options: Any
) -> None:
    """Write a run as ONNX; the file stays only if onnxruntime decides everybody as the audited model does.

    It carries 32 made-up people with the decisions that are due: cfq verify FILE runs them where it is deployed.
    """
    needs("onnx", "onnxruntime", extra="export")
    from cfq_core.export.stored import export_student, export_teacher, stored_run
    from cfq_core.models.target import target_of
    from cfq_core.study.store import readable

    target = target_of(options["opset"], options["containers"], options["inputs"])
    form, store = None if form == "auto" else form, open_store(folder, must_exist=True)
    with readable(store):
        found = stored_run(store, run, options["card"])
        written = [export_student(found, path, form, target)]
        written += [export_teacher(found, teacher, form, target)] if teacher else []
    _log(store.folder, found.row["id"], [e.path for e in written])
    if as_json:
        print_json({"run": found.row["id"], "files": [e.as_json() for e in written]})
    else:
        for e in written:
            click.echo(e.words)


@click.command()
@click.argument("run")
@click.option(
    "--output", "-o", "path", required=True, type=click.Path(path_type=Path), help="File of promises (.jsonl)."
)
@click.option("--student", type=click.Path(path_type=Path), help="The file that ships [OUTPUT's name.student.onnx].")
@click.option("--teacher", type=click.Path(path_type=Path), help="The FP32 file [OUTPUT's name.teacher.onnx].")
@click.option("--cells", default=256, show_default=True, type=click.IntRange(1, 4096), help="Most cells of a box.")
@click.option("--card", type=click.Path(path_type=Path), help="Where the run's card lies now, if it has moved.")
@store_option
@json_option
def certify(
    run: str, path: Path, student: Path | None, teacher: Path | None, cells: int, card: Path | None,
    folder: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Write each promise with a box in which both files approve everybody: cfq verify OUTPUT FILE.onnx checks it anew.

    Files that are not there are exported; files that are there must be this run's, with encoded inputs.
    """
    needs("onnx", "onnxruntime", extra="export")
    from cfq_core.export.certify import certify as certified
    from cfq_core.export.stored import stored_run
    from cfq_core.study.store import readable

    store = open_store(folder, must_exist=True)
    files = {"student": student, "teacher": teacher}
    named = {role: file or path.with_suffix(f".{role}.onnx") for role, file in files.items()}
    with readable(store):
        found = stored_run(store, run, card)
    written = certified(store, found, path, named, cells)
    _log(store.folder, found.row["id"], [path, *named.values()])
    if as_json:
        print_json(written.as_json())
    else:
        click.echo(written.words)


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("models", nargs=-1, type=click.Path(path_type=Path))
@json_option
def verify(file: Path, models: tuple[Path, ...], as_json: bool) -> None:
    """Run the people an exported file carries: does it decide here as it was audited? Exit 1 where it does not.

    Of promises (cfq certify): cfq verify PROMISES.jsonl FILE.onnx [FILE.onnx] runs every cell of every box on them.
    """
    needs("onnxruntime", extra="export")
    if file.suffix == ".jsonl" and not models:
        raise BadInput(f"{file}: promises are checked against a model: cfq verify {file} FILE.onnx")
    program = VERIFY_PROMISES if models else VERIFY
    command = [sys.executable, "-P", str(program), *map(str, (file, *models)), *(["--json"] if as_json else [])]
    try:
        ran = subprocess.run(command, capture_output=True, text=True, timeout=None if models else VERIFYING)
    except subprocess.TimeoutExpired:
        raise BadInput(f"{file}: takes longer than {VERIFYING} s for 32 people; refused") from None
    if models and ran.returncode == 1 and not ran.stdout:
        raise CfqError(ran.stderr.strip())
    if ran.returncode not in (0, 1) or not ran.stdout:
        raise BadInput(ran.stderr.strip() or f"{file}: crashed the runtime")
    click.echo(ran.stdout.rstrip())
    if ran.returncode:
        raise click.exceptions.Exit(1)


@click.command()
@click.option("--card", required=True, type=click.Path(path_type=Path), help="Card (.toml) of the table to audit on.")
@click.option("--teacher", required=True, type=click.Path(path_type=Path), help="ONNX file that promises.")
@click.option("--student", required=True, type=click.Path(path_type=Path), help="ONNX file that is deployed.")
@click.option("--kappa", type=click.FloatRange(0, 100), help="The promise's margin, in logits [the files', else 0.2].")
@click.option("--people", default="2000", show_default=True, help="Refused people who ask, or all.")
@click.option("--regime", default="default", show_default=True, help="Action regime: any, immutable, default, strict.")
@click.option("--rows", type=click.Choice(["test", "all"]), help="Whom to judge [the files' own test rows, else all].")
@contract_options
@student_options
@click.option(
    "--stream",
    "large",
    type=click.Path(path_type=Path),
    help="Of this CSV or Parquet file of any size: decisions, flips and groups of every row, recourse of --people.",
)
@click.option(
    "--workers", default=0, type=click.IntRange(0, 256), help="Processes that count --stream; 0 works in this one [0]."
)
@click.option("--scheduler", help="Address of a Dask scheduler, tcp://HOST:PORT, whose workers count --stream.")
@click.option("--html", "page", type=click.Path(path_type=Path), help="Write a report to this file too.")
@click.option("--csv", "table", type=click.Path(path_type=Path), help="Write what each person was told to this file.")
@click.option(
    "--store",
    "folder",
    type=click.Path(path_type=Path),
    envvar="CFQ_STORE",
    help="Keep it as a study in this folder of results, for the dashboard [CFQ_STORE, else nowhere].",
)
@json_option
def audit(
    card: Path,
    teacher: Path,
    student: Path,
    large: Path | None,
    workers: int,
    scheduler: str | None,
    page: Path | None,
    table: Path | None,
    folder: Path | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Audit any pair of ONNX files on a table: does the student keep what the teacher promises?"""
    needs("onnx", "onnxruntime", extra="export")
    from cfq_core.base import cells, logbook
    from cfq_core.datasets.card import read_card
    from cfq_core.export import audit_text, pairs, people
    from cfq_core.export.audit import AuditOptions, audit_pair
    from cfq_core.models.read import read_model
    from cfq_core.report import pair

    options["people"] = None if options["people"] == "all" else number("--people", options["people"], int)
    files = read_model(teacher), read_model(student)
    rows = _counted(large, workers, scheduler, card, files, AuditOptions(**options))
    found = audit_pair(read_card(card), *files, AuditOptions(**options))
    kept = {"study": pairs.keep_of(folder, str(card.absolute()), found), "store": str(folder)} if folder else {}
    if folder:
        logbook.append(folder, logbook.AUDIT, ids={"study": kept["study"]},
                       files={f.name: f.sha256 for f in files} | logbook.sha256_of([card]))  # fmt: skip
    if page:
        from cfq_core.api.audits import report_of

        _write(page, report_of(found, str(card.absolute())))
    if table:
        _write(table, cells.csv(pair.frame(people.results(found))).decode())
    if as_json:
        print_json(audit_text.as_json(found) | kept | ({"stream": rows.as_json()} if rows else {}))
    else:
        click.echo(audit_text.text(found))
        if rows:
            click.echo(rows.words)
        if kept:
            click.echo(f"kept in {folder} as study {kept['study']}: cfq dashboard --store {folder} opens it")


@click.command()
@click.option("--action", required=True, type=click.Path(path_type=Path), help="CSV: state (before, after), features.")
@click.option("--study", default="latest", show_default=True, help="Whose models judge: an id, or the start of one.")
@click.option("--dataset", help="Which of the study's data sets, where it has several.")
@store_option
@json_option
def check(action: Path, study: str, dataset: str | None, folder: Path | None, as_json: bool) -> None:
    """Test advice from any source: legal under the card, its cost, and on which stored models and bits it holds."""
    from dataclasses import asdict

    from cfq_core.study.check import check as checked
    from cfq_core.study.check import judges_of, read_advice
    from cfq_core.study.store import readable

    store = open_store(folder, must_exist=True)
    with readable(store):
        judges = judges_of(store, study, dataset)
    verdicts = checked(read_advice(action, judges[0].design.table.schema), judges)
    if as_json:
        advice = [
            {**asdict(v), "legal": v.legal, "models": [{**asdict(m), "approved": m.approved} for m in v.models]}
            for v in verdicts
        ]
        print_json({"study": store.study(study)["id"], "advice": advice})
        return
    for line in judges[0].design.table.warnings:
        click.echo(f"note: {line}", err=True)
    for v in verdicts:
        click.echo(f"\nperson {v.person}: {'; '.join(v.changes) or 'nothing changes'}")
        click.echo("  legal" if v.legal else "  NOT legal: " + "; ".join(v.objections))
        click.echo(f"  cost {v.cost:.2f}")
        kinds = dict.fromkeys((m.method, m.bits) for m in v.models)
        for method, bits in kinds:
            mine = [m for m in v.models if (m.method, m.bits) == (method, bits)]
            yes, least = sum(m.approved for m in mine), min(m.logit for m in mine)
            name = method if method == "teacher" else f"{method} at {bits:g} bits"
            seeds = f"{len(mine)} seed{'s' if len(mine) > 1 else ''}"
            click.echo(f"  {name}: approved by {yes} of {seeds}, least logit {least:+.3f}")


@click.command()
@click.argument("run")
@click.option("--data", required=True, type=click.Path(path_type=Path), help="CSV of new people; no outcome is needed.")
@click.option("--running", type=click.Path(path_type=Path), help="The file that runs now [the stored integers].")
@click.option("--people", default=500, show_default=True, type=click.IntRange(1), help="Refused newcomers who ask.")
@click.option("--card", type=click.Path(path_type=Path), help="Where the run's card lies now, if it has moved.")
@store_option
@json_option
def watch(
    run: str, data: Path, running: Path | None, people: int, card: Path | None, folder: Path | None, as_json: bool
) -> None:
    """Since it shipped: are promises still kept, on new people and on those who came back? Exit 3 at an alarm.

    RUN: a run's id, or a study's that holds one run. Over all looks together a false alarm has a chance of at most 5 %.
    """
    needs("onnx", "onnxruntime", extra="export")
    from cfq_core.export.stored import stored_run
    from cfq_core.export.watch import watch as watched
    from cfq_core.study.store import readable

    store = open_store(folder, must_exist=True)
    with readable(store):
        found = watched(store, stored_run(store, one_run(store, run), card), data, running, people)
    if as_json:
        print_json(found.as_json())
    else:
        click.echo(found.words)
    if found.look.alarm:
        raise click.exceptions.Exit(ALARM)


def _counted(large: Path | None, workers: int, scheduler: str | None, card: Path, files: Any, question: Any) -> Any:
    from cfq_core.export.stream import stream
    from cfq_core.study.executors import workers_or_cluster

    if not large:
        if workers or scheduler is not None:
            raise BadInput("--workers and --scheduler count the rows of --stream FILE, which is not given")
        return None
    with workers_or_cluster(workers, scheduler) as executor:
        told = lambda line: click.echo(f"note: {line}", err=True)  # noqa: E731
        return stream(large, card, files[0], files[1], question, executor=executor, told=told)


def _log(store: Path, run: str, files: list[Path]) -> None:
    """Write what was handed out to the log; a store that cannot be written to is told, and refuses no export."""
    from cfq_core.base import logbook
    from cfq_core.base.identity import file_sha256

    try:
        logbook.append(store, logbook.EXPORT, ids={"run": run}, files={f.name: file_sha256(f) for f in files})
    except CfqError as problem:
        click.echo(f"note: not in the log of {store} ({problem.line()})", err=True)


def _write(path: Path, content: str) -> None:
    from cfq_core.report import files

    files.write_whole(path, content.encode())


COMMANDS = (report, export, certify, verify, audit, check, watch)
