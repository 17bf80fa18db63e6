"""Marks beside a method's numbers: lenient, approvals that cannot be matched, what a tie leaves open."""

from __future__ import annotations

from statistics import mean

from cfq_core.evidence import MATCHING_SHIFT, OTHER_THRESHOLD, TIED
from cfq_core.matching import REACHED
from cfq_core.study.measured import Values

#: Approval shift, in share of people, beyond which a student's validity is leniency rather than faithfulness.
LENIENT = 0.02
#: Mean CRG below which it is too: a student that asks for a tenth less than was promised keeps promises by asking for
#: less, though it may approve no more people. The bar of our own methods, on both sides.
ASKS_LESS = -0.10

#: What the marks of a table say.
LEGEND = (
    f"lenient: approves over {100 * LENIENT:g} points more people than its teachers, or asks them for over "
    f"{-100 * ASKS_LESS:g} % less than promised (mean CRG); unmatched: on some seed's validation people logits tie so "
    f"that no threshold comes within {100 * REACHED:g} points of the teacher's approval rate, and the matched columns "
    "are at the nearest one; a range in brackets: the matched number at either side of such ties."
)


def leniency(approval_shift: float | None, crg_mean: float | None) -> str:
    """Why validity is leniency, in words: it approves more people, or asks for less; empty where it is not."""
    why = []
    if approval_shift is not None and approval_shift > LENIENT:
        why.append(f"approves {100 * approval_shift:.1f} points more people than its teacher")
    if crg_mean is not None and crg_mean < ASKS_LESS:
        why.append(f"asks people for {-100 * crg_mean:.0f} % less than they were promised")
    return " and ".join(why)


def format_unmatched(shift: float | None) -> str:
    """What stands beside matched numbers that are not matched; empty where they are."""
    if shift is None:
        return ""
    return (
        f"No threshold comes within {100 * REACHED:g} points of the teacher's approval rate on validation people, "
        f"because logits tie; the nearest is {100 * shift:+z.1f} points off."
    )


def is_shown(name: str) -> bool:
    """Whether a stored measure stands by itself; the other side of a tie stands beside the measure it is of."""
    return name != OTHER_THRESHOLD and not name.endswith(TIED)


def tied_sides(name: str, each: list[Values]) -> tuple[float, float] | None:
    """Means over seeds of a matched measure at either side of ties; None where no seed has one."""
    beside = name.removesuffix("_matched") + TIED
    if name == beside.removesuffix(TIED) or not any(beside in m for m in each):
        return None
    sides = [[m[n]["value"] for n in (name, beside) if n in m and m[n]["value"] is not None] for m in each]
    known = [s for s in sides if s]
    return (mean(map(min, known)), mean(map(max, known))) if known else None


def unmatched_shift(each: list[Values]) -> float | None:
    """The worst of the seeds' shifts that no threshold undoes; None where all come near enough."""
    shifts = [m[MATCHING_SHIFT]["value"] for m in each if MATCHING_SHIFT in m]
    worst = max(shifts, key=abs, default=0.0)
    return worst if abs(worst) > REACHED else None
