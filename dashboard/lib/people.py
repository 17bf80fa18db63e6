"""The parts of the page Person: the table to choose from, what somebody was told, and the what-if widgets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from cfq_core.report import fmt
from cfq_core.report import names as names_of
from cfq_core.report import person as people
from dashboard.lib import state, ui

GROUP, COST = 190, 260  # pixels
FATES = {"all": "everybody", "broken": "broken", "holds": "holds", "none": "no action"}
WORDS = {"all": "everybody", "broken": "their promise breaks", "holds": "their promise holds",
         "none": "no action was found for them"}  # fmt: skip
SHOWN = {"person": "person", "fate": "promise", "cost": "cost (units)", "student_cost": "cheapest now (units)",
         "teacher_at": "score promised", "student_at": "score now"}  # fmt: skip


@dataclass(frozen=True)
class Chosen:
    """One person of one seed's teacher."""

    seed: int
    person: int


def choose(sel: state.Selection) -> Chosen | None:
    """A table with filters that stand in the address; the person in it stays chosen. None where nobody is left."""
    every = st.toggle("People of every seed", key="seeds", help="Each seed has its own teacher, which refused other "
                      "people.", **state.IN_LINK)  # fmt: skip
    who = sel.study.pooled(sel.dataset, sel.method, sel.budget) if every else sel.study.people(sel.run or "")
    who = who if every else who.assign(seed=sel.seed)
    holds = who.holds_matched if sel.matched else who.holds
    who = who.assign(fate=np.where(~who.has_recourse, FATES["none"], np.where(holds, FATES["holds"], FATES["broken"])))
    known = set(who.person[who.seed == sel.seed])
    if sel.person is not None and sel.person not in known:
        st.warning(f"Person {sel.person} was not denied by this teacher, or was not asked. Choose one of the table.")
    left, words = _filtered(who)
    left = left.sort_values(["fate", "cost"], ascending=[True, False])
    where = f"{names_of.both(sel.method)} at {fmt.bits(sel.budget)}, {'every seed' if every else f'seed {sel.seed}'}"
    st.markdown(f"**Shown: {len(left):,} of {len(who):,} refused people** on {ui.escape(where)}: {words}.")
    _table(left, every, f"who-{sel.run}-{every}-{len(left)}")
    if sel.person in known:
        return Chosen(sel.seed, int(sel.person))
    return Chosen(int(left.seed.iloc[0]), int(left.person.iloc[0])) if len(left) else None


def _table(left: pd.DataFrame, every: bool, key: str) -> None:
    groups = {c: c.removeprefix("group:") for c in left.columns if c.startswith("group:")}
    names = ({"seed": "seed"} if every else {}) | SHOWN | groups
    table = left[list(names)].rename(columns=names).reset_index(drop=True)
    st.dataframe(
        table, hide_index=True, height=250, key=key, selection_mode="single-row",
        on_select=lambda: _picked(key, list(zip(left.seed, left.person, strict=True))),
        column_config={c: st.column_config.NumberColumn(format="%.3f" if "score" in c else "%.2f")
                       for c in table.select_dtypes("float")},
    )  # fmt: skip
    st.caption("Tick a row to choose a person.")


def _filtered(who: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Who is left, and the filters in words."""
    line = st.container(horizontal=True, vertical_alignment="bottom")  # wraps where the page is narrow; no word is cut
    fate = line.segmented_control(
        "Promise", list(FATES), format_func=FATES.get, default="all", key="fate", help="On the selected model.",
        **state.IN_LINK,
    )  # fmt: skip
    words = [WORDS[fate or "all"]]
    if fate not in (None, "all"):
        who = who[who.fate == FATES[fate]]
    for name in (c for c in who.columns if c.startswith("group:")):
        column = name.removeprefix("group:")
        with line.container(width=GROUP):
            level = state.one(ui.escape(column), f"in-{column}", ["all", *sorted(set(who[name]))], "all")
        if level != "all":
            who, words = who[who[name] == level], [*words, ui.escape(f"{column}: {level}")]
    top = float(np.ceil(10 * who.cost.max()) / 10) if who.cost.notna().any() else 0.0
    if top > 0:
        most = line.slider("Cost at most (units)", 0.0, top, top, 0.1, key=f"cost-{top}", width=COST)
        who, words = who[who.cost.isna() | (who.cost <= most)], [*words, *([f"cost up to {most:g}"] * (most < top))]
    return who, ", ".join(words)


def _picked(key: str, people_of: list[tuple[int, int]]) -> None:
    if rows := st.session_state[key]["selection"]["rows"]:
        seed, person = people_of[rows[0]]
        state.choose(seed=int(seed), person=int(person))


def what_if(who: people.TestPeople, start: tuple[int, ...], before: tuple[int, ...], key: str) -> tuple[int, ...]:
    """One widget a feature the person can change, on its grid, inside what they can reach; starts at ``start``."""
    actions, values = who.actions, list(before)
    columns = st.columns(2)
    for place, i in enumerate((*actions.numbers, *actions.switches)):
        with columns[place % 2]:
            values[i] = _widget(who, i, before, start[i], f"{key}-{i}")
    return tuple(int(v) for v in actions.completed(np.array([before]), np.array([values]))[0])


def _widget(who: people.TestPeople, i: int, before: tuple[int, ...], start: int, key: str) -> int:
    f, one, own = who.actions.schema.features[i], np.array([before]), before[i]
    label = f"{ui.escape(f.words)}{f' ({ui.escape(f.unit)})' if f.unit else ''}"
    if f.is_category or f.levels:
        if f.is_category:
            options = np.flatnonzero(who.actions.reachable(i, one)[0])
        else:
            low, high = who.actions.box(i, one)
            options = np.arange(low[0], high[0] + 1)
        found = [int(o) for o in options]
        if len(found) == 1:
            st.caption(f"{ui.escape(f.words)}: {ui.escape(f.format_cell(own))}, the only level open to them")
            return own
        return st.selectbox(label, found, found.index(start), format_func=f.format_cell, key=key)
    low, high = (int(bound[0]) for bound in who.actions.box(i, one))
    if low == high:
        st.caption(f"{ui.escape(f.words)}: {ui.escape(f.format_cell(own))}, at its limit")
        return own
    whole = float(f.step).is_integer()
    raw: list[Any] = [int(v) if whole else float(v) for v in f.raw(np.array([low, high, start]))]
    step = int(f.step) if whole else float(f.step)
    return int(f.counts(np.array([st.slider(label, *raw, step=step, key=key)]))[0])
