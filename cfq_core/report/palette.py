"""Colours, shapes and dashes: one per method on every page and in the report, whatever else is shown beside it.

Colours pass 3:1 on white and on the dark background alike and were chosen for their distance under
simulated protanopia, deuteranopia and tritanopia (Machado 2009). Shape and dash say the same again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from zlib import crc32

import altair as alt
import pandas as pd

COLOURS = ("#D55E00", "#009E73", "#AA4499", "#785EF0", "#B58900", "#648FFF", "#117733", "#CC3311", "#888888", "#CC79A7")
TWO = ("#648FFF", "#FE6100")  # two groups: the farthest pair
TEACHER = "#888888"
HOLDS, BREAKS = "#648FFF", "#FE6100"  # a promise kept, a promise broken
SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "triangle-right", "triangle-left")
DASHES = ((1, 0), (6, 3), (2, 2), (8, 3, 2, 3), (10, 2))

#: Share from good (0) to bad (1): lightness alone tells them apart; the cell carries its number too.
SHARE_RANGE = ("#F3F0E7", "#F0B27A", "#C0504D", "#4A1942")


@dataclass(frozen=True)
class Style:
    """How one method is drawn."""

    colour: str
    shape: str
    dash: tuple[int, ...]


def _style(colour: int, shape: int, dash: int) -> Style:
    return Style(COLOURS[colour], SHAPES[shape], DASHES[dash])


#: A family shares a hue where it must; within it shape and dash differ. The first of each family has a hue alone.
STYLES = {
    "teacher": Style(TEACHER, "circle", (4, 3)),
    "ptq": _style(0, 0, 0),
    "ptq_minmax": _style(7, 1, 1),
    "ptq_percentile": _style(7, 6, 2),
    "adaround": _style(4, 6, 2),
    "ptq_mixed": _style(4, 5, 0),
    "ptq_hawq": _style(4, 3, 1),
    "ptq_recourse": _style(6, 6, 0),
    "ptq_random": _style(8, 4, 2),
    "ptq_shift": _style(7, 5, 2),
    "ptq_measured": _style(6, 2, 0),
    "cf_ptq_measured": _style(5, 2, 2),
    "cf_ptq": _style(5, 3, 0),
    "cf_ptq_alloc": _style(5, 5, 1),
    "qat_lsq": _style(3, 1, 0),
    "qat_mixed": _style(3, 2, 1),
    "qat_pact": _style(8, 1, 1),
    "qat_distill": _style(9, 4, 0),
    "qat_lenient": _style(9, 5, 2),
    "cfq": _style(2, 3, 0),
    "cfq_anchored": _style(1, 2, 0),
    "cfq_one_sided": _style(1, 7, 1),
    "fixed margin": _style(0, 0, 0),
    "sigma ladder": _style(3, 1, 1),
    "robust": _style(1, 2, 0),
}


def style(method: str) -> Style:
    """A method's style; one that is not listed gets a fixed one by its name."""
    if method in STYLES:
        return STYLES[method]
    number = crc32(method.encode())
    return _style(number % len(COLOURS), number // 16 % len(SHAPES), number // 256 % len(DASHES))


def _legend(title: str) -> alt.Legend:
    return alt.Legend(title=title, labelLimit=0, titleLimit=0, orient="top", columns=3)


def colour(methods: Sequence[str], field: str = "method:N", title: str = "method") -> alt.Color:
    """Colour channel with an explicit scale over the methods shown."""
    scale = alt.Scale(domain=list(methods), range=[style(m).colour for m in methods])
    return alt.Color(field, scale=scale, legend=_legend(title))


def shape(methods: Sequence[str], field: str = "method:N", title: str = "method") -> alt.Shape:
    """Shape channel; its legend merges with the colour's."""
    scale = alt.Scale(domain=list(methods), range=[style(m).shape for m in methods])
    return alt.Shape(field, scale=scale, legend=_legend(title))


def dash(methods: Sequence[str], field: str = "method:N", title: str = "method") -> alt.StrokeDash:
    """Dash channel; its legend merges with the colour's."""
    scale = alt.Scale(domain=list(methods), range=[list(style(m).dash) for m in methods])
    return alt.StrokeDash(field, scale=scale, legend=_legend(title))


def models(base: alt.Chart, methods: Sequence[str], size: int, **channels: Any) -> alt.Chart:
    """One mark a (method, budget) in its method's colour and shape; a click on it selects that model."""
    marks = base.mark_point(size=size, filled=True, opacity=1)
    pick = alt.selection_point(name="pick", fields=["method", "budget"])
    return marks.encode(color=colour(methods), shape=shape(methods), **channels).add_params(pick)


def left_over(rows: pd.DataFrame) -> list[alt.Tooltip]:
    """What a picture of a matched measure tells beside it: how far test people's approvals still differ, and ties."""
    beside = {"approval_shift_matched": "approval shift matched (share)", "unmatched": "nearest shift, where unmatched",
              "tied_low": "at one side of ties", "tied_high": "at the other"}  # fmt: skip
    return [
        alt.Tooltip(f"{c}:Q", title=t, format=".4f") for c, t in beside.items() if c in rows and rows[c].notna().any()
    ]
