"""Writes benchmarks/RESULTS.md and README's table from stored studies and measured speeds; nothing in either is typed.

cfq study data/studies/adult.toml --store .cfq      # and the others there but quick.toml
python -m benchmarks.results --store .cfq
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks import aims, certificates, exact, pair_audit, parity, runtimes, speeds
from cfq_core.report.charts import overhead
from cfq_core.report.frames import Stored
from cfq_core.study import summary
from cfq_core.study.store import Row, Store

OUT = Path(__file__).parent / "RESULTS.md"
README = Path(__file__).parent.parent / "README.md"
MARKS = ("<!-- results:start -->", "<!-- results:end -->")
TABLES = ("Adult: every method", "COMPAS: every method", "German Credit: every method")
KAPPA = "Validity against the promise margin"
#: Studies over several margins, and their plans.
KAPPAS = {KAPPA: "kappa", f"{KAPPA}, Adult": "kappa_adult"}
EVERY = "Every allocation"
#: Robustness studies, allocations and images, and their plans.
FURTHER = {
    "Teacher's gradient steps": "steps", "Action regimes": "regimes", "Imprecise actions": "noise",
    "Distribution shift": "shift", "Trained on one slice": "slices", "Unknown deployment": "variants",
    "Time to make": "overhead", EVERY: "landscape",
    "Forecast of breaking": "forecast", "Digits": "digits", "Fashion-MNIST": "fashion",
}  # fmt: skip
NAMES = (*TABLES, *KAPPAS, *FURTHER)
INTRODUCTION = """# Results

Made by `python -m benchmarks.results` from stored studies; do not edit. VD: share of promises that fail;
matched: with the student's threshold moved so that it approves as many training people as its teacher;
CRG: relative change of cost; condition: `|q - f| < f` at the recourse point. 'lenient' marks students that
approve over two points more people than their teachers: their low VD is not faithfulness."""

#: Methods, and measures with title, factor and digits, of README's table.
SHOWN = ("ptq", "qat_lsq", "qat_distill", "cfq", "qat_lenient", "cfq_anchored", "cfq_one_sided")
COLUMNS = (
    ("accuracy", "accuracy", 100, 2),
    ("approval shift", "approval_shift", 100, 2),
    ("VD", "vd", 1, 3),
    ("VD matched", "vd_matched", 1, 3),
    ("CRG abs", "crg_abs", 1, 3),
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
    every = (by_name[EVERY][0], by_name[EVERY][1]["id"]) if EVERY in by_name else None
    parts = [INTRODUCTION]
    for name in NAMES:
        if name in by_name:
            parts.append(_study(name, *by_name[name], every))
    parts += [speeds.section(), parity.section(), pair_audit.section()]
    parts += [
        text for text in (runtimes.section(), exact.section(), certificates.section()) if text
    ]  # not measured: no table
    given.out.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    if TABLES[0] in by_name:
        _write_readme(given.readme, *by_name[TABLES[0]])
    for store in stores:
        store.close()
    print(f"{given.out}: {', '.join(n for n in NAMES if n in by_name) or 'no finished study'}")


def _study(name: str, store: Store, row: Row, every: tuple[Store, str] | None = None) -> str:
    """A study's section; ``every``: where all denied people were asked, which judges allocations better."""
    revision = store.runs(row["id"])[0]["spec"]["teacher"]["revision"]
    plan = KAPPAS.get(name) or FURTHER.get(name) or row["plan"]["datasets"][0]
    versions = ", ".join(f"{k} {v}" for k, v in row["versions"].items())
    made = f"`cfq study data/studies/{plan}.toml`"
    made += f" ({row['finished']} of {row['runs']} runs; engine revision {revision}; {versions})"
    parts = [f"## {name}", made, summary.as_markdown(store, row["id"])]
    if name in KAPPAS:
        parts.append(kappa_table(store, row["id"]))
    elif plan == "overhead":
        parts.append(times_table(store, row))
    elif name in TABLES:
        lines = summary.lines(store, row["id"])
        judged = aims.judge(plan, lines) + aims.judge_landscape(plan, *(every or (store, row["id"])))
        parts += ["### Against the aims", aims.table(judged)]
    return "\n\n".join(parts)


def kappa_table(store: Store, study: str) -> str:
    """The price of a promise with a margin: what it costs, what breaks of it, for each method."""
    lines = summary.lines(store, study)
    methods = list(dict.fromkeys(x.method for x in lines))
    head = ["data set", "bits", "kappa", "cost", "dearer than kappa 0", *(f"VD, {m}" for m in methods)]
    head += [f"VD matched, {m}" for m in methods]
    rows = ["### The price of a promise with a margin", "", f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    keys = dict.fromkeys((x.dataset, x.budget, x.setting["kappa"]) for x in lines)
    for dataset, budget, kappa in keys:
        at = {x.method: x for x in lines if (x.dataset, x.budget, x.setting["kappa"]) == (dataset, budget, kappa)}
        free = next(x for x in lines if x.dataset == dataset and x.setting["kappa"] == 0)
        cost, base = next(iter(at.values())).value("recourse_cost"), free.value("recourse_cost")
        dearer = "-" if cost is None or not base else f"{100 * (cost / base - 1):+.1f} %"
        cells = [summary.format_mean(at[m].measure(name)) for name in ("vd", "vd_matched") for m in methods]
        shown = summary.format_mean(next(iter(at.values())).measure("recourse_cost"), 1, 2)
        rows.append(f"| {dataset} | {budget:g} | {kappa:g} | {shown} | {dearer} | {' | '.join(cells)} |")
    return "\n".join(rows)


def times_table(store: Store, row: Row) -> str:
    """What each method takes to make, in seconds and in multiples of rounding and of plain training."""
    study = Stored(str(store.folder), row["id"], row["finished"])
    head = ["data set", "method", "bits", "CPU seconds a model", "of them training recourse", "times ptq"]
    head += ["times qat_lsq", "VD", "approval shift", "trained beside"]
    out = ["### What it takes", "", f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    for dataset, budget in study.lines[["dataset", "budget"]].drop_duplicates().itertuples(index=False):
        for r in overhead.rows(study, dataset, budget).itertuples():
            times = [f"{t:.{digits}f}" for t, digits in ((r.total, 3), (r.training_recourse, 3), (r.times_ptq, 1))]
            cells = [dataset, r.method, f"{budget:g}", *times, f"{r.times_qat:.2f}", f"{r.mean:.3f}"]
            out.append(f"| {' | '.join([*cells, f'{100 * r.approval_shift:+.2f}', r.stack or '-'])} |")
    return "\n".join(out)


def _write_readme(path: Path, store: Store, row: Row) -> None:
    """README's table, between its marks."""
    lines, plan = summary.lines(store, row["id"]), row["plan"]
    revision = store.runs(row["id"])[0]["spec"]["teacher"]["revision"]
    hidden = "-".join(map(str, plan["setting"]["hidden"]))
    out = [
        f"Adult, net {hidden}, {len(plan['seeds'])} seeds, promise margin {plan['setting']['kappa']:g} logits, "
        f"{plan['setting']['people']} denied test people a seed, mean ± sd over seeds; accuracy in %, approval shift",
        "in points, VD = share of promised actions that fail, matched = at the teacher's approval rate, CRG abs = mean",
        "absolute relative change of cost. Written by `python -m benchmarks.results` from",
        f"`cfq study data/studies/adult.toml`, engine revision {revision}; every method, the other tables and the aims",
        "missed are in",
        "[benchmarks/RESULTS.md](benchmarks/RESULTS.md).",
        "",
        "| method | bits | " + " | ".join(title for title, *_ in COLUMNS) + " |",
        "|" + "---|" * (2 + len(COLUMNS)),
    ]
    for x in (x for method in SHOWN for x in lines if x.method == method):
        cells = [summary.format_mean(x.measure(name), scale, digits) for _, name, scale, digits in COLUMNS]
        out.append(f"| {x.method}{' (lenient)' if x.lenient else ''} | {x.budget:g} | {' | '.join(cells)} |")
    out += ["", "CFQ as the paper describes it keeps promises by approving more people; anchored CFQ keeps most"]
    out += ["of them at nearly the teacher's approvals."]
    out[-1] += " Its one-sided kin breaks fewer"
    out += ["at 2 bits, and its CRG is larger at every budget."]
    text = path.read_text(encoding="utf-8")
    before, after = text.split(MARKS[0])[0], text.split(MARKS[1])[1]
    path.write_text(before + MARKS[0] + "\n" + "\n".join(out) + "\n" + MARKS[1] + after, encoding="utf-8")


if __name__ == "__main__":
    main()
