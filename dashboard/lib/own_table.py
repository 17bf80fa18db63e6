"""A user's own CSV: upload, a card drafted from its columns, edited in a table, checked at once."""

from __future__ import annotations

import re
from typing import Any, get_args

import pandas as pd
import streamlit as st

from cfq_core.base.errors import BadCard
from cfq_core.datasets import upload
from cfq_core.tables.schema import KINDS, MOVES, Missing
from dashboard.lib import ui, work

HELP = {
    "use": "whether the model may look at it",
    "kind": "number, integer, ordinal (levels in order), category or date",
    "move": "which way people may be told to change it",
    "missing": "of empty cells: a level of their own, the training median (indicator: models see where), no row",
    "protected": "sex, age, ethnicity: never changed, and a column of every fairness table",
    "immutable": "a fact about the person, never changed",
    "easy": "may change in the regime strict",
    "log": "a change of ten per cent counts the same at any level: money",
    "levels": "of an ordinal: every level, lowest first, with commas",
    "format": "of a date: how days are written, %d.%m.%Y or %m/%d/%Y; empty: 2024-12-31",
    "other_below": 'of a category: levels with fewer training rows become one, "other"; 0: all stay',
}


def panel() -> None:
    """Upload, edit, keep. Nothing is written before the whole table is found good."""
    left, right = st.columns(2)
    file = left.file_uploader(
        "CSV: commas, a header row, one person a row",
        type=["csv", "gz", "parquet", "xlsx"],
        key="own-csv",
        max_upload_size=20,
    )
    card = right.file_uploader("Card (optional): what the columns mean", type="toml", key="own-card", max_upload_size=1)
    if file is None:
        st.caption("The table stays on this machine, in the store. `data/cards/template.toml` explains a card.")
        return
    try:
        content = file.getvalue()
        name = upload.checked_upload(file.name, content)
        if card is not None:
            upload.checked_upload(card.name, card.getvalue())
            text: str | None = card.getvalue().decode("utf-8", errors="replace")
        else:
            text = _edited(name, content)
        if text is not None and st.button("Check and keep this table", key="own-keep", icon=":material/save:"):
            st.session_state["_kept_table"] = work.keep(text, content, name)
            st.rerun()  # the form above takes it as its data set
    except BadCard as problem:
        ui.failed(str(problem))


def _edited(name: str, content: bytes) -> str | None:
    """The card that the editor describes."""
    columns = upload.read_upload(name, content)
    names = list(columns)
    one, two, three = st.columns(3)
    target = one.selectbox("Outcome column", names, index=len(names) - 1, key="own-target")
    outcomes = sorted(columns[target].words)[:50]
    favourable = two.selectbox("Its favourable value", outcomes, index=len(outcomes) - 1, key="own-favourable")
    word = three.text_input("Name of the table (one word)", re.sub(r"\W+", "_", name.rsplit(".", 1)[0]), key="own-name")
    rows = [r for r in upload.draft(columns) if r["name"] != target]
    for question in upload.questions({n: c for n, c in columns.items() if n != target}):
        st.caption(f":material/help: {ui.escape(question)}")
    edited: Any = st.data_editor(
        pd.DataFrame(rows),
        key=f"own-editor-{name}-{target}",
        hide_index=True,
        disabled=["name"],
        column_config={
            "use": st.column_config.CheckboxColumn(help=HELP["use"]),
            "kind": st.column_config.SelectboxColumn(options=[*KINDS, "date"], required=True, help=HELP["kind"]),
            "move": st.column_config.SelectboxColumn(options=list(MOVES), required=True, help=HELP["move"]),
            "missing": st.column_config.SelectboxColumn(
                options=list(get_args(Missing)), required=True, help=HELP["missing"]
            ),
            "low": st.column_config.NumberColumn(help="nobody is told to go below"),
            "high": st.column_config.NumberColumn(help="nobody is told to go above"),
            **{k: st.column_config.CheckboxColumn(help=HELP[k]) for k in ("protected", "immutable", "easy", "log")},
            **{k: st.column_config.TextColumn(help=HELP[k]) for k in ("levels", "format")},
            "other_below": st.column_config.NumberColumn(min_value=0, step=1, help=HELP["other_below"]),
        },
    )
    four, five = st.columns(2)
    weights = four.selectbox(
        "Sampling weights (optional)", ["", *(n for n in names if n != target)], key="own-weights",
        help="How much each row counts in training. Shares stay those of the people in the table.",
    )  # fmt: skip
    used = edited[edited.use & (edited.name != weights)].drop(columns="use").to_dict("records")
    reference = ""
    if any(r["kind"] == "date" for r in used):
        reference = five.text_input("Dates are counted back from", upload.latest_day(columns), key="own-reference")
    for r in used:  # a protected or immutable column is fixed in every regime the card knows
        r["move"] = "any" if r["protected"] or r["immutable"] else r["move"]
    return upload.card_text(word.strip(), target, favourable, used, reference.strip(), weights)
