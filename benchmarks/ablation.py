"""What each change of our method does by itself, on validation people of seeds that no table reports.

    python -m benchmarks.ablation [adult compas] [--seeds 100,101]

Anchored CFQ as it was (promises of the search at the plan's margin, 128 pairs a step), with the promises of all four
sources, with 512 pairs a step, with the one-sided terms, and all together as it is. Validation people are asked by the
search and by projected gradient steps, with margins of 0.2 and 0. Writes benchmarks/numbers/ablation.json.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from statistics import mean
from typing import Any

from cfq_core import pipeline
from cfq_core.allocators.recourse_sensitivity import RecourseSensitivity
from cfq_core.base.seeds import repeatable
from cfq_core.methods.method import Qat
from cfq_core.methods.table import ANCHORED, ANCHORED_SCHEDULE
from cfq_core.recourse.find import Solver, find_recourse, logits64
from cfq_core.recourse.pgd import Pgd
from cfq_core.recourse.problem import RecourseQuery
from cfq_core.recourse.search import Search
from cfq_core.study.plan import table_of
from cfq_core.training.finetune import QatConfig, Schedule
from cfq_core.training.losses import Weights

OUT = Path(__file__).parent / "numbers" / "ablation.json"
BITS = (2.0, 3.0, 4.0)
PEOPLE = 400  # denied validation people a seed
WAS = QatConfig(Weights(task=0.0, distill=0.5, segment=0.5, endpoint=1.0, focus=0.9))
VARIANTS: dict[str, Qat] = {
    "as it was": Qat("", RecourseSensitivity(), WAS),
    "+ all sources": Qat("", RecourseSensitivity(), WAS, several_sources=True),
    "+ 512 pairs a step": Qat("", RecourseSensitivity(), WAS, ANCHORED_SCHEDULE),
    "+ one-sided terms": Qat("", RecourseSensitivity(), ANCHORED, Schedule()),
    "all three: cfq_anchored": Qat("", RecourseSensitivity(), ANCHORED, ANCHORED_SCHEDULE, several_sources=True),
}
ASKED: dict[str, tuple[Solver, float]] = {
    "search 0.2": (Search(), 0.2), "search 0": (Search(), 0.0), "PGD 0.2": (Pgd(), 0.2), "PGD 0": (Pgd(), 0.0),
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("datasets", nargs="*", default=["compas", "adult"])
    parser.add_argument("--seeds", default="100,101")
    given = parser.parse_args()
    found: dict[str, Any] = json.loads(OUT.read_text(encoding="utf-8")) if OUT.is_file() else {}
    for name in given.datasets:
        found[name] = of_table(name, [int(s) for s in given.seeds.split(",")])
        OUT.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(section())


def of_table(name: str, seeds: list[int]) -> dict[str, Any]:
    """By variant and bits: approval shift, and VD raw and matched of what validation people were told."""
    setting, table = pipeline.Setting(people=1), table_of(name)
    out: dict[str, Any] = {"seeds": seeds}
    with repeatable():
        promises = pipeline.promise([pipeline.prepare(table, s) for s in seeds], setting)
        promises = pipeline.further_recourse(pipeline.training_recourse(promises, setting), setting)
        data, told = pipeline.training_data_of(promises), [_told(p) for p in promises]
        for variant, method in VARIANTS.items():
            students = method.students(data, BITS)
            for i, bits in enumerate(BITS):
                rows = [
                    _judged(p, students.models.take([r * len(BITS) + i]), asked)
                    for r, (p, asked) in enumerate(zip(promises, told, strict=True))
                ]
                out.setdefault(variant, {})[f"{bits:g}"] = {k: mean(row[k] for row in rows) for k in rows[0]}
    return out


def _told(p: pipeline.TeacherRecourse) -> dict[str, Any]:
    values = p.design.table.values[p.design.split.valid]
    denied = values[logits64(p.teacher, 0, p.design.encoding, values) <= 0][:PEOPLE]
    query = RecourseQuery(denied, p.design.encoding, p.design.actions)
    found = {name: find_recourse(p.teacher, [query], solver, kappa) for name, (solver, kappa) in ASKED.items()}
    return {name: r.after[r.has_recourse] for name, r in found.items()}


def _judged(p: pipeline.TeacherRecourse, student: Any, told: dict[str, Any]) -> dict[str, float]:
    values, moved = p.design.table.values[p.design.split.valid], pipeline.matching_threshold(p, student, 0)
    q, f = (logits64(model, 0, p.design.encoding, values) for model in (student, p.teacher))
    out = {"shift": float((q > 0).mean() - (f > 0).mean())}
    for name, after in told.items():
        at = logits64(student, 0, p.design.encoding, after)
        out |= {name: float((at <= 0).mean()), f"{name} matched": float((at <= moved).mean())}
    return out


def section(path: Path = OUT) -> str:
    """A table a data set; empty where nothing was measured."""
    if not path.is_file():
        return ""
    found = json.loads(path.read_text(encoding="utf-8"))
    parts = [
        "## What each change of anchored CFQ does",
        "`python -m benchmarks.ablation`: share of promises that break, as the student is / at its matched threshold, "
        "validation people of seeds no table reports. Only the last is a method of the product.",
    ]
    for name, of in found.items():
        rows = [f"| {name}, seeds {', '.join(map(str, of['seeds']))} | bits | shift, points | {' | '.join(ASKED)} |"]
        rows.append("|" + "---|" * (3 + len(ASKED)))
        for variant in (v for v in of if v != "seeds"):
            for bits, row in of[variant].items():
                cells = [f"{row[a]:.3f} / {row[f'{a} matched']:.3f}" for a in ASKED]
                rows.append(f"| {variant} | {bits} | {100 * row['shift']:+z.1f} | {' | '.join(cells)} |")
        parts.append("\n".join(rows))
    return "\n\n".join(parts)


if __name__ == "__main__":
    main()
