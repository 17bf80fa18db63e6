"""How long a study takes, measured, and what is told before it starts: writes cfq_core/study/paces.json.

    python -m benchmarks.estimates [--only NAME ...]

Each configuration is run once, one seed, 4 bits, `ptq` and `cfq_anchored`, in this process: CPU seconds of its four
parts, divided by how much slower than at best a fixed piece of work went at the same time. Seconds of every count of
`study.estimate.Work` are the least squares of relative errors with no negative number (Lawson and Hanson). ``--only``
measures some again and keeps the others. The table says how far each estimate is from what was measured, and how far
it would be had its own configuration been left out of the fit.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, fields, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.optimize import nnls

from benchmarks.search_quality import one_thread
from benchmarks.wide import long_table, wide_table
from cfq_core import pipeline
from cfq_core.artifacts.artifact import ArtifactInput
from cfq_core.base import plugins
from cfq_core.base.errors import DataUnavailable
from cfq_core.base.seeds import repeatable
from cfq_core.base.shipped import shipped
from cfq_core.datasets.card import read_card
from cfq_core.pipeline import Setting
from cfq_core.study.artifact_tasks import compute
from cfq_core.study.estimate import MEASURED, Pace, Work
from cfq_core.tables.schema import Table

OUT = Path(__file__).parent / "numbers" / "estimates.json"
PARTS = tuple(f.name for f in fields(Pace) if f.name != "rows")
CLOSE = 2.0  # times, aimed at
BITS = (4.0,)
LEAST = 0.05  # seconds of a part that are told apart
#: A name, its table, and how many denied people a seed are asked for; the first five are shipped data sets.
FEW = {"wide 80": 20, "wide 40": 20}


def _named(name: str) -> Callable[[], Table]:
    return lambda: plugins.load("datasets", name).load()


CONFIGURATIONS: dict[str, Callable[[], Table]] = {
    "toy": _named("toy"), "diabetes": _named("diabetes"), "digits": _named("digits"), "german": _named("german"),
    "compas": _named("compas"), "adult": _named("adult"),
    "example": lambda: read_card(shipped("cards") / "example.toml"),
    "wide 40": lambda: wide_table(40), "wide 80": lambda: wide_table(80), "300,000 rows": lambda: long_table(300_000),
}  # fmt: skip
#: Shipped data sets whose table may not be here; as large as what their documentation says.
UNREAD = {"fashion": ("digits", 30_000)}


def setting_of(name: str) -> Setting:
    """The default one; of a wide table few people are asked for, whose searches take long."""
    few = FEW.get(name)
    return Setting() if few is None else Setting(people=few, n_training_recourse=few)


def measure(name: str) -> Iterator[dict[str, Any]]:
    """A configuration's work and CPU seconds, beside those of `reference` meanwhile; more of it after each part."""
    table, setting, artifacts = CONFIGURATIONS[name](), setting_of(name), list(plugins.load_all("artifacts"))
    watch, work = _Watch(name), asdict(Work.of(table, setting))
    took: dict[str, float] = {}

    def row(part: str, seconds: float) -> dict[str, Any]:
        took[part] = max(0.0, seconds)
        return {"work": work, "measured": dict(took), "reference": float(np.median(watch.reference))}

    with repeatable():
        promises = pipeline.promise([pipeline.prepare(table, 0)], setting)
        promised = watch.seconds("promise")
        compute(artifacts, ArtifactInput(promises[0], setting))
        kept = watch.seconds("artifacts")
        yield row("teacher", promised + kept)
        pipeline.audit(promises, {"ptq": plugins.load("methods", "ptq")}, BITS, setting)
        yield row("audit", watch.seconds("audit"))
        promises = pipeline.training_recourse(promises, setting)
        compute(artifacts, ArtifactInput(promises[0], setting))
        yield row("recourse", watch.seconds("training recourse") - kept)
        pipeline.audit(promises, {"cfq_anchored": plugins.load("methods", "cfq_anchored")}, BITS, setting)
        yield row("trained", watch.seconds("trained") - took["audit"])


class _Watch:
    """CPU seconds between calls, told as they come; between them the machine's own speed is looked at."""

    def __init__(self, name: str) -> None:
        self.name, self.reference = name, [reference()]
        self.begun = time.process_time()

    def seconds(self, what: str) -> float:
        """Since the last call."""
        took = time.process_time() - self.begun
        self.reference.append(reference())
        print(f"{self.name}, {what}: {took:.2f} s, reference {self.reference[-1]:.3f} s", flush=True)
        self.begun = time.process_time()
        return took


def reference() -> float:
    """CPU seconds of work like a search's: a busy machine takes up to three times as many for the same."""
    random = torch.Generator().manual_seed(0)
    inputs, weight = (torch.randn(rows, 64, generator=random) for rows in (4096, 64))
    begun = time.process_time()
    for _ in range(20):
        inputs = torch.relu(inputs @ weight / 8).index_select(0, torch.arange(len(inputs)).flip(0))
    return time.process_time() - begun


def fitted(found: Mapping[str, dict[str, Any]]) -> dict[str, list[float]]:
    """Seconds of every count, for each part."""
    out = {}
    for part in PARTS:
        of = [r for r in found.values() if part in r["measured"]]
        took = np.array([max(_at_rest(found, r)[part], LEAST) for r in of])
        terms = np.array([Work(**r["work"]).terms(part) for r in of])
        scale = (terms / took[:, None]).max(0)
        out[part] = (nnls(terms / took[:, None] / scale, np.ones(len(took)))[0] / scale).tolist()
    return out


def _at_rest(found: Mapping[str, dict[str, Any]], row: dict[str, Any]) -> dict[str, float]:
    """A configuration's seconds at the speed the machine had when it was least busy."""
    slower = row["reference"] / min(r["reference"] for r in found.values())
    return {part: took / slower for part, took in row["measured"].items()}


def judged(found: Mapping[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Measured, told, and told by a fit without the configuration itself; of the parts that were measured."""
    every, out = fitted(found), []
    for name, r in found.items():
        others, took = fitted({n: x for n, x in found.items() if n != name}), _at_rest(found, r)
        told = [Work(**r["work"]).pace(seconds) for seconds in (every, others)]
        sums = [sum(getattr(pace, part) for part in took) for pace in told]
        out.append(
            {"name": name, "parts": list(took), "measured": sum(took.values()), "told": sums[0], "left_out": sums[1]}
        )
    return out


def section(path: Path = OUT) -> str:
    """The table for benchmarks/RESULTS.md, from the stored numbers."""
    if not path.is_file():
        return ""
    out = [
        "## How long a study takes, told before it starts",
        "",
        "One seed, 4 bits, `ptq` and `cfq_anchored`, CPU seconds; other: by a fit that has not seen the configuration.",
        "Made by `python -m benchmarks.estimates`.",
        "",
        "| configuration | measured | told | told / measured | other told / measured |",
        "|---|---|---|---|---|",
    ]
    rows = judged(json.loads(path.read_text(encoding="utf-8")))
    for r in rows:
        cells = [f"{r['measured']:.1f}", f"{r['told']:.1f}"]
        cells += [f"{r[k] / r['measured']:.2f}" for k in ("told", "left_out")]
        parts = "" if len(r["parts"]) == len(PARTS) else f" ({' and '.join(r['parts'])} alone)"
        out.append(f"| {r['name']}{parts} | {' | '.join(cells)} |")
    close = [sum(max(r[k] / r["measured"], r["measured"] / r[k]) <= CLOSE for r in rows) for k in ("told", "left_out")]
    met = "met" if close[0] == len(rows) else "**not met**"
    aim = f"Aim: within a factor of {CLOSE:g}: {close[0]} of {len(rows)}, {met}; {close[1]} by a fit without their own."
    return "\n".join([*out, "", aim])


@cache
def known() -> dict[str, Any]:
    """The work of the shipped data sets, by name; of one that is not on disk, as it was or as large as it is known."""
    before = json.loads(MEASURED.read_text(encoding="utf-8"))["work"]
    out = {}
    for name in plugins.names("datasets"):
        try:
            out[name] = asdict(Work.of(plugins.load("datasets", name).load(), Setting()))
        except DataUnavailable:
            out[name] = before.get(name) or _as_large(*UNREAD[name])
    return out


def _as_large(like: str, rows: int) -> dict[str, Any]:
    table = plugins.load("datasets", like).load()
    more = np.resize(np.arange(len(table)), rows)
    return asdict(Work.of(replace(table, values=table.values[more], outcome=table.outcome[more]), Setting()))


def main() -> None:
    """Measures, fits, writes and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", choices=list(CONFIGURATIONS), default=list(CONFIGURATIONS))
    given = parser.parse_args()
    one_thread()
    for name in given.only:
        for row in measure(name):
            _keep(name, row)
    print(section())


def _keep(name: str, row: dict[str, Any]) -> None:
    """A configuration as far as it is measured, and what is told from now on."""
    found = {**(json.loads(OUT.read_text(encoding="utf-8")) if OUT.is_file() else {}), name: row}
    found = {n: found[n] for n in CONFIGURATIONS if n in found}
    OUT.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    written = {"seconds": fitted(found), "work": known()}
    MEASURED.write_text(json.dumps(written, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
