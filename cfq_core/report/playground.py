"""The toy in two dimensions: one teacher, its students at every bit-width, the people it refused and what it told them.

Made by the ordinary pipeline in a few seconds, once a process; the same on every machine of one kind. Importing this
needs no torch, making a scene does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from cfq_core.report import palette

BITS = (2, 3, 4, 5, 6, 8)
HIDDEN, EPOCHS, ROWS_PER_STEP = (16, 16), 60, 32  # small enough to be taught while a lecture starts
KAPPA = 0.2  # logits
REAUDITED = 10  # of the people, on each student: the scene shows promises, not costs
FINE = 121  # points a side of the grid
SHOWN = 60  # arrows of a picture: more are not told apart
TEACHER_LINE, STUDENT_LINE, APPROVED = palette.TEACHER, "#785EF0", "rgba(120,94,240,0.16)"


@dataclass(frozen=True)
class Student:
    """One bit-width: its logits on the grid and after each promised action, and what that comes to."""

    grid: Float[np.ndarray, "g y x"]  # by group
    holds: Bool[np.ndarray, "k"]
    accuracy: float
    approval_shift: float  # share of the test people


@dataclass(frozen=True)
class Scene:
    """Everything a picture of the toy needs, in raw units (kEUR)."""

    axes: tuple[str, str]
    groups: tuple[str, ...]
    x: Float[np.ndarray, "x"]
    y: Float[np.ndarray, "y"]
    teacher: Float[np.ndarray, "g y x"]
    accuracy: float  # of the teacher
    before: Float[np.ndarray, "k 2"]
    after: Float[np.ndarray, "k 2"]
    group: Int[np.ndarray, "k"]
    students: dict[int, Student]

    def sentence(self, bits: int) -> str:
        """What the picture shows, with its numbers."""
        s = self.students[bits]
        return (
            f"At {bits} bits the student is right about {100 * s.accuracy:.1f} % of test people (FP32 "
            f"{100 * self.accuracy:.1f} %), yet **{(~s.holds).sum()} of {len(s.holds)} promises break**; approvals "
            f"shift by {100 * s.approval_shift:+.1f} points."
        )

    def alt(self, bits: int, group: int) -> str:
        """What the picture of one group shows, in words."""
        mine = self.students[bits].holds[self.group == group]
        return (
            f"Two boundaries over {self.axes[0]} and {self.axes[1]} for the group {self.groups[group]}: that of FP32, "
            f"and the student's at {bits} bits. Of {len(mine)} arrows to FP32's approval {(~mine).sum()} end where the "
            "student refuses."
        )

    def rows(self, bits: int) -> pd.DataFrame:
        """The table behind a picture: everybody who was told of an action."""
        names = [f"{a} {when}" for when in ("before", "after") for a in self.axes]
        moved = pd.DataFrame(np.hstack([self.before, self.after]), columns=names)
        return moved.assign(group=np.array(self.groups)[self.group], holds=self.students[bits].holds)


@lru_cache(maxsize=20)
def scene(seed: int = 0) -> Scene:
    """Teach, promise, quantize and look, by the pipeline that studies run."""
    from cfq_core import pipeline
    from cfq_core.base import plugins
    from cfq_core.training.loop import TeacherTraining

    setting = pipeline.Setting(
        HIDDEN,
        KAPPA,
        people=None,
        n_reaudited=REAUDITED,
        teacher_training=TeacherTraining(epochs=EPOCHS, rows_per_step=ROWS_PER_STEP),
    )
    design = pipeline.prepare(plugins.load("datasets", "toy").load(), seed)
    promise = pipeline.promise([design], setting)[0]
    audited = pipeline.audit([promise], {"ptq": plugins.load("methods", "ptq")}, [float(b) for b in BITS], setting)
    return _scene(promise, dict(zip(BITS, audited, strict=True)))


def draws(seeds: Sequence[int]) -> pd.DataFrame:
    """One row a draw, and their average where there are several: per cent of the promises broken at each bit-width."""
    broken = [
        {f"{bits} bits": 100 * float((~s.holds).mean()) for bits, s in scene(seed).students.items()} for seed in seeds
    ]
    each = [
        {"draw": str(seed + 1), "promises": len(scene(seed).before), **b} for seed, b in zip(seeds, broken, strict=True)
    ]
    rows = pd.DataFrame(each)
    if len(rows) > 1:
        mean = rows.drop(columns="draw").mean().to_dict()
        rows = pd.concat([rows, pd.DataFrame([{"draw": "average", **mean}])], ignore_index=True)
    return rows.round(1)


def _scene(promise: Any, audited: dict[int, Any]) -> Scene:
    from cfq_core.recourse.find import logits64

    design, found = promise.design, promise.recourse.has_recourse
    first, second, group = design.table.schema.features
    counts = [np.unique(f.counts(np.linspace(f.low, f.high, FINE))) for f in (first, second)]
    grid = np.stack(np.meshgrid(*counts), axis=-1).reshape(-1, 2)
    everywhere = np.concatenate([np.column_stack([grid, np.full(len(grid), g)]) for g in range(len(group.levels))])
    shape = (len(group.levels), len(counts[1]), len(counts[0]))

    def seen(model: Any) -> Float[np.ndarray, "g y x"]:
        return logits64(model, 0, design.encoding, everywhere).reshape(shape)

    def raw(values: np.ndarray) -> Float[np.ndarray, "k 2"]:
        return np.column_stack([first.raw(values[found, 0]), second.raw(values[found, 1])])

    outcome = design.table.outcome[design.split.test]
    students = {
        bits: Student(
            seen(a.student),
            a.raw.student_at[found] > 0,
            float(((a.raw.student > 0) == outcome).mean()),
            float((a.raw.student > 0).mean() - (promise.logits > 0).mean()),
        )
        for bits, a in audited.items()
    }
    return Scene(
        (f"{first.words} ({first.unit})", f"{second.words} ({second.unit})"),
        group.levels,
        first.raw(counts[0]),
        second.raw(counts[1]),
        seen(promise.teacher),
        float(((promise.logits > 0) == outcome).mean()),
        raw(promise.recourse.before),
        raw(promise.recourse.after),
        promise.recourse.before[found, 2],
        students,
    )


# ---------------------------------------------------------------------- the picture
def figure(of: Scene, bits: int, group: int = 0) -> Any:
    """Both boundaries for one group, its people, and their arrows: broken ones in another colour and dashed."""
    import plotly.graph_objects as go

    student = of.students[bits]
    drawn = go.Figure()
    region = [[0.0, "rgba(0,0,0,0)"], [0.5, "rgba(0,0,0,0)"], [0.5, APPROVED], [1.0, APPROVED]]
    approves = (student.grid[group] > 0).astype(float)
    drawn.add_heatmap(x=of.x, y=of.y, z=approves, zmin=0, zmax=1, colorscale=region, showscale=False, hoverinfo="skip")
    for name, logit, colour, dash in (
        ("FP32 boundary", of.teacher[group], TEACHER_LINE, "dash"),
        (f"boundary at {bits} bits", student.grid[group], STUDENT_LINE, "solid"),
    ):
        drawn.add_trace(_boundary(go, of, name, logit, colour, dash))
    mine = np.flatnonzero(of.group == group)[:SHOWN]
    for name, which, colour, dash in (
        ("promise holds", mine[student.holds[mine]], palette.HOLDS, "solid"),
        ("promise breaks", mine[~student.holds[mine]], palette.BREAKS, "dot"),
    ):
        drawn.add_trace(_arrows(go, of, f"{name} ({len(which)})", which, colour, dash))
    top = float(np.quantile(np.concatenate([of.before, of.after])[:, 1], 0.99)) * 1.25
    right = float(np.quantile(np.concatenate([of.before, of.after])[:, 0], 0.99)) * 1.25
    drawn.update_xaxes(title=of.axes[0], range=[0, min(right, of.x[-1])], zeroline=False)
    drawn.update_yaxes(title=of.axes[1], range=[0, min(top, of.y[-1])], zeroline=False)
    drawn.update_layout(height=560, margin={"l": 10, "r": 10, "t": 10, "b": 10}, font_size=15, uirevision="same")
    drawn.update_layout(legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "font": {"size": 15}})
    return drawn


def _boundary(go: Any, of: Scene, name: str, logit: np.ndarray, colour: str, dash: str) -> Any:
    return go.Contour(
        x=of.x,
        y=of.y,
        z=logit,
        name=name,
        showlegend=True,
        showscale=False,
        hoverinfo="skip",
        line={"color": colour, "width": 3, "dash": dash},
        contours={"type": "constraint", "operation": "=", "value": 0.0},
    )


def _arrows(go: Any, of: Scene, name: str, which: np.ndarray, colour: str, dash: str) -> Any:
    gap = np.full(len(which), np.nan)
    x, y = (np.column_stack([of.before[which, i], of.after[which, i], gap]).ravel() for i in (0, 1))
    return go.Scatter(
        x=x,
        y=y,
        name=name,
        mode="lines+markers",
        line={"color": colour, "width": 2.2, "dash": dash},
        marker={
            "color": colour,
            "size": np.tile([6, 13, 0], len(which)),
            "symbol": np.tile(["circle", "arrow", "circle"], len(which)),
            "angleref": "previous",
        },
        hovertemplate="%{x:.2f}, %{y:.2f}",
    )
