"""Robustness: a question, the stored study that answers it, or the button that makes one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import streamlit as st

from cfq_core.report import robust
from dashboard.lib import data, running, state, ui, work
from dashboard.lib.page import Page

TITLES = {q.title: q for q in robust.QUESTIONS}


def body() -> None:
    """A question that a stored study answers: the selected study where it does, else the newest that does."""
    top = st.container()
    first = next((q.title for q in robust.QUESTIONS if data.answering(q)), robust.QUESTIONS[0].title)
    asked = st.segmented_control("Robust against what?", list(TITLES), default=first, key="robust", bind="query-params")
    question = TITLES[asked or first]
    sel, found = state.selected(), data.answering(question)
    if sel is None or not found:
        with top:
            about = f"{question.about} No stored study shows it, so nothing is claimed."
            ui.head("Robustness", about, question.terms)
    else:
        _answer(question, sel, found, top)
    _run(question, bool(found))


def _answer(question: robust.Question, sel: state.Selection, found: dict[str, data.Listed], top: Any) -> None:
    left, right = st.columns([3, 1])
    ids = sorted(found, key=lambda i: i != sel.study.id)  # the selected study first, where it answers
    label = lambda i: found[i].label if i in found else i  # noqa: E731
    key = f"robust-study-{question.name}-{sel.study.id}"
    chosen = left.selectbox("Study", ids, format_func=label, key=key, on_change=_choose, args=("study", key))
    study = data.study(found[chosen])
    datasets = list(dict.fromkeys(study.runs.dataset))
    usual, key = datasets.index(sel.dataset) if sel.dataset in datasets else 0, f"robust-data-{chosen}-{sel.dataset}"
    dataset = right.selectbox("Data set", datasets, usual, key=key, on_change=_choose, args=("dataset", key, chosen))
    budgets = sorted(set(study.runs[study.runs.dataset == dataset].budget))
    budget = min(budgets, key=lambda b: abs(b - sel.budget))
    here = replace(sel, listed=found[chosen], study=study, dataset=dataset, budget=budget)
    with top:
        ui.head("Robustness", question.says(study, robust.Asked(dataset, budget, here.at("vd"))), question.terms)
    if budget != sel.budget:
        st.caption(f"This study has no {sel.budget:g} bits; shown is its nearest budget, {budget:g}.")
    beside = st.container(horizontal=True, gap="large")  # wraps where the page is narrow
    for number, (name, own) in enumerate(question.pictures):
        with beside.container(width=ui.HALF if len(question.pictures) > 1 else "stretch"):
            ui.picture(name, here, key=f"{question.name}-{number}-{study.id}", **robust.options(name, here, own))


def _choose(part: str, key: str, study: str | None = None) -> None:
    """What is chosen here is chosen everywhere, so it stands in the address."""
    state.choose(**({"study": study} if study else {}), **{part: st.session_state[key]})


def _run(question: robust.Question, stored: bool) -> None:
    """The shipped plan as a background job."""
    given = work.shipped_plan(question.plan)
    ui.section("Run it again" if stored else "Make this study")
    about = ui.escape(work.about_plan(given))
    st.caption(
        f"`cfq study data/studies/{question.plan}.toml`: {about}. It runs in the background: close "
        "the page, come back later. What is stored is not run again."
    )
    if st.button("Run", key=f"robust-run-{question.name}", icon=":material/play_arrow:"):
        work.start(given)
    mine = next((j for j in work.recent() if j.given == given), None)
    if any(j.live for j in work.recent()) or (mine is not None and mine.error):
        running.panel()


PAGE = Page(order=8, title="Robustness", question="What to do?", icon="shield", body=body)
PAGE.draw(__name__)
