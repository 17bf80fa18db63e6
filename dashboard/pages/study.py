"""Study: choose what to run, run it in the background, watch it, stop it; or open a stored one."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from cfq_core.base.errors import CfqError
from cfq_core.report import fmt
from dashboard.lib import data, own_model, own_table, pages, pair, running, state, study_form, ui, work, workspace
from dashboard.lib.page import Page

TERMS = ("teacher", "student", "bit budget", "promise margin κ", "regime", "seed")


def body() -> None:
    """What runs, the form, what is stored."""
    ui.head(
        "Study",
        "Train full-precision teachers, promise recourse to everyone they deny, quantize, and see which promises "
        "survive. It runs in the background: close the page, come back later.",
        TERMS,
    )
    found = work.recent()
    if found:
        ui.section("In the background")
        running.panel()
    ui.section("A new study")
    given = study_form.plan()
    with st.expander(
        "Use a model of your own as the teacher (ONNX)", icon=":material/model_training:", key="own-model"
    ):
        teacher = own_model.panel()
    if given is not None:
        given = own_model.with_teacher(given, teacher)
        st.caption(f"{_size(given)}, {work.how_long(given)} on a free core.")
    left, _ = st.columns([1, 3])
    left.button("Run", key="run", icon=":material/play_arrow:", width="stretch", disabled=given is None,
                on_click=_start, args=(given,))  # fmt: skip
    with st.expander("Use a table of your own", icon=":material/upload:", key="own"):
        own_table.panel()
    with st.expander("Audit two model files (ONNX)", icon=":material/compare_arrows:", key="pair"):
        pair.panel()
    _stored()


def _start(given: dict[str, object]) -> None:
    before = {j.id for j in work.recent()}
    try:
        job = work.start(given)
    except CfqError as refused:
        return ui.failed(refused.line())
    st.toast("This study runs already." if job.id in before else "Started.", icon=":material/play_arrow:")


def _size(given: dict[str, object]) -> str:
    runs = len(given["methods"]) * len(given["bits"]) * given["seeds"]
    teachers = "one teacher" if "teacher" in given else fmt.counted(given["seeds"], "teacher")
    return f"{teachers}, {fmt.counted(runs, 'quantized model')}"


def _stored() -> None:
    listed = data.studies()
    ui.section("Stored studies")
    st.caption(ui.escape(workspace.sentence()))
    if not listed:
        return ui.empty("None yet.")
    names = ("name", "runs", "finished", "created", "id")
    rows = pd.DataFrame([{n: getattr(s, n) for n in names} | {"gallery": s.gallery} for s in listed])
    st.dataframe(rows.assign(created=rows.created.str[:16].str.replace("T", " ")), hide_index=True, key="stored")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        ids = {s.id: s.label for s in listed}
        chosen = st.selectbox("Open", list(ids), format_func=ids.get, key="to-open")
        if st.button("Open its answer", key="open-stored", on_click=state.choose, kwargs={"study": chosen}):
            st.switch_page(pages.page("answer"))


PAGE = Page(order=11, title="Study", question="Start", icon="play_circle", body=body)
PAGE.draw(__name__)
