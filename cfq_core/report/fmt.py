"""Words for numbers: units, sentences, the glossary. Written from the data, never beside it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from math import isnan
from typing import TYPE_CHECKING, Any

import pandas as pd

from cfq_core.base import plugins
from cfq_core.evidence import MATCHING_SHIFT, OTHER_THRESHOLD, Metric
from cfq_core.matching import REACHED
from cfq_core.study.marks import ASKS_LESS, LENIENT, format_unmatched, leniency
from cfq_core.study.over_seeds import OverSeeds
from cfq_core.study.pair import METHOD, pair_of

if TYPE_CHECKING:
    from cfq_core.report.frames import Stored

#: Measures that are differences of shares: told in points, not in per cent.
POINTS = ("approval_shift", "accuracy_drop")
#: Measures of a run that no metric file makes.
OTHERS = {
    MATCHING_SHIFT: ("approval shift that no threshold undoes, on validation people", "points", 100.0),
    OTHER_THRESHOLD: ("threshold at the other end of a tie", "logits", 1.0),
    "size_bytes": ("size of the weights and biases", "KiB", 1 / 1024),
    "seconds": ("seconds to make", "s", 1.0),
    "training_recourse_seconds": ("CPU seconds to find training recourse, once", "s", 1.0),
    "on_the_fly_seconds": ("CPU seconds to find it anew in every training step (computed, not run)", "s", 1.0),
}
#: Measures that only probes read: title, unit, scale, what is better, whether a share.
OF_PROBES = {
    "kept": ("promises kept", "%", 100.0, "higher", True),
    "robust": ("valid on every unseen variant", "%", 100.0, "higher", True),
    "held": ("unseen variants an action is valid on", "%", 100.0, "higher", True),
    "served": ("denied people with an action valid on every unseen variant", "%", 100.0, "higher", True),
    "cost_ratio": ("cost over that of the plan's own promise", "×", 1.0, "lower", False),
}
#: Names for narrow places; every one stands in the glossary.
SHORT = {
    "vd": "VD", "worst_group_vd": "worst group VD", "worst_group_vd_by_chance": "worst group VD by chance",
    "worst_group_vd_p": "worst group VD", "crg_abs": "CRG, absolute", "crg_median": "CRG, median",
    "crg_mean": "CRG, mean", "crg_below": "asked for less", "margin_condition": "condition holds", "frr": "FRR",
    "direction": "direction",
    "robust": "robust success", "held": "variants it is valid on", "served": "served robustly", "cost_ratio": "cost",
}  # fmt: skip
UNITS = {
    "share": ("%", 100.0),
    "relative": ("%", 100.0),
    "logits": ("logits", 1.0),
    "cost": ("cost units", 1.0),
    "cosine": ("cosine", 1.0),
    "p": ("p", 1.0),
}


@dataclass(frozen=True)
class Measured:
    """How one measure is told."""

    name: str
    title: str
    unit: str
    scale: float  # from the stored number to the unit
    better: str  # "lower", "higher", "near 0", "neither"
    share: bool  # a share of people: between 0 and 100 %

    @property
    def short(self) -> str:
        """For narrow places: ``VD (%)``."""
        base = self.name.removesuffix("_matched")
        return f"{SHORT.get(base, self.title.removesuffix(', matched approval'))} ({self.unit})"

    @property
    def heading(self) -> str:
        """Its title at the head of a sentence."""
        return self.title[:1].upper() + self.title[1:]

    @property
    def axis(self) -> str:
        """Title of an axis: words and unit."""
        return f"{self.title} ({self.unit})"

    def format(self, value: float | None, digits: int = 1) -> str:
        """``12.3 %``; a dash where it is not defined."""
        if value is None or isnan(value):
            return "–"
        if self.unit == "p":
            return f"p = {value:.2g}"
        sign = "+" if self.unit == "points" or self.better == "near 0" else ""
        return f"{self.scale * value:{sign},.{digits}f} {self.unit}"


@cache
def measured(name: str) -> Measured:
    """A measure's words by its stored name; ``_matched`` is at the teacher's approval rate."""
    if name in OTHERS:
        title, unit, scale = OTHERS[name]
        return Measured(name, title, unit, scale, "lower", False)
    base = name.removesuffix("_matched")
    if base in OF_PROBES:
        title, unit, scale, better, share = OF_PROBES[base]
        return Measured(name, f"{title}, matched approval" if name != base else title, unit, scale, better, share)
    metric: Metric = plugins.load("metrics", base)
    unit, scale = ("points", 100.0) if base in POINTS else UNITS[metric.unit]
    title = f"{metric.title}, matched approval" if name != base else metric.title
    return Measured(name, title, unit, scale, metric.better, metric.unit == "share" and metric.summary != "mean")


def bits(budget: float) -> str:
    """``4 bits``."""
    return f"{budget:g} bits"


def in_100(share: float) -> str:
    """A share as people: ``24 in 100``; below half a person in 100 with a decimal."""
    people = 100 * share
    return f"{people:.1f} in 100" if 0 < people < 1 else f"{people:.0f} in 100"


def counted(number: int, noun: str) -> str:
    """``1 seed``, ``3 seeds``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def points(share: float) -> str:
    """``+0.4 points``."""
    return f"{100 * share:+z.1f} points"


# ---------------------------------------------------------------------- the answer
def line_of(lines: pd.DataFrame, dataset: str, method: str, budget: float) -> pd.DataFrame:
    """One (data set, method, budget) of `Stored.lines`, indexed by measure."""
    here = lines[(lines.dataset == dataset) & (lines.method == method) & (lines.budget == budget)]
    return here.set_index("measure")


def most_faithful(lines: pd.DataFrame, dataset: str, budget: float) -> str | None:
    """The method that breaks fewest promises at a budget without approving more people or asking for less."""
    here = lines[(lines.dataset == dataset) & (lines.budget == budget)]
    if not {"vd", "approval_shift"} <= set(here.measure):
        return None
    judged = here[here.measure.isin(["vd", "vd_matched"])]
    wide = judged.pivot(index="method", columns="measure", values="mean").reindex(columns=["vd", "vd_matched"])
    fair = wide.loc[wide.vd.notna() & ~here.groupby("method").lenient.first()]
    return None if fair.empty else str(fair.sort_values(["vd", "vd_matched"], kind="stable").index[0])


def answer(study: Stored, dataset: str, method: str, budget: float, matched: bool = False) -> str:
    """The verdict in a sentence: what the chosen method breaks at a budget, and which one breaks least."""
    lines, vd = study.lines, "vd_matched" if matched else "vd"
    mine = line_of(lines, dataset, method, budget)
    nothing = mine.empty or vd not in mine.index or pd.isna(mine["mean"][vd])
    if (pair := pair_of(study.row["plan"])) is not None:
        at = matched and f" At matched approval {in_100(mine['mean'][vd])} fail, at {_approvals(mine, True)}."
        return str(pair["verdict"]) if nothing else f"{pair['verdict']}{at or ''}"
    if nothing:
        return f"Nothing to judge by: no denied person of {dataset} has recourse here with {method} at {bits(budget)}."
    text = "One teacher, not trained here. " if study.row["plan"].get("teacher") else ""
    text += f"At {bits(budget)} with {method}, {_accuracy(mine)}; **{in_100(mine['mean'][vd])}** promised actions fail"
    text += f" ({how_sure(mine.loc[vd])}), at {_approvals(mine, matched)}"
    best = most_faithful(lines, dataset, budget)
    if best is None or best == method:
        least = "No method here has a lower mean over seeds without approving more people or asking for less."
        return text + (f". {least}" if best else ".")
    other = line_of(lines, dataset, best, budget)
    return (
        f"{text}; with {best} **{in_100(other['mean'][vd])}** ({how_sure(other.loc[vd])}), "
        f"at {_approvals(other, matched)}. {compared(study.paired(dataset, budget, vd, best, method), best, method)}"
    )


def _approvals(line: pd.DataFrame, matched: bool) -> str:
    """The approval shift in a sentence; at matched approval the one that is left on test people."""
    left = line["mean"].get("approval_shift_matched")
    if not matched or left is None:
        return f"{points(line['mean']['approval_shift'])} approvals"
    return f"the teacher's approval rate ({points(left)} on test people)"


def compared(d: OverSeeds, one: str, other: str) -> str:
    """Whether the seeds show that one method breaks fewer or more promises than another."""
    if d.mean is None or d.low is None or d.high is None:
        return "One seed: which of the two breaks fewer is not shown."
    how = f"{100 * d.mean:+z.1f} points (95 %, Student's t over {d.seeds} paired seeds, {100 * d.low:+.1f} to "
    how += f"{100 * d.high:+.1f})"
    if d.low <= 0 <= d.high:
        return f"That {one} and {other} differ is not shown: {how}."
    return f"Seed by seed {one} breaks {'fewer' if d.mean < 0 else 'more'} than {other}: {how}."


def caution(lines: pd.DataFrame, dataset: str, method: str, budget: float) -> str | None:
    """What makes the number less than it looks: leniency, approvals that cannot be matched, or a single seed."""
    mine = line_of(lines, dataset, method, budget)
    if mine.empty:
        return None
    notes = []
    if bool(mine["lenient"].iloc[0]):
        why = leniency(*(mine["mean"].get(m) for m in ("approval_shift", "crg_mean")))
        notes.append(f"{method} {why}: part of this validity is leniency.")
    if pd.notna(mine["unmatched"].iloc[0]):
        notes.append(format_unmatched(mine["unmatched"].iloc[0]))
    if method == METHOD:
        notes.append("Two files are one draw: this is about them, not about the way the student was made.")
    elif int(mine["seeds"].iloc[0]) < 2:
        notes.append("One seed is one teacher: no claim rests on it.")
    return " ".join(notes) or None


def _accuracy(line: pd.DataFrame) -> str:
    drop = 100 * line["mean"].get("accuracy_drop", float("nan"))
    if abs(drop) < 0.05:
        return "accuracy does not move"
    return f"accuracy {'falls' if drop > 0 else 'rises'} {abs(drop):.1f} points"


def how_sure(m: Any, scale: float = 100.0) -> str:
    """Spread of a method's measure over its seeds, and the interval of its mean, in the unit of a scale."""
    if pd.isna(m["sd"]):
        return "one seed, so no claim"
    digits = 1 if scale > 1 else 2
    spread, low, high = (f"{scale * m[c]:.{digits}f}" for c in ("sd", "seed_low", "seed_high"))
    return f"± {spread} over {m['seeds']:.0f} seeds; 95 %, Student's t, {low} to {high}"


def interval(rows: pd.DataFrame) -> str:
    """What bars over the seeds of some rows are: ``95 %, Student's t over 10 seeds``."""
    counts = sorted({int(n) for n in rows["seeds"].dropna()} - {0}) if "seeds" in rows else []
    if counts and counts[-1] == 1:
        return "none, for one seed is no claim"
    of = "seeds" if not counts else f"{counts[0]} to {counts[-1]} seeds" if len(counts) > 1 else f"{counts[0]} seeds"
    return f"95 %, Student's t over {of}"


def listed(names: list[str], most: int = 6) -> str:
    """``a, b and c``; a count where there are many."""
    if len(names) > most:
        return f"{', '.join(names[:most])} and {len(names) - most} more"
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)


#: Every term of the pages. PAPER's definitions in plain words.
GLOSSARY = {
    "teacher": "The full-precision (FP32) model that decided, and that told denied people what to do.",
    "student": "The quantized model that is deployed in its place.",
    "recourse": "An action a denied person can take (facts stay, numbers on their grid and inside bounds) after which "
    "the teacher approves them, at the least cost.",
    "promise margin κ": "How far beyond the boundary, in logits, the promised action must land on the teacher. With no "
    "margin it ends on the boundary, and more promises break; how many depends on the table, the method and the bits.",
    "cost": "Weighted L1: each number's change over its scale (its median absolute deviation), plus a fixed price per "
    "switched category.",
    "VD, validity drop": "Among people the teacher denied and told what to do: the share whose action fails on the "
    "student.",
    "CRG, recourse gap": "Relative change of the cost of getting approved, student against teacher: same search, same "
    "people. Signs cancel in the mean, so the median and the mean absolute gap stand beside it.",
    "direction": "Mean cosine between the promised action and the student's own, in cost-scaled space: 1 is the same "
    "direction.",
    "approval shift": "Share of people the student approves minus the share the teacher approves. Validity bought with "
    "it is leniency, not faithfulness.",
    "matched approval": "The same measure with the student's threshold moved so that it approves as many validation "
    "people as the teacher: people no model was fitted to. How far test people's approvals still differ is the "
    "approval shift at matched approval. People with equal logits are approved together: where the teacher's number "
    "lies within such a tie the measure is told at both its sides.",
    "unmatched": f"Logits tie so that no threshold comes within {100 * REACHED:g} points of the teacher's approvals.",
    "asked for less": "Share of people whom the student asks for less than their promise did.",
    "logit shift where promises end": "Mean of q − f at the recourse points. Above 0 the student is lenient just where "
    "promises end, even if it approves no more people elsewhere.",
    "bit budget": "Average bits per weight; layers may differ, the average may not exceed it.",
    "margin condition": "|q − f| < f at the person's new point. Sufficient, not necessary, for the promise to hold.",
    "recourse lost": "Share of people with an action on the teacher and none on the student.",
    "windfall": "Share of denied people whom the student approves without any action.",
    "FRR": "Feasible recourse rate: share of the denied for whom an action was found.",
    "lenient": f"Approves over {100 * LENIENT:g} points more people than the teacher, or asks them for over "
    f"{-100 * ASKS_LESS:g} % less than they were promised (mean CRG).",
    "interval": "Of a method: Student's 95 % interval of the mean over seeds, each with a teacher of its own; none for "
    "a single seed. Of one model alone, where it is said: over its people, Wilson for shares, bootstrap else.",
    "seed": "One split and one teacher trained on it. One seed is one draw: claims rest on several.",
    "worst group": "The largest validity drop among protected groups of at least 30 people. The largest of several is "
    "above the average by chance alone: what is expected of groups that do not differ stands beside it, with the p of "
    "a permutation test of the largest of all of them.",
    "factual sensitivity": "How much a layer's quantization raises the loss on training rows.",
    "recourse sensitivity": "How much a layer's quantization moves logits at training recourse points.",
    "imprecise action": "People do a little more or less than they were told: each changed number by its own random "
    "share of the change, on its grid and within what is legal for them.",
    "robust recourse": "The cheapest action that is valid on every one of a set of known deployment variants of the "
    "model, not on the teacher alone.",
    "distribution shift": "Other people come than the models were made for. Which of them come changes (reweighted, "
    "one group), or how well they are recorded (noise); models and thresholds stay. Strictest: people none of whom "
    "were in training.",
    "sigma ladder": "A margin for each person: their cheapest answer whose margin is z standard deviations of the "
    "rounding noise that is forecast at their own point.",
    "regime": "Which features people may change: as the card says (default), only the easiest (strict), or more.",
}
