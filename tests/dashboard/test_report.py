"""The report page: its file is the selected student's, and both downloads are there."""

from __future__ import annotations

from collections.abc import Callable

from streamlit.testing.v1 import AppTest


def test_report_page_offers_the_file_and_every_table(
    on_store: Callable[[str], None], open_page: Callable[..., AppTest]
) -> None:
    on_store("own")
    at = open_page("report", method="ptq_minmax", budget="8")
    assert not at.exception
    assert not at.get("iframe"), "nothing is drawn before it is asked for"
    at.session_state["preview"] = at.session_state["limits"] = True
    at.run()
    assert not at.exception
    labels = [b.label for b in at.get("download_button")]
    assert labels == ["Report (HTML)", "Papers of this student (zip)", "Every table (CSV and Parquet, zip)"]
    preview = at.get("iframe")[0].proto
    assert "At 8 bits with ptq_minmax" in preview.srcdoc and "default-src 'none'" in preview.srcdoc
    assert any("One teacher is one draw" in m.value for m in at.markdown)
