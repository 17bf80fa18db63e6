"""The command line: `cfq run | study | ls | show | report | data | export | audit | parts | doctor`; parses and prints.

Exit code 0; or one line on stderr and 2 for bad input, 1 for a failure.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sqlite3
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import click
from tqdm import tqdm

from cfq_core import __version__
from cfq_core.base import plugins
from cfq_core.base.errors import BadInput, BadPlan, CfqError, UnknownName, unknown
from cfq_core.base.memory import collect_seldom
from cfq_core.commands import COMMANDS

DEFAULT_STORE = ".cfq"

store_option = click.option(
    "--store", "folder", type=click.Path(path_type=Path), help="Folder of results [CFQ_STORE, else ./.cfq]."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
workers_option = click.option(
    "--workers",
    type=click.IntRange(0, 256),
    help="Processes; 0 works in this one [one a core for large tables, else 0].",
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="cfq")
def cli() -> None:
    """Does the recourse we promised survive at b bits?"""


@cli.command()
@click.option("--dataset", required=True, help="A name, a slice (compas:age!=under 25), or the path of a card (.toml).")
@click.option("--methods", default="ptq", show_default=True, help="Names, comma-separated, or all.")
@click.option("--bits", default="2,3,4,8", show_default=True, help="Budgets: average bits per weight.")
@click.option("--seeds", default="5", show_default=True, help="How many seeds.")
@click.option("--hidden", default="64,64,32", show_default=True, help="Widths of the hidden layers.")
@click.option("--kappa", default=0.2, show_default=True, help="The promise's margin, in logits.")
@click.option("--people", default="2000", show_default=True, help="Denied test people a seed, or all.")
@click.option("--regime", default="default", show_default=True, help="Action regime: any, immutable, default, strict.")
@click.option("--recourse", default="search", show_default=True, help="Recourse solver.")
@click.option("--name", default="", help="A name for the study.")
@workers_option
@store_option
@json_option
def run(workers: int | None, folder: Path | None, as_json: bool, **options: Any) -> None:
    """Train teachers, promise recourse, quantize, and see what survives."""
    given = {
        "datasets": [options["dataset"]],
        "methods": options["methods"].split(","),
        "bits": _numbers("--bits", options["bits"], float),
        "seeds": _one("--seeds", options["seeds"], int),
        "hidden": _numbers("--hidden", options["hidden"], int),
        "kappa": options["kappa"],
        "people": "all" if options["people"] == "all" else _one("--people", options["people"], int),
        "regime": options["regime"],
        "recourse": options["recourse"],
        "name": options["name"],
    }
    if workers is None and _is_long(given):
        from cfq_core.study.workers import start_server

        start_server()  # imports torch while this process does
    from cfq_core.study.plan import read_plan

    _run(read_plan(given, "command line"), workers, folder, as_json)


@cli.command()
@click.argument("plan", type=click.Path(path_type=Path))
@workers_option
@click.option("--scheduler", help="Address of a Dask scheduler, tcp://HOST:PORT, instead of local processes.")
@store_option
@json_option
def study(plan: Path, workers: int | None, scheduler: str | None, folder: Path | None, as_json: bool) -> None:
    """Run a plan (TOML); what is stored is not run again."""
    from cfq_core.study.plan import read_plan_file

    _run(read_plan_file(plan), workers, folder, as_json, scheduler)


@cli.command("ls")
@store_option
@json_option
def ls(folder: Path | None, as_json: bool) -> None:
    """List the stored studies, newest first."""
    from cfq_core.study.store import readable

    store = _store(folder, must_exist=True)
    with readable(store):
        studies = store.studies()
    if as_json:
        columns = ("id", "name", "created", "runs", "finished")
        _print_json({"store": str(store.folder), "studies": [{c: s[c] for c in columns} for s in studies]})
    elif not studies:
        click.echo(f"no study in {store.folder}; make one with: cfq run --dataset diabetes")
    else:
        rows = [
            [s["id"], f"{s['finished']} of {s['runs']}", s["created"][:16].replace("T", " "), s["name"]]
            for s in studies
        ]
        _table(["study", "runs", "created (UTC)", "name"], rows)


@cli.command()
@click.argument("study", default="latest")
@click.option("--markdown", is_flag=True, help="Print tables in Markdown, with the exact allocations.")
@store_option
@json_option
def show(study: str, markdown: bool, folder: Path | None, as_json: bool) -> None:
    """Show a study's answer: by id, by the start of one, or the latest."""
    from cfq_core.study.store import readable
    from cfq_core.study.summary import as_markdown

    store = _store(folder, must_exist=True)
    with readable(store):
        found = store.study(study)["id"]
        if markdown:
            click.echo(as_markdown(store, found))
        else:
            _show(store, found, as_json)


@cli.command()
@click.argument("study", default="latest")
@click.option("--html", "path", required=True, type=click.Path(path_type=Path), help="File to write the report to.")
@store_option
@json_option
def report(study: str, path: Path, folder: Path | None, as_json: bool) -> None:
    """Write a study as one HTML file that needs no network: verdicts, pictures with their tables, groups, limits."""
    from cfq_core.report import files, html
    from cfq_core.report.frames import Stored

    store = _store(folder, must_exist=True)
    row = store.study(study)
    if not row["finished"]:
        raise BadInput(
            f'study "{row["id"]}": none of its {row["runs"]} runs is finished, so there is nothing to report'
        )
    content = html.page(Stored(str(store.folder), row["id"], row["finished"])).encode()
    files.write_whole(path, content)
    if as_json:
        _print_json({"study": row["id"], "path": str(path), "bytes": len(content)})
    else:
        click.echo(f"{path}: {row['name']} (study {row['id']}), {len(content)} bytes")


@cli.group()
def data() -> None:
    """Data sets: list, fetch, check."""


@data.command("list")
@json_option
def data_list(as_json: bool) -> None:
    """Which data sets there are, and where their files lie."""
    found = [
        {"name": n, "about": plugins.summary("datasets", n), "where": _where(n)} for n in plugins.names("datasets")
    ]
    if as_json:
        _print_json({"datasets": found})
    else:
        _table(["data set", "where", "about"], [[d["name"], d["where"], d["about"]] for d in found])


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


@cli.command()
@click.argument("run")
@click.option("--onnx", "path", required=True, type=click.Path(path_type=Path), help="File to write the student to.")
@click.option("--teacher", "teacher", type=click.Path(path_type=Path), help="Write its FP32 teacher to this file too.")
@click.option(
    "--form",
    default="exact",
    show_default=True,
    type=click.Choice(["exact", "standard"]),
    help="exact: rescaled in float64 as audited; standard: the pattern compilers fuse.",
)
@store_option
@json_option
def export(run: str, path: Path, teacher: Path | None, form: Any, folder: Path | None, as_json: bool) -> None:
    """Write a run as ONNX; the file stays only if onnxruntime decides everybody as the audited model does."""
    _needs("onnx", "onnxruntime", extra="export")
    from cfq_core.export.stored import export_student, export_teacher, stored_run
    from cfq_core.study.store import readable

    store = _store(folder, must_exist=True)
    with readable(store):
        found = stored_run(store, run)
        written = [export_student(found, path, form)] + ([export_teacher(found, teacher, form)] if teacher else [])
    if as_json:
        _print_json({"run": found.row["id"], "form": form, "files": [e.plain() for e in written]})
    else:
        for e in written:
            click.echo(e.words)


@cli.command()
@click.option("--card", required=True, type=click.Path(path_type=Path), help="Card (.toml) of the table to audit on.")
@click.option("--teacher", required=True, type=click.Path(path_type=Path), help="ONNX file that promises.")
@click.option("--student", required=True, type=click.Path(path_type=Path), help="ONNX file that is deployed.")
@click.option("--kappa", type=click.FloatRange(0, 100), help="The promise's margin, in logits [the files', else 0.2].")
@click.option("--people", default="2000", show_default=True, help="Refused people who ask, or all.")
@click.option("--regime", default="default", show_default=True, help="Action regime: any, immutable, default, strict.")
@click.option("--rows", type=click.Choice(["test", "all"]), help="Whom to judge [the files' own test rows, else all].")
@click.option(
    "--layout",
    default="auto",
    show_default=True,
    type=click.Choice(["auto", "standardised", "raw", "levels"]),
    help="Input columns of files that do not say: one a level, numbers standardised or raw; or levels: one a feature.",
)
@click.option(
    "--output",
    default="auto",
    show_default=True,
    type=click.Choice(["auto", "logit", "probability"]),
    help="What they give.",
)
@click.option("--html", "page", type=click.Path(path_type=Path), help="Write a report to this file too.")
@json_option
def audit(card: Path, teacher: Path, student: Path, page: Path | None, as_json: bool, **options: Any) -> None:
    """Audit any pair of ONNX files on a table: does the student keep what the teacher promises?"""
    _needs("onnx", "onnxruntime", extra="export")
    from cfq_core.datasets.card import read_card
    from cfq_core.export import told
    from cfq_core.export.audit import Question, audit_pair
    from cfq_core.export.read import read_model

    options["people"] = None if options["people"] == "all" else _one("--people", options["people"], int)
    found = audit_pair(read_card(card), read_model(teacher), read_model(student), Question(**options))
    if page:
        _write(page, told.page(found))
    if as_json:
        _print_json(told.plain(found))
    else:
        click.echo(told.text(found))


@cli.command()
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

    store = _store(folder, must_exist=True)
    with readable(store):
        judges = judges_of(store, study, dataset)
    verdicts = checked(read_advice(action, judges[0].design.table.schema), judges)
    if as_json:
        plain = [
            {**asdict(v), "legal": v.legal, "models": [{**asdict(m), "approved": m.approved} for m in v.models]}
            for v in verdicts
        ]
        _print_json({"study": store.study(study)["id"], "advice": plain})
        return
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


@cli.command()
@json_option
def parts(as_json: bool) -> None:
    """List every part there is: data sets, solvers, allocators, methods, metrics, certificates."""
    found = {folder: {n: plugins.summary(folder, n) for n in plugins.names(folder)} for folder in plugins.FOLDERS}
    if as_json:
        _print_json(found)
        return
    for folder, members in found.items():
        click.echo(f"\n{folder}")
        _table([], [["", name, about] for name, about in members.items()])


@cli.command()
@store_option
@json_option
def doctor(folder: Path | None, as_json: bool) -> None:
    """Check that this machine can run a study; exit 1 where something is wrong."""
    checks = [_check(name, test) for name, test in _CHECKS(folder).items()]
    if as_json:
        _print_json({"checks": [{"name": n, "ok": ok, "found": found} for n, ok, found in checks]})
    else:
        _table([], [["ok" if ok else "FAIL", name, found] for name, ok, found in checks])
    if not all(ok for _, ok, _ in checks):
        sys.exit(1)


for command in COMMANDS:
    cli.add_command(command)


# ---------------------------------------------------------------------- running and showing
#: Title, measure, factor and digits of each column of the answer.
COLUMNS = (
    ("accuracy", "accuracy", 1, 3),
    ("approval shift (points)", "approval_shift", 100, 1),
    ("VD", "vd", 1, 3),
    ("VD matched", "vd_matched", 1, 3),
    ("worst group VD", "worst_group_vd", 1, 3),
    ("CRG median", "crg_median", 1, 3),
    ("CRG abs", "crg_abs", 1, 3),
    ("direction", "direction", 1, 2),
    ("margin cond.", "margin_condition", 1, 3),
)
LEGEND = (
    "mean ± sd over seeds. VD: share of promised actions that fail; matched: at the teacher's approval rate; "
    "CRG: relative change of cost."
)


def _is_long(given: Mapping[str, Any]) -> bool:
    """Whether processes will be asked for, as far as can be told before torch is imported."""
    from cfq_core.study import estimate

    dataset, methods, budgets = given["datasets"][0], len(given["methods"]), len(given["bits"])
    known = dataset in estimate.PACES and (os.cpu_count() or 1) > 1
    return known and estimate.seconds(estimate.pace_of(dataset), methods, 0, budgets, given["seeds"]) > estimate.LONG


def _run(plan: Any, workers: int | None, folder: Path | None, as_json: bool, scheduler: str | None = None) -> None:
    from cfq_core.study.cluster import dask_executor
    from cfq_core.study.runner import run_plan

    store = _store(folder)
    bar: tqdm | None = None

    def progress(done: int, total: int, what: str) -> None:
        nonlocal bar
        if bar is None:  # not before the plan has proved readable: an error is one line, without a bar
            bar = tqdm(total=1, file=sys.stderr, bar_format="{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}]", ncols=110)
        bar.total, bar.n = max(total, 1), done if total else 1
        bar.set_description(what)

    try:
        with dask_executor(scheduler) if scheduler else nullcontext() as executor:
            found = run_plan(plan, store, workers, progress, executor)
    finally:
        if bar is not None:
            bar.close()
    _show(store, found, as_json)


def _show(store: Any, study: str, as_json: bool) -> None:
    from cfq_core.study import probed, summary

    if as_json:
        _print_json(summary.as_json(store, study))
        return
    row, teachers, lines = store.study(study), store.teachers(study), summary.lines(store, study)
    names = summary.varied(row["plan"])
    click.echo(f"\n{row['name']}  (study {study}, {row['finished']} of {row['runs']} runs, store {store.folder})")
    for setting in (row["plan"]["setting"], *row["plan"].get("further", ())):
        of_setting = [t for t in teachers if summary.same(t["spec"]["setting"], setting, names)]
        for dataset in dict.fromkeys(t["dataset"] for t in of_setting):
            measured = [t["measures"] for t in of_setting if t["dataset"] == dataset]
            click.echo(_about_teachers(dataset, measured, setting))
    click.echo("")
    head = ["data set", *names, "method", "bits", *(title for title, *_ in COLUMNS)]
    rows = []
    for x in lines:
        cells = [summary.shown(x.measure(name), scale, digits) for _, name, scale, digits in COLUMNS]
        rows.append([x.dataset, *(summary.told(x.setting[k]) for k in names), x.method, f"{x.budget:g}", *cells])
    _table(head, rows)
    click.echo(f"\n{LEGEND}\n")
    for probe, of_probe, shown in probed.tables(store, study):
        click.echo(f"{probe}: {plugins.summary('probes', probe)}")
        _table(of_probe, shown)
        click.echo("")
    for why, count in Counter(store.skipped(study).values()).items():
        click.echo(f"{count} runs are not there: {why}")
    for line in lines:
        click.echo(summary.verdict(line, row["plan"]["setting"]["kappa"]))


def _about_teachers(dataset: str, measured: list[dict[str, Any]], setting: dict[str, Any]) -> str:
    def average(name: str) -> float:
        known = [m[name] for m in measured if m[name] is not None]
        return sum(known) / len(known) if known else float("nan")

    hidden = "-".join(map(str, setting["hidden"]))
    return (
        f"{dataset}: {len(measured)} FP32 teachers {hidden}, test accuracy {average('accuracy'):.3f}, "
        f"approval {100 * average('approval_rate'):.1f} %; recourse found for {100 * average('frr'):.1f} % of "
        f"{sum(m['people'] for m in measured)} denied people, mean cost {average('recourse_cost'):.2f} "
        f"(margin {setting['kappa']:g} logits, actions: {setting['regime']})"
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    cells = [[str(c) for c in row] for row in ([list(head)] if head else []) + [list(r) for r in rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))] if cells else []
    for row in cells:
        click.echo("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip())


def _write(path: Path, content: str) -> None:
    try:
        path.write_text(content, encoding="utf-8")
    except OSError as problem:
        raise BadInput(f"{path}: cannot be written ({problem.strerror})") from None


def _print_json(value: Any) -> None:
    click.echo(json.dumps(value, allow_nan=False))


def _store(folder: Path | None, must_exist: bool = False) -> Any:
    from cfq_core.study.store import FILE, Store

    place = folder or Path(os.environ.get("CFQ_STORE", DEFAULT_STORE))
    if must_exist and not (place / FILE).is_file():
        raise BadInput(
            f"{place}: no store here; name one with --store or CFQ_STORE, or make one with: cfq run --dataset diabetes"
        )
    return Store.for_reading(place) if must_exist else Store(place)


# ---------------------------------------------------------------------- reading options
def _needs(*modules: str, extra: str) -> None:
    if any(importlib.util.find_spec(m) is None for m in modules):
        raise CfqError(f"the {extra} extra is not installed: pip install 'cfq[{extra}]'")


def _numbers(option: str, text: str, of: Callable[[str], Any]) -> list[Any]:
    return [_one(option, part, of) for part in text.split(",")]


def _one(option: str, text: str, of: Callable[[str], Any]) -> Any:
    try:
        return of(text.strip())
    except ValueError:
        kind = "whole numbers" if of is int else "numbers"
        raise BadPlan(f'{option} "{text}": {kind}, separated by commas where several are allowed') from None


def _known_dataset(name: str) -> None:
    if name not in plugins.names("datasets"):
        raise UnknownName(unknown("data set", name, plugins.names("datasets")))


def _where(name: str) -> str:
    from cfq_core.datasets.fetch import FILES, on_disk

    if name not in FILES:
        return "embedded"
    found = [on_disk(f) for f in FILES[name]]
    return str(found[0].parent) if found and all(found) and found[0] else f"not on disk (cfq data fetch {name})"


# ---------------------------------------------------------------------- doctor
def _CHECKS(folder: Path | None) -> dict[str, Callable[[], str]]:  # noqa: N802  (a table of checks, not a helper)
    return {
        "python": lambda: sys.version.split()[0],
        "torch": _torch,
        "sqlite": lambda: sqlite3.sqlite_version,
        "cores": lambda: str(os.cpu_count()),
        "store": lambda: f"{_store(folder).folder.resolve()} can be written",
        "data sets": lambda: "; ".join(f"{n}: {_where(n)}" for n in plugins.names("datasets")),
        "parts": lambda: "; ".join(f"{len(plugins.load_all(f))} {f}" for f in plugins.FOLDERS),
    }


def _torch() -> str:
    if importlib.util.find_spec("torch") is None:
        raise BadInput("torch is not installed: pip install torch==2.13.0")
    import torch

    return f"{torch.__version__}, one thread a process"


def _check(name: str, test: Callable[[], str]) -> tuple[str, bool, str]:
    try:
        return name, True, test()
    except (CfqError, OSError, ImportError) as problem:
        return name, False, str(problem)


def main() -> None:
    """Entry point: one line on stderr instead of a traceback for whatever a user can cause."""
    collect_seldom()
    try:
        cli(standalone_mode=False)
    except CfqError as problem:
        click.echo(problem.line(), err=True)
        sys.exit(problem.exit_code)
    except click.exceptions.NoArgsIsHelpError as problem:
        click.echo(problem.format_message())
    except click.UsageError as problem:
        click.echo(f"BadInput: {problem.format_message()}", err=True)
        sys.exit(2)
    except click.exceptions.Exit as leaving:
        sys.exit(leaving.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("stopped; finished runs are stored, run the same command to go on", err=True)
        sys.exit(1)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)


if __name__ == "__main__":
    main()
