"""The first page of a report: one question, pass or fail at the reader's own limit, and what it rests on."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cfq_core.evidence import SMALLEST_GROUP
from cfq_core.report import by_group, facts, fmt, names
from cfq_core.report.figures import Chosen
from cfq_core.report.frames import Stored
from cfq_core.study.pair import METHOD
from cfq_core.study.safe import CONFIDENCE, Safe

PASS, FAIL, OPEN = "PASS", "FAIL", "NOT SHOWN"
RULE = (
    "PASS: the upper bound is within the limit, and not by leniency. FAIL: the mean over seeds is beyond it, or of one "
    "file the interval over its people. NOT SHOWN: neither; more people or seeds are needed. One seed alone does not "
    "fail a method."
)


@dataclass(frozen=True)
class Decision:
    """Whether the chosen student breaks at most a share of promises, among people not seen."""

    verdict: str
    says: str  # the numbers behind it
    least: str  # the fewest bits of this method that pass
    who: str  # the group that is hit most, and whether chance explains it
    approvals: str
    todo: str = ""  # what passes instead, or comes nearest


def decided(study: Stored, of: Chosen, at_most: float) -> Decision:
    """Pass: the upper bound is within the limit. Fail: the mean over seeds is beyond it, and where it is one model, as
    an audit of files, the lower end of the interval over its people. Else not shown."""
    vd = "vd_matched" if of.matched else "vd"
    line = fmt.line_of(study.lines, of.dataset, of.method, of.budget)
    every = study.safe(of.dataset, at_most, CONFIDENCE, of.matched)
    safe = next((a for a in every if a.method == of.method), None)
    bound = _bound(safe, of.budget)
    if vd not in line.index or line["mean"][vd] != line["mean"][vd]:
        return Decision(OPEN, "Nobody to judge by.", "none of these", "", "")
    m = line.loc[vd]
    low, sure = (m["seed_low"], fmt.how_sure(m)) if of.method != METHOD else _over_people(study, of.run, vd)
    verdict = OPEN
    lenient = bool(m["lenient"])
    if bound is not None and bound <= at_most:
        verdict = OPEN if lenient else PASS
    elif low > at_most or (m["seeds"] > 1 and m["mean"] > at_most):
        verdict = FAIL
    upper = f"; among people not seen at most {100 * (bound or 0):.1f} of 100, {CONFIDENCE:.0%} sure"
    if bound is None:  # budgets are tried from the most bits down to the first that fails
        upper = "; more bits than these are not shown safe either" if safe and safe.tried else ""
    says = f"{100 * m['mean']:.1f} of 100 promised actions fail ({sure}){upper}"
    says += ". That was bought: it approves more people, or asks for less than was promised" if lenient else ""
    if verdict == FAIL and not low > at_most:
        says += ". The mean is over the limit; its interval still reaches below it"
    worst = by_group.highest(study, of.dataset, of.method, of.budget, vd)
    hit = by_group.hit_most(study, of.dataset, of.method, of.budget, vd) if worst else None
    who = f"No group has people enough to be judged: {SMALLEST_GROUP} denied people of one seed are needed."
    if worst and hit:
        share = f"{worst[0]}: {worst[1]}, {100 * worst[2]:.1f} of 100"
        told = (
            f"{share}; shown to be hit more than the others" if hit.shown else f"Nobody is shown to be; most: {share}"
        )
        who = f"{told} (p = {hit.p:.2g})."
    least = "none of the budgets in this study"
    if safe and safe.answer:
        least = f"{safe.answer.budget:g} bits{', but by leniency' if safe.answer.lenient else ''}"
    shift = line["mean"].get("approval_shift")
    told = "–" if shift is None else f"{fmt.points(shift)} against the original"
    return Decision(verdict, says, least, who, told, _todo(study, of, verdict, every))


def _over_people(study: Stored, run: str, vd: str) -> tuple[float, str]:
    """The interval of one file, which is over its people: the lower end, and all of it in words."""
    m: Any = study.measures.set_index(["run", "measure"]).loc[(run, vd)]
    return m["low"], f"95 % for people like these {m['count']:.0f}: {100 * m['low']:.1f} to {100 * m['high']:.1f}"


def _todo(study: Stored, of: Chosen, verdict: str, every: Sequence[Safe]) -> str:
    """What passes instead of the chosen student with fewest bits, or what comes nearest at its bits."""
    if verdict == PASS:
        return "Nothing; watch it after it ships (cfq watch)."
    passing = [(a.answer.avg_bits, a) for a in every if a.answer is not None and not a.answer.lenient]
    if passing:
        least = min(passing, key=lambda x: x[0])[1]
        return f"Passes: {names.both(least.method)} at {fmt.bits(least.answer.budget if least.answer else 0)}."
    if of.method == METHOD:
        return "Try other ways to quantize this model: cfq run --teacher FILE --methods ptq,cf_ptq,cfq_anchored."
    best, measure = fmt.most_faithful(study.lines, of.dataset, of.budget), "vd_matched" if of.matched else "vd"
    if best is None or best == of.method:
        return "Nothing in this study passes, and nothing at these bits does better: try more bits or other methods."
    m = fmt.line_of(study.lines, of.dataset, best, of.budget).loc[measure]
    return (
        f"Nothing in this study passes. Nearest at {fmt.bits(of.budget)}: {names.both(best)}, {100 * m['mean']:.1f} of "
        f"100 ({fmt.how_sure(m)}); more denied people or seeds, or more bits, may show it."
    )


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
        "What to do": d.todo,
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
