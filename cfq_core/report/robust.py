"""The questions of robustness: which plan answers each, which stored study shows it, its pictures, its sentence.

The dashboard's Robustness page and the tests go through `QUESTIONS`; to ask another one is to add a line there.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from cfq_core.datasets.slices import slice_of
from cfq_core.report import fmt, picture, populations
from cfq_core.report.charts import action_noise, feasible, forecast, overhead, settings, variants_cost
from cfq_core.report.compared import Asked, ends, seeds
from cfq_core.report.frames import Stored

Plain = str | int | float | bool | None
NOISE_SAID = 0.2  # relative imprecision that the sentence is about


@dataclass(frozen=True)
class Topic:
    """One of the page's questions."""

    name: str  # in the address
    title: str
    about: str  # what is done to whom, before anything is stored
    plan: str  # shipped plan that answers it: data/studies/PLAN.toml
    shows: Callable[[Stored], bool]  # whether a study holds its answer
    says: Callable[[Stored, Asked], str]  # the sentence
    pictures: tuple[tuple[str, dict[str, Plain]], ...]  # pictures with the options that are theirs
    terms: tuple[str, ...]


# ---------------------------------------------------------------------- studies over several settings
def _varies(key: str) -> Callable[[Stored], bool]:
    return lambda study: key in study.varied


def _over(key: str) -> Callable[[Stored, Asked], str]:
    return lambda study, asked: over(study, asked, key)


def over(study: Stored, asked: Asked, key: str) -> str:
    """From the first value of a setting to the last: who has an action, at which cost, and what of it breaks."""
    broken = settings.rows(study, asked.dataset, asked.measure, asked.budget, key)
    told = feasible.rows(study, asked.dataset, asked.budget, key)
    if broken.empty or told.empty:
        return f"Nothing stored for {asked.dataset} at {fmt.bits(asked.budget)}."
    shift = settings.rows(study, asked.dataset, "approval_shift", asked.budget, key).set_index(["method", key])["mean"]
    first, last, parts = told.iloc[0], told.iloc[-1], []
    priced = told.dropna(subset=["cost"])
    costs = " → ".join(f"{c:.2f}" for c in priced.cost.iloc[[0, -1]]) if len(priced) else ""
    price = f" at a mean cost of {costs}{_since(priced, first, key)}" if costs else ""
    for method, line in broken.groupby("method", sort=False):
        judged = line.dropna(subset=["mean"])  # where nobody has an action, there is nothing to judge by
        if judged.empty:
            parts.append(f"with {method} nobody to judge by")
            continue
        two = [judged.iloc[0], judged.iloc[-1]]
        shifts = " and ".join(fmt.points(shift[method, e[key]]) for e in two)
        since = _since(judged, first, key)
        parts.append(f"with {method} {ends(two)} promised actions fail{since}, at {shifts} approvals")
    how = ", judged at the teacher's approval rate" if asked.matched else ""
    values = " to ".join(f"**{settings.format_value(v)}**" for v in (first[key], last[key]))
    return (
        f"On {asked.dataset} at {fmt.bits(asked.budget)}, from {settings.AXES.get(key, key)} {values}: an action is "
        f"there for {ends([first, last])} of the denied{price}; {'; '.join(parts)}{how} "
        f"({seeds(broken)})."
    )


def _since(rows: pd.DataFrame, first: Any, key: str) -> str:
    """From which value on there is something to tell, where that is not the first."""
    value = rows[key].iloc[0]
    return "" if value == first[key] else f" (from {settings.format_value(value)} on)"


def _settings(key: str, *measures: str) -> tuple[tuple[str, dict[str, Plain]], ...]:
    return tuple(("settings", {"varies": key, **({"measure": m} if m else {})}) for m in measures)


# ---------------------------------------------------------------------- studies with probes
def _probed(name: str) -> Callable[[Stored], bool]:
    return lambda study: study.has_probe(name)


def imprecise(study: Stored, asked: Asked) -> str:
    """What still holds at a fifth of imprecision, on the teacher and on each student, beside what holds without."""
    rows = action_noise.rows(study, asked.dataset, asked.budget, asked.matched)
    if rows.empty:
        return f"Nothing stored for {asked.dataset} at {fmt.bits(asked.budget)}."
    parts = []
    for method, line in rows.groupby("method", sort=False):
        exact, noisy = (line[line["at"] == at].iloc[0] for at in (0.0, NOISE_SAID))
        parts.append(f"{method} {ends([exact, noisy])}{_shift(study, asked, str(method))}")
    how = ", students at the teacher's approval rate" if asked.matched else ""
    return (
        f"On {asked.dataset} at {fmt.bits(asked.budget)}, promises kept where actions are done exactly, and where "
        f"they are {100 * NOISE_SAID:.0f} % off{how}: {'; '.join(parts)} ({seeds(rows)})."
    )


def across_variants(study: Stored, asked: Asked) -> str:
    """What the strategies reach at about one cost on models that none has seen, and for whom."""
    rows = variants_cost.rows(study, asked.dataset, asked.matched)
    equal = variants_cost.at_equal_cost(rows) if not rows.empty else rows
    if equal.empty:
        return f"Nobody of {asked.dataset} has both a promise and a robust action to judge by."
    parts = [
        f"{r.series} ({r.label}) {ends([r])} at {r.cost_ratio:.2f} times the cost, found for {fmt.in_100(r.frr)}"
        for _, r in equal.iterrows()
    ]
    p = study.probed[(study.probed.dataset == asked.dataset) & (study.probed.series == variants_cost.SHIPPED)]
    shifts = ", ".join(f"{fmt.points(m)} at {label}" for m, label in zip(p["mean"], p.label, strict=True))
    how = ", judged at the teacher's approval rate" if asked.matched else ""
    return (
        f"On {asked.dataset}, at about one cost, actions valid on every unseen variant{how}: {'; '.join(parts)} "
        f"({seeds(equal)}). "
        f"These variants shift approvals by {shifts}."
    )


def _sliced(study: Stored) -> bool:
    return study.has_probe("shift") and any(slice_of(d) for d in study.runs.dataset)


def _timed(study: Stored) -> bool:
    """Rounding and something else, timed with what their training recourse took."""
    methods = set(study.lines[study.lines.measure == "training_recourse_seconds"].method)
    return overhead.ROUNDED in methods and len(methods) > 1


def made_in(study: Stored, asked: Asked) -> str:
    """Each method's time in multiples of rounding and of plain training, beside what it breaks."""
    rows = overhead.rows(study, asked.dataset, asked.budget, asked.measure)
    if rows.empty:
        return f"Nothing stored for {asked.dataset} at {fmt.bits(asked.budget)}."
    parts = []
    for _, r in rows.iterrows():
        times = f"{r.times_ptq:,.0f} times PTQ" if r.method != overhead.ROUNDED else f"{r.total:.2f} s"
        of_qat = (
            ""
            if pd.isna(r.times_qat) or r.method in (overhead.ROUNDED, overhead.TRAINED)
            else (f" and {r.times_qat:.2f} times QAT")
        )
        shift = fmt.points(r.approval_shift)
        parts.append(f"{r.method} {times}{of_qat}, {ends([r])} broken at {shift} approvals")
    how = ", judged at the teacher's approval rate" if asked.matched else ""
    return (
        f"On {asked.dataset} at {fmt.bits(asked.budget)}, time to make a model, training recourse included{how}: "
        f"{'; '.join(parts)} ({seeds(rows)}; times are CPU seconds)."
    )


def broke_as_forecast(study: Stored, asked: Asked) -> str:
    """Forecast and outcome at the asked bit-width, over all promises."""
    rows = forecast.rows(study, asked.dataset)
    over_all = rows[rows["class"] == forecast.ALL] if not rows.empty else rows
    mine = over_all[over_all.bits == asked.budget] if not rows.empty else rows
    if mine.empty:
        return f"No forecast is stored of {asked.dataset} at {fmt.bits(asked.budget)}."
    r = mine.iloc[0]
    within = "" if pd.isna(r.low) else f" ({100 * r.low:.0f} to {100 * r.high:.0f})"
    return (
        f"**A forecast, not a guarantee.** On {asked.dataset} at {fmt.bits(asked.budget)} with {r.method}: before "
        f"anything was quantized **{fmt.in_100(r.forecast)}** promises were forecast to break, and "
        f"**{fmt.in_100(r.broken)}**{within} did{_shift(study, asked, str(r.method))} "
        f"({fmt.counted(int(r.people), 'promise')} of {fmt.counted(int(r.seeds), 'teacher')}; in brackets 95 %, "
        "bootstrap over teachers)."
    )


def _shift(study: Stored, asked: Asked, method: str) -> str:
    """A student's approval shift, which no claim goes without; nothing of a teacher."""
    line = fmt.line_of(study.lines, asked.dataset, method, asked.budget)
    return f", at {fmt.points(line['mean']['approval_shift'])} approvals" if not line.empty else ""


QUESTIONS = (
    Topic(
        "kappa",
        "Promise margin",
        "Promises that must land further beyond the teacher's boundary cost more and break less.",
        "kappa",
        _varies("kappa"),
        _over("kappa"),
        (
            *_settings("kappa", ""),
            ("kept_at_cost", {"varies": "kappa"}),
            *_settings("kappa", "approval_shift", "crg_abs"),
        ),
        ("promise margin κ", "cost", "VD, validity drop", "approval shift", "matched approval", "interval"),
    ),
    Topic(
        "regimes",
        "Who may change what",
        "The same denied people under four action regimes, from everything but protected features to the easiest only.",
        "regimes",
        _varies("regime"),
        _over("regime"),
        (("feasible", {"varies": "regime"}), *_settings("regime", "", "crg_abs", "approval_shift")),
        ("regime", "FRR", "cost", "VD, validity drop", "CRG, recourse gap", "approval shift", "interval"),
    ),
    Topic(
        "steps",
        "Teacher's steps",
        "The paper's teacher takes K gradient steps: how many find an action, what it costs, what of it breaks.",
        "steps",
        _varies("steps"),
        _over("steps"),
        (
            *_settings("steps", ""),
            ("feasible", {"varies": "steps"}),
            *_settings("steps", "recourse_cost", "accuracy_drop", "approval_shift"),
            ("overhead_steps", {}),
        ),
        ("teacher", "FRR", "cost", "VD, validity drop", "approval shift", "interval", "seed"),
    ),
    Topic(
        "overhead",
        "Time to make",
        "How long each method takes, as a multiple of plain rounding and of plain training.",
        "overhead",
        _timed,
        made_in,
        (("overhead", {}),),
        ("VD, validity drop", "approval shift", "matched approval", "interval", "seed"),
    ),
    Topic(
        "forecast",
        "Forecast",
        "Odds that each promise breaks are forecast before anything is quantized: a forecast, not a guarantee.",
        "forecast",
        lambda study: any(study.arrays(str(t), forecast.ARTIFACT) for t in study.teachers.id[:1]),
        broke_as_forecast,
        (("forecast", {}),),
        ("VD, validity drop", "promise margin κ", "approval shift", "interval", "seed"),
    ),
    Topic(
        "noise",
        "Imprecise actions",
        "People do a little more or less than they were told: does the promise still hold, on each model?",
        "noise",
        _probed("action_noise"),
        imprecise,
        tuple(("action_noise", {"shown": shown}) for shown in ("kept", "vd", "crg_abs")),
        ("imprecise action", "VD, validity drop", "CRG, recourse gap", "approval shift", "interval", "seed"),
    ),
    Topic(
        "shift",
        "Another population",
        "Other people than the models were made for: reweighted, recorded with noise, or one group alone.",
        "shift",
        lambda study: study.has_probe("shift") and not _sliced(study),
        populations.elsewhere,
        tuple(("shifts", {"shown": shown}) for shown in ("vd", "approval_shift", "crg_abs", "accuracy")),
        ("distribution shift", "VD, validity drop", "CRG, recourse gap", "approval shift", "interval", "seed"),
    ),
    Topic(
        "slices",
        "Never in training",
        "Teacher and student are trained on one slice of people, by age or country, and promise to the others.",
        "slices",
        _sliced,
        populations.never_seen,
        tuple(("unseen", {"shown": shown}) for shown in ("vd", "approval_shift", "crg_abs", "accuracy")),
        ("distribution shift", "VD, validity drop", "CRG, recourse gap", "approval shift", "interval", "seed"),
    ),
    Topic(
        "variants",
        "Unknown deployment",
        "Bits, clips and rounding of what will ship are not known: robust recourse against a fixed margin for all and "
        "a margin for each, on variants that none of them has seen.",
        "variants",
        _probed("deployment_variants"),
        across_variants,
        tuple(("variants_cost", {"shown": shown}) for shown in ("robust", "held", "served")),
        ("robust recourse", "sigma ladder", "promise margin κ", "cost", "approval shift", "interval", "seed"),
    ),
)  # fmt: skip


def options(picture_name: str, here: Any, own: dict[str, Plain]) -> dict[str, Plain]:
    """What a picture is asked: its own options, else those of what is looked at that it takes."""
    asked = list(inspect.signature(picture.load(picture_name).rows).parameters)[1:]
    seen = {"dataset": here.dataset, "budget": here.budget, "measure": here.at("vd"), "matched": here.matched}
    return {k: v for k, v in {**seen, **own}.items() if k in asked}


def of(name: str) -> Topic:
    """A question by its name."""
    return next(q for q in QUESTIONS if q.name == name)
