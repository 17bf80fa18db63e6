"""Commands that run studies and show them: `cfq run | study | ls | show | safe`."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import click
from tqdm import tqdm

from cfq_core.base import logbook, numerics, plugins
from cfq_core.base.errors import BadInput, BadPlan
from cfq_core.base.identity import identity
from cfq_core.commands.options import (
    CONTRACT,
    contract_options,
    json_option,
    needs,
    number,
    open_store,
    print_json,
    print_table,
    share,
    store_option,
)

workers_option = click.option(
    "--workers",
    type=click.IntRange(0, 256),
    help="Processes; 0 works in this one [one a core; 0 for a few seconds of work].",
)

#: Title, measure, factor and digits of each column of the answer.
COLUMNS = (
    ("accuracy", "accuracy", 1, 3),
    ("approval shift (points)", "approval_shift", 100, 1),
    ("VD", "vd", 1, 3),
    ("VD matched", "vd_matched", 1, 3),
    ("shift matched", "approval_shift_matched", 100, 1),
    ("worst group VD", "worst_group_vd", 1, 3),
    ("by chance", "worst_group_vd_by_chance", 1, 3),
    ("CRG mean", "crg_mean", 1, 3),
    ("CRG median", "crg_median", 1, 3),
    ("CRG abs", "crg_abs", 1, 3),
    ("direction", "direction", 1, 2),
    ("margin cond.", "margin_condition", 1, 3),
)
LEGEND = (
    "mean ± sd over seeds. VD: share of promised actions that fail; matched: at the teacher's approval rate "
    "on validation people (shift matched: what is left on test people); a range in brackets: either side of a tie; "
    "by chance: the worst group's VD expected if groups did not differ; CRG: relative change of the cost of recourse, "
    "asked of the student itself (abs: without its sign); direction: cosine of the two models' actions; margin cond.: "
    "share of promises that hold for sure, |q - f| < f where they end."
)


@click.command()
@click.option("--dataset", required=True, help="A name, a slice (compas:age!=under 25), or the path of a card (.toml).")
@click.option("--methods", default="ptq", show_default=True, help="Names, comma-separated, or all.")
@click.option("--bits", default="2,3,4,8", show_default=True, help="Budgets: average bits per weight.")
@click.option("--seeds", default="5", show_default=True, help="How many seeds.")
@click.option(
    "--hidden", default="64,64,32", show_default=True, help="Widths of the hidden layers; none: a logistic regression."
)
@click.option("--activation", default="relu", show_default=True, help="Of the hidden layers, such as silu or tanh.")
@click.option("--residual", is_flag=True, help="A hidden layer as wide as the one before it adds that one's output.")
@click.option("--activation-bits", default=8, show_default=True, help="Bits of the students' activations: 8, 6 or 4.")
@click.option("--kappa", type=float, help="The promise's margin, in logits [0.2].")
@click.option("--margin", help="Instead of kappa: cost:10%, the margin that costs people 10 % more.")
@click.option("--people", default="2000", show_default=True, help="Denied test people a seed, or all.")
@click.option("--regime", default="default", show_default=True, help="Action regime: any, immutable, default, strict.")
@click.option("--recourse", default="search", show_default=True, help="Recourse solver.")
@click.option("--teacher", help="An ONNX file of your own as the one teacher, instead of trained ones.")
@contract_options
@click.option(
    "--approve", help="Share of training people whom trained teachers approve, such as 30%, instead of a cut."
)
@click.option("--name", default="", help="A name for the study.")
@click.option(
    "--stream",
    "large",
    type=click.Path(path_type=Path),
    help="Of this CSV or Parquet file under the same card, any size: what each student decides of every row.",
)
@workers_option
@store_option
@json_option
def run(large: Path | None, workers: int | None, folder: Path | None, as_json: bool, **options: Any) -> None:
    """Train teachers, promise recourse, quantize, and see what survives."""
    given = {
        "datasets": [_findable(options["dataset"])],
        "methods": options["methods"].split(","),
        "bits": _numbers("--bits", options["bits"], float),
        "seeds": number("--seeds", options["seeds"], int),
        "hidden": [] if options["hidden"] == "none" else _numbers("--hidden", options["hidden"], int),
        "activation": options["activation"],
        "residual": options["residual"],
        "activation_bits": options["activation_bits"],
        **{k: options[k] for k in ("kappa", "margin") if options[k] is not None},
        "people": "all" if options["people"] == "all" else number("--people", options["people"], int),
        "regime": options["regime"],
        "recourse": options["recourse"],
        "name": options["name"],
        **_own(options),
    }
    if workers is None and _is_long(given):
        from cfq_core.study.executors import start_server

        start_server()  # imports torch while this process does
    from cfq_core.study.plan import read_plan

    _run(read_plan(given, "command line"), workers, folder, as_json, large=large)


def _findable(dataset: str) -> str:
    """A card by its whole path, so that its table is found again from any folder."""
    return str(Path(dataset).absolute()) if dataset.endswith(".toml") else dataset


@click.command()
@click.argument("plan", type=click.Path(path_type=Path))
@workers_option
@click.option("--scheduler", help="Address of a Dask scheduler, tcp://HOST:PORT, instead of local processes.")
@store_option
@json_option
def study(plan: Path, workers: int | None, scheduler: str | None, folder: Path | None, as_json: bool) -> None:
    """Run a plan (TOML); what is stored is not run again."""
    from cfq_core.study.plan import read_plan_file

    _run(read_plan_file(plan), workers, folder, as_json, scheduler)


@click.command("ls")
@store_option
@json_option
def ls(folder: Path | None, as_json: bool) -> None:
    """List the stored studies, newest first."""
    from cfq_core.study.store import readable

    store = open_store(folder, must_exist=True)
    with readable(store):
        studies = store.studies()
    if as_json:
        columns = ("id", "name", "created", "runs", "finished")
        print_json({"store": str(store.folder), "studies": [{c: s[c] for c in columns} for s in studies]})
    elif not studies:
        click.echo(f"no study in {store.folder}; make one with: cfq run --dataset diabetes")
    else:
        rows = [
            [s["id"], f"{s['finished']} of {s['runs']}", s["created"][:16].replace("T", " "), s["name"]]
            for s in studies
        ]
        print_table(["study", "runs", "created (UTC)", "name"], rows)


@click.command()
@click.argument("study", default="latest")
@click.option("--markdown", is_flag=True, help="Print tables in Markdown, with the exact allocations.")
@store_option
@json_option
def show(study: str, markdown: bool, folder: Path | None, as_json: bool) -> None:
    """Show a study's answer: by id, by the start of one, or the latest."""
    from cfq_core.study.store import readable
    from cfq_core.study.summary import as_markdown

    store = open_store(folder, must_exist=True)
    with readable(store):
        found = store.study(study)["id"]
        if markdown:
            click.echo(as_markdown(store, found))
        else:
            _show(store, found, as_json)


@click.command()
@click.argument("study", default="latest")
@click.option("--at-most", default="2%", show_default=True, help="Share of promises that may break: 2% or 0.02.")
@click.option("--confidence", default="95%", show_default=True, help="Of each method's answer.")
@click.option("--matched", is_flag=True, help="Judged with thresholds at the teachers' approval rate.")
@click.option("--seed", type=int, help="About the models of this seed alone, not about the methods.")
@store_option
@json_option
def safe(study: str, folder: Path | None, as_json: bool, **options: Any) -> None:
    """How few bits are safe: the least average bits of each method that break at most a share of promises."""
    from cfq_core.report import safe_text
    from cfq_core.study.safe import safe as answers
    from cfq_core.study.store import readable

    at_most, confidence = share("--at-most", options["at_most"]), share("--confidence", options["confidence"])
    store = open_store(folder, must_exist=True)
    with readable(store):
        found = store.study(study)["id"]
        each = answers(store, found, at_most, confidence, options["matched"], options["seed"])
    if as_json:
        print_json({"study": found, "store": str(store.folder), **safe_text.as_json(each, options["matched"])})
        return
    rows = safe_text.rows(each)
    print_table(list(rows.columns), rows.to_numpy(str).tolist())
    click.echo(f"\n{safe_text.claim(each, options['matched'])}")


def _own(options: Mapping[str, Any]) -> dict[str, Any]:
    """The plan's own teacher, as the options say."""
    said = {k: options[k] for k, *_ in CONTRACT if options[k] not in ("", None, "auto")}
    if options["teacher"]:
        return {"teacher": {"path": str(Path(options["teacher"]).absolute()), **said}}
    cut = {k: v for k, v in (("threshold", said.pop("threshold", None)), ("approve", options["approve"])) if v}
    if said:
        raise BadPlan(f"--{next(iter(said))}: is said of a model of your own; name its file with --teacher")
    return cut


def _numbers(option: str, text: str, of: Callable[[str], Any]) -> list[Any]:
    return [number(option, part, of) for part in text.split(",")]


def _is_long(given: Mapping[str, Any]) -> bool:
    """Whether processes will be asked for, as far as can be told before torch is imported."""
    from cfq_core.study import estimate

    pace, several = estimate.pace_of(given["datasets"][0]), (os.cpu_count() or 1) > 1
    known = estimate.is_known(given["datasets"][0]) and several
    return known and estimate.seconds(pace, given["methods"], len(given["bits"]), given["seeds"]) > estimate.LONG


def _warn(datasets: Sequence[str]) -> None:
    """What may have been meant otherwise in users' own tables, and how constraints were understood, on stderr."""
    from cfq_core.study.plan import table_of
    from cfq_core.tables.constraints import sentences

    for card in (d for d in datasets if d.endswith(".toml")):
        table = table_of(card)
        for warning in table.warnings:
            click.echo(f"note: {Path(card).name}: {warning}", err=True)
        for sentence in sentences(table.schema):
            click.echo(f"note: {Path(card).name}: every action keeps: {sentence}", err=True)


def _run(
    plan: Any, workers: int | None, folder: Path | None, as_json: bool, scheduler: str | None = None,
    large: Path | None = None,
) -> None:  # fmt: skip
    from cfq_core.study.executors import dask_executor
    from cfq_core.study.runner import run_plan

    if large:
        _streamable(plan, large)
    _warn(plan.datasets)
    store = open_store(folder)
    _log(plan, store.folder)
    bar: tqdm | None = None

    def progress(done: int, total: int, what: str) -> None:
        nonlocal bar
        if bar is None:  # not before the plan has proved readable: an error is one line, without a bar
            bar = tqdm(total=1, file=sys.stderr, bar_format="{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}]", ncols=110)
        bar.total, bar.n = max(total, 1), done if total else 1
        bar.set_description(what)

    try:
        with dask_executor(scheduler) if scheduler else nullcontext() as executor:
            found = run_plan(plan, store, workers, progress, executor, announce=lambda line: click.echo(line, err=True))
    finally:
        if bar is not None:
            bar.close()
    if problem := numerics.warning():
        click.echo(problem, err=True)
    rows = _streamed(store, found, plan, large, workers or 0) if large else iter(())
    _show(store, found, as_json, {"stream": [told for told, _ in rows]} if large and as_json else {})
    for _, words in rows:
        click.echo(words)


def _streamable(plan: Any, large: Path) -> None:
    """Raise, before anything is made, where the students' files could not be given the rows of another."""
    needs("onnx", "onnxruntime", extra="export")
    if not plan.datasets[0].endswith(".toml"):
        raise BadInput(f"--stream {large}: its rows are read by a card, and {plan.datasets[0]} is none: give its card")
    if not large.is_file():
        raise BadInput(f"--stream {large}: no such file")


def _streamed(store: Any, study: str, plan: Any, large: Path, workers: int) -> Iterator[tuple[dict[str, Any], str]]:
    """What the files of each run decide of every row of a table, as values and in words."""
    from cfq_core.export.stored import stored_run
    from cfq_core.export.stream import stream_run
    from cfq_core.study.executors import workers_or_cluster

    told = lambda line: click.echo(f"note: {line}", err=True)  # noqa: E731
    with workers_or_cluster(workers, None) as executor:
        for row in store.runs(study):
            found = stream_run(stored_run(store, row["id"]), Path(plan.datasets[0]), large, executor, told)
            who = {k: row[k] for k in ("id", "method", "budget", "seed")}
            said = f"{row['method']} at {row['budget']:g} bits, seed {row['seed']}: {found.words}"
            yield who | found.as_json(), said


def _log(plan: Any, store: Path) -> None:
    own = [plan.teacher.path] if plan.teacher else []
    ids = {"plan": identity(plan), "on": ", ".join(plan.datasets)}
    logbook.append(store, logbook.STUDY, ids=ids, files=logbook.sha256_of([*plan.datasets, *own]))


def _show(store: Any, study: str, as_json: bool, further: dict[str, Any] | None = None) -> None:
    from cfq_core.report import pair
    from cfq_core.study import summary
    from cfq_core.study.measured import about_unknown, current_measures

    if as_json:
        print_json(summary.as_json(store, study) | (further or {}))
        return
    row, teachers, lines = store.study(study), store.teachers(study), summary.lines(store, study)
    names = summary.varied(row["plan"])
    click.echo(f"\n{row['name']}  (study {study}, {row['finished']} of {row['runs']} runs, store {store.folder})")
    for setting in (row["plan"]["setting"], *row["plan"].get("further", ())):
        of_setting = [t for t in teachers if summary.same(t["spec"]["setting"], setting, names)]
        for dataset in dict.fromkeys(t["dataset"] for t in of_setting):
            measured = [t["measures"] for t in of_setting if t["dataset"] == dataset]
            click.echo(_about_teachers(dataset, measured, setting, bool(row["plan"].get("teacher"))))
    if about := summary.about_own(row["plan"]):
        click.echo(about)
    for said in pair.lines(row["plan"]):
        click.echo(f"  {said}")
    click.echo("")
    head = ["data set", *names, "method", "bits", *(title for title, *_ in COLUMNS)]
    rows = []
    for x in lines:
        cells = [summary.format_mean(x.measure(name), scale, digits) for _, name, scale, digits in COLUMNS]
        rows.append(
            [
                x.dataset,
                *(summary.format_setting(x.setting[k]) for k in names),
                x.method + summary.flags(x),
                f"{x.budget:g}",
                *cells,
            ]
        )
    print_table(head, rows)
    click.echo(f"\n{LEGEND}\n")
    for probe, of_probe, rows in summary.probe_tables(store, study):
        click.echo(f"{probe}: {plugins.summary('probes', probe)}")
        print_table(of_probe, rows)
        click.echo("")
    for why, count in Counter(store.skipped(study).values()).items():
        click.echo(f"{count} runs are not there: {why}")
    if gone := about_unknown(current_measures(store, study).values()):
        click.echo(gone)
    for line in lines:
        click.echo(summary.verdict(line, row["plan"]["setting"]))


def _about_teachers(dataset: str, measured: list[dict[str, Any]], setting: dict[str, Any], own: bool) -> str:
    def average(name: str, digits: int, scale: int = 1) -> str:
        known = [m[name] for m in measured if m[name] is not None]
        return f"{scale * sum(known) / len(known):.{digits}f}" if known else "-"

    from cfq_core.study import summary

    hidden, denied = summary.net_words(setting), sum(m["people"] for m in measured)
    s = "" if len(measured) == 1 else "s"
    what = f"split{s} of one teacher" if own else f"teacher{s}"
    nobody = "" if denied else "; nobody is denied, so no promise can break: choose another cut (threshold, approve)"
    return (
        f"{dataset}: {len(measured)} FP32 {what} {hidden}, test accuracy "
        f"{average('accuracy', 3)}, approval {average('approval_rate', 1, 100)} %; recourse found for "
        f"{average('frr', 1, 100)} % of {denied} denied people, mean cost {average('recourse_cost', 2)} "
        f"({summary.margin_words(setting, [m.get('kappa') for m in measured])}, actions: {setting['regime']}){nobody}"
    )


COMMANDS = (run, study, ls, show, safe)
