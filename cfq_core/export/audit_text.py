"""An audit of a pair in words and as JSON."""

from __future__ import annotations

from typing import Any

from cfq_core.evidence import MATCHING_SHIFT, SMALLEST_GROUP, Measure
from cfq_core.export import people, ways
from cfq_core.export.audit import PairAudit, Side
from cfq_core.matching import REACHED
from cfq_core.models import verify
from cfq_core.recourse.outcome import Why
from cfq_core.study.marks import format_unmatched, leniency

#: Title, measure and digits of each line of the answer.
LINES = (
    ("promised actions that fail (VD)", "vd", 3),
    ("the same at matched approval", "vd_matched", 3),
    ("approval shift there", "approval_shift_matched", 4),
    ("VD of the worst group", "worst_group_vd", 3),
    ("the same, expected of equal groups by chance", "worst_group_vd_by_chance", 3),
    ("how often chance makes a group as bad (p)", "worst_group_vd_p", 3),
    ("people told of an action (FRR)", "frr", 3),
    ("cost of the promised action", "recourse_cost", 3),
    ("relative change of cost, median (CRG)", "crg_median", 3),
    ("relative change of cost, mean", "crg_mean", 3),
    ("people asked for less than promised", "crg_below", 3),
    ("shift of the logit where promises end", "logit_shift_at", 3),
    ("relative change of cost, mean absolute", "crg_abs", 3),
    ("people whose recourse the student loses", "recourse_lost", 3),
    ("direction of the action (cosine)", "direction", 3),
    ("margin condition holds", "margin_condition", 3),
    ("decisions that differ", "flip_rate", 4),
    ("decisions that differ, near the boundary", "boundary_flip_rate", 4),
    ("approval shift", "approval_shift", 4),
    ("shift of the logit", "logit_shift", 3),
)
BY_GROUP = ("vd", "crg_median", "frr", "approval_shift")


def verdict(a: PairAudit) -> str:
    """The answer in one sentence."""
    vd, shift = a.seen.measures.overall["vd"], a.seen.measures.overall["approval_shift"]
    if vd.value is None or vd.low is None or vd.high is None or shift.value is None:
        return (
            f"{a.teacher.file} promises nobody an action here, so there is nothing that {a.student.file} could break."
        )
    why = leniency(shift.value, a.seen.measures.overall["crg_mean"].value)
    off = a.seen.measures.overall[MATCHING_SHIFT].value or 0.0
    unmatched = format_unmatched(off if abs(off) > REACHED else None)
    return (
        f"Of {vd.count} people whom {a.teacher.file} refuses and tells how to be approved, {100 * vd.value:.1f} in 100 "
        f"would be refused again by {a.student.file} (95 %, Wilson over these people of this one student: "
        f"{100 * vd.low:.1f} to {100 * vd.high:.1f}; promise margin {a.kappa:g} logits); approvals shift "
        f"by {100 * shift.value:+z.1f} points.{f' It {why}: part of this validity is leniency.' if why else ''}"
        f"{unmatched and f' {unmatched}'} One teacher is one draw."
    )


def as_json(a: PairAudit) -> dict[str, Any]:
    """The object that ``--json`` prints."""
    why = a.promise.recourse.why
    return {
        "dataset": a.schema.name,
        "verdict": verdict(a),
        "teacher": _side(a.teacher),
        "student": _side(a.student) | {"threshold": a.seen.threshold, "bits": list(a.plan)},
        "kappa": a.kappa,
        "regime": a.question.regime,
        "rows": a.rows,
        "denied": a.denied,
        "people": len(a.promise.person),
        "answers": {reason.name.lower(): int((why == reason).sum()) for reason in Why},
        "measures": {name: m.value for name, m in a.seen.measures.overall.items()},
        "intervals": {name: _interval(m) for name, m in a.seen.measures.overall.items()},
        "groups": {
            column: {
                level: {n: {"value": m.value} | _interval(m) for n, m in found.items()} for level, found in x.items()
            }
            for column, x in a.seen.measures.groups.items()
        },
        "per_person": people.results(a),
        "notes": list(a.notes),
        "runtime": verify.runtime(),
        "as_run": _ways(a),
        "seconds": a.seconds,
    }


def text(a: PairAudit) -> str:
    """The answer for a terminal."""
    asked = len(a.promise.person)
    out = [f"{a.schema.title}: {a.rows} people judged, {a.denied} refused by {a.teacher.file}, {asked} asked"]
    out += [_line(role, s) for role, s in _sides(a)]
    out += [f"  note: {n}" for n in a.notes]
    out += [f"  {line}" for line in _ways(a)]
    width = max(len(title) for title, *_ in LINES)
    out += ["", *(f"  {title.ljust(width)}  {value}" for title, value in _table(a))]
    for column, level, values in _groups(a):
        out.append(f"  {f'{column}: {level}'.ljust(width)}  {', '.join(values)}")
    return "\n".join([*out, "", verdict(a)])


def _sides(a: PairAudit) -> list[tuple[str, Side]]:
    return [("teacher", a.teacher), ("student", a.student)]


def _ways(a: PairAudit) -> list[str]:
    """On what both files were run, and whom any way to run them decides otherwise."""
    lines = [line for role, s in _sides(a) for line in ways.told(role, s.file, s.ways)]
    flags = [f"{role} {s.file}: {flag}" for role, s in _sides(a) for flag in s.flags]
    return [f"run by {verify.where(verify.runtime())}", *lines, *flags]


def _line(role: str, s: Side) -> str:
    agree = f"{s.differing} of {s.checked} decisions differ from onnxruntime's"
    return (
        f"{role} {s.file}: {s.how}; {agree}; right about {100 * s.accuracy:.1f} % of outcomes, "
        f"approves {100 * s.approval_rate:.1f} %"
    )


def _table(a: PairAudit) -> list[tuple[str, str]]:
    return [(title, _format_measure(a.seen.measures.overall[name], digits)) for title, name, digits in LINES]


def _groups(a: PairAudit) -> list[tuple[str, str, list[str]]]:
    """Single group columns; crossings stand in the JSON."""
    out = []
    for column, levels in a.seen.measures.groups.items():
        if " x " not in column:
            out += [
                (column, level, [f"{n} {_format_measure(m[n], 3)}" for n in BY_GROUP]) for level, m in levels.items()
            ]
    return out


def _format_measure(m: Measure, digits: int) -> str:
    if m.value is None:
        return f"too few people to say ({m.count}; at least {SMALLEST_GROUP})" if m.count else "-"
    if m.low is None or m.high is None:
        return f"{m.value:.{digits}f}"
    return f"{m.value:.{digits}f} [{m.low:.{digits}f}, {m.high:.{digits}f}] of {m.count}"


def _interval(m: Measure) -> dict[str, Any]:
    return {"low": m.low, "high": m.high, "count": m.count}


def _side(s: Side) -> dict[str, Any]:
    plain = {f: getattr(s, f) for f in ("file", "sha256", "how", "accuracy", "approval_rate", "differing", "checked")}
    return plain | {"ways": [ways.as_json(w) for w in s.ways], "flags": list(s.flags)}
