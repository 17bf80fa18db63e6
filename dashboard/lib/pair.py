"""Two model files on the page Study: does the one keep what the other promises? Audited in the background, and kept."""

from __future__ import annotations

from typing import Any

import streamlit as st

from cfq_core.actions.regimes import REGIMES
from cfq_core.base.errors import BadInput
from cfq_core.export.pairs import Upload
from dashboard.lib import contract_fields, pages, state, ui, work

HOW = (
    "The first file promises, the second is deployed; both judge people of the table. How a file is read is said "
    "below, or found on people whose outcomes are known, and told; in doubt it is refused with what to say. "
    "Nothing in a file is unpickled or run in this server: a process with limits on memory, time and files "
    "computes it. What is found is kept as a study: every page shows it. A file that is no list of layers "
    "is kept with it, so that it can be asked about other values."
)


def panel() -> None:
    """Two uploads and what is asked of them. Nothing is kept of files that are refused."""
    if not work.can_audit():
        return ui.empty("Reading model files needs the export extra: pip install 'cfq[export]'")
    st.caption(HOW)
    left, right = st.columns(2)
    teacher = left.file_uploader("Model that promises", type="onnx", key="pair-teacher", max_upload_size=20)
    student = right.file_uploader("Model that is deployed", type="onnx", key="pair-student", max_upload_size=20)
    tables = work.datasets()
    dataset = left.selectbox("Table", list(tables), format_func=tables.get, key="pair-table",
                             help="A table of your own: keep it first, under “Use a table of your own”.")  # fmt: skip
    question = _question(right)
    ready = teacher is not None and student is not None
    if st.button("Audit", key="pair-run", icon=":material/play_arrow:", disabled=not ready) and ready:
        try:
            done = work.audit(dataset, *(Upload(f.name, f.getvalue()) for f in (teacher, student)), question)
        except BadInput as problem:
            return ui.failed(problem.line())
        if done is not None:
            state.choose(study=done)
            st.switch_page(pages.page("answer"))
        st.rerun()


def _question(place: Any) -> dict[str, Any]:
    line = place.container(horizontal=True)
    people = line.number_input("Refused people who ask", 10, 100_000, 600, 100, key="pair-people", width=200)
    regime = line.selectbox("Who may change what", list(REGIMES), list(REGIMES).index("default"), key="pair-regime",
                            width=180)  # fmt: skip
    return {"people": int(people), "regime": regime, **contract_fields.fields("pair")}
