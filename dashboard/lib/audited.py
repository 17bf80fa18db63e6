"""What pages show of an audit of two files besides what they show of any study. Answer opens with it: nothing heavy."""

from __future__ import annotations

import streamlit as st

from cfq_core.base import cells
from cfq_core.report.pair import frame, lines, told
from cfq_core.study.pair import pair_of
from dashboard.lib import state, ui


def files(sel: state.Selection) -> None:
    """What the two files of an audit were taken for, and how they run; nothing of any other study."""
    if not (said := lines(sel.study.row["plan"])):
        return
    with st.expander("The two files, and how they run", icon=":material/memory:"):
        for line in said:
            st.markdown(f"- {ui.escape(line)}")


def download(sel: state.Selection) -> None:
    """What each person of an audit was told, and whether it holds, as CSV; nothing of any other study."""
    if sel.run is None or pair_of(sel.study.row["plan"]) is None:
        return
    from dashboard.lib import work  # what uploads and studies need: Answer does without

    content = lambda: cells.csv(frame(told(sel.study, sel.run or "")))  # noqa: E731
    st.download_button("People (CSV)", work.exported(content, study=sel.study.id), f"cfq-people-{sel.study.id}.csv",
                       "text/csv", on_click="ignore", icon=":material/table:", key="get-people")  # fmt: skip
