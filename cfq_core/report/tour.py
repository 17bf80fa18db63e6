"""One refused person in six steps, from stored numbers: refused, told, compressed, refused again, why, mended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cfq_core.report import fmt, names
from cfq_core.report.first_look import Place, approvals, failing
from cfq_core.report.frames import Stored


@dataclass(frozen=True)
class Tour:
    """Six titles with their texts, and the address of the person they are about."""

    steps: tuple[tuple[str, str], ...]
    link: str


def of(study: Stored, dataset: str, method: str) -> Tour | None:
    """About somebody whose promise breaks under a method and holds under the most faithful one; None where nobody is.

    At the bits where the two methods differ most, and of these people the one with the middle cost.
    """
    runs = study.runs[(study.runs.dataset == dataset) & (study.runs.method == method)]
    budgets = {float(b): _apart(study, dataset, method, float(b)) for b in runs.budget.unique()}
    for r in (
        runs.assign(apart=runs.budget.map(budgets)).sort_values(["apart", "seed"], ascending=[False, True]).itertuples()
    ):
        best = fmt.most_faithful(study.lines, dataset, r.budget)
        mended = study.runs[(study.runs.teacher == r.teacher) & (study.runs.method == best)]
        mended = mended[mended.budget == r.budget]
        if best in (None, method) or mended.empty:
            continue
        seen = study.people(r.run)
        held = study.people(str(mended.run.iloc[0])).set_index("person")
        both = seen[seen.has_recourse & ~seen.holds & seen.person.map(held.holds).astype(bool)].sort_values("cost")
        if len(both):
            p = both.iloc[len(both) // 2]
            return _told(study, dataset, (method, str(best)), r, p, float(held.student_at[p.person]))
    return None


def _apart(study: Stored, dataset: str, method: str, budget: float) -> float:
    """How many promises more a method breaks than the most faithful one; 0 where there is none."""
    best = fmt.most_faithful(study.lines, dataset, budget)
    each = [fmt.line_of(study.lines, dataset, m, budget)["mean"].get("vd", 0.0) for m in (method, best or method)]
    return float(each[0] - each[1])


def _told(study: Stored, dataset: str, methods: tuple[str, str], run: Any, person: Any, mended: float) -> Tour:
    budget, seed = float(run.budget), int(run.seed)
    now, at, cost = float(person.student_at), float(person.teacher_at), float(person.cost)
    before, number = float(person.teacher_logit), int(person.person)
    a, b = (fmt.line_of(study.lines, dataset, m, budget)["mean"] for m in methods)
    drop = 100 * abs(a.get("accuracy_drop", 0.0))
    seen = "; who looks at accuracy alone sees little" if drop < 1 else ""
    steps = (
        ("Refused", f"Person {number} asks, and the original model refuses: its score is {before:+.2f}, and only above "
         "0 is approved."),
        ("Told what to do", f"By right they are told what would change that: an action within their reach, which costs "
         f"{cost:.1f} units. On the original model it lands at {at:+.2f}: approved, with a margin."),
        ("The model is compressed", f"To run on a small device it is rounded to {fmt.bits(budget)} a weight "
         f"({names.plain(methods[0])}). Accuracy changes by {drop:.1f} points{seen}."),
        ("Refused again", f"They do all they were told. The compressed model gives {now:+.2f}: refused. They are not "
         f"alone: {failing(a['vd'])} of 100 promises end like this (it {approvals(a.get('approval_shift'))})."),
        ("Why", f"Rounding moved the score just where their promise ends, by {abs(now - at):.2f}; the promise had a "
         f"margin of {at:.2f}. Nobody had looked there: accuracy is measured where people are, not where they are "
         "sent."),
        ("Mended", f"{names.both(methods[1])} is the most faithful here. At the same {fmt.bits(budget)} this "
         f"person gets {mended:+.2f}: approved. There {failing(b['vd'])} of 100 promises fail (it "
         f"{approvals(b.get('approval_shift'))})."),
    )  # fmt: skip
    link = Place.of(study, dataset, False, seed).people(methods[0], f"{budget:g}", person=str(number))
    return Tour(steps, link.replace("&seeds=true", ""))
