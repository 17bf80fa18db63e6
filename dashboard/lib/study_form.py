"""The form of a study: every choice a plan has, checked as it is typed, and what it will take."""

from __future__ import annotations

import re
from typing import Any

import streamlit as st

from cfq_core.actions.regimes import REGIMES
from cfq_core.report.escape import plain
from dashboard.lib import work

BUDGETS = (2.0, 2.5, 3.0, 3.5, 4.0, 5.0, 6.0, 8.0)
FIRST_METHODS = ("ptq", "qat_lsq", "cfq_anchored")
FIRST_BUDGETS = (2.0, 3.0, 4.0, 8.0)
REGIME_WORDS = {
    "any": "everything but protected features, both ways",
    "immutable": "facts about the person stay, the rest moves both ways",
    "default": "what the card says",
    "strict": "only the card's easiest features",
}
KEPT: dict[str, Any] = {"persist_state": "session"}  # the form is as it was after a look at another page


def plan() -> dict[str, Any] | None:
    """What the form says, as a plan's plain values; None while something is missing, said beside the field."""
    tables = work.datasets()
    if kept := st.session_state.pop("_kept_table", None):
        st.session_state["form-dataset"] = kept
        st.success(plain(f"{tables.get(kept, 'The table')}: read and kept; it is chosen below."))
    left, right = st.columns(2, gap="large")
    with left:
        first = list(tables).index("diabetes")
        dataset = st.selectbox(
            "Data set", list(tables), index=first, format_func=tables.get, key="form-dataset", **KEPT
        )
        _own(dataset)
        methods = st.pills(
            "Methods",
            list(work.methods()),
            default=FIRST_METHODS,
            selection_mode="multi",
            key="form-methods",
            wrap=True,
            help=_methods_help(),
            **KEPT,
        )
        bits = st.pills(
            "Budgets (average bits per weight)",
            BUDGETS,
            default=FIRST_BUDGETS,
            selection_mode="multi",
            format_func="{:g}".format,
            wrap=True,
            key="form-bits",
            **KEPT,
        )
        name = st.text_input("Name", max_chars=80, placeholder="optional", key="form-name", **KEPT)
    with right:
        hidden = _hidden()
        seeds = st.number_input(
            "Seeds (each a split and a teacher; one seed is no claim)", 1, 50, 5, key="form-seeds", **KEPT
        )
        kappa = st.number_input("Promise margin κ (logits)", 0.0, 5.0, 0.2, 0.1, key="form-kappa", **KEPT)
        people = st.number_input("Denied test people a seed, at most", 10, 100_000, 600, 100, key="form-people", **KEPT)
        regime = st.selectbox(
            "Who may change what",
            list(REGIMES),
            index=list(REGIMES).index("default"),
            format_func=lambda r: f"{r}: {REGIME_WORDS.get(r, '')}",
            key="form-regime",
            **KEPT,
        )
    for missing, what in ((methods, "a method"), (bits, "a budget")):
        if not missing:
            st.error(f"Choose at least {what}.")
    if not (methods and bits and hidden):
        return None
    given = {"datasets": [dataset], "methods": list(methods), "bits": sorted(map(float, bits)), "seeds": int(seeds)}
    given |= {"hidden": hidden, "kappa": float(kappa), "people": int(people), "regime": regime}
    return {**given, "name": name.strip()} if name.strip() else given


def _own(dataset: str) -> None:
    """An uploaded table before a study starts: its people, the good outcome, and one example of advice in words."""
    table = work.about(dataset)
    if table is None:
        return
    if table.share is not None:
        st.caption(plain(f"“{table.favourable}” is the good outcome: {table.share:.0%} of {table.rows:,} people."))
    for line in work.example(dataset):
        st.caption(plain(line))


def _hidden() -> list[int] | None:
    typed = st.text_input("Net: widths of the hidden layers", "64, 64, 32", max_chars=60, key="form-hidden", **KEPT)
    widths = [int(w) for w in re.findall(r"\d+", typed)]
    if not re.fullmatch(r"\s*\d{1,4}(\s*[,\- ]\s*\d{1,4})*\s*", typed) or not all(1 <= w <= 512 for w in widths):
        st.error(f'"{plain(typed[:40])}": 1 to 16 widths from 1 to 512, such as 64, 64, 32.')
        return None
    if len(widths) > 16:
        st.error(f"{len(widths)} layers; at most 16.")
        return None
    return widths


def _methods_help() -> str:
    return "\n".join(f"- **{plain(name)}**: {plain(about)}" for name, about in work.methods().items())
