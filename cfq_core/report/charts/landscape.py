"""Every allocation of bits: what each breaks at what size, which no other beats, where the allocators' plans lie."""

from __future__ import annotations

from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from cfq_core.allocators.knapsack import cheapest_plan
from cfq_core.base import plugins
from cfq_core.report import fmt, palette
from cfq_core.report.charts.profiles import ALLOCATORS
from cfq_core.report.frames import LEFT, Stored, table_of
from cfq_core.report.picture import Picture

MEASURED = "measured on training people"
ANY, FRONT = "any allocation", "best of its size"
BESIDE = 0.08  # bits between marks of allocators that chose the same plan


def rows(study: Stored, teacher: str, budget: float, matched: bool = False) -> pd.DataFrame:
    """One row a plan of one teacher; ``chosen`` names the allocators that chose it at the budget."""
    stored = study.arrays(teacher, "layers") if teacher else {}
    table = table_of(stored)
    if table.empty:
        return pd.DataFrame()
    measure = table.vd_matched if matched else table.vd
    table = pd.DataFrame({
        "plan": table.plans.map(_written),
        "average_bits": table.average_bits,
        "vd": measure,
        "approval_shift": table.approval_shift,
        **({LEFT: table[LEFT]} if matched and LEFT in table else {}),
        "fits": table.average_bits <= budget + 1e-9,
        "front": _front(table.average_bits.to_numpy(), measure.to_numpy()),
        "budget": budget,
    })  # fmt: skip
    marked: dict[str, list[str]] = {}
    for name, plan in _plans(study, stored, teacher, budget).items():
        marked.setdefault(_written(plan), []).append(name)
    return table.assign(chosen=table.plan.map(lambda p: ", ".join(marked.get(p, []))))


def _plans(study: Stored, stored: dict[str, np.ndarray], teacher: str, budget: float) -> dict[str, tuple[int, ...]]:
    """The plan of each allocator at a budget: uniform, by each stored profile, and as methods learned it."""
    choices, sizes = (tuple(int(i) for i in stored[k]) for k in ("choices", "sizes"))
    if budget < min(choices):
        return {}
    runs = study.runs[(study.runs.teacher == teacher) & (study.runs.budget == budget)]
    uniform = _with(runs, "uniform_bits").bits  # a budget of 5 bits has a uniform plan that stands in no landscape
    plans = {"uniform": uniform.iloc[0]} if len(uniform) else {}
    for name, (profile, _) in ALLOCATORS.items():
        if f"sensitivity.{name}" in stored:
            plans[profile] = cheapest_plan(stored[f"sensitivity.{name}"].tolist(), choices, sizes, budget)
    if "criterion.measured" in stored:
        plans[MEASURED] = _least(stored, budget)
    learned = _with(runs, "learns_bits")
    return plans | {f"learned by {m}": plan for m, plan in zip(learned.method, learned.bits, strict=True)}


def _least(stored: dict[str, np.ndarray], budget: float) -> tuple[int, ...]:
    """The plan of least stored criterion within a budget; ties go to fewer bits."""
    bits = stored["landscape.average_bits"]
    allowed = np.where(bits <= budget + 1e-9, stored["criterion.measured"], np.inf)
    return tuple(int(b) for b in stored["landscape.plans"][np.lexsort((bits, allowed))[0]])


def _with(runs: pd.DataFrame, trait: str) -> pd.DataFrame:
    """The runs whose method has a trait."""
    return runs[[bool(plugins.trait("methods", m, trait)) for m in runs.method]]


def _written(plan: tuple[int, ...]) -> str:
    return "-".join(map(str, plan))


def _front(bits: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Plans that no other beats in both (as `cfq_core.allocators.landscape.Landscape.front`, which needs torch)."""
    order = np.lexsort((value, bits))
    least = np.minimum.accumulate(value[order])
    out = np.zeros(len(order), bool)
    out[order] = value[order] < np.concatenate([[np.inf], least[:-1]])
    return out


def marks(rows: pd.DataFrame) -> pd.DataFrame:
    """One row an allocator: its plan's place, and how many plans within the budget break fewer promises."""
    mine = rows[rows.chosen != ""]
    out = mine.assign(allocator=mine.chosen.str.split(", ")).explode("allocator")
    return out.assign(better=[int((rows.fits & (rows.vd < v)).sum()) for v in out.vd], of=int(rows.fits.sum()))


def chart(rows: pd.DataFrame, teacher: str, budget: float, matched: bool = False) -> Any:
    """All plans small and grey, the front as a line, one mark an allocator."""
    drawn = rows.assign(percent=100 * rows.vd, shift=100 * rows.approval_shift)
    x = alt.X("average_bits:Q", title="average bits per weight", scale=alt.Scale(nice=False, padding=8, zero=False))
    y = alt.Y("percent:Q", title="validity drop (%)", scale=alt.Scale(zero=True))
    tips = [alt.Tooltip("plan:N", title="bits, input to output"), alt.Tooltip("average_bits:Q", format=".2f"),
            alt.Tooltip("percent:Q", title="validity drop (%)", format=".1f"),
            alt.Tooltip("shift:Q", title="approval shift (points)", format="+.1f")]  # fmt: skip
    dots = alt.Chart(drawn).mark_point(size=28, filled=True, opacity=0.45, color=palette.TEACHER)
    front = alt.Chart(drawn[drawn.front]).mark_line(
        interpolate="step-after",
        strokeWidth=2,
        color=palette.COLOURS[5],
        point=alt.OverlayMarkDef(size=40, color=palette.COLOURS[5]),
    )
    limit = alt.Chart(pd.DataFrame({"average_bits": [budget]})).mark_rule(strokeDash=[4, 3], color=palette.TEACHER)
    plans = marks(drawn)
    beside = plans.groupby("plan").cumcount() - (plans.groupby("plan").plan.transform("size") - 1) / 2
    plans = plans.assign(at=plans.average_bits + BESIDE * beside)
    allocators = list(dict.fromkeys(plans.allocator))
    styles = [palette.style(_method(a)) for a in allocators]
    legend = alt.Legend(title="allocator", labelLimit=0, orient="top", columns=3, symbolSize=110, symbolStrokeWidth=0)
    chosen = alt.Chart(plans).mark_point(size=190, filled=True, opacity=1, stroke="white", strokeWidth=1)
    chosen = chosen.encode(
        x=alt.X("at:Q"),
        y=y,
        color=alt.Color(
            "allocator:N", scale=alt.Scale(domain=allocators, range=[s.colour for s in styles]), legend=legend
        ),
        shape=alt.Shape(
            "allocator:N", scale=alt.Scale(domain=allocators, range=[s.shape for s in styles]), legend=legend
        ),
        tooltip=["allocator:N", *tips],
    )
    return alt.layer(
        limit.encode(x="average_bits:Q"),
        dots.encode(x=x, y=y, tooltip=tips),
        front.encode(x=x, y=y, tooltip=tips),
        chosen,
    ).properties(height=420)


def _method(allocator: str) -> str:
    """The method whose style an allocator is drawn in."""
    named = dict(ALLOCATORS.values()) | {"uniform": "ptq", MEASURED: "ptq_measured"}
    return named.get(allocator, allocator.removeprefix("learned by "))


def alt_text(rows: pd.DataFrame, teacher: str, budget: float, matched: bool = False) -> str:
    """The best plan within the budget, and each allocator's rank."""
    fitting = rows[rows.fits]
    if fitting.empty:
        return f"No allocation fits {fmt.bits(budget)}."
    best = fitting.sort_values(["vd", "average_bits"], kind="stable").iloc[0]
    plans = marks(rows)
    each = zip(plans.allocator, plans.plan, plans.vd, plans.better, strict=True)
    parts = [f"{name} {plan} breaks {fmt.in_100(vd)} (rank {better + 1})" for name, plan, vd, better in each]
    return (
        f"Of {len(fitting)} allocations within {fmt.bits(budget)} the best, {best.plan}, breaks "
        f"{fmt.in_100(best.vd)}; {'; '.join(parts)}."
    )


PICTURE = Picture(
    "All allocations",
    rows,
    chart,
    alt_text,
    "Each point: one allocation of bits to the layers of one seed's teacher, post-training quantization, judged at "
    "the test people's recourse points. Line: plans that no other beats. Dashed: the budget. A learned plan is placed "
    "by its bits alone, without the training that went with it. Marks of one plan stand side by side.",
)
