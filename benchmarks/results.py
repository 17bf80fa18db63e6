"""Writes benchmarks/RESULTS.md from stored studies; nothing in it is typed by hand.

cfq study data/studies/adult.toml --store .cfq      # and compas.toml, german.toml
python -m benchmarks.results --store .cfq
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

from cfq_core.study import summary
from cfq_core.study.store import Store
from cfq_core.study.summary import Line

OUT = Path(__file__).parent / "RESULTS.md"
ORDER = ("Adult: every method", "COMPAS: every method", "German Credit: every method")
COMPARED = ("vd_matched", "crg_abs", "flip_rate")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path, action="append", help="may be given more than once")
    parser.add_argument("--out", type=Path, default=OUT)
    given = parser.parse_args()
    stores = [Store(folder) for folder in given.store or [Path(".cfq")]]
    whole = [(store, s) for store in stores for s in reversed(store.studies()) if s["finished"] == s["runs"]]
    by_name = {s["name"]: (store, s) for store, s in whole}  # the newest of a name wins; unfinished ones are left out
    parts = [
        "# Results",
        "",
        "Made by `python -m benchmarks.results` from stored studies; do not edit. VD: share of promises that fail;",
        "matched: with the student's threshold moved so that it approves as many training people as its teacher;",
        "CRG: relative change of cost; condition: `|q - f| < f` at the recourse point. 'lenient' marks students that",
        "approve over two points more people than their teachers: their low VD is not faithfulness.",
    ]
    for name in ORDER:
        if name not in by_name:
            continue
        store, row = by_name[name]
        revision = store.runs(row["id"])[0]["spec"]["teacher"]["revision"]
        dataset = row["plan"]["datasets"][0]
        versions = ", ".join(f"{k} {v}" for k, v in row["versions"].items())
        command = f"`cfq study data/studies/{dataset}.toml`"
        made = f"{command} ({row['finished']} of {row['runs']} runs; engine revision {revision}; {versions})"
        judged = aims(dataset, summary.lines(store, row["id"]))
        parts += ["", f"## {name}", "", made, "", summary.as_markdown(store, row["id"])]
        parts += ["", "### Against the aims", "", *judged]
    given.out.write_text("\n".join(parts) + "\n", encoding="utf-8")
    print(f"{given.out}: {len(parts)} parts")


def aims(dataset: str, lines: list[Line]) -> list[str]:
    """Every aim of the methods, judged from the stored numbers."""
    at = {(x.method, x.budget): x for x in lines}
    budgets = sorted({x.budget for x in lines})
    out = ["| aim | bits | reached | numbers |", "|---|---|---|---|"]
    for b in budgets:
        ours, qat, paper = at["cfq_anchored", b], at["qat_lsq", b], at["cfq", b]
        if b >= 3 and dataset != "german":
            wanted = {"vd": 0.02, "approval_shift": 0.01, "accuracy_drop": 0.005}
            good = all(abs(_value(ours, k)) <= v for k, v in wanted.items() if k != "accuracy_drop")
            good &= _value(ours, "accuracy_drop") <= 0.005
            numbers = ", ".join(f"{k} {_value(ours, k):.4f}" for k in wanted)
            out.append(_row("cfq_anchored: vd <= 0.02, shift within 0.01, accuracy drop <= 0.005", b, good, numbers))
        if b == 2 and dataset == "adult":
            ratio, matched = _value(ours, "vd") / _value(qat, "vd"), _value(ours, "vd_matched")
            out.append(_row("cfq_anchored: vd at most a fifth of qat_lsq's", b, ratio <= 0.2, f"ratio {ratio:.3f}"))
            out.append(_row("cfq_anchored: vd_matched <= 0.03", b, matched <= 0.03, f"{matched:.4f}"))
        better = [x.method for x in lines if x.budget == b and x.method != "cfq_anchored" and _beats(x, ours)]
        out.append(
            _row(
                "no method better than cfq_anchored in vd_matched, crg_abs and flip_rate at once",
                b,
                not better,
                ", ".join(better) or "none",
            )
        )
        lenient = at["qat_lenient", b]
        numbers = (
            f"vd {_value(paper, 'vd'):.4f} at shift {100 * _value(paper, 'approval_shift'):+.1f} points; "
            f"qat_lenient vd {_value(lenient, 'vd'):.4f} at {100 * _value(lenient, 'approval_shift'):+.1f}"
        )
        out.append(_row("cfq: vd <= 0.01", b, _value(paper, "vd") <= 0.01, numbers))
        if b >= 3 and dataset == "adult":
            alloc, hawq = _value(at["cf_ptq_alloc", b], "vd_matched"), _value(at["ptq_hawq", b], "vd_matched")
            out.append(
                _row("cf_ptq_alloc below ptq_hawq in vd_matched", b, alloc < hawq, f"{alloc:.4f} against {hawq:.4f}")
            )
    return out


def _row(aim: str, budget: float, good: bool, numbers: str) -> str:
    return f"| {aim} | {budget:g} | {'yes' if good else '**no**'} | {numbers} |"


def _value(line: Line, name: str) -> float:
    value = line.value(name)
    return math.nan if value is None else value


def _beats(other: Line, ours: Line) -> bool:
    """Better in all compared measures, each by more than one standard error of the difference over seeds."""
    for name in COMPARED:
        a, b = other.measures[name], ours.measures[name]
        if a.mean is None or b.mean is None:
            return False
        error = math.hypot((a.sd or 0) / math.sqrt(a.seeds), (b.sd or 0) / math.sqrt(b.seeds))
        if not a.mean < b.mean - error:
            return False
    return True


if __name__ == "__main__":
    main()
