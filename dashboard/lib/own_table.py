"""A user's own table: upload, a forced choice of the good outcome, and a drafted card as a form."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Mapping
from typing import Any, get_args

import pandas as pd
import streamlit as st

from cfq_core.api.tables import as_toml
from cfq_core.base.errors import BadCard
from cfq_core.datasets import draft, upload
from cfq_core.datasets.dialect import DELIMITERS, ENCODINGS, THOUSANDS
from cfq_core.tables.schema import KINDS, MOVES, Missing
from dashboard.lib import ui, work

#: Keys of a feature that the form shows, in its order; what else a draft says stays as it is.
EDITED = (
    "name", "kind", "label", "unit", "move", "missing", "protected", "immutable", "easy", "low", "high", "log",
    "levels", "format", "other_below",
)  # fmt: skip
FLAGS = ("protected", "immutable", "easy", "log")
USUAL = {"move": "any", "missing": "refuse"}  # what a card need not say
KEPT_KEYS = ("own-csv", "own-card", "own-keep", "own-model")
MOST_OUTCOMES = 50  # cells of a column that may be the outcome
HELP = {
    "use": "whether the model may look at it",
    "kind": "number, integer, ordinal (levels in order), category or date",
    "move": "which way people may be told to change it",
    "missing": "of missing cells: a level of their own, the training median (indicator: models see where), no row",
    "protected": "sex, age, ethnicity: never changed, and a column of every fairness table",
    "immutable": "a fact about the person, never changed",
    "easy": "may change in the regime strict",
    "log": "a change of ten per cent counts the same at any level: money",
    "levels": "of an ordinal: every level, lowest first, with commas",
    "format": "of a date: how days are written, %d.%m.%Y or %m/%d/%Y; empty: 2024-12-31",
    "other_below": 'of a category: levels with fewer training rows become one, "other"; 0: all stay',
}
MARKS = {"": "none", ",": "comma", ";": "semicolon", "\t": "tab", "|": "bar", " ": "space", ".": "point",
         "'": "apostrophe", "\u00a0": "no-break space", "\u202f": "narrow space"}  # fmt: skip


def panel() -> None:
    """Upload, answer, keep. Nothing is written before the whole table is found good."""
    left, right = st.columns(2)
    file = left.file_uploader(
        "Table: CSV as it is, packed CSV, Parquet or Excel; a header row, one person a row",
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
            _of_this_file(content)
            text = _drafted(name, content)
        if text is not None and st.button("Check and keep this table", key="own-keep", icon=":material/save:"):
            st.session_state["_kept_table"] = work.keep(text, content, name)
            st.rerun()  # the form above takes it as its data set
    except BadCard as problem:
        ui.failed(str(problem))


def _of_this_file(content: bytes) -> None:
    """Nothing that was said of another file stays."""
    mark = hashlib.sha256(content).hexdigest()
    if st.session_state.get("_own_file") != mark:
        for key in [k for k in st.session_state if str(k).startswith("own-") and not str(k).startswith(KEPT_KEYS)]:
            del st.session_state[key]
        st.session_state["_own_file"] = mark


@st.cache_data(show_spinner="Looking at every column", max_entries=8)
def _draft(content: bytes, name: str, target: str, favourable: tuple[str, ...]) -> draft.Draft:
    return draft.draft(content, name, target, favourable)


@st.cache_data(show_spinner="Reading the table", max_entries=4)
def _outcomes(content: bytes, name: str) -> dict[str, dict[str, float]]:
    return draft.outcomes(content, name)


def _drafted(name: str, content: bytes) -> str | None:
    """The card that the form describes; None until what only a person can say is said."""
    shares = _outcomes(content, name)
    names = list(shares)
    one, two = st.columns(2)
    target = one.selectbox("Outcome column", names, index=None, placeholder="which column holds the outcome?",
                           key="own-target")  # fmt: skip
    if target is None:
        return None
    cells = shares[target]
    if len(cells) > MOST_OUTCOMES:
        told = f"{target} has {len(cells):,} different cells; an outcome has a few. Choose another column."
        st.error(ui.escape(told))
        return None
    good = two.multiselect(
        "The good outcome: what people hope for", list(cells), format_func=lambda c: f"{c or 'empty'}: {cells[c]:.0%}",
        placeholder="which of its cells?", key=f"own-favourable-{target}",
        help="One cell or several; all others are the bad outcome, but for those left out below.",
    )  # fmt: skip
    if not good:
        st.caption("Choose the good outcome: the tool never guesses which side of a decision people hope for.")
        return None
    found = _draft(content, name, target, tuple(good))
    _told(found)
    head = tomllib.loads(found.card)
    features = head.pop("feature", [])
    head |= _about(head, [n for n in names if n != target], [c for c in cells if c not in good])
    return _card(head, _edited(features, found.left_out, f"own-editor-{name}-{target}"))


def _told(found: draft.Draft) -> None:
    """Everything that has to be mended, and everything that only a person can answer, all at once."""
    if found.problems:
        st.error("  \n".join(["To mend first, here or in the table:", *(f"- {ui.escape(p)}" for p in found.problems)]))
    if found.questions:
        with st.expander(f"{len(found.questions)} questions that only you can answer; below you can", expanded=True):
            st.markdown("\n".join(f"- {ui.escape(q)}" for q in found.questions))


def _about(head: Mapping[str, Any], others: list[str], bad: list[str]) -> dict[str, Any]:
    """Keys of the card above its features, as the form has them."""
    one, two, three = st.columns(3)
    word = one.text_input("Name of the table (one word)", head["name"], key="own-name").strip()
    weights = two.selectbox(
        "Sampling weights (optional)", ["", *others], key="own-weights",
        help="How much each row counts in training. Shares stay those of the people in the table.",
    )  # fmt: skip
    splits = ["", *others]
    split = three.selectbox(
        "Your own split (optional)", splits, index=splits.index(head.get("split", "")), key="own-split",
        help="A column that says of each row whether it is of train, valid or test.",
    )  # fmt: skip
    said = {"name": word, "title": word, "weights": weights, "split": split}
    with st.expander("How it is written: marks, missing cells, open outcomes", icon=":material/edit_note:"):
        return said | _written(head, bad)


def _written(head: Mapping[str, Any], bad: list[str]) -> dict[str, Any]:
    marks, cells = st.columns(4), st.columns(3)
    usual = {"delimiter": ",", "decimal": ".", "thousands": "", "encoding": "utf-8"}
    choices = {"delimiter": list(DELIMITERS), "decimal": [".", ","], "thousands": ["", *THOUSANDS],
               "encoding": list(ENCODINGS)}  # fmt: skip
    said: dict[str, Any] = {}
    for place, (key, options) in zip(marks, choices.items(), strict=True):
        at = options.index(head.get(key, usual[key])) if head.get(key, usual[key]) in options else 0
        words = MARKS.get if key != "encoding" else str
        said[key] = place.selectbox(key.capitalize(), options, at, format_func=words, key=f"own-{key}")
    texts = {"missing": "Cells that mean missing, with commas", "strip": "Signs around numbers, with commas"}
    for place, (key, label) in zip(cells, texts.items(), strict=False):
        typed = place.text_input(label, ", ".join(head.get(key, [])), key=f"own-{key}")
        said[key] = [part.strip() for part in typed.split(",") if part.strip()]
    told = head.get("ignore", [])
    said["ignore"] = cells[2].multiselect(
        "Outcomes still open: rows left out", bad, [b for b in bad if b in told], key="own-ignore",
        format_func=lambda c: c or "empty",
    )  # fmt: skip
    reference = st.text_input("Dates are counted back from", head.get("reference", ""), key="own-reference",
                              help="A day such as 2024-12-31; needed where a column is a date.")  # fmt: skip
    return said | {"reference": reference.strip()}


def _edited(features: list[dict[str, Any]], left_out: tuple[str, ...], key: str) -> list[dict[str, Any]]:
    """The features as the form has them."""
    rows = [_row(f, True) for f in features] + [_row({"name": n, "kind": "category"}, False) for n in left_out]
    edited: Any = st.data_editor(
        pd.DataFrame(rows), key=key, hide_index=True, disabled=["name"],
        column_config={
            "use": st.column_config.CheckboxColumn(help=HELP["use"]),
            "kind": st.column_config.SelectboxColumn(options=[*KINDS, "date"], required=True, help=HELP["kind"]),
            "move": st.column_config.SelectboxColumn(options=list(MOVES), required=True, help=HELP["move"]),
            "missing": st.column_config.SelectboxColumn(
                options=list(get_args(Missing)), required=True, help=HELP["missing"]
            ),
            "low": st.column_config.NumberColumn(help="nobody is told to go below"),
            "high": st.column_config.NumberColumn(help="nobody is told to go above"),
            **{k: st.column_config.CheckboxColumn(help=HELP[k]) for k in FLAGS},
            **{k: st.column_config.TextColumn(help=HELP[k]) for k in ("levels", "format")},
            "other_below": st.column_config.NumberColumn(min_value=0, step=1, help=HELP["other_below"]),
        },
    )  # fmt: skip
    drafted = {f["name"]: f for f in features}
    return [_feature(r, drafted.get(r["name"], {})) for r in edited[edited.use].to_dict("records")]


def _row(feature: Mapping[str, Any], use: bool) -> dict[str, Any]:
    """A drafted feature as a row of the form."""
    row: dict[str, Any] = {"use": use} | dict.fromkeys(EDITED, "") | USUAL
    row |= {"low": None, "high": None, "other_below": 0} | dict.fromkeys(FLAGS, False)
    row |= {k: v for k, v in feature.items() if k in EDITED}
    return row | {"levels": ", ".join(feature.get("levels", []))}


def _feature(row: Mapping[str, Any], drafted: Mapping[str, Any]) -> dict[str, Any]:
    """A row of the form as a feature: what it says over what was drafted."""
    said = {k: v for k, v in row.items() if k in EDITED and k != "levels" and not _is_usual(k, v)}
    if row["levels"] == ", ".join(drafted.get("levels", [])):  # a level may hold a comma
        levels = list(drafted.get("levels", []))
    else:
        levels = [part.strip() for part in str(row["levels"]).split(",") if part.strip()]
    if row["protected"] or row["immutable"]:  # such a column is fixed in every regime the card knows
        said.pop("move", None)
    if "other_below" in said:
        said["other_below"] = int(said["other_below"])
    kept = {k: v for k, v in drafted.items() if k not in EDITED} if row["kind"] == drafted.get("kind") else {}
    return said | kept | ({"levels": levels} if levels else {})


def _is_usual(key: str, value: Any) -> bool:
    """Whether it says nothing beyond the default; an empty number is no number."""
    if key in ("low", "high"):  # 0 is a limit like any other
        return value is None or value != value
    return not value or value != value or value == USUAL.get(key)


def _card(head: Mapping[str, Any], features: list[dict[str, Any]]) -> str:
    """The card as TOML; sampling weights and the split are no features."""
    aside = {head["weights"], head["split"]}
    return as_toml({k: v for k, v in head.items() if v not in ("", [])} | {
        "csv": upload.CSV, "feature": [f for f in features if f["name"] not in aside]
    })  # fmt: skip
