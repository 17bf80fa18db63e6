"""Writes benchmarks/RESULTS.md and README's table from stored studies and measured numbers; nothing in either is typed.

cfq study data/studies/adult.toml --store .cfq      # and the others there but quick.toml
python -m benchmarks.results --store .cfq

A study that is not in the store keeps its section, if this engine revision made it.
"""

from __future__ import annotations

import argparse
import importlib
import tomllib
from pathlib import Path

from benchmarks import aims, one_page
from cfq_core.base.shipped import shipped
from cfq_core.report.charts import overhead
from cfq_core.report.frames import Stored
from cfq_core.study import summary
from cfq_core.study.plan import read_plan_file
from cfq_core.study.revision import REVISION
from cfq_core.study.store import Row, Store

OUT = Path(__file__).parent / "RESULTS.md"
README = Path(__file__).parent.parent / "README.md"
MARKS = ("<!-- results:start -->", "<!-- results:end -->")
#: Plans in data/studies, in the order of the sections: every method on a table, margins, and further questions.
TABLES = ("adult", "compas", "german")
KAPPAS = ("kappa", "kappa_adult")
FURTHER = (
    "margin", "w4a4",
    "steps", "regimes", "noise", "shift", "slices", "variants", "overhead", "landscape", "forecast",
    "digits", "fashion",
)  # fmt: skip
#: Programs whose numbers stand in benchmarks/numbers, each with a section of its own.
PROGRAMS = (
    "allocations", "transfer", "ablation", "tune", "speeds", "search_speed", "second_search", "parity", "pair_audit",
    "exact", "certificates", "runtimes", "wide", "estimates", "corpus", "own_nets", "twelve_tables", "scale",
    "peer_tables", "peer_forest_tables", "dashboard",
)  # fmt: skip
ONE_PAGE = "In one page"
INTRODUCTION = """# Results

Made by `python -m benchmarks.results` from stored studies; do not edit. VD: share of promised actions that fail;
matched: with the student's threshold moved so that it approves as many validation people as its teacher, and beside
it the approval shift that leaves on test people; CRG: relative change of the cost of recourse; condition:
`|q - f| < f` at the recourse point. Intervals are 95 % over seeds (Student's t) unless they say otherwise. 'lenient'
marks students that approve over two points more people than their teachers, or ask them for over 10 % less than was
promised (mean CRG): their low VD is not faithfulness."""

#: Methods of README's table: rounding, the strongest rival of each family, the paper's, ours.
SHOWN = (
    "ptq",
    "ptq_measured",
    "adaround",
    "qat_lsq",
    "qat_distill",
    "cf_ptq",
    "cf_ptq_measured",
    "cfq",
    "cfq_anchored",
)
#: Measures with title, factor and digits.
COLUMNS = (
    ("accuracy", "accuracy", 100, 2),
    ("approval shift", "approval_shift", 100, 2),
    ("VD", "vd", 1, 3),
    ("VD matched", "vd_matched", 1, 3),
    ("shift matched", "approval_shift_matched", 100, 2),
    ("CRG mean", "crg_mean", 1, 3),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path, action="append", help="may be given more than once")
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--readme", type=Path, default=README)
    given = parser.parse_args()
    stores = [Store.for_reading(folder) for folder in given.store or [Path(".cfq")]]
    whole = [(store, s) for store in stores for s in reversed(store.studies()) if s["finished"] == s["runs"]]
    by_name = {s["name"]: (store, s) for store, s in whole}  # the newest of a name wins; unfinished ones are left out
    plans = (*TABLES, *KAPPAS, *FURTHER)
    there = {plan: by_name[name] for plan in plans if (name := name_of(plan)) in by_name}
    there = {plan: found for plan, found in there.items() if _is_whole(plan, found[1])}
    tables = {plan: summary.lines(there[plan][0], there[plan][1]["id"]) for plan in TABLES if plan in there}
    kept = _kept(given.out)
    page = kept.get(ONE_PAGE, "") if len(tables) < len(TABLES) else ""
    parts = [INTRODUCTION, page or one_page.page(tables)]
    parts += [_study(plan, *there[plan]) if plan in there else kept.get(name_of(plan), "") for plan in plans]
    parts += [text for text in map(_section, PROGRAMS) if text]  # not measured: no table
    given.out.write_text("\n\n".join(filter(None, parts)) + "\n", encoding="utf-8")
    if TABLES[0] in there:
        _write_readme(given.readme, *there[TABLES[0]])
    for store in stores:
        store.close()
    print(f"{given.out}: {', '.join(there) or 'no finished study'}; every other study's section is left as it was")


def _kept(path: Path) -> dict[str, str]:
    """Sections as they were written, by title: the opening page, and those of studies made by this engine revision."""
    written = path.read_text(encoding="utf-8").split("\n## ")[1:] if path.is_file() else []
    titled = {text.split("\n", 1)[0]: f"## {text}".strip() for text in written}
    return {k: v for k, v in titled.items() if k == ONE_PAGE or f"; engine revision {REVISION};" in v}


def _is_whole(plan: str, row: Row) -> bool:
    """Whether a study has all runs of its plan: a gallery keeps some methods and seeds under the same name."""
    asked = read_plan_file(shipped("studies") / f"{plan}.toml")
    return set(row["plan"]["methods"]) >= set(asked.methods) and set(row["plan"]["seeds"]) >= set(asked.seeds)


def name_of(plan: str) -> str:
    """The name of a shipped plan's study; empty where there is no such plan."""
    path = shipped("studies") / f"{plan}.toml"
    return str(tomllib.loads(path.read_text(encoding="utf-8"))["name"]) if path.is_file() else ""


def _section(program: str) -> str:
    """What a program measured; empty where it has not."""
    try:
        found = importlib.import_module(f"benchmarks.{program}")
    except ModuleNotFoundError:  # of a peer that is not installed
        return ""
    return found.section() if hasattr(found, "section") else ""


def _study(plan: str, store: Store, row: Row) -> str:
    """A study's section."""
    revision = store.runs(row["id"])[0]["spec"]["teacher"]["revision"]
    versions = ", ".join(f"{k} {v}" for k, v in row["versions"].items())
    made = f"`cfq study data/studies/{plan}.toml`"
    made += f" ({row['finished']} of {row['runs']} runs; engine revision {revision}; {versions})"
    parts = [f"## {row['name']}", made, summary.as_markdown(store, row["id"])]
    if plan in KAPPAS:
        parts.append(kappa_table(store, row["id"]))
    elif plan == "overhead":
        parts.append(times_table(store, row))
    elif plan in TABLES:
        parts += ["### Against the aims", aims.table(aims.judge(plan, summary.lines(store, row["id"])))]
    return "\n\n".join(parts)


def kappa_table(store: Store, study: str) -> str:
    """The price of a promise with a margin: what it costs, what breaks of it, for each method."""
    lines = summary.lines(store, study)
    methods = list(dict.fromkeys(x.method for x in lines))
    head = ["data set", "bits", "kappa", "cost", "dearer than kappa 0", *(f"VD, {m}" for m in methods)]
    head += [f"VD matched, {m}" for m in methods] + [f"shift matched, {m}" for m in methods]
    rows = ["### The price of a promise with a margin", "", f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    keys = dict.fromkeys((x.dataset, x.budget, x.setting["kappa"]) for x in lines)
    for dataset, budget, kappa in keys:
        at = {x.method: x for x in lines if (x.dataset, x.budget, x.setting["kappa"]) == (dataset, budget, kappa)}
        free = next(x for x in lines if x.dataset == dataset and x.setting["kappa"] == 0)
        cost, base = next(iter(at.values())).value("recourse_cost"), free.value("recourse_cost")
        dearer = "-" if cost is None or not base else f"{100 * (cost / base - 1):+z.1f} %"
        cells = [summary.format_mean(at[m].measure(name)) for name in ("vd", "vd_matched") for m in methods]
        cells += [summary.format_mean(at[m].measure("approval_shift_matched"), 100, 2) for m in methods]
        shown = summary.format_mean(next(iter(at.values())).measure("recourse_cost"), 1, 2)
        rows.append(f"| {dataset} | {budget:g} | {kappa:g} | {shown} | {dearer} | {' | '.join(cells)} |")
    return "\n".join(rows)


def times_table(store: Store, row: Row) -> str:
    """What each method takes to make, in seconds and in multiples of rounding and of plain training."""
    study = Stored(str(store.folder), row["id"], row["finished"])
    head = ["data set", "method", "bits", "CPU seconds a model", "of them training recourse", "times ptq"]
    head += ["times qat_lsq", "VD", "approval shift"]
    out = ["### What it takes", "", f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    for dataset, budget in study.lines[["dataset", "budget"]].drop_duplicates().itertuples(index=False):
        for r in overhead.rows(study, dataset, budget).itertuples():
            times = [f"{t:.{digits}f}" for t, digits in ((r.total, 3), (r.training_recourse, 3), (r.times_ptq, 1))]
            cells = [dataset, r.method, f"{budget:g}", *times, f"{r.times_qat:.2f}", f"{r.mean:.3f}"]
            out.append(f"| {' | '.join([*cells, f'{100 * r.approval_shift:+z.2f}'])} |")
    return "\n".join(out)


def _write_readme(path: Path, store: Store, row: Row) -> None:
    """README's table, between its marks."""
    lines, plan = summary.lines(store, row["id"]), row["plan"]
    revision = store.runs(row["id"])[0]["spec"]["teacher"]["revision"]
    hidden = "-".join(map(str, plan["setting"]["hidden"]))
    out = [
        f"Adult, net {hidden}, {len(plan['seeds'])} seeds, promise margin {plan['setting']['kappa']:g} logits, "
        f"{plan['setting']['people']} denied test people a seed, mean ± sd over seeds; accuracy in %, approval shift",
        "in points, VD = share of promised actions that fail, matched = at the teacher's approval rate (set on",
        "validation people; beside it the shift that leaves on test people), CRG = relative change of cost. Written by",
        f"`python -m benchmarks.results` from `cfq study data/studies/adult.toml`, engine revision {revision}; every",
        "method, the other tables and the aims missed are in [benchmarks/RESULTS.md](benchmarks/RESULTS.md).",
        "",
        "| method | bits | " + " | ".join(title for title, *_ in COLUMNS) + " |",
        "|" + "---|" * (2 + len(COLUMNS)),
    ]
    for x in (x for method in SHOWN for x in lines if x.method == method):
        cells = [summary.format_mean(x.measure(name), scale, digits) for _, name, scale, digits in COLUMNS]
        out.append(f"| {x.method}{summary.flags(x)} | {x.budget:g} | {' | '.join(cells)} |")
    text = path.read_text(encoding="utf-8")
    before, after = text.split(MARKS[0])[0], text.split(MARKS[1])[1]
    path.write_text(before + MARKS[0] + "\n" + "\n".join(out) + "\n" + MARKS[1] + after, encoding="utf-8")


if __name__ == "__main__":
    main()
