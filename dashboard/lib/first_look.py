"""The first look at a study on the page Answer: one view that moves in the browser, a slider that the page follows."""

from __future__ import annotations

import streamlit as st

from cfq_core.report import first_look
from dashboard.lib import component, data, state

KEY = "first-look"


def show(sel: state.Selection) -> None:
    """Draw it; a bit-width that is let go of becomes the selected budget everywhere."""
    place = first_look.Place.of(sel.study, sel.dataset, sel.matched, sel.seed)
    given = {**data.first_look(sel.study, sel.method, place), "now": f"{sel.budget:g}"}
    if not given["looks"]:  # nobody has recourse here: the sentence below says so
        return
    if len(given["looks"]) > 1:  # its slider is the one of this page
        st.html("<style>.st-key-budget { display: none; }</style>")
    component.mount("first_look", given, key=KEY, on_budget_change=_chosen)


def _chosen() -> None:
    if (bits := st.session_state[KEY].get("budget")) is not None:
        state.choose(budget=float(bits))
