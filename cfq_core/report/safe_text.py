"""How few bits are safe, as a table, as what it claims in words, and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import pandas as pd

from cfq_core.report import fmt
from cfq_core.study.safe import AT_MOST, CONFIDENCE, Safe
from cfq_core.study.summary import format_setting

TITLE = "How few bits are safe?"
LENIENT = "lenient: bought by approving more people"
__all__ = ["AT_MOST", "CONFIDENCE", "as_json", "claim", "rows"]


def rows(answers: Sequence[Safe]) -> pd.DataFrame:
    """One row a method: its least safe bits, what was seen there, the bound, and whether it was bought by leniency."""
    return pd.DataFrame([_row(a) for a in answers])


def _row(a: Safe) -> dict[str, str]:
    t = a.answer or a.tried[0]  # of none that is safe: the first that was tried, which failed
    seen, upper = ("–" if v is None else f"{100 * v:.2f} %" for v in (t.rate, t.bound))
    shift = "–" if t.approval_shift is None else fmt.points(t.approval_shift)
    note = f"none: {t.budget:g} bits {'not shown' if t.bound is not None else 'nobody to judge by'}"
    return {
        "data set": a.dataset,
        **{key: format_setting(value) for key, value in a.setting.items()},
        "method": a.method,
        "least bits": f"{t.budget:g}" if a.answer else "none of these",
        "average bits": f"{t.avg_bits:.2f}" if a.answer else "–",
        "break": seen,
        "at most": upper,
        "approvals": shift,
        "seeds": f"{t.seeds}",
        "people": f"{t.people:,}",
        "note": (LENIENT if t.lenient else "") if a.answer else note,
    }


def claim(answers: Sequence[Safe], matched: bool) -> str:
    """What an answer says, with its assumptions."""
    if not answers:
        return "No finished run to judge by."
    a, models = answers[0], any(x.claim == "model" for x in answers)
    how = ", judged at the teachers' approval rate" if matched else ""
    of = (
        "One seed: about this one model, by its people (Clopper-Pearson)."
        if models
        else "About the method, seeds are the unit: the mean over the models that it makes, whose rates are taken to "
        "spread by at most their mean, or by more where these seeds do."
    )
    return (
        f"Least average bits with at most {100 * a.at_most:g} % of promises broken for people not seen, confidence "
        f"{100 * a.confidence:g} % for each method{how}. {of} 'At most' is the upper bound of 'break' at these bits. "
        "Budgets are tried from the most bits down to the first that fails, so that trying several costs nothing."
    )


def as_json(answers: Sequence[Safe], matched: bool) -> dict[str, Any]:
    """The object that ``--json`` prints, without study and store."""
    return {
        "measure": "vd_matched" if matched else "vd",
        "says": claim(answers, matched),
        "answers": [{**asdict(a), "answer": asdict(a.answer) if a.answer else None} for a in answers],
    }
