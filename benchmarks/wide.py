"""Many features and many rows: the search's time, answers and memory as a table widens; whole studies of large tables.

    python -m benchmarks.wide [search memory rows columns] [--caravan Caravan.csv]

search: made tables of 10 to 80 features, half numbers and half categories of three levels, teachers 64-32; the default
search, and at the larger widths the same search with every pair of moves, on the same people in one run; CPU seconds a
person are the median over `CALLS` calls of some people each. memory: peak of a process that asks for 16 and for 500
people. rows and columns: `cfq run` as a user calls it, on a made table of 300,000 rows and on one of 85 features:
Caravan (https://www.kaggle.com/uciml/caravan-insurance-challenge; in the package ISLP), else a made one.
Writes benchmarks/numbers/wide.json; a part that is not asked for keeps its numbers.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import fields
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.search_quality import one_thread
from cfq_core.base.seeds import numpy_stream, repeatable
from cfq_core.nets.stack import Stack
from cfq_core.pipeline import Setting, prepare, teachers
from cfq_core.recourse.find import find_recourse, logits64
from cfq_core.recourse.outcome import Recourse
from cfq_core.recourse.problem import RecourseQuery
from cfq_core.recourse.search import Search
from cfq_core.tables.schema import Feature, Schema, Table
from cfq_core.training.loop import TeacherTraining

OUT = Path(__file__).parent / "numbers" / "wide.json"
WIDTHS = (10, 20, 40, 80)
PEOPLE = 48
COMPARED = {40: 16, 80: 16}  # people for whom every pair is tried too, at the widths where that is another search
CALLS = 3
EVERY = 10**9  # no table is wide
MEMORY = (16, 500)
SETTING = Setting(hidden=(64, 32), teacher_training=TeacherTraining(epochs=20))
#: What is aimed at: CPU milliseconds a person at the largest width, cost beside every pair, growth a doubling, memory.
FAST, DEAR, GROWTH, FLAT = 300.0, 1.001, 6.0, 1.15
#: Studies: rows or features, options, seconds on the wall and bytes at the most.
ROWS = (300_000, ("--methods", "ptq,cfq_anchored", "--seeds", "2"), 300.0, 2e9)
COLUMNS = (85, ("--methods", "ptq", "--bits", "4", "--seeds", "2", "--people", "200"), 240.0, None)


# ---------------------------------------------------------------------- tables


def wide_table(features: int, rows: int = 4000) -> Table:
    """Half whole numbers, half categories of three levels; every feature counts, an eighth of the score is curved."""
    random, n = numpy_stream(0, f"benchmarks/wide/{features}"), features // 2
    numbers = [Feature(f"n{j}", "integer", low=0, high=400) for j in range(n)]
    switches = [Feature(f"c{j}", "category", levels=("a", "b", "c")) for j in range(features - n)]
    counts = random.binomial(400, random.uniform(0.2, 0.8, n), (rows, n))
    level = random.integers(0, 3, (rows, features - n))
    scaled = (counts - counts.mean(0)) / counts.std(0)
    worth = random.normal(size=(features - n, 3))
    worth -= worth.mean(1, keepdims=True)
    worth *= random.uniform(0.5, 1.5, (features - n, 1)) / worth.std(1, keepdims=True)
    seen = np.concatenate([scaled, worth[np.arange(features - n), level]], 1)
    slope = random.uniform(0.5, 1.5, n) * random.choice([-1, 1], n)
    score = scaled @ slope + seen[:, n:].sum(1)
    bent = np.sin(2 * seen @ random.normal(size=(features, 8)) / np.sqrt(features)) @ random.normal(size=8)
    score += bent * np.sqrt(features) / 2
    outcome = score / score.std() + 0.3 * random.normal(size=rows) > 0.8
    schema = Schema(f"wide{features}", "made", (*numbers, *switches), "yes", "no")
    return Table(schema, np.concatenate([counts, level], 1), outcome)


def long_table(rows: int) -> Table:
    """Nine features: five numbers, three categories, one protected."""
    random = numpy_stream(0, f"benchmarks/rows/{rows}")
    numbers = [Feature(f"n{j}", "integer") for j in range(5)]
    levels = [tuple(f"l{k}" for k in range(n)) for n in (3, 5, 8)]
    switches = [Feature(f"c{j}", "category", levels=each) for j, each in enumerate(levels)]
    sex = Feature("sex", "category", levels=("f", "m"), protected=True, move="fixed")
    counts = np.round(random.gamma(3, 1, (rows, 5)) * 100).astype(np.int64)
    level = np.stack([random.integers(0, len(each), rows) for each in (*levels, sex.levels)], 1)
    scaled = (counts / 100 - 3) / np.sqrt(3)
    score = scaled @ np.array([1.0, -0.8, 0.6, 0.5, -0.4]) + 0.5 * np.sin(2 * scaled[:, 0] * scaled[:, 1])
    score += sum(0.5 * random.normal(size=len(each))[level[:, j]] for j, each in enumerate(levels)) + 0.2 * level[:, 3]
    outcome = score + 0.4 * random.normal(size=rows) > 0.3
    schema = Schema(f"rows{rows}", "made", (*numbers, *switches, sex), "yes", "no")
    return Table(schema, np.concatenate([counts, level], 1), outcome)


def write_card(table: Table, folder: Path) -> Path:
    """A table as a CSV and its card."""
    name, rows = table.schema.name, table.frame()
    rows["outcome"] = np.where(table.outcome, "yes", "no")
    whole = {f.name: int for f in table.schema.features if not f.levels}
    return card_of(rows.astype(whole), name, "outcome", "yes", table.schema.features, folder)


def card_of(
    rows: pd.DataFrame, name: str, target: str, favourable: str, features: tuple[Feature, ...], folder: Path
) -> Path:
    """A CSV and a card that names each feature's kind, and that it is protected."""
    rows.to_csv(folder / f"{name}.csv", index=False)
    head = {"name": name, "title": name, "csv": f"{name}.csv", "target": target, "favourable": favourable}
    lines = [f'{key} = "{value}"' for key, value in head.items()]
    for f in features:
        lines += ["[[feature]]", f'name = "{f.name}"', f'kind = "{f.kind}"']
        lines += ["protected = true", 'move = "fixed"'] if f.protected else []
    path = folder / f"{name}.toml"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def caravan(csv: Path, folder: Path) -> Path:
    """ISLP's Caravan: 85 whole numbers, and whether a household bought a mobile home policy."""
    rows = pd.read_csv(csv)
    names = [c for c in rows.columns if c not in ("Purchase", "Unnamed: 0")]
    return card_of(
        rows[[*names, "Purchase"]], "caravan", "Purchase", "Yes", tuple(Feature(n, "integer") for n in names), folder
    )


# ---------------------------------------------------------------------- the search


def asked(features: int, people: int) -> tuple[Stack, RecourseQuery]:
    """A teacher, and test people whom it denies; one after the other again where there are not enough."""
    table = wide_table(features)
    design = prepare(table, 0)
    model = teachers([design], SETTING)
    test = table.values[design.split.test]
    denied = test[logits64(model, 0, design.encoding, test) <= 0]
    return model, RecourseQuery(np.resize(denied, (people, denied.shape[1])), design.encoding, design.actions)


def search() -> list[dict[str, Any]]:
    """A row a width."""
    out = []
    with repeatable():
        for width in WIDTHS:
            model, query = asked(width, PEOPLE)
            find_recourse(model, [query.take(slice(2))], Search())  # the first call pays for torch's start
            found, taken = _timed(model, query, Search(), CALLS)
            changed = (found.before != found.after).sum(1)[found.has_recourse].mean()
            row = {"features": width, "people": PEOPLE, "ms": float(np.median(taken)), "changed": float(changed)}
            row["found"] = float(found.has_recourse.mean())
            if width in COMPARED:
                row |= _compared(model, query.take(slice(COMPARED[width])), found)
            print(row, flush=True)
            out.append(row)
    return out


def _timed(model: Stack, query: RecourseQuery, how: Search, calls: int) -> tuple[Recourse, list[float]]:
    """Everybody's answer, and CPU milliseconds a person of each call; people are dealt out among the calls."""
    find, size = [], -(-len(query.values) // calls)
    taken = []
    for start in range(0, len(query.values), size):
        few = query.take(slice(start, start + size))
        begun = time.process_time()
        find.append(find_recourse(model, [few], how))
        taken.append(1000 * (time.process_time() - begun) / len(few.values))
    every = (np.concatenate([getattr(f, of.name) for f in find]) for of in fields(Recourse))
    return Recourse(*every), taken


def _compared(model: Stack, query: RecourseQuery, found: Recourse) -> dict[str, Any]:
    whole, taken = _timed(model, query, Search(wide=EVERY), 1)
    few = len(query.values)
    cost, both = found.cost[:few], np.isfinite(found.cost[:few]) & np.isfinite(whole.cost)
    change = cost[both] / whole.cost[both] - 1
    return {
        "whole_people": few, "whole_ms": float(np.median(taken)), "whole_found": float(whole.has_recourse.mean()),
        "found_of_them": float(found.has_recourse[:few].mean()),
        "cost_ratio": float(cost[both].sum() / whole.cost[both].sum()),
        "dearer": int((change > 1e-9).sum()), "cheaper": int((change < -1e-9).sum()), "dearest": float(change.max()),
    }  # fmt: skip


# ---------------------------------------------------------------------- memory


def memory() -> dict[str, float]:
    """Peak bytes of a process that asks for so many people at the largest width."""
    code = "from benchmarks.wide import *; one_thread(); print(peak_of(int(sys.argv[1])))"
    run = [[sys.executable, "-c", code, str(people)] for people in MEMORY]
    peak = [float(subprocess.run(r, capture_output=True, text=True, check=True).stdout) for r in run]
    return {str(people): bytes_ for people, bytes_ in zip(MEMORY, peak, strict=True)}


def peak_of(people: int) -> int:
    """Peak bytes of this process after a search for so many."""
    with repeatable():
        model, query = asked(WIDTHS[-1], people)
        find_recourse(model, [query], Search(rounds=1))  # later rounds are about fewer people
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


# ---------------------------------------------------------------------- whole studies


def study(card: Path, options: tuple[str, ...], folder: Path) -> dict[str, Any]:
    """Seconds on the wall, CPU seconds and peak memory of all processes of one `cfq run`; and what it said before."""
    command = [sys.executable, "-m", "cfq_core.cli", "run", "--dataset", str(card), *options]
    began = time.perf_counter()
    process = subprocess.Popen([*command, "--store", str(folder / "store")], stdout=subprocess.PIPE, text=True)
    watch = _Watch(process.pid)
    said, _ = process.communicate()
    wall = time.perf_counter() - began
    if process.returncode:
        raise SystemExit(f"{' '.join(command)}: exit {process.returncode}")
    words = [line for line in said.splitlines() if "denied people" in line]
    return {"options": " ".join(options), "wall": wall, "cpu": watch.cpu, "peak": watch.most, "said": words,
            "load": os.getloadavg()[0]}  # fmt: skip


class _Watch:
    """Of a process and those below it: the most memory held at once, each shared page counted once (Pss), and CPU time.

    A worker is nobody's child that waits for it, so its seconds are read while it runs.
    """

    def __init__(self, pid: int) -> None:
        self.pid, self.most, self.each = pid, 0, dict[int, float]()
        threading.Thread(target=self._look, daemon=True).start()

    def _look(self) -> None:
        while Path(f"/proc/{self.pid}").exists():
            below = _below(self.pid)
            self.most = max(self.most, sum(map(_held, below)))
            self.each |= {pid: took for pid in below if (took := _took(pid)) > 0}
            time.sleep(0.5)

    @property
    def cpu(self) -> float:
        """Seconds of all of them, to the last look."""
        return sum(self.each.values())


def _below(pid: int) -> list[int]:
    """A process and all that it started."""
    try:
        children = [int(c) for t in Path(f"/proc/{pid}/task").iterdir() for c in (t / "children").read_text().split()]
    except OSError:
        return []
    return [pid, *(p for c in children for p in _below(c))]


def _took(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _held(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:  # it has just ended
        return 0
    return sum(1024 * int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def rows() -> dict[str, Any]:
    """The study of many rows."""
    with tempfile.TemporaryDirectory() as folder:
        card = write_card(long_table(ROWS[0]), Path(folder))
        return {"table": f"made, {ROWS[0]:,} rows x 9", **study(card, ROWS[1], Path(folder))}


def columns(csv: Path | None) -> dict[str, Any]:
    """The study of many features; a trained teacher of Caravan approves one in five (one in seventeen bought)."""
    with tempfile.TemporaryDirectory() as folder:
        if csv is None:
            card, name = write_card(wide_table(COLUMNS[0]), Path(folder)), f"made, 4,000 rows x {COLUMNS[0]}"
        else:
            card, name = caravan(csv, Path(folder)), f"Caravan, 5,822 rows x {COLUMNS[0]}"
        options = COLUMNS[1] if csv is None else (*COLUMNS[1], "--approve", "20%")
        return {"table": name, **study(card, options, Path(folder))}


# ---------------------------------------------------------------------- what is written


def section(path: Path = OUT) -> str:
    """The tables for benchmarks/RESULTS.md, from the stored numbers."""
    if not path.is_file():
        return ""
    found = json.loads(path.read_text(encoding="utf-8"))
    parts = ["## Many features, many rows"]
    parts += [text(found[name]) for name, text in SECTIONS.items() if name in found]
    return "\n\n".join([*parts, "Made by `python -m benchmarks.wide`."])


def _search_text(found: list[dict[str, Any]]) -> str:
    head = ["features", "people", "ms a person", "times the half", "changed features", "found", "ms with every pair"]
    head += ["times faster", "total cost beside it", "dearer / cheaper", "dearest"]
    out = [
        "Made tables, half numbers and half categories of three levels, teachers 64-32, CPU milliseconds a person,",
        f"medians of {CALLS} calls. From 65 moves on (two a number, one a level) pairs are made of the 24 best alone.",
        "",
        f"| {' | '.join(head)} |",
        "|" + "---|" * len(head),
    ]
    for before, r in zip([None, *found], found, strict=False):
        cells = [r["features"], r["people"], f"{r['ms']:.1f}"]
        cells.append("" if before is None else f"{r['ms'] / before['ms']:.1f}")
        cells += [f"{r['changed']:.1f}", f"{r['found']:.2f}"]
        if "whole_ms" in r:
            cells += [f"{r['whole_ms']:.0f} ({r['whole_people']} people)", f"{r['whole_ms'] / r['ms']:.1f}"]
            cells += [f"{r['cost_ratio']:.5f}", f"{r['dearer']} / {r['cheaper']}", f"{r['dearest']:+.2%}"]
        else:
            cells += ["the same search", "", "", "", ""]
        out.append(f"| {' | '.join(map(str, cells))} |")
    growth = max(b["ms"] / a["ms"] for a, b in pairwise(found))
    dear, last = max(r.get("cost_ratio", 1.0) for r in found), found[-1]["ms"]
    aims = (
        _aim(f"{last:.0f} ms at {found[-1]['features']} features", last <= FAST, f"{FAST:.0f}"),
        _aim(f"total cost {dear:.5f} times", dear <= DEAR, f"{DEAR}"),
        _aim(f"a doubling {growth:.1f} times at the most", growth <= GROWTH, f"{GROWTH:.0f}"),
    )
    return "\n".join([*out, "", f"Aims: {'; '.join(aims)}."])


def _memory_text(found: dict[str, float]) -> str:
    few, many = (found[str(people)] for people in MEMORY)
    words = f"Peak memory at {WIDTHS[-1]} features: {few / 1e9:.2f} GB for {MEMORY[0]} people, {many / 1e9:.2f} GB for"
    return f"{words} {MEMORY[1]}: {_aim(f'{many / few:.2f} times', many <= FLAT * few, f'{FLAT}')}."


def _rows_text(found: dict[str, Any]) -> str:
    return _study_text(found, ROWS[2], ROWS[3])


def _columns_text(found: dict[str, Any]) -> str:
    return _study_text(found, COLUMNS[2], COLUMNS[3])


def _study_text(found: dict[str, Any], seconds: float, most: float | None) -> str:
    held = f"{found['peak'] / 1e9:.2f} GB in all processes"
    aims = [_aim(f"{found['wall']:.0f} s on the wall", found["wall"] <= seconds, f"{seconds:.0f}")]
    aims.append(held if most is None else _aim(held, found["peak"] <= most, f"{most / 1e9:.0f}"))
    told = (
        f"`cfq run {found['options']}`, {found['table']}, two cores: {', '.join(aims)}; {found['cpu']:.0f} CPU seconds"
    )
    return f"{told}; {found['load']:.1f} processes wanted a core at its end. {' '.join(found['said'])}"


def _aim(words: str, met: bool, most: str) -> str:
    return f"{words} (at most {most}: {'met' if met else '**not met**'})"


SECTIONS: dict[str, Callable[[Any], str]] = {
    "search": _search_text, "memory": _memory_text, "rows": _rows_text, "columns": _columns_text,
}  # fmt: skip


def main() -> None:
    """Measures, writes and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=list(SECTIONS), default=list(SECTIONS))
    parser.add_argument("--caravan", type=Path, help="the CSV of the package ISLP (ISLP/data/Caravan.csv)")
    given = parser.parse_args()
    one_thread()
    measured = {"search": search, "memory": memory, "rows": rows, "columns": lambda: columns(given.caravan)}
    for part in given.parts:
        found = json.loads(OUT.read_text(encoding="utf-8")) if OUT.is_file() else {}
        found[part] = measured[part]()
        OUT.write_text(json.dumps({p: found[p] for p in SECTIONS if p in found}, indent=1) + "\n", encoding="utf-8")
    print(section())


if __name__ == "__main__":
    main()
