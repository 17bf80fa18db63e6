"""What becomes of promises when people do a little more or less than they were told."""

from __future__ import annotations

from typing import Any

import altair as alt
import pandas as pd

from cfq_core.report import fmt
from cfq_core.report.charts import _probed
from cfq_core.report.frames import Stored
from cfq_core.report.picture import Picture

PROBE = "action_noise"
AXIS = "imprecision of each change (relative, standard deviation)"


def rows(study: Stored, dataset: str, budget: float, matched: bool = False, shown: str = "kept") -> pd.DataFrame:
    """One row a (model, size). ``shown``: kept (share that holds), vd (of what still holds on the teacher), crg_abs."""
    measure = _probed.known(study, PROBE, shown, matched)
    found = _probed.readings(study, PROBE, dataset, budget, (measure, shown))
    return found[(found.measure == measure) | (found.method == _probed.TEACHER)] if not found.empty else found


def chart(rows: pd.DataFrame, dataset: str, budget: float, matched: bool = False, shown: str = "kept") -> Any:
    """A line a model over the size of the noise."""
    axis = alt.Axis(format="%", values=sorted(rows["at"].unique()), grid=False)
    x = alt.X("place:Q", title=AXIS, axis=axis, scale=alt.Scale(padding=16, nice=False))
    return _probed.lines(rows, rows.measure.iloc[-1], x, "imprecision")


def title(shown: str = "kept", **_: Any) -> str:
    """The measure, and what is done to the actions."""
    return f"{fmt.measured(shown).heading}, actions done imprecisely"


def alt_text(rows: pd.DataFrame, dataset: str, budget: float, matched: bool = False, shown: str = "kept") -> str:
    """Every value."""
    measure = rows.measure.iloc[-1]
    return (
        f"{fmt.measured(measure).title} on {dataset} at {fmt.bits(budget)} by relative imprecision of the action: "
        f"{_probed.format_each(rows, measure)}."
    )


PICTURE = Picture(
    title,
    rows,
    chart,
    alt_text,
    "Of each changed number a person does 1 + size × z of the change, z normal, never the other way, on its grid and "
    "inside what is legal; categories as told. At 0 stands the promise as it was made. Bars: {interval}.",
)
