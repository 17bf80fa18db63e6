"""The first page of RESULTS: what a manager reads, from the three tables' studies and the least safe bits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmarks.aims import OURS, interval
from cfq_core.base import plugins
from cfq_core.study.summary import Line

TITLES = {"adult": "Adult", "compas": "COMPAS", "german": "German Credit"}
ROUNDING = "ptq"


def page(tables: Mapping[str, Sequence[Line]]) -> str:
    """The page; empty where no table was measured."""
    if not tables:
        return ""
    parts = ["## In one page", QUESTION, _table(tables), *(_sentences(name, lines) for name, lines in tables.items())]
    return "\n\n".join([*parts, LIMITS])


QUESTION = """A model denies a person and names an action that would be enough: a promise. The model is then
compressed to a few bits a weight and shipped. Of 100 people who do what they were told, how many are refused again?
Beside it stands what approvals do: a model that approves more people breaks fewer promises and is not more faithful."""

LIMITS = """What this does not say: the three tables are public benchmarks, their actions conventions, their nets small;
an action that flips a model makes nobody better off by itself; groups of fewer than 30 people are counted, not judged;
other runtimes may round otherwise (`cfq export` proves a file on its own). German Credit has some 60 denied people a
seed: its intervals are wide. Every aim, reached or missed, stands under its table, negative results with their
numbers."""


def _table(tables: Mapping[str, Sequence[Line]]) -> str:
    head = ["data set", "bits", "rounding only", "best that never sees recourse", "anchored CFQ (ours)"]
    rows = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    for name, lines in tables.items():
        for budget in sorted({x.budget for x in lines}, reverse=True):
            here = [x for x in lines if x.budget == budget]
            at = {x.method: x for x in here}
            blind = _best_blind(here)
            cells = [_cell(at.get(ROUNDING)), _cell(blind, named=True), _cell(at.get(OURS))]
            rows.append(f"| {TITLES.get(name, name)} | {budget:g} | {' | '.join(cells)} |")
    rows += ["", "Promises broken in 100 (95 % over seeds); approvals, in points beside the teacher's."]
    return "\n".join(rows)


def _best_blind(lines: Sequence[Line]) -> Line | None:
    """Of the methods that never see recourse and are not lenient, the one that breaks fewest promises."""
    seen = plugins.names("methods")
    fair = [
        x for x in lines if x.method in seen and not plugins.load("methods", x.method).needs_recourse and not x.lenient
    ]
    return min(fair, key=lambda x: _vd(x), default=None)


def _vd(line: Line) -> float:
    value = line.value("vd")
    return 1.0 if value is None else value


def _cell(line: Line | None, named: bool = False) -> str:
    if line is None or line.value("vd") is None:
        return "-"
    shift = line.value("approval_shift") or 0.0
    name = f"{line.method}: " if named else ""
    return f"{name}{100 * _vd(line):.1f}{interval(line, 'vd', 100, 1)}; {100 * shift:+z.1f}"


def _sentences(name: str, lines: Sequence[Line]) -> str:
    """What a reader takes away of one table at 3 bits."""
    at = {x.method: x for x in lines if x.budget == 3}
    if not {ROUNDING, OURS} <= set(at):
        return ""
    plain, ours, paper = at[ROUNDING], at[OURS], at.get("cfq")
    told = (
        f"**{TITLES.get(name, name)}, 3 bits, {ours.seeds} seeds**: rounding breaks {100 * _vd(plain):.1f} of 100 "
        f"promises, anchored CFQ {100 * _vd(ours):.1f}{interval(ours, 'vd', 100, 1)}, at "
        f"{_points(ours, 'approval_shift')} points of approvals, {_points(ours, 'accuracy_drop')} points of accuracy "
        f"lost, and recourse whose cost changes by {_points(ours, 'crg_mean')} % on average."
    )
    if paper is not None and paper.lenient:
        told += (
            f" The paper's CFQ breaks {100 * _vd(paper):.1f} by leniency: {_points(paper, 'approval_shift')} points of "
            f"approvals, costs changed by {_points(paper, 'crg_mean')} %."
        )
    return told


def _points(line: Line, measure: str) -> str:
    return f"{100 * (line.value(measure) or 0.0):+z.1f}"
