"""What each allocator's PTQ plan breaks, beside the best of all 256 plans in hindsight.

    python -m benchmarks.allocations [adult compas german] [--seeds 10 11 12] [--store .cfq]

Validity drop at test people's recourse points with the threshold moved to the teacher's approval rate on validation
rows. Teachers of a stored study of data/studies/landscape.toml are read, others are made. Hindsight chooses on the test
people themselves: a bound, not a method. Writes benchmarks/numbers/allocations.json, which benchmarks.results shows.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import mean
from typing import Any

from benchmarks.aims import Aim
from benchmarks.aims import table as aims_table
from cfq_core import pipeline
from cfq_core.artifacts.layers import Layers, TeacherLayers
from cfq_core.base.seeds import repeatable
from cfq_core.study.over_seeds import student_t
from cfq_core.study.plan import table_of
from cfq_core.study.store import Store

OUT = Path(__file__).parent / "numbers" / "allocations.json"
STUDY = "Every allocation"  # the name in data/studies/landscape.toml
TABLES = ("adult", "compas", "german")
SEEDS = tuple(range(10, 20))
BUDGETS = (2.5, 3.0, 3.5, 4.0)
BEST = "best in hindsight"
#: Allocators and their names in the table.
ALLOCATORS = {
    "uniform": "uniform",
    "loss_sensitivity": "loss",
    "hessian_trace": "Hessian trace",
    "recourse_sensitivity": "recourse sensitivity",
    "measured": "measured",
}
MEASURES = ("vd_matched", "vd", "approval_shift")
NEAR = {"german": 0.05}
NEAR_ELSEWHERE = 0.015
LESS, OFTEN = 0.75, 6  # times Hessian trace's, in so many of the cells of Adult and COMPAS

#: By data set, budget and allocator: each measure over seeds.
Found = Mapping[str, Mapping[str, Mapping[str, Mapping[str, list[float]]]]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("datasets", nargs="*", default=list(TABLES))
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--store", type=Path)
    parser.add_argument("--out", type=Path, default=OUT)
    given = parser.parse_args()
    tables = json.loads(given.out.read_text(encoding="utf-8"))["tables"] if given.out.exists() else {}
    for name in given.datasets or TABLES:
        started = time.process_time()
        each = dict(teachers(name, given.seeds, given.store))
        tables[name] = {"seeds": list(each), "found": measured(list(each.values()))}
        print(f"{name}: {len(each)} teachers in {time.process_time() - started:.0f} CPU s", flush=True)
    given.out.write_text(json.dumps({"tables": tables}, indent=1) + "\n", encoding="utf-8")
    print(section(given.out))


def teachers(name: str, seeds: list[int], store: Path | None) -> Iterator[tuple[int, TeacherLayers]]:
    """Seeds and their teachers' layers: stored ones where they know the measuring allocator, else made."""
    stored = _stored(name, store) if store else {}
    setting, layers = pipeline.Setting(), Layers()
    for seed in seeds:
        if seed not in stored:
            designs = [pipeline.prepare(table_of(name), seed, setting.regime)]
            (p,) = pipeline.training_recourse(pipeline.promise(designs, setting), setting)
            with repeatable():
                stored[seed] = layers.of(p)
        yield seed, stored[seed]


def _stored(name: str, folder: Path) -> dict[int, TeacherLayers]:
    store = Store.for_reading(folder)
    rows = [t for s in store.studies() if s["name"] == STUDY for t in store.teachers(s["id"]) if t["dataset"] == name]
    known = {t["seed"]: store.arrays(t["id"], "layers") for t in rows if store.has_artifact(t["id"], "layers")}
    store.close()
    found = {seed: TeacherLayers.of_arrays(arrays) for seed, arrays in known.items()}
    return {seed: of for seed, of in found.items() if "measured" in of.allocators and of.landscape is not None}


def measured(each: list[TeacherLayers]) -> dict[str, dict[str, dict[str, list[float]]]]:
    """By budget and allocator, each measure of each teacher."""
    out: dict[str, dict[str, dict[str, list[float]]]] = {}
    for budget in BUDGETS:
        at = out[f"{budget:g}"] = {a: {m: [] for m in MEASURES} for a in (*ALLOCATORS, BEST)}
        for of in each:
            table = of.landscape
            assert table is not None, "nets of this benchmark have four layers"
            places = {a: table.of(of.plan(a, budget)) for a in ALLOCATORS} | {BEST: table.best(budget)}
            for (a, place), m in ((x, m) for x in places.items() for m in MEASURES):
                at[a][m].append(round(float(getattr(table, m)[place]), 6))
    return out


# ---------------------------------------------------------------------- what is told
def section(out: Path = OUT) -> str:
    """Markdown of the stored numbers; empty where there are none."""
    if not out.exists():
        return ""
    tables = json.loads(out.read_text(encoding="utf-8"))["tables"]
    found: Found = {name: tables[name]["found"] for name in TABLES if name in tables}
    seeds = "; ".join(f"{name} {', '.join(map(str, tables[name]['seeds']))}" for name in found)
    return "\n\n".join([
        "## Who gets the bits", _INTRODUCTION.format(seeds=seeds), _table(found, "vd_matched"),
        "Without the moved threshold, VD and approval shift in points:", _raw(found), _price(found), _negative(found),
        "### Against the aims", aims_table(_aims(found)),
    ])  # fmt: skip


_INTRODUCTION = """Made by `python -m benchmarks.allocations`. PTQ plans at one budget, VD at matched approval on test
people, mean over seeds ({seeds}) with the half width of its 95 % interval. `measured` tries all 256 plans on training
people at matched approval; the best in hindsight is chosen on the test people themselves: a bound, not a method."""


def _table(found: Found, measure: str) -> str:
    rows = [f"| data set | bits | {' | '.join(ALLOCATORS.values())} | {BEST} |", "|" + "---|" * (len(ALLOCATORS) + 3)]
    for name, budgets in found.items():
        for budget, at in budgets.items():
            cells = [_mean(at[a][measure]) for a in (*ALLOCATORS, BEST)]
            rows.append(f"| {name} | {budget} | {' | '.join(cells)} |")
    return "\n".join(rows)


def _raw(found: Found) -> str:
    rows = [f"| data set | bits | {' | '.join(ALLOCATORS.values())} |", "|" + "---|" * (len(ALLOCATORS) + 2)]
    for name, budgets in found.items():
        for budget, at in budgets.items():
            cells = [f"{mean(at[a]['vd']):.3f} / {100 * mean(at[a]['approval_shift']):+z.1f}" for a in ALLOCATORS]
            rows.append(f"| {name} | {budget} | {' | '.join(cells)} |")
    return "\n".join(rows)


def _price(found: Found) -> str:
    """Where matched approval is bought with promises broken at the threshold as it is."""
    cells = [
        f"{name} {budget} ({mean(at['measured']['vd']):.3f} against {mean(at['hessian_trace']['vd']):.3f})"
        for name, budgets in found.items()
        for budget, at in budgets.items()
        if mean(at["measured"]["vd"]) > mean(at["hessian_trace"]["vd"])
    ]
    what = "Without moving the threshold `measured` breaks more promises than Hessian trace's plan"
    return f"{what} at {', '.join(cells)}." if cells else f"{what} nowhere."


def _mean(values: list[float]) -> str:
    if len(values) < 2:
        return f"{mean(values):.3f}"
    low, high = student_t(values)
    return f"{mean(values):.3f} ± {(high - low) / 2:.3f}"


def _difference(at: Mapping[str, Any], one: str, other: str) -> tuple[float, float, float]:
    """Mean of one less the other, seed by seed, and its interval; of a single seed a point."""
    each = [a - b for a, b in zip(at[one]["vd_matched"], at[other]["vd_matched"], strict=True)]
    return (mean(each), *(student_t(each) if len(each) > 1 else (mean(each), mean(each))))


def _negative(found: Found) -> str:
    """Recourse sensitivity against Hessian trace, paired over seeds."""
    better, worse, ties, parts = 0, 0, 0, []
    for name, budgets in found.items():
        for budget, at in budgets.items():
            centre, low, high = _difference(at, "recourse_sensitivity", "hessian_trace")
            better, worse, ties = better + (high < 0), worse + (low > 0), ties + (low <= 0 <= high)
            parts.append(f"{name} {budget}: {centre:+z.3f} [{low:+.3f}, {high:+.3f}]")
    verdict = "a negative result" if better <= worse else "better more often than worse"
    return (
        f"**Recourse sensitivity against Hessian trace** ({verdict}): of {better + worse + ties} cells it breaks fewer "
        f"promises in {better}, more in {worse}, and {ties} are ties (the 95 % interval of the difference, paired over "
        f"seeds, holds 0). {'; '.join(parts)}. Adding up what rounding each layer alone does cannot say what a plan "
        "does; trying the plans can."
    )


def _aims(found: Found) -> list[Aim]:
    return [_near(name, budget, at) for name, of in found.items() for budget, at in of.items()] + _less(found)


def _near(name: str, budget: str, at: Mapping[str, Any]) -> Aim:
    bar = NEAR.get(name, NEAR_ELSEWHERE)
    centre, low, high = _difference(at, "measured", BEST)
    what = f"{name}: measured within {bar:g} of the best plan in hindsight (VD matched)"
    numbers = f"{centre:+z.3f} [{low:+.3f}, {high:+.3f}]"
    return Aim(what, float(budget), centre <= bar, numbers, "chosen on training people, who are others")


def _less(found: Found) -> list[Aim]:
    """At most 0.75 times Hessian trace's, in each cell of the large tables, and in how many; over all budgets."""
    out: list[Aim] = []
    for name in (n for n in found if n not in NEAR):
        for budget, at in found[name].items():
            one, other = (mean(at[a]["vd_matched"]) for a in ("measured", "hessian_trace"))
            _, low, high = _difference(at, "measured", "hessian_trace")
            out.append(Aim(
                f"{name}: measured at most {LESS:g} times Hessian trace's (VD matched)", float(budget),
                one <= LESS * other,
                f"{one:.3f} against {other:.3f}, difference [{low:+.3f}, {high:+.3f}]",
                "the interval of the difference holds 0" if low <= 0 <= high else "Hessian trace's is near the best",
                tie=low <= 0 <= high,
            ))  # fmt: skip
    if not out:
        return []
    reached, ties = [a for a in out if a.reached], sum(a.reached and a.tie for a in out)
    of = ", ".join(n for n in found if n not in NEAR)
    what = f"that in at least {OFTEN} of the 8 cells of adult and compas; measured: {len(out)}, of {of}"
    numbers = f"{len(reached)} cells, {ties} of them ties"
    return [*out, Aim(what, max(BUDGETS), len(reached) >= OFTEN, numbers, "see the rows above")]


if __name__ == "__main__":
    main()
