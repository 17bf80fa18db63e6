"""The first page of a report: one question, pass or fail at the reader's own limit, and what it rests on."""

from __future__ import annotations

import html
from dataclasses import dataclass

from cfq_core.report import by_group, facts, fmt, names
from cfq_core.report.figures import Chosen
from cfq_core.report.frames import Stored
from cfq_core.study.safe import CONFIDENCE, Safe

PASS, FAIL, OPEN = "PASS", "FAIL", "NOT SHOWN"
RULE = (
    "PASS: the upper bound is within the limit. FAIL: the mean over seeds is beyond it. NOT SHOWN: neither; more "
    "people or seeds are needed. One seed alone does not fail a method."
)


@dataclass(frozen=True)
class Decision:
    """Whether the chosen student breaks at most a share of promises, among people not seen."""

    verdict: str
    says: str  # the numbers behind it
    least: str  # the fewest bits of this method that pass
    who: str  # the group that is hit most, and whether chance explains it
    approvals: str


def decided(study: Stored, of: Chosen, at_most: float) -> Decision:
    """Pass: the upper bound is within the limit. Fail: the lower end of the interval is beyond it. Else not shown."""
    vd = "vd_matched" if of.matched else "vd"
    line = fmt.line_of(study.lines, of.dataset, of.method, of.budget)
    safe = next((a for a in study.safe(of.dataset, at_most, CONFIDENCE, of.matched) if a.method == of.method), None)
    bound = _bound(safe, of.budget)
    if vd not in line.index or line["mean"][vd] != line["mean"][vd]:
        return Decision(OPEN, "Nobody to judge by.", "none of these", "", "")
    m = line.loc[vd]
    verdict = OPEN
    if bound is not None and bound <= at_most:
        verdict = PASS
    elif m["seed_low"] > at_most or (m["seeds"] > 1 and m["mean"] > at_most):
        verdict = FAIL
    upper = "no upper bound was reached" if bound is None else f"at most {100 * bound:.1f} of 100 among people not seen"
    says = f"{100 * m['mean']:.1f} of 100 promised actions fail ({fmt.how_sure(m)}); {upper}, {CONFIDENCE:.0%} sure"
    worst = by_group.highest(study, of.dataset, of.method, of.budget, vd)
    hit = by_group.hit_most(study, of.dataset, of.method, of.budget, vd) if worst else None
    who = "No group has people enough to be judged."
    if worst and hit:
        sure = "shown to be hit more than the others" if hit.shown else "not shown to be hit more than the others"
        who = f"{worst[0]}: {worst[1]}, {100 * worst[2]:.1f} of 100; {sure} (p = {hit.p:.2g})."
    least = f"{safe.answer.budget:g} bits" if safe and safe.answer else "none of the budgets in this study"
    shift = line["mean"].get("approval_shift")
    return Decision(verdict, says, least, who, "–" if shift is None else f"{fmt.points(shift)} against the original")


def _bound(safe: Safe | None, budget: float) -> float | None:
    return next((t.bound for t in safe.tried if t.budget == budget), None) if safe else None


def page(study: Stored, of: Chosen, at_most: float) -> str:
    """The page as HTML; every word of a card or name is escaped."""
    d = decided(study, of, at_most)
    model = f"{names.both(of.method)} at {fmt.bits(of.budget)} on {of.dataset}"
    rows = {
        "Question": f"Of 100 people who do what they were promised, are at most {100 * at_most:g} refused again?",
        "Model": model + (", at the original's approval rate" if of.matched else ""),
        "Seen": d.says, "Approvals": d.approvals, "Fewest bits that pass": d.least, "Who is hit": d.who,
        "Study": f"{study.id}, made {study.row['created'][:10]}",
        "Table (fingerprint)": facts.tables(study).get(of.dataset, "–"),
        "Models (ids)": f"original {of.teacher}, compressed {of.run} (seed {of.seed})",
    }  # fmt: skip
    body = "".join(f"<tr><th>{_e(k)}</th><td>{_e(v)}</td></tr>" for k, v in rows.items() if v)
    lines = "".join(f"<div><span></span>{_e(x)}</div>" for x in ("Name", "Date", "Signature"))
    return (
        f'<section class="decision" id="decision"><p class="stamp {d.verdict.split()[0].lower()}">{d.verdict}</p>'
        f'<table>{body}</table><p class="note">{RULE}</p><div class="sign">{lines}</div></section>'
    )


def _e(text: str) -> str:
    return html.escape(str(text))
