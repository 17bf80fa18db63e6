"""Two model files on the page Study: does the one keep what the other promises? Audited in the background, and kept."""

from __future__ import annotations

import io
from typing import Any

import pandas as pd
import streamlit as st

from cfq_core.actions.regimes import REGIMES
from cfq_core.base.errors import BadInput
from cfq_core.export.pairs import STUDENT, TEACHER, StoredAudit, Upload
from dashboard.lib import contract_fields, state, ui, work

HOW = (
    "The first file promises, the second is deployed; both judge people of the table. How a file is read is said "
    "below, or found on people whose outcomes are known, and told; in doubt it is refused with what to say. "
    "Nothing in a file is unpickled or run in this server: a process with limits on memory, time and files "
    "computes it. What is found appears below, and stays."
)
GROUPS = {"vd": "VD", "crg_median": "CRG, median", "frr": "FRR", "approval_shift": "approval shift"}


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
            st.session_state["_audited"] = done  # taken before the widget that shows it is made
        st.rerun()


def _question(place: Any) -> dict[str, Any]:
    line = place.container(horizontal=True)
    people = line.number_input("Refused people who ask", 10, 100_000, 600, 100, key="pair-people", width=200)
    regime = line.selectbox("Who may change what", list(REGIMES), list(REGIMES).index("default"), key="pair-regime",
                            width=180)  # fmt: skip
    return {"people": int(people), "regime": regime, **contract_fields.fields("pair")}


def stored() -> None:
    """The stored audits, and the one that is looked at; it stands in the address."""
    found = work.audits()
    if (new := st.session_state.pop("_audited", None)) is not None:
        st.session_state["audit"] = new
    if not found:
        return
    ui.section("Audited pairs")
    chosen = state.named("Audit", "audit", {i: a.title for i, a in found.items()})
    _show(found[chosen])


def _show(audit: StoredAudit) -> None:
    result = audit.result
    st.markdown(f"**{ui.escape(result['verdict'])}**")
    for role in (TEACHER, STUDENT):
        st.caption(_side(role, result[role]))
    for note in result["notes"]:
        st.caption(ui.escape(note))
    if result["as_run"]:
        with st.expander("As it runs: levels, batches, options, other processors", icon=":material/memory:"):
            for line in result["as_run"]:
                st.markdown(f"- {ui.escape(line)}")
    ui.frame(_measures(result), f"audit-{audit.id}", f"audit-{audit.id}")
    if not (groups := _groups(result)).empty:
        st.markdown("**By group** (a group of too few people has no number)")
        ui.frame(groups, f"audit-groups-{audit.id}", f"audit-groups-{audit.id}")
    if (table := people_of(content := audit.people())) is not None:
        st.markdown("**Person by person**: what each was told, and whether it holds")
        st.dataframe(table, hide_index=True, key=f"audit-people-{audit.id}")
        each = work.exported(lambda: content, audit=audit.id)
        st.download_button("People (CSV)", each, f"cfq-audit-{audit.id}.csv", "text/csv", on_click="ignore",
                           icon=":material/table:", key=f"audit-csv-{audit.id}")  # fmt: skip
    page = work.exported(audit.page, audit=audit.id)
    st.download_button("Report (HTML)", page, f"cfq-audit-{audit.id}.html", "text/html", on_click="ignore",
                       icon=":material/description:", key=f"audit-report-{audit.id}")  # fmt: skip


def people_of(content: bytes) -> pd.DataFrame | None:
    """The table of people; None where an older version kept none, or it is damaged."""
    try:
        return pd.read_csv(io.BytesIO(content))
    except ValueError:  # pandas' own errors, and text that is no UTF-8
        return None


def _side(role: str, side: dict[str, Any]) -> str:
    return ui.escape(
        f"{role} {side['file']}: {side['how']}; {side['differing']} of {side['checked']:,} decisions differ from "
        f"onnxruntime's; right about {100 * side['accuracy']:.1f} % of outcomes, approves "
        f"{100 * side['approval_rate']:.1f} %; sha256 {side['sha256'][:12]}…"
    )


def _measures(result: dict[str, Any]) -> pd.DataFrame:
    rows = [
        {"measure": line["title"], "value": result["measures"].get(line["measure"])}
        | result["intervals"].get(line["measure"], {})
        for line in result["lines"]
    ]
    return pd.DataFrame(rows).rename(columns={"low": "95 % from", "high": "to", "count": "people"})


def _groups(result: dict[str, Any]) -> pd.DataFrame:
    return pd.DataFrame([
        {"column": column, "group": level, "people": found["vd"]["count"]}
        | {title: found[name]["value"] for name, title in GROUPS.items() if name in found}
        for column, levels in result["groups"].items() if " x " not in column
        for level, found in levels.items()
    ])  # fmt: skip
