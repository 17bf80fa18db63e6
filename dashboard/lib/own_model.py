"""A model of somebody's own on the page Study: the one teacher of the study, instead of trained ones."""

from __future__ import annotations

from typing import Any

import streamlit as st

from cfq_core.base.errors import BadInput
from dashboard.lib import contract_fields, ui, work

HOW = (
    "The model that is about to ship, as ONNX: it promises, and every method quantizes it. Its inputs are the "
    "columns of the table chosen above. What is left open here is found on people whose outcomes are known, and "
    "told; where that leaves a doubt the study is refused with what to say. Nothing in the file is run in this "
    "server."
)
TRAINED = ("hidden", "activation", "residual")  # of teachers that are trained here


def panel() -> dict[str, Any] | None:
    """What a plan says of the teacher; None where teachers are trained."""
    if not work.can_audit():
        ui.empty("Reading model files needs the export extra: pip install 'cfq[export]'")
        return None
    st.caption(HOW)
    file = st.file_uploader(
        "Model (one self-contained ONNX file)", type="onnx", key="own-model-file", max_upload_size=20
    )
    said = contract_fields.fields("own-model")
    if file is None:
        return None
    try:
        path = work.keep_model(file.name, file.getvalue())
    except BadInput as problem:
        ui.failed(problem.line())
        return None
    st.caption(f"{ui.escape(file.name)} is the one teacher of the next study.")
    return {"path": path, **said}


def with_teacher(given: dict[str, Any], teacher: dict[str, Any] | None) -> dict[str, Any]:
    """A plan whose teacher is that model."""
    if teacher is None:
        return given
    return {k: v for k, v in given.items() if k not in TRAINED} | {"teacher": teacher}
