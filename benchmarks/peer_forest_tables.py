"""The tables on forests and on who has no action, for RESULTS.md, from benchmarks/numbers/peers.json."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from benchmarks.peer_tables import OUT, broken_cell, promises, read, share

LEAST = "every point"  # the library that computes all that a person may reach
NEAR = 1e-3  # costs are stored with four digits
#: What was found on the people whose claims are not true.
WHY = (
    "treecf's exact search starts from its genetic one by default; where that one's number could not be put on the "
    "grid, an answer off the grid is called optimal, and on the grid the forest refuses it: *cold* is the same search "
    "without that start. OCEAN's are the cheapest by its own distance."
)

Record = dict[str, Any]


def section(path: Path = OUT) -> str:
    """Both tables; empty where neither was measured."""
    found = read(path)
    parts = [forests(found) if found.get("forests") else "", verdicts(found) if found.get("verdicts") else ""]
    told = "\n\n".join(filter(None, parts))
    return f"## Peers on forests, and on who has no action\n\n{told}" if told else ""


# ---------------------------------------------------------------------- forests


def forests(found: Record) -> str:
    """Whose advice holds on a rounded forest, and how far each is from the least cost."""
    seeds, asked = len(found["forest_students"]), sum(len(r["answered"]) for r in of(found, LEAST))
    teachers = [of_seed["teacher"] for of_seed in found["forest_students"].values()]
    return (
        f"`python -m benchmarks.peer_forests`: {found['table']}, random forests of 30 trees of depth 6 on the "
        f"project's encoding, {seeds} seeds (accuracy {100 * mean(t['accuracy'] for t in teachers):.1f} %, "
        f"{100 * mean(t['approved'] for t in teachers):.1f} % approved), {asked} denied test people whom the forest "
        "approves somewhere within reach, by computing every point that each may reach. Our search is given the forest "
        "as an ONNX file and sees outputs only, as `cfq audit` does; treecf and OCEAN read the trees and are told each "
        "person's box. treecf minimises our cost on our grid; OCEAN counts a number from the trees' thresholds, so "
        "what it proves is the least up to half a step a number. *Broken*: share of promises that the same forest "
        "refuses with thresholds and leaves in half precision, or on an even grid of 2^b values (a threshold's from "
        "the least to the largest training value of its column, a leaf's from 0 to 1): as it is ± half of the 95 % "
        "interval over seeds (t) / at the threshold that approves as many validation people as the forest does.\n\n"
        f"{forests_table(found)}\n\n{agreement(found)}"
    )


def of(found: Record, library: str) -> list[Record]:
    """What one library told, a record a seed."""
    return [r for r in found["forests"] if r["library"] == library]


def forests_table(found: Record) -> str:
    """A line a library."""
    students = [name for name in next(iter(found["forest_students"].values())) if name != "teacher"]
    head = ["library", "version", "CPU s a person", "answered", "legal, of answered", "forest approves, of answered",
            "mean cost", "times the least", "at the least", "claimed cheapest",
            *(f"broken, {shown(s)}" for s in students)]  # fmt: skip
    moved = [[of_seed[s] for of_seed in found["forest_students"].values()] for s in students]
    shifts = [f"{100 * mean(m['shift'] for m in each):+z.1f} / {100 * mean(m['shift_matched'] for m in each):+z.1f}"
              for each in moved]  # fmt: skip
    rows = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    rows.append(f"| *approval shift, points* | {' | '.join([*[''] * 9, *shifts])} |")
    for name in dict.fromkeys(r["library"] for r in found["forests"]):
        rows.append(f"| {' | '.join(_line(found, name, students))} |")
    return "\n".join(rows)


def shown(student: str) -> str:
    """A student's name in the head of a table."""
    return student if student.startswith("float") else f"{student} bits"


def _line(found: Record, name: str, students: Sequence[str]) -> list[str]:
    mine = of(found, name)
    asked, answered = (sum(len(r["answered"]) for r in mine), sum(sum(r["answered"]) for r in mine))
    paid = pairs(found, mine)
    cells = [name, mine[0]["version"], f"{sum(r['cpu'] for r in mine) / asked:.3f}", f"{answered} of {asked}",
             share(sum(sum(r["legal"]) for r in mine), answered),
             share(sum(f is not None and f > 0 for r in mine for f in r["teacher"]), answered)]  # fmt: skip
    cells += [f"{mean(c for c, _ in paid):.2f}", f"{sum(c for c, _ in paid) / sum(least for _, least in paid):.3f}",
              f"{sum(c <= least + NEAR for c, least in paid)} of {len(paid)}"] if paid else ["-"] * 3  # fmt: skip
    claims = sum(sum(r["proved"]) for r in mine)
    return [*cells, f"{claims}" if claims else "-", *(broken_cell(found["forest_students"], mine, s) for s in students)]


def pairs(found: Record, mine: Sequence[Record]) -> list[tuple[float, float]]:
    """What a library's promises cost, each beside the least that is possible."""
    least = {r["seed"]: r["cost"] for r in of(found, LEAST)}
    return [
        (cost, cheapest)
        for r in mine
        for told, cost, cheapest in zip(promises(r), r["cost"], least[r["seed"]], strict=True)
        if told
    ]


def agreement(found: Record) -> str:
    """How many claims to be the cheapest are true."""
    told = []
    for name in dict.fromkeys(r["library"] for r in found["forests"] if r["library"] != LEAST):
        least = {r["seed"]: r["cost"] for r in of(found, LEAST)}
        claims = [
            promised and cost <= cheapest + NEAR
            for r in of(found, name)
            for claimed, promised, cost, cheapest in zip(
                r["proved"], promises(r), r["cost"], least[r["seed"]], strict=True
            )
            if claimed
        ]
        if claims:
            told.append(f"{name} {sum(claims)} of {len(claims)}")
    return f"Claims to be the cheapest that are true of a promise: {'; '.join(told)}. {WHY}" if told else ""


# ---------------------------------------------------------------------- who has no action


def verdicts(found: Record) -> str:
    """reachml's verdict beside our proof."""
    records = found["verdicts"]
    both = [pair for r in records for pair in zip(r["ours"], r["reachml"], strict=True)]
    n, sizes = len(both), [p for r in records for p in r["points"]]
    same_box = sum(a == b for r in records for a, b in zip(r["points"], r["box"], strict=True))
    counts = {pair: both.count(pair) for pair in dict.fromkeys(both)}
    yes, no = counts.get((True, True), 0), counts.get((False, False), 0)
    cpu = [sum(r[key] for r in records) / n for key in ("ours_cpu", "reachml_cpu")]
    return (
        "### Who has no action at all\n\n"
        f"`python -m benchmarks.peer_reachml`: reachml {records[0]['version']} on {found['table']}, the nets of the "
        f"gallery and the first {len(records[0]['ours'])} denied test people of each of {len(records)} seeds, as they "
        f"come. It is told each person's whole box and enumerates it ({min(sizes):,} to {max(sizes):,} points; as many "
        f"as our rules allow for {same_box} of {n}); the teacher decides every point. Our exact solver, kappa 0, finds "
        "an action or proves that there is none. reachml 0.2.0a1 accepts a constraint that names one column and does "
        "not enforce it, so categories were told to it as one column a level.\n\n"
        "| people | both: an action | both: none | only ours finds one | only reachml finds one | no proof, ours | "
        "CPU s a person, ours | CPU s a person, reachml |\n|---|---|---|---|---|---|---|---|\n"
        f"| {n} | {yes} | {no} | {counts.get((True, False), 0)} | {counts.get((False, True), 0)} | "
        f"{sum(a is None for a, _ in both)} | {cpu[0]:.3f} | {cpu[1]:.3f} |"
    )
