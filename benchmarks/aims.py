"""Every aim of the methods, judged exactly as it is worded from stored numbers; a miss says why as far as we know.

A bar on a mean is reached where the mean over seeds reaches it; where the interval over seeds crosses the bar, the row
says so. A comparison of two methods whose interval holds 0 is a tie.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cfq_core.base import plugins
from cfq_core.study.summary import Line

OURS = "cfq_anchored"
#: Most points by which a method may miss the teacher's approvals on test rows at its matched threshold.
MATCHED = {"german": 0.03}
MATCHED_ELSEWHERE = 0.01
THREE_TIMES = 3.0

#: What is asked of our method: measure, bar, whether the size counts, budgets, and why it may be missed.
BARS: tuple[tuple[str, float, bool, tuple[float, ...], str], ...] = (
    ("vd", 0.015, False, (3, 4), "what is left are promises within a rounding error of the boundary"),
    ("vd_matched", 0.015, False, (3, 4), "a moved threshold breaks promises that were kept by a little"),
    ("crg_mean", 0.10, True, (2, 3, 4), "few bits cannot hold the whole boundary; it errs to the side of the person"),
    ("approval_shift", 0.01, True, (3, 4), "few bits cannot hold the whole boundary"),
    ("accuracy_drop", 0.003, False, (3, 4), "the teacher is matched, not the outcome"),
    ("vd_matched", 0.03, False, (2,), "at 2 average bits every layer has 2, so only training can help"),
)


@dataclass(frozen=True)
class Aim:
    """One bar at one budget: what came of it, the numbers, and why where it was not reached."""

    what: str
    budget: float
    reached: bool
    numbers: str
    why: str = ""
    tie: bool = False

    @property
    def verdict(self) -> str:
        """In the table's words."""
        return "tie" if self.tie else "yes" if self.reached else "**no**"


def table(aims: Sequence[Aim]) -> str:
    rows = ["| aim | bits | reached | numbers | why not |", "|---|---|---|---|---|"]
    return "\n".join(
        rows
        + [
            f"| {a.what} | {a.budget:g} | {a.verdict} | {a.numbers} | {'' if a.reached and not a.tie else a.why} |"
            for a in aims
        ]
    )


def judge(dataset: str, lines: Sequence[Line]) -> list[Aim]:
    """The aims on one data set's study."""
    at = {(x.method, x.budget): x for x in lines}
    budgets = sorted({x.budget for x in lines})
    out = [_shift(dataset, b, [x for x in lines if x.budget == b]) for b in budgets]
    for b in budgets:
        ours = at.get((OURS, b))
        if ours is None:
            continue
        out += [_bar(ours, *bar) for bar in BARS if b in bar[3]]
        blind = [x for x in lines if x.budget == b and not _needs_recourse(x.method)]
        if b == 3 and blind:
            out.append(_rivals(ours, blind))
        if ("cfq", b) in at:
            out.append(_spent(at["cfq", b]))
        if b == 4 and dataset == "adult" and ("qat_lsq", b) in at:
            out.append(_accuracy(at["qat_lsq", b]))
    return out


def _needs_recourse(method: str) -> bool:
    """Whether a method looks at recourse; one that is no longer there counts as one that does."""
    known = method in plugins.names("methods")
    return not known or bool(plugins.load("methods", method).needs_recourse)


def _bar(ours: Line, measure: str, bar: float, size: bool, _budgets: tuple[float, ...], why: str) -> Aim:
    found = ours.measure(measure)
    what = f"{ours.method}: {measure} " + (f"within ±{bar:g}" if size else f"<= {bar:g}")
    if found.mean is None:
        return Aim(what, ours.budget, False, "not measured", why)
    of: Callable[[float], float] = abs if size else float
    ends = [of(v) for v in (found.low, found.high) if v is not None]
    unsure = any(e > bar for e in ends) != (of(found.mean) > bar)
    crosses = "; the interval crosses the bar" if unsure else ""
    return Aim(what, ours.budget, of(found.mean) <= bar, f"{found.mean:.4f}{interval(ours, measure)}{crosses}", why)


def interval(line: Line, measure: str, factor: float = 1.0, digits: int = 4) -> str:
    """`` (0.001 to 0.009)``: 95 % over seeds; empty where there is none."""
    m = line.measure(measure)
    return "" if m.low is None or m.high is None else f" ({factor * m.low:.{digits}f} to {factor * m.high:.{digits}f})"


def _shift(dataset: str, budget: float, lines: Sequence[Line]) -> Aim:
    """At the matched threshold, which validation rows set, every method approves as many test people as its teacher."""
    bar = MATCHED.get(dataset, MATCHED_ELSEWHERE)
    shifts = {x.method: v for x in lines if (v := x.value("approval_shift_matched")) is not None}
    worst = max(shifts, key=lambda m: abs(shifts[m])) if shifts else ""
    beyond = sorted(m for m, v in shifts.items() if abs(v) > bar)
    numbers = (
        f"{len(shifts) - len(beyond)} of {len(shifts)} methods; largest {100 * shifts[worst]:+z.2f} points ({worst})"
    )
    what = f"every method's approval_shift_matched on test rows within ±{100 * bar:g} points"
    return Aim(what, budget, not beyond, numbers if shifts else "not measured", ", ".join(beyond))


def _rivals(ours: Line, blind: Sequence[Line]) -> Aim:
    mine = ours.value("vd") or 0.0
    near = [x for x in blind if (v := x.value("vd")) is not None and v <= THREE_TIMES * mine]
    told = ", ".join(f"{x.method} {x.value('vd'):.4f}{' (lenient)' if x.lenient else ''}" for x in near)
    best = min(blind, key=lambda x: x.value("vd") if x.value("vd") is not None else 1.0)
    what = "no method that never sees recourse has a VD within three times that of cfq_anchored"
    numbers = f"{ours.method} {mine:.4f}; the best of them {best.method} {best.value('vd') or 0.0:.4f}"
    return Aim(what, ours.budget, not near, numbers, told)


def _spent(paper: Line) -> Aim:
    share = paper.avg_bits / paper.budget
    what = "cfq's learned bits use at least 97 % of the budget"
    return Aim(what, paper.budget, share >= 0.97, f"{100 * share:.1f} %", "no fuller plan fits, or see the allocations")


def _accuracy(qat: Line) -> Aim:
    drop = qat.value("accuracy_drop") or 0.0
    what = "qat_lsq, tuned, loses at most 0.2 points of accuracy"
    return Aim(what, qat.budget, drop <= 0.002, f"{100 * drop:.2f} points{interval(qat, 'accuracy_drop', 100, 2)}")
