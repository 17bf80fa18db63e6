"""The parts of the page Person: the table to choose from, what somebody was told, and the what-if widgets."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from cfq_core.report import person as people
from dashboard.lib import state, ui

GROUP, COST = 190, 260  # pixels
FATES = {"all": "everybody", "broken": "broken", "holds": "holds", "none": "no action"}
SHOWN = {"person": "person", "cost": "cost (units)", "teacher_at": "promised logit", "student_at": "student's logit",
         "fate": "promise", "student_cost": "cost on the student"}  # fmt: skip


def choose(sel: state.Selection, who: pd.DataFrame) -> int | None:
    """A table with filters; the person in the URL stays chosen. None where the filters leave nobody."""
    holds = who.holds_matched if sel.matched else who.holds
    who = who.assign(fate=np.where(~who.has_recourse, FATES["none"], np.where(holds, FATES["holds"], FATES["broken"])))
    known = set(who.person)
    if sel.person is not None and sel.person not in known:
        st.warning(f"Person {sel.person} was not denied by this teacher, or was not asked. Choose one of the table.")
    left = _filtered(who).sort_values(["fate", "cost"], ascending=[True, False])
    groups = [c for c in left.columns if c.startswith("group:")]
    names = {**SHOWN, **{c: c.removeprefix("group:") for c in groups}}
    table = left[list(names)].rename(columns=names).reset_index(drop=True)
    key = f"who-{sel.run}-{len(table)}"
    st.dataframe(
        table, hide_index=True, height=250, key=key, selection_mode="single-row",
        on_select=lambda: _picked(key, list(table.person)),
        column_config={c: st.column_config.NumberColumn(format="%.3f" if "logit" in c else "%.2f")
                       for c in table.select_dtypes("float")},
    )  # fmt: skip
    st.caption(f"{len(table):,} of {len(who):,} denied people. Tick a row to choose a person.")
    if sel.person in known:
        return sel.person
    return int(table.person.iloc[0]) if len(table) else None


def _filtered(who: pd.DataFrame) -> pd.DataFrame:
    line = st.container(horizontal=True, vertical_alignment="bottom")  # wraps where the page is narrow; no word is cut
    fate = line.segmented_control(
        "Promise", list(FATES), format_func=FATES.get, default="all", key="fate", help="On the selected model.",
        **state.IN_LINK,
    )  # fmt: skip
    if fate not in (None, "all"):
        who = who[who.fate == FATES[fate]]
    for name in (c for c in who.columns if c.startswith("group:")):
        levels = ["all", *sorted(set(who[name]))]
        level = line.selectbox(ui.escape(name.removeprefix("group:")), levels, key=f"filter-{name}", width=GROUP)
        who = who if level == "all" else who[who[name] == level]
    top = float(np.ceil(10 * who.cost.max()) / 10) if who.cost.notna().any() else 0.0
    if top > 0:
        most = line.slider("Cost at most (units)", 0.0, top, top, 0.1, key=f"cost-{top}", width=COST)
        who = who[who.cost.isna() | (who.cost <= most)]
    return who


def _picked(key: str, persons: list[int]) -> None:
    rows = st.session_state[key]["selection"]["rows"]
    if rows:
        state.choose(person=int(persons[rows[0]]))


def show_action(title: str, action: people.Action | None, nothing: str, sure: str) -> None:
    """An action in the card's words and units, and what is proved of it."""
    with st.container(border=True):
        st.markdown(f"**{title}**")
        if action is None:
            st.markdown(nothing)
            st.caption(sure)
            return
        for line in action.lines or ("nothing: approved as they are",):
            st.markdown(f"- {ui.escape(line)}")
        st.caption(f"cost {action.cost:.2f} units, logit {action.margin:+.2f} there; {action.origin}")
        st.markdown(f":material/{'verified' if sure.startswith('Proved') else 'info'}: {sure}")


def what_if(who: people.TestPeople, start: tuple[int, ...], before: tuple[int, ...], key: str) -> tuple[int, ...]:
    """One widget a feature the person can change, on its grid, inside what they can reach; starts at ``start``."""
    actions, values = who.actions, list(before)
    columns = st.columns(3)
    for place, i in enumerate((*actions.numbers, *actions.switches)):
        with columns[place % 3]:
            values[i] = _widget(who, i, before[i], start[i], f"{key}-{i}")
    return tuple(values)


def _widget(who: people.TestPeople, i: int, own: int, start: int, key: str) -> int:
    f, one = who.actions.schema.features[i], np.array([own])
    label = f"{ui.escape(f.words)}{f' ({ui.escape(f.unit)})' if f.unit else ''}"
    if f.is_category or f.levels:
        if f.is_category:
            options = np.flatnonzero(who.actions.reachable(i, one)[0])
        else:
            low, high = who.actions.box(i, one)
            options = np.arange(low[0], high[0] + 1)
        found = [int(o) for o in options]
        if len(found) == 1:
            st.caption(f"{label}: {ui.escape(f.format_cell(own))}, the only level open to them")
            return own
        return st.selectbox(label, found, found.index(start), format_func=f.format_cell, key=key)
    low, high = (int(bound[0]) for bound in who.actions.box(i, one))
    if low == high:
        st.caption(f"{label}: {ui.escape(f.format_cell(own))}, at its limit")
        return own
    whole = float(f.step).is_integer()
    raw: list[Any] = [int(v) if whole else float(v) for v in f.raw(np.array([low, high, start]))]
    step = int(f.step) if whole else float(f.step)
    return int(f.counts(np.array([st.slider(label, *raw, step=step, key=key)]))[0])
