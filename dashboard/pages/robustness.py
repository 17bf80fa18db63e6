"""Robustness: what a study over several settings says; every stored one appears by itself."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from cfq_core.report import sentences, words
from dashboard.lib import data, state, ui
from dashboard.lib.page import Page

TERMS = ("promise margin κ", "VD, validity drop", "matched approval", "cost", "regime", "interval", "seed")
MAKE = "cfq study data/studies/kappa.toml"
MEASURES = ("vd", "recourse_cost", "accuracy_drop", "approval_shift", "crg_abs", "frr")


def body() -> None:
    """The selected study if it varies something, else the newest that does."""
    sel = state.selected()
    if sel is None:
        return ui.nothing_stored()
    found = {s.id: s for s in data.studies() if data.study(s).varied}
    if not found:
        return _none()
    usual = list(found).index(sel.study.id) if sel.study.id in found else 0
    left, middle, right = st.columns([2, 1, 1])
    label = lambda i: found[i].label if i in found else i  # noqa: E731
    chosen = left.selectbox("Study over several settings", list(found), usual, format_func=label, key="robust-study")
    study = data.study(found[chosen])
    dataset = middle.selectbox("Data set", list(dict.fromkeys(study.runs.dataset)), key=f"robust-data-{chosen}")
    key = right.selectbox("Varied", study.varied, key=f"robust-key-{chosen}")
    budgets = sorted(set(study.runs[study.runs.dataset == dataset].budget))
    budget = min(budgets, key=lambda b: abs(b - sel.budget))
    here = replace(sel, listed=found[chosen], study=study, dataset=dataset, budget=budget)
    ui.head("Robustness", sentences.robustness(study, dataset, key, here.at("vd"), budget), TERMS)
    if budget != sel.budget:
        st.caption(f"This study has no {sel.budget:g} bits; shown is its nearest budget, {budget:g}.")
    _pictures(here, key)


def _pictures(here: state.Selection, key: str) -> None:
    about = {"dataset": here.dataset, "varies": key, "budget": here.budget}
    left, right = st.columns(2, gap="large")
    with left:
        ui.picture("settings", here, key=f"vd-{here.study.id}", measure=here.at("vd"), **about)
    with right:
        ui.picture("kept_at_cost", here, key=here.study.id, measure=here.at("vd"), **about)
    told = lambda m: words.measured(m).title  # noqa: E731
    measure = st.segmented_control(
        "Another measure", MEASURES[1:], default=MEASURES[1], format_func=told, key="robust-measure"
    )
    ui.picture("settings", here, key=f"more-{here.study.id}", measure=measure or MEASURES[1], **about)


def _none() -> None:
    ui.head("Robustness", "No stored study varies its setting, so nothing here is claimed.", TERMS)
    ui.empty("A study over several promise margins, action regimes or solvers appears here by itself. This makes one:")
    st.code(MAKE, language="bash")


PAGE = Page(order=9, title="Robustness", icon="shield", body=body)
PAGE.draw(__name__)
