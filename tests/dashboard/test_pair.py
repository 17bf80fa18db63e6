"""Two model files on the page Study: what is no model is one line, and leaves nothing behind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

BAD = {
    "pickle": (b"\x80\x04\x95\x0f\x00\x00\x00", "not an ONNX file"),
    "text": (b"import os", "not an ONNX file"),
    "empty graph": (b"\x08\x08", "without a graph"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_model_is_told_in_one_line_and_leaves_nothing(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, open_page: Callable[..., AppTest]
) -> None:
    monkeypatch.setenv("CFQ_STORE", str(tmp_path / "store"))
    content, told = BAD[name]
    at = open_page("study")
    assert at.button(key="pair-run").disabled, "two files are needed"
    for role in ("teacher", "student"):
        at.file_uploader(key=f"pair-{role}").upload(f"{role}.onnx", content)
    at.run().button(key="pair-run").click().run()
    assert not at.exception
    assert [told in e.value and "\n" not in e.value for e in at.error] == [True], [e.value for e in at.error]
    assert not list((tmp_path / "store").rglob("*")), "nothing is left behind"
