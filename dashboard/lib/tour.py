"""The six-step tour of a first visit, in a dialog: opened by a button, closed at any step."""

from __future__ import annotations

import streamlit as st

from dashboard.lib import component, data, state, ui

STEP = "tour-step"  # None: closed


def button() -> None:
    """Where a study is selected."""
    st.button("Six-step tour", icon=":material/tour:", on_click=_go, args=(0,), width="stretch")


def show() -> None:
    """The dialog, while a step is open."""
    if st.session_state.get(STEP) is not None:
        _dialog()


def _go(step: int | None) -> None:
    st.session_state[STEP] = step


@st.dialog("One person, six steps", on_dismiss=lambda: _go(None))
def _dialog() -> None:
    sel, step = state.selected(), st.session_state.get(STEP)
    if step is None or sel is None:
        st.rerun()  # a button of the dialog runs only the dialog again
        return
    tour = data.tour(sel.study, sel.dataset, sel.method)
    if tour is None:
        st.markdown("No promise of this study breaks here and holds elsewhere: choose another method or study.")
        return
    title, text = tour.steps[step]
    st.markdown(f"## {step + 1}. {ui.escape(title)}")
    st.markdown(ui.escape(text))
    last = len(tour.steps) - 1
    if step == last:
        component.mount("links", {"links": [{"text": "Open this person", "url": tour.link}]}, key="tour-link")
    with st.container(horizontal=True):
        st.button("Back", on_click=_go, args=(step - 1,), disabled=step == 0)
        if step < last:
            st.button("Next", on_click=_go, args=(step + 1,), shortcut="ArrowRight")
        else:
            st.button("Done", on_click=_go, args=(None,))
