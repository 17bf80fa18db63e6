"""How fast does `cfq audit --stream` count, and in how much memory? Writes benchmarks/numbers/scale.json.

python -m benchmarks.scale --folder FOLDER [--rows 100000,1000000] [--parquet]    # Adult's rows, resampled with noise
python -m benchmarks.scale --folder FOLDER --rows 10000,50000 --everybody     # all the refused ask for recourse
python -m benchmarks.scale --folder FOLDER --rows 1000000 --dask    # by one worker of a Dask cluster, and by two

Rows are drawn with replacement from Adult's, numbers moved by a few steps; each size is counted by a process of its
own, whose peak memory and that of the processes that compute the files are told apart. What is in FOLDER is not made
again. One worker and two count by turns, and of each the fastest time is told: other work on the machine only slows.
What it leaves is told by a loop that does nothing else: how much more processor time two of them get than one.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cfq_core.base.seeds import numpy_stream
from cfq_core.datasets import slices
from cfq_core.datasets.card import card_of, read_card
from cfq_core.datasets.new_rows import KnownTable
from cfq_core.datasets.parts import Known, cut
from cfq_core.datasets.pieces import BYTES
from cfq_core.export.asking import ASKED
from cfq_core.export.audit import AuditOptions
from cfq_core.export.stored import export_student, export_teacher, stored_run
from cfq_core.export.stream import ROWS, stream
from cfq_core.models.read import ModelFile, read_model
from cfq_core.pipeline import Setting
from cfq_core.study.executors import dask_executor
from cfq_core.study.plan import Plan
from cfq_core.study.runner import run_plan
from cfq_core.study.store import Store
from cfq_core.tables.fitted import fitted_whole
from cfq_core.tables.schema import Table
from cfq_core.training.loop import TeacherTraining

OUT = Path(__file__).parent / "numbers" / "scale.json"
AT_ONCE = 100_000  # rows made together
SMALL = 100_000  # rows from which what is spent once is told apart from what each row takes
TURNS = 3
LOOPED = 5  # seconds
MANY = 1_000_000_000  # rows that nobody counted here
ALL_ASK = ", all ask"
KINDS = {f"{kind}{who}": f"{name}{words}" for kind, name in (("csv", "CSV"), ("parquet", "Parquet"))
         for who, words in (("", ""), (ALL_ASK, ", all whom the teacher refuses ask for recourse"))}  # fmt: skip
KEPT = ("label", "unit", "move", "immutable", "protected", "easy", "low", "high", "log", "levels", "never", "bands")
TARGET = "outcome"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--rows", default="100000,1000000")
    parser.add_argument("--parquet", action="store_true")
    parser.add_argument("--dask", action="store_true")
    parser.add_argument("--everybody", action="store_true")
    parser.add_argument("--measure", type=Path, help="One file, in this process.")
    given = parser.parse_args()
    if given.measure:
        sys.stdout.write(json.dumps(_measured(given.folder, given.measure, given.everybody)) + "\n")
        return
    _prepare(given.folder)
    kind = "parquet" if given.parquet else "csv"
    if given.dask:
        _keep("dask", _by_workers(given.folder, int(given.rows.split(",")[-1]), kind))
        return
    found = [_of_size(given.folder, int(n), kind, given.everybody) for n in given.rows.split(",")]
    key = f"{kind}{ALL_ASK}" if given.everybody else kind
    _keep(key, {"sizes": found, "slope": _slope(found), "rows_a_part": ROWS, "cores": os.cpu_count()})


def _keep(key: str, found: dict[str, Any]) -> None:
    kept = json.loads(OUT.read_text()) if OUT.is_file() else {}
    OUT.write_text(json.dumps(kept | {key: found}, indent=1) + "\n")
    sys.stdout.write(json.dumps(found, indent=1) + "\n")


def _prepare(folder: Path) -> None:
    """Adult as a card with a CSV, and two files about it: a teacher and its four-bit student."""
    folder.mkdir(parents=True, exist_ok=True)
    table = slices.load("adult")
    if not (folder / "student.onnx").is_file():
        _frame(table, np.arange(len(table))).to_csv(folder / "adult.csv", index=False)
        (folder / "adult.toml").write_text(_card(table))
        with_few = TeacherTraining(epochs=5)
        setting = Setting(people=100, n_reaudited=10, n_training_recourse=10, teacher_training=with_few)
        store = Store(folder / "store")
        plan = Plan((str((folder / "adult.toml").resolve()),), ("ptq",), (4.0,), (0,), setting)
        run = stored_run(store, store.runs(run_plan(plan, store, workers=0))[0]["id"])
        export_teacher(run, folder / "teacher.onnx")
        export_student(run, folder / "student.onnx")
        store.close()


def _frame(table: Table, rows: np.ndarray, noise: np.random.Generator | None = None) -> pd.DataFrame:
    """Some rows in raw units and words, numbers moved by a few steps inside what the table holds."""
    values = table.values[rows].copy()
    for i, f in enumerate(table.schema.features):
        if noise is not None and not f.levels:
            moved = values[:, i] + np.where(values[:, i] > 0, noise.integers(-2, 3, len(values)), 0)
            values[:, i] = moved.clip(table.values[:, i].min(), table.values[:, i].max())
    frame = Table(table.schema, values, table.outcome[rows]).frame()
    numbers = [f.name for f in table.schema.features if not f.levels]
    frame = frame.astype(dict.fromkeys(numbers, np.int64))
    return frame.assign(**{TARGET: np.where(table.outcome[rows], "yes", "no")})


def _card(table: Table) -> str:
    lines = ['name = "adult_rows"', 'title = "Adult, as rows"', 'csv = "adult.csv"', f'target = "{TARGET}"',
             'favourable = "yes"']  # fmt: skip
    for f in table.schema.features:
        lines += ["", "[[feature]]", f'name = "{f.name}"', f'kind = "{f.kind}"']
        said = {k: getattr(f, k) for k in KEPT}
        lines += [f"{k} = {json.dumps(v)}" for k, v in said.items() if v not in ("", None, (), False)]
    return "\n".join(lines) + "\n"


def _large(folder: Path, rows: int, kind: str) -> Path:
    """A file of resampled rows, written in parts."""
    path, table = folder / f"adult-{rows}.{kind}", slices.load("adult")
    if path.is_file():
        return path
    random, draft = numpy_stream(0, f"benchmarks/scale/{rows}"), path.with_suffix(".part")
    made = (
        _frame(table, random.integers(0, len(table), min(AT_ONCE, rows - start)), random)
        for start in range(0, rows, AT_ONCE)
    )
    if kind == "csv":
        for k, frame in enumerate(made):
            frame.to_csv(draft, index=False, header=k == 0, mode="a" if k else "w")
    else:
        import pyarrow as pa
        from pyarrow.parquet import ParquetWriter

        first = pa.Table.from_pandas(next(made), preserve_index=False)
        with ParquetWriter(draft, first.schema) as writer:
            writer.write_table(first)
            for frame in made:
                writer.write_table(pa.Table.from_pandas(frame, schema=first.schema, preserve_index=False))
    draft.replace(path)
    return path


def _of_size(folder: Path, rows: int, kind: str, everybody: bool) -> dict[str, Any]:
    path = _large(folder, rows, kind)
    command = [sys.executable, "-m", "benchmarks.scale", "--folder", str(folder), "--measure", str(path)]
    command += ["--everybody"] if everybody else []
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return json.loads(told) | {"megabytes": round(path.stat().st_size / 1e6, 1), "load": os.getloadavg()[0]}


def _measured(folder: Path, path: Path, everybody: bool) -> dict[str, Any]:
    """One file counted: seconds and processor seconds of this process and of those that compute, and peak memory."""
    options = AuditOptions(rows="all", seconds=600, people=None if everybody else AuditOptions().people)
    with _together() as peak:
        found = stream(path, folder / "adult.toml", *_files(folder), options)
    of = {who: resource.getrusage(which) for who, which in (("reads", resource.RUSAGE_SELF), ("computes", resource.RUSAGE_CHILDREN))}  # fmt: skip  # noqa: E501
    whole = found.as_json()["everybody"]
    processor = sum(u.ru_utime + u.ru_stime for u in of.values())
    return {
        "rows": found.rows, "seconds": round(found.seconds, 1), "processor_seconds": round(processor, 1),
        "rows_a_second": round(found.rows / found.seconds), "rows_a_processor_second": round(found.rows / processor),
        **{f"peak_megabytes_{who}": round(u.ru_maxrss / 1024) for who, u in of.items()},
        "peak_megabytes_together": round(max(peak) / 1e6),
        **{k: whole[k] for k in ("gained", "lost", "shift", "shift_low", "shift_high", *ASKED)},
    }  # fmt: skip


@contextmanager
def _together() -> Iterator[list[int]]:
    """Bytes of this process and of those it starts, looked at ten times a second; what they share counts once (PSS)."""
    import psutil  # comes with distributed

    me, seen, done = psutil.Process(), [0], threading.Event()

    def look() -> None:
        while not done.wait(0.1):
            with suppress(psutil.Error):  # one of them has just ended
                seen.append(sum(p.memory_full_info().pss for p in (me, *me.children(recursive=True))))

    looking = threading.Thread(target=look, daemon=True)
    looking.start()
    try:
        yield seen
    finally:
        done.set()
        looking.join()


def _by_workers(folder: Path, rows: int, kind: str) -> dict[str, Any]:
    """The table counted by one worker and by two, by turns; each has read a small one before."""
    from distributed import LocalCluster

    small, path = _large(folder, SMALL, kind), _large(folder, rows, kind)
    runs, loops = list[dict[str, Any]](), [0.0, 0.0]
    with ExitStack() as up:
        made = (LocalCluster(n_workers=n, threads_per_worker=1, dashboard_address=None) for n in (1, 2))
        clusters = [up.enter_context(cluster) for cluster in made]
        for turn in range(TURNS + 1):
            for n, cluster in enumerate(clusters):
                few, many = (_on(cluster, folder, p) for p in (small, path if turn else small))
                runs += [few, many] if turn else []
                loops[n] += _loops(n + 1) if turn else 0.0
        handed = _handed(clusters[0], folder, small)

    def best(workers: int, size: int) -> dict[str, Any]:
        return min((r for r in runs if (r["workers"], r["rows"]) == (workers, size)), key=lambda r: r["seconds"])

    few, many, two = best(1, SMALL), best(1, rows), best(2, rows)
    per = {of: (many[of] - few[of]) / (rows - SMALL) for of in ("processor_seconds_here", "processor_seconds_workers")}
    once = few["processor_seconds_here"] - per["processor_seconds_here"] * SMALL
    return {
        "kind": kind, "one": many, "two": two, "ratio": round(many["seconds"] / two["seconds"], 2),
        "ratio_of_loops": round(loops[1] / loops[0], 2), "turns": TURNS, "cores": os.cpu_count(),
        "processor_seconds_once": round(once, 2), "pieces_handed_a_second": round(handed), "bytes_a_piece": BYTES,
        "rows_a_piece": round(BYTES * rows / path.stat().st_size),
        **{f"{of}_a_million_rows": round(1e6 * v, 2) for of, v in per.items()},
    }  # fmt: skip


def _on(cluster: Any, folder: Path, path: Path) -> dict[str, Any]:
    """One run on a cluster that is up: seconds, and processor seconds of this process and of its workers.

    Here: of the thread that cuts and adds, and of the processes that settle how the files are read; the scheduler,
    which is in this process too, is not in it.
    """
    import psutil

    def spent() -> dict[str, float]:
        each = [psutil.Process(w.pid) for w in cluster.workers.values()]
        all_ = [t.cpu_times() for w in each for t in (w, *w.children(recursive=True))]
        ended = resource.getrusage(resource.RUSAGE_CHILDREN)
        here = time.thread_time() + ended.ru_utime + ended.ru_stime
        return {"here": here, "workers": sum(t.user + t.system for t in all_)}

    before, load = spent(), os.getloadavg()[0]
    with dask_executor(cluster.scheduler_address) as executor:
        asked = AuditOptions(rows="all", seconds=600)
        found = stream(path, folder / "adult.toml", *_files(folder), asked, executor=executor)
    after = spent()
    return {
        "workers": len(cluster.workers), "rows": found.rows, "seconds": round(found.seconds, 1),
        "rows_a_second": round(found.rows / found.seconds), "load": round(load, 1),
        **{f"processor_seconds_{who}": round(after[who] - before[who], 2) for who in after},
    }  # fmt: skip


def _files(folder: Path) -> tuple[ModelFile, ModelFile]:
    return read_model(folder / "teacher.onnx"), read_model(folder / "student.onnx")


def _handed(cluster: Any, folder: Path, path: Path) -> float:
    """Pieces a second that this process and the scheduler hand to a worker that does nothing with them."""
    table, began = fitted_whole(read_card(folder / "adult.toml")), time.monotonic()
    known = Known(card_of(folder / "adult.toml"), KnownTable.of(table), ROWS)
    pieces = [*cut(path, known, 40_000)]
    with dask_executor(cluster.scheduler_address) as executor:
        began = time.monotonic()
        for future in [executor.submit(_nothing, known, _files(folder), piece) for piece in pieces]:
            future.result()
    return len(pieces) / (time.monotonic() - began)


def _nothing(*_: Any) -> None:
    pass


LOOP = f"import time\nend = time.monotonic() + {LOOPED}\nwhile time.monotonic() < end: pass\nprint(time.process_time())"


def _loops(n: int) -> float:
    """Processor seconds that so many processes get at once."""
    each = [subprocess.Popen([sys.executable, "-c", LOOP], stdout=subprocess.PIPE, text=True) for _ in range(n)]
    return sum(float(process.communicate()[0]) for process in each)


def _slope(found: list[dict[str, Any]]) -> float | None:
    """Of the logarithm of processor seconds over that of rows, first to last size; 1 is linear."""
    if len(found) < 2:
        return None
    first, last = found[0], found[-1]
    over = math.log(last["processor_seconds"] / first["processor_seconds"])
    return round(over / math.log(last["rows"] / first["rows"]), 3)


def cluster_of(found: dict[str, Any], workers: int, rows: int) -> dict[str, float]:
    """Seconds that so many workers would take, by measured parts: arithmetic, not a measurement.

    Serial: what is settled once, and handing over pieces, which goes on while workers count. A worker has a core of its
    own, and the shared folder keeps up (``megabytes_a_second``).
    """
    pieces = math.ceil(rows / found["rows_a_piece"])
    once, handing = found["processor_seconds_once"], pieces / found["pieces_handed_a_second"]
    a_piece = found["processor_seconds_workers_a_million_rows"] * found["rows_a_piece"] / 1e6
    counting = math.ceil(pieces / workers) * a_piece
    seconds = once + max(handing, counting)
    alone = once + max(handing, pieces * a_piece)
    return {
        "pieces": pieces, "handing": handing, "counting": counting, "seconds": seconds, "times_one": alone / seconds,
        "megabytes_a_second": pieces * found["bytes_a_piece"] / 1e6 / seconds,
    }  # fmt: skip


def section(path: Path = OUT) -> str:
    """The tables for benchmarks/RESULTS.md, from the stored numbers; empty where nothing was measured."""
    found = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    kinds = [k for k in KINDS if k in found]
    parts = [_sizes(kind, found[kind]) for kind in kinds] + ([_cluster(found["dask"])] if "dask" in found else [])
    made = "Made by `python -m benchmarks.scale` on Adult's rows, drawn with replacement, numbers moved by a few steps."
    return "\n\n".join(["## At the scale of a bank", *parts, made]) if parts else ""


def _sizes(kind: str, found: dict[str, Any]) -> str:
    head = ["rows", "MB", "seconds", "CPU seconds", "rows a second", "rows a CPU second", "peak MB", "a file's process",
            "all together"]  # fmt: skip
    asked = "asked" in found["sizes"][0]
    head += ["asked for recourse", "promised", "of these broken"] if asked else []
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    for r in found["sizes"]:
        cells = [f"{r['rows']:,}", f"{r['megabytes']:,.0f}", f"{r['seconds']:,.0f}", f"{r['processor_seconds']:,.0f}"]
        cells += [f"{r[f'rows_a_{unit}']:,}" for unit in ("second", "processor_second")]
        peaks = [r.get(f"peak_megabytes_{who}") for who in ("reads", "computes", "together")]
        cells += ["-" if megabytes is None else f"{megabytes:,}" for megabytes in peaks]
        cells += [f"{r[k]:,}" for k in ASKED] if asked else []
        lines.append(f"| {' | '.join(cells)} |")
    slope = "" if found["slope"] is None else f"; CPU seconds grow as rows to the power of {found['slope']:.2f}"
    loads = ", ".join(f"{r['load']:.0f}" for r in found["sizes"])
    about = f"`cfq audit --stream`, {KINDS[kind]}, one process and one for each file, {found['cores']} cores"
    return "\n".join([f"{about} (load {loads}){slope}.", "", *lines])


def _cluster(found: dict[str, Any]) -> str:
    one, two = found["one"], found["two"]
    here, spent = ([run[f"processor_seconds_{who}"] for run in (one, two)] for who in ("here", "workers"))
    fifty = cluster_of(found, 50, MANY)
    seconds = f"one Dask worker took {one['seconds']:.0f} s, two took {two['seconds']:.0f} s"
    return (
        f"`--scheduler`, {one['rows']:,} rows, {found['cores']} cores that other work shared (load {one['load']:.0f}): "
        f"{seconds}, {found['ratio']:.2f} times as fast; by turns with them two plain loops got "
        f"{found['ratio_of_loops']:.2f} times the processor time of one. Workers spent {spent[0]:.1f} and "
        f"{spent[1]:.1f} CPU seconds, the process that cuts and adds {here[0]:.1f} and {here[1]:.1f}.\n\n"
        f"By arithmetic from these parts, not measured, fifty workers would count {MANY:,} rows in "
        f"{fifty['seconds']:,.0f} s, {fifty['times_one']:.0f} times as fast as one: counting takes them "
        f"{fifty['counting']:,.0f} s, while one process hands out the {fifty['pieces']:,} pieces in "
        f"{fifty['handing']:,.0f} s ({found['pieces_handed_a_second']} a second)."
    )


if __name__ == "__main__":
    main()
