"""A chart as plain Vega-Lite, ready to be sent as often as it is shown.

`st.altair_chart` builds and validates a chart's specification anew at every rerun (a third of a second for three
charts) and switches altair's settings for the whole process meanwhile; this does it once for a picture.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import pandas as pd


@cache
def prepare() -> None:
    """Altair, which takes a third of a second to import: a page's first sentence does not wait for it."""
    import altair

    altair.data_transformers.disable_max_rows()


def spec(chart: Any) -> dict[str, Any]:
    """The specification of an altair chart, its rows as tables; sizes that only altair's own theme names are left out.

    Not validated here: tests validate every picture.
    """
    prepare()
    plain: dict[str, Any] = chart.to_dict(validate=False)
    plain["datasets"] = {name: pd.DataFrame(rows) for name, rows in plain.get("datasets", {}).items()}
    for size in ("continuousWidth", "continuousHeight"):
        plain.get("config", {}).get("view", {}).pop(size, None)
    axes = plain.setdefault("config", {})
    for axis in ("axisX", "axisY", "axisBand"):  # streamlit's theme sets them flush, which moves first and last label
        axes[axis] = {"labelFlush": False, "labelFontSize": 13, "titleFontSize": 13, **axes.get(axis, {})}
    return plain
