"""The peers' tables for RESULTS.md, from benchmarks/numbers/peers.json."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import mean, median
from typing import Any

from benchmarks.peer_libraries import LIBRARIES, LIMIT
from benchmarks.peer_robust import NARROW, POOL
from benchmarks.transfer import half_width

OUT = Path(__file__).parent / "numbers" / "peers.json"
CHEAPEST = "exact, kappa 0"
ROUNDED = "ptq 4"  # the student of the finding
#: Peers that install and were not asked.
LEFT_OUT = {
    "alibi 0.9.6": "needs numpy below 2, this package 2; its counterfactuals need TensorFlow; CFNOW is here instead",
}
PICTURE = (
    "![Share of promises that break, by library and student](../docs/pages/pictures/peers-light.svg)\n\n"
    "Drawn by `python docs/pictures.py`."
)

Record = dict[str, Any]


def read(path: Path = OUT) -> Record:
    """What was measured; empty where nothing was."""
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def write(found: Record, path: Path = OUT) -> None:
    """One line a record."""
    parts = []
    for key, value in found.items():
        if isinstance(value, list) and value:
            text = "[\n" + ",\n".join("  " + json.dumps(r) for r in value) + "\n ]"
        else:
            text = json.dumps(value)
        parts.append(f' "{key}": {text}')
    path.write_text("{\n" + ",\n".join(parts) + "\n}\n", encoding="utf-8")


def why(error: Exception) -> str:
    """The first line of what went wrong."""
    return f"{type(error).__name__}: {(str(error).strip() or 'no message').splitlines()[0]}"[:200]


def version_of(package: str | None) -> str:
    """Of an installed package; empty of ours."""
    try:
        return "" if package is None else version(package)
    except PackageNotFoundError:
        return "not installed"


# ---------------------------------------------------------------------- one library on one seed


def promises(r: Record) -> list[bool]:
    """Whose answer is legal and approved by the teacher once it stands on the grid."""
    return [legal and f is not None and f > 0 for legal, f in zip(r["legal"], r["teacher"], strict=True)]


def broken(r: Record, student: str, cut: float = 0.0) -> float | None:
    """Share of its promises that a student does not keep; None where it promised nothing."""
    kept = [q > cut for q, told in zip(r["students"][student], promises(r), strict=True) if told]
    return 1 - mean(kept) if kept else None


def useful(records: Sequence[Record]) -> set[str]:
    """Libraries that promise something to at least half of those they were asked about."""
    names = {r["library"] for r in records}
    of = {name: [told for r in records if r["library"] == name for told in promises(r)] for name in names}
    return {name for name, told in of.items() if 2 * sum(told) >= len(told)}


def served_by_all(records: Sequence[Record]) -> dict[int, list[bool]]:
    """By seed: whom every useful library promises something, of the first whom all were asked about."""
    out: dict[int, list[bool]] = {}
    counted = useful(records)
    for r in (r for r in records if r["library"] in counted):
        told = promises(r)
        out[r["seed"]] = [a and b for a, b in zip(out.get(r["seed"], told), told, strict=False)]
    return out


def costs(records: Sequence[Record], of: dict[int, list[bool]]) -> list[float]:
    """What one library's promises cost the people of some seeds who are chosen."""
    return [c for r in records for c, chosen in zip(r["cost"], of[r["seed"]], strict=False) if chosen]


# ---------------------------------------------------------------------- the section


def section(path: Path = OUT) -> str:
    """Both tables and what did not run; empty where nothing was measured."""
    found = read(path)
    if not found.get("libraries"):
        return ""
    parts = [
        opening(found),
        libraries_table(found),
        survivors(found),
        PICTURE,
        quantizers_opening(found),
        quantizers_table(found),
    ]
    return "\n\n".join([*parts, not_run(found)])


def opening(found: Record) -> str:
    """What was asked and how it is judged."""
    seeds, first = sorted(found["students"]), found["libraries"][0]
    asked = len(first["answered"])
    return (
        "## Peers side by side\n\n"
        f"`python -m benchmarks.peers`: {found['table']}, teachers and students of the shipped gallery, {len(seeds)} "
        f"seeds, {asked} denied test people a seed of whom it is proved that they have an action. Answers are rounded "
        "to the card's grid and judged by rules written a second time. A promise is an answer that is legal and that "
        "the teacher approves; *broken*: share of promises a student refuses, as it is ± half of the 95 % interval "
        "over seeds (t) / at its matched threshold. Libraries keep their defaults and, RoCELib's robust methods aside, "
        "**ask for no margin**, ours asks for kappa = 0.2 logits by default; so ours stands here with 0 and with 0.2, "
        "and with 1 because others' dearer advice goes further beyond the boundary. In our favour: the rules and the "
        "cost are ours, and exact at kappa 0 chose who is asked. DiCE is told each person's box, CFNOW only which "
        "columns may change; CFNOW spends its "
        f"whole time limit on every person (120 s by default) and was given {LIMIT} s, on shared cores. The slow "
        "libraries were asked about the first people of each seed only, as the column of promises says; *all serve*: "
        "all that promise something to half of those they were asked about.\n\n"
        f"{rocelib_opening(found)}"
    )


def rocelib_opening(found: Record) -> str:
    """What RoCELib is told, and what becomes of its answers on the grid."""
    return (
        "RoCELib is what PyPI has of RobustX, whose repository's history holds the same modules; no package is named "
        "robustx. It is given the net in the columns that a person may change, the others folded into its first bias, "
        f"and as its data set at most {POOL} training rows that the person may become and the teacher approves. It "
        "knows no bounds, no grid and no one-hot groups, so its gradient methods stop between levels, and of their "
        "answers the most likely level is taken. RNCE and TrexNN ask that a row stay approved whatever happens to "
        "each weight within delta, by interval bounds and Gurobi's free licence: at the default of 0.005 few rows "
        f"pass on nets of this size, so {NARROW} stands beside it.{off_grid(found)}"
    )


def off_grid(found: Record) -> str:
    """Whose answers the teacher approves as they are and, once they stand on the grid, hardly ever."""
    told = []
    for name in dict.fromkeys(r["library"] for r in found["libraries"] if "off_grid" in r):
        mine = [r for r in found["libraries"] if r["library"] == name and "off_grid" in r]
        before = sum(f > 0 for r in mine for f in r["off_grid"])
        after = sum(sum(promises(r)) for r in mine)
        if 2 * after < before:
            told.append(f"{name} {before} and {after} of {sum(len(r['answered']) for r in mine)}")
    return f" Approved between levels, and on the grid: {'; '.join(told)}." if told else ""


def libraries_table(found: Record) -> str:
    """A line a library."""
    students = list(next(iter(found["students"].values())))
    everybody = served_by_all(found["libraries"])
    n = sum(map(sum, everybody.values()))
    head = ["library", "version", "CPU s a person", "answered", "legal, of answered", "teacher approves, of answered",
            "promises", f"mean cost, the {n} all serve", "times the least, own people", "median margin, logits",
            *(f"broken, {s} bits" for s in students)]  # fmt: skip
    moved = [[f[s] for f in found["students"].values()] for s in students]
    shifts = [f"{100 * mean(f['shift'] for f in of):+z.1f} / {100 * mean(f['shift_matched'] for f in of):+z.1f}"
              for of in moved]  # fmt: skip
    rows = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    rows.append(f"| *approval shift, points* | {' | '.join(['', *[''] * 8, *shifts])} |")
    for name in dict.fromkeys(r["library"] for r in found["libraries"]):
        rows.append(f"| {' | '.join(_line(found, name, everybody, students))} |")
    return "\n".join(rows)


def _line(found: Record, name: str, everybody: dict[int, list[bool]], students: Sequence[str]) -> list[str]:
    mine = [r for r in found["libraries"] if r["library"] == name]
    asked, answered = (sum(len(r["answered"]) for r in mine), sum(sum(r["answered"]) for r in mine))
    legal, told = sum(sum(r["legal"]) for r in mine), sum(sum(promises(r)) for r in mine)
    approved = sum(f is not None and f > 0 for r in mine for f in r["teacher"])
    margins = [f for r in mine for f, p in zip(r["teacher"], promises(r), strict=True) if p]
    common = costs(mine, everybody) if name in useful(found["libraries"]) else []
    cells = [name, mine[0]["version"], f"{sum(r['cpu'] for r in mine) / asked:.3f}", share(answered, asked),
             share(legal, answered), share(approved, answered), f"{told} of {asked}",
             f"{mean(common):.2f}" if common else "-", _dearer(found, mine),
             f"{median(margins):.2f}" if margins else "-"]  # fmt: skip
    return [*cells, *(broken_cell(found["students"], mine, s) for s in students)]


def share(part: int, whole: int) -> str:
    """A share to three digits."""
    return f"{part / whole:.3f}" if whole else "-"


def _dearer(found: Record, mine: Sequence[Record]) -> str:
    """What a library's promises cost over the least that is possible, of the same people together."""
    own = {r["seed"]: promises(r) for r in mine}
    paid, least = (
        costs(mine, own),
        costs([r for r in found["libraries"] if r["library"] == CHEAPEST and r["seed"] in own], own),
    )
    return f"{sum(paid) / sum(least):.2f}" if least and sum(least) else "-"


def broken_cell(students: Record, mine: Sequence[Record], student: str) -> str:
    """Mean over seeds of the share broken, as it is with half its interval, and at each seed's matched threshold."""
    raw = [b for r in mine if (b := broken(r, student)) is not None]
    cuts = [broken(r, student, students[str(r["seed"])][student]["cut"]) for r in mine]
    matched = [b for b in cuts if b is not None]
    if not raw:
        return "-"
    half = f" ± {half_width(raw):.3f}" if len(raw) > 1 and not math.isnan(half_width(raw)) else ""
    return f"{mean(raw):.3f}{half} / {mean(matched):.3f}"


def survivors(found: Record) -> str:
    """Whose advice survives 4 bits, the most lasting first, with what it costs."""
    told = []
    for name in dict.fromkeys(r["library"] for r in found["libraries"]):
        mine = [r for r in found["libraries"] if r["library"] == name]
        each = [b for r in mine if (b := broken(r, ROUNDED)) is not None]
        if each:
            n = sum(sum(promises(r)) for r in mine)
            told.append((mean(each), f"{name}: {100 * mean(each):.0f} ({_dearer(found, mine)} times, n = {n})"))
    return (
        "### Which library's advice survives 4 bits?\n\n"
        f"Of 100 promises rounding to 4 bits ({ROUNDED.split()[0]}) breaks, in brackets cost over the least and n: "
        + "; ".join(text for _, text in sorted(told))
        + ". What survives is what goes further beyond the boundary, asked for or not: compare at equal cost. "
        "Each library is judged on its own promises, so not all on the same people, and with three seeds the intervals "
        "of most overlap."
    )


def picture_rows(found: Record, students: Sequence[str]) -> list[Record]:
    """What the picture shows: by library and student the mean share broken in %, its interval, and the promises."""
    rows = []
    for name in dict.fromkeys(r["library"] for r in found["libraries"]):
        mine = [r for r in found["libraries"] if r["library"] == name]
        n = sum(sum(promises(r)) for r in mine)
        for student in students:
            each = [b for r in mine if (b := broken(r, student)) is not None]
            if not each:
                continue
            half = half_width(each) if len(each) > 1 else 0.0
            ends = max(0.0, mean(each) - half), min(1.0, mean(each) + half)
            rows.append({"library": f"{name} (n = {n})", "student": f"{student} bits", "at": 100 * mean(each),
                         "low": 100 * ends[0], "high": 100 * ends[1]})  # fmt: skip
    return rows


# ---------------------------------------------------------------------- quantizers

MEASURES = (("accuracy", "accuracy, %", 100, 2), ("shift", "approval shift, points", 100, 2), ("vd", "VD", 1, 3),
            ("vd_matched", "matched VD", 1, 3), ("shift_matched", "shift matched, points", 100, 2))  # fmt: skip


def quantizers_opening(found: Record) -> str:
    """What the second table is about."""
    people = sum(r["people"] for r in found["quantizers"] if (r["quantizer"], r["bits"]) == ("ptq", 4))
    return (
        "### Quantizers of other people\n\n"
        f"The same teachers and the promises our search made with kappa = 0.2 to {people} denied test people of all "
        "seeds; mean ± half of the 95 % interval over seeds (t). *Weights only*: activations stay real numbers, which "
        "is easier than what ours and the others do (8-bit activations). Brevitas QAT starts at the teacher and takes "
        "1,000 steps on observed outcomes; cf_ptq and cfq_anchored see training recourse, which no other method does."
    )


def quantizers_table(found: Record) -> str:
    """A line a quantizer and number of bits."""
    rows = [f"| quantizer | version | bits | CPU s a net | {' | '.join(m[1] for m in MEASURES)} |",
            "|" + "---|" * (4 + len(MEASURES))]  # fmt: skip
    for bits in (8, 4, 3):
        of = [r for r in found["quantizers"] if r["bits"] == bits]
        for name in dict.fromkeys(r["quantizer"] for r in of):
            mine = [r for r in of if r["quantizer"] == name]
            seconds = [r["seconds"] for r in mine if "seconds" in r]
            cells = [name, mine[0].get("version", ""), str(bits), f"{mean(seconds):.2f}" if seconds else "stored"]
            cells += [_over_seeds([scale * r[m] for r in mine], digits) for m, _, scale, digits in MEASURES]
            rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def _over_seeds(values: Sequence[float], digits: int) -> str:
    half = f" ± {half_width(list(values)):.{digits}f}" if len(values) > 1 else ""
    return f"{mean(values):.{digits}f}{half}"


def not_run(found: Record) -> str:
    """What was asked for and is in neither table."""
    there = {r["library"] for r in found["libraries"]} | set(found["not_run"])
    lines = ["### Not run", ""]
    for name, of in found["not_run"].items():
        lines.append(f"- {' '.join([name, of['version']]).strip()}: not run: `{of['why']}`")
    lines += [f"- {name}: not run yet; the command above adds it" for name in LIBRARIES if name not in there]
    return "\n".join([*lines, *(f"- {name}: not run: {reason}" for name, reason in LEFT_OUT.items())])
