"""Every metric: evidence in, one value a person out. A metric is a line of `PARTS`; averages are made in `evidence.py`.

To change what a metric says of the same evidence, raise its ``revision``: stored studies are then measured anew.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Float

from cfq_core.certificates import table as certificates
from cfq_core.evidence import Evidence, Metric, PerRow, approved

BAND = 0.5  # logits of the teacher: what counts as near the boundary
EQUAL_COST = 1e-3  # relative; below it two costs count as equal

Values = Float[np.ndarray, "_"] | Bool[np.ndarray, "_"]


# ---------------------------------------------------------------------- who is scored
def rows(of: Callable[[Evidence], Values]) -> Callable[[Evidence], PerRow]:
    """A value for every test row."""
    return lambda e: PerRow(of(e).astype(float), np.arange(len(e.student)))


def told(of: Callable[[Evidence], Values]) -> Callable[[Evidence], PerRow]:
    """A value for every denied person; only those with recourse on the teacher count."""
    return lambda e: PerRow(of(e)[e.has_recourse].astype(float), e.person[e.has_recourse])


def priced(of: Callable[[Values, Values], Values]) -> Callable[[Evidence], PerRow]:
    """A value of the student's cost and the teacher's, for those who have recourse on both."""

    def score(e: Evidence) -> PerRow:
        both = e.reaudited & e.has_recourse & e.student_has_recourse
        return PerRow(of(e.student_cost[both], e.cost[both]).astype(float), e.person[both])

    return score


def gap(student: Values, teacher: Values) -> Values:
    """Relative change of the cost; -1 where the student needs no action."""
    return (student - teacher) / teacher


# ---------------------------------------------------------------------- scores of more than a line
def _near_boundary(e: Evidence) -> PerRow:
    near = np.flatnonzero(np.abs(e.teacher) < BAND)
    return PerRow(((e.teacher[near] > 0) != (e.student[near] > 0)).astype(float), near)


def _cost_weighted(e: Evidence) -> PerRow:
    both = e.reaudited & e.has_recourse & e.student_has_recourse
    return PerRow(e.student_cost[both] - e.cost[both], e.person[both], weight=e.cost[both])


def _proved(e: Evidence) -> Bool[np.ndarray, "k"]:
    return np.zeros(len(e.has_recourse), bool) if e.proved is None else e.proved


def _proved_gap(e: Evidence) -> PerRow:
    both = _proved(e) & e.reaudited & e.has_recourse & e.student_has_recourse
    return PerRow(np.abs(gap(e.student_cost[both], e.cost[both])), e.person[both])


def _proved_twice(e: Evidence) -> PerRow:
    return PerRow(_proved(e)[e.reaudited].astype(float), e.person[e.reaudited])


def _lost(e: Evidence) -> PerRow:
    asked = e.reaudited & e.has_recourse
    return PerRow((~e.student_has_recourse[asked]).astype(float), e.person[asked])


def _cosine(e: Evidence) -> PerRow:
    both = np.isfinite(e.cosine)
    return PerRow(e.cosine[both], e.person[both])


def _region(e: Evidence) -> PerRow:
    known = e.has_recourse if "region" in e.logit_lower_bound else e.has_recourse & False
    return PerRow(certificates.region(e)[known].astype(float), e.person[known])


def _more_approved(e: Evidence) -> Float[np.ndarray, "n"]:
    return approved(e.student).astype(float) - approved(e.teacher)


def _broken(e: Evidence) -> Bool[np.ndarray, "k"]:
    return ~approved(e.student_at)


#: One function, so that everything about the worst group is of the same values.
_broken_promises = told(_broken)


def _certified(e: Evidence) -> Bool[np.ndarray, "k"]:
    return np.any([c.holds(e) for c in certificates.PARTS.values() if c.transfer], axis=0)


PARTS: dict[str, Metric] = {
    "accuracy": Metric(
        "accuracy", "share", "higher", rows(lambda e: (e.student > 0) == e.outcome), by_group=True,
        about="Share of test rows the student decides as they turned out.",
    ),
    "accuracy_drop": Metric(
        "accuracy drop", "share", "lower",
        rows(lambda e: ((e.teacher > 0) == e.outcome).astype(float) - ((e.student > 0) == e.outcome)), "mean",
        by_group=True, about="Accuracy lost to quantization: teacher minus student, on the same rows.",
    ),
    "agreement": Metric(
        "agreement", "share", "higher", rows(lambda e: (e.teacher > 0) == (e.student > 0)),
        about="Share of test rows on which teacher and student decide alike.",
    ),
    "approval_shift": Metric(
        "approval shift", "share", "near 0", rows(_more_approved), "mean", by_group=True,
        about="How many more people the student approves: mean[q > 0] - mean[f > 0]. Leniency is not faithfulness.",
    ),
    "boundary_flip_rate": Metric(
        "flip rate near the boundary", "share", "lower", _near_boundary,
        about="Share of changed decisions among test rows near the boundary, |f| < 0.5 logits (arXiv 2607.01478).",
    ),
    "certified": Metric(
        "certified", "share", "higher", told(_certified), by_group=True,
        about="Share of recourse points that at least one certificate proves to hold on the student.",
    ),
    "crg_above": Metric(
        "recourse became more expensive", "share", "lower", priced(lambda q, f: gap(q, f) > EQUAL_COST),
        about="Share of people whose recourse is more expensive on the student by more than a thousandth.",
    ),
    "crg_abs": Metric(
        "recourse gap, mean absolute", "relative", "lower", priced(lambda q, f: np.abs(gap(q, f))), "mean",
        by_group=True, about="Mean absolute counterfactual recourse gap: signs do not cancel.",
    ),
    "crg_below": Metric(
        "asked for less than promised", "share", "lower", priced(lambda q, f: gap(q, f) < -EQUAL_COST),
        about="Share of people whom the student asks for less than their promise, by over a thousandth of its cost.",
    ),
    "crg_mean": Metric(
        "recourse gap, mean", "relative", "near 0", priced(gap), "mean", by_group=True,
        about="Counterfactual recourse gap: mean of (c(delta*_q) - c(delta*_f)) / c(delta*_f), on both models.",
    ),
    "crg_median": Metric(
        "recourse gap, median", "relative", "near 0", priced(gap), "median", by_group=True,
        about="Median counterfactual recourse gap: the mean is heavy-tailed.",
    ),
    "crg_proved": Metric(
        "recourse gap of proved pairs, mean absolute", "relative", "lower", _proved_gap, "mean", by_group=True,
        about="Mean absolute counterfactual recourse gap over pairs whose two costs are proved to be the least.",
    ),
    "crg_ratio": Metric(
        "recourse gap, ratio of means", "relative", "near 0", _cost_weighted, "mean",
        about="Ratio of mean costs minus 1: the recourse gap of the whole group, not of the average person.",
    ),
    "direction": Metric(
        "direction stability", "cosine", "higher", _cosine, "mean", by_group=True,
        about="Direction stability: mean cosine of delta*_f and delta*_q in cost-scaled action space.",
    ),
    "flip_rate": Metric(
        "flip rate", "share", "lower", rows(lambda e: (e.teacher > 0) != (e.student > 0)), by_group=True,
        about="Share of test rows whose decision changes (Accuracy Is Not All You Need, arXiv 2407.09141).",
    ),
    "frr": Metric(
        "feasible recourse rate", "share", "higher", lambda e: PerRow(e.has_recourse.astype(float), e.person),
        decision=False, by_group=True,
        about="Feasible recourse rate: share of the denied for whom an action was found on the teacher.",
    ),
    "logit_shift": Metric(
        "logit shift, mean", "logits", "near 0", rows(lambda e: e.student - e.teacher), "mean", decision=False,
        about="Mean of q - f over the test rows: the common part of what quantization does.",
    ),
    "logit_shift_at": Metric(
        "logit shift where promises end", "logits", "near 0", told(lambda e: e.student_at - e.teacher_at), "mean",
        about="Mean of q - f at the recourse points: above 0 the student is lenient there, wherever else it is not.",
    ),
    "logit_shift_sd": Metric(
        "logit shift, sd", "logits", "lower", rows(lambda e: e.student - e.teacher), "sd", decision=False,
        about="Standard deviation of q - f over the test rows: the part no moved threshold undoes.",
    ),
    "margin_condition": Metric(
        "margin condition holds", "share", "higher", told(certificates.margin), by_group=True,
        about="Share of recourse points where |q - f| < f: sufficient, not necessary, for the promise to hold.",
    ),
    "margin_transferred": Metric(
        "transferred without the condition", "share", "neither",
        told(lambda e: (e.student_at > 0) & ~certificates.margin(e)),
        about="Share of recourse points that transfer although |q - f| < f fails: what the condition misses.",
    ),
    "proved": Metric(
        "proved on both models", "share", "higher", _proved_twice,
        about="Share of people asked twice whose two answers are both proved: cheapest, or that no action exists.",
    ),
    "recourse_cost": Metric(
        "recourse cost", "cost", "neither", told(lambda e: e.cost), "mean", decision=False, by_group=True,
        about="Mean cost of the FP32 recourse, in scale units: what the promise asks of people.",
    ),
    "recourse_lost": Metric(
        "recourse lost", "share", "lower", _lost, by_group=True,
        about="Share of people with recourse on the teacher for whom none was found on the student.",
    ),
    "region": Metric(
        "region around the point holds", "share", "higher", _region, by_group=True,
        about="Share of recourse points around which a whole region is proved to be approved by the student.",
    ),
    "vd": Metric(
        "validity drop", "share", "lower", _broken_promises, by_group=True,
        about="Validity drop: share of valid FP32 recourse that the student refuses, q(x + delta*_f) <= 0.",
    ),
    "windfall": Metric(
        "windfall", "share", "near 0", lambda e: PerRow((e.student[e.person] > 0).astype(float), e.person),
        by_group=True, about="Share of the people denied by the teacher whom the student approves without any action.",
    ),
    "worst_group_vd": Metric(
        "validity drop, worst group", "share", "lower", _broken_promises, "worst", revision=2,
        about="The largest validity drop among groups of at least 30 people (single protected columns).",
    ),
    "worst_group_vd_by_chance": Metric(
        "validity drop, worst group, expected by chance", "share", "neither", _broken_promises, "worst_by_chance",
        about="The largest validity drop expected among these groups if they did not differ: the mean over deals.",
    ),
    "worst_group_vd_p": Metric(
        "validity drop, worst group, p", "p", "neither", _broken_promises, "worst_p",
        about="How often groups that do not differ have a largest validity drop like this one (max-type permutation).",
    ),
}  # fmt: skip
