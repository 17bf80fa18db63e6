"""How a model file is read: the fields that say it. What is left open is found, or asked about in one line."""

from __future__ import annotations

from typing import Any

import streamlit as st

LAYOUTS = {
    "auto": "found: the one under which it predicts", "raw": "numbers as they are, a category one column a level",
    "standardised": "the same, numbers standardised", "levels": "one column a feature", "named": "one input a feature",
}  # fmt: skip


def fields(key: str) -> dict[str, Any]:
    """Only what was said, as a plan or an audit takes it."""
    line = st.container(horizontal=True)
    favourable = line.text_input(
        "Favourable side", placeholder="high", max_chars=60, key=f"{key}-favourable", width=150,
        help="high, low, or the label of a class. A probability of default is low.",
    )  # fmt: skip
    threshold = line.number_input(
        "Cut", value=None, key=f"{key}-threshold", width=120, help="In the output's own units: 0.5, 650, ..."
    )
    output = line.selectbox("It gives", ("auto", "logit", "probability", "score"), key=f"{key}-output", width=150)
    layout = line.selectbox(
        "Its inputs are", list(LAYOUTS), format_func=lambda k: f"{k}: {LAYOUTS[k]}", key=f"{key}-layout"
    )
    said = {"favourable": favourable.strip(), "threshold": threshold, "output": output, "layout": layout}
    return {k: v for k, v in said.items() if v not in ("", None, "auto")}


def _words(layout: str) -> str:
    return f"{layout}: {LAYOUTS[layout]}"
