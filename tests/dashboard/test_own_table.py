"""Uploads: a good table becomes a study's data set; a bad one is told in one line and leaves nothing behind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from cfq_core.base.errors import BadCard
from cfq_core.base.shipped import shipped
from cfq_core.datasets import fetch, upload
from cfq_core.datasets.card import card_of, read_card

EXAMPLE = shipped("cards") / "example.csv"
GOOD = EXAMPLE.read_bytes()
HEADER = GOOD.split(b"\n")[0]


def formula(cell: bytes) -> bytes:
    """The example with one housing cell replaced."""
    lines = GOOD.split(b"\n")
    return b"\n".join([lines[0], lines[1].replace(b"rent", cell).replace(b"own", cell), *lines[2:]])


BAD = {
    "binary": ("a.csv", b"\x89PNG\r\n\x1a\n\0\0" * 50, "not UTF-8"),
    "NUL": ("a.csv", GOOD + b"\0", "NUL"),
    "semicolons": ("a.csv", GOOD.replace(b",", b";"), "semicolons"),
    "empty": ("a.csv", b"  \n", "is empty"),
    "one row": ("a.csv", HEADER + b"\n" + GOOD.split(b"\n")[1], "at least 50"),
    "ragged": ("a.csv", GOOD + b"1,2\n", "cells; the header has"),
    "huge": ("a.csv", b"a,b\n" + b"1,2\n" * 6_000_000, "at most 20 MB"),
    "path": ("../../etc/cron.csv", GOOD, "not a plain file name"),
    "windows path": ("..\\..\\x.csv", GOOD, "not a plain file name"),
    "hidden": (".bashrc", GOOD, "not a plain file name"),
    "two columns of a name": ("a.csv", b"a,a\n" + b"1,2\n" * 60, "2 times"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_upload_is_told_in_one_line_and_leaves_nothing(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, open_page: Callable[..., AppTest]
) -> None:
    monkeypatch.setenv("CFQ_STORE", str(tmp_path / "store"))
    file, content, told = BAD[name]
    at = open_page("study")
    if "path" in name or name in ("huge", "hidden"):  # the uploader itself refuses or renames these: ask the engine
        with pytest.raises(BadCard, match=told):
            upload.checked_upload(file, content)
    else:
        at.file_uploader(key="own-csv").upload(file, content).run()
        assert not at.exception
        assert len(at.error) == 1 and told in at.error[0].value and "\n" not in at.error[0].value
    assert not list((tmp_path / "store").rglob("*")), "nothing is left behind"


def test_formula_cells_are_refused(tmp_path: Path) -> None:
    content = formula(b'=HYPERLINK("http://x")'.replace(b'"', b""))
    columns = upload.read_upload("a.csv", content)
    rows = [r for r in upload.draft(columns) if r["name"] != "approved" and r["use"]]
    card = upload.card_text("mine", "approved", "yes", rows)
    with pytest.raises(BadCard, match="formula"):
        upload.keep(tmp_path, card, content, "a.csv")
    assert not list(tmp_path.rglob("*"))


def test_drafted_card_reads_as_the_table_and_is_kept_once(tmp_path: Path) -> None:
    columns = upload.read_upload("example.csv", GOOD)
    rows = [r for r in upload.draft(columns) if r["name"] != "approved" and r["use"]]
    kinds = {r["name"]: r["kind"] for r in rows}
    assert (kinds["income"], kinds["debt_share"], kinds["housing"]) == ("integer", "number", "category")
    card = upload.card_text("mine", "approved", "yes", rows)
    path = upload.keep(tmp_path, card, GOOD, "example.csv")
    assert upload.keep(tmp_path, card, GOOD, "example.csv") == path
    table = read_card(path)
    assert len(table) == len(GOOD.strip().split(b"\n")) - 1
    assert upload.kept(tmp_path) == {"mine": path}


def test_uploaded_card_is_kept_with_its_table(tmp_path: Path) -> None:
    text = (EXAMPLE.parent / "example.toml").read_text()
    path = upload.keep(tmp_path, text, GOOD, "whatever.csv")
    assert read_card(path).schema.name in upload.kept(tmp_path)


def test_form_offers_what_must_be_fetched_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, open_page: Callable[..., AppTest]
) -> None:
    for variable in ("CFQ_STORE", "CFQ_DATA_DIR"):
        monkeypatch.setenv(variable, str(tmp_path / variable))
    monkeypatch.setattr(fetch, "cache_dir", lambda: tmp_path / "cache")
    offered = open_page("study").selectbox(key="form-dataset").options
    assert {f"{name}: will be downloaded" for name in fetch.FILES} < set(offered)
    assert {f"{name}: embedded" for name in fetch.EMBEDDED} < set(offered)


def test_editor_keeps_a_table_and_the_form_takes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, open_page: Callable[..., AppTest]
) -> None:
    monkeypatch.setenv("CFQ_STORE", str(tmp_path / "store"))
    at = open_page("study")
    at.file_uploader(key="own-csv").upload("lending.csv", GOOD).run()
    at.selectbox(key="own-target").select("approved").run()
    at.selectbox(key="own-favourable").select("yes").run()
    at.button(key="own-keep").click().run()
    assert not at.exception and not at.error
    assert at.selectbox(key="form-dataset").value.endswith("card.toml")


def _with_dates_and_rare_words() -> pd.DataFrame:
    """The example beside days, jobs of which many are rare, and sampling weights."""
    frame, random = pd.read_csv(EXAMPLE), np.random.default_rng(1)
    days = pd.Timestamp("2024-05-31") - pd.to_timedelta(random.integers(0, 900, len(frame)), unit="D")
    often = random.choice(["clerk", "cook"], len(frame))
    job = np.where(random.random(len(frame)) < 0.3, [f"job {k // 2}" for k in range(len(frame))], often)
    more = {"since": days.strftime("%d.%m.%Y"), "job": job, "sample_weight": random.integers(1, 9, len(frame)) / 4}
    frame = pd.concat([frame, pd.DataFrame(more)], axis=1)
    frame.loc[::40, "since"] = None
    return frame[[*more, *(c for c in frame.columns if c not in more)]]


def test_editor_keeps_dates_rare_levels_and_weights_that_a_draft_proposes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, open_page: Callable[..., AppTest]
) -> None:
    monkeypatch.setenv("CFQ_STORE", str(tmp_path / "store"))
    frame = _with_dates_and_rare_words()
    at = open_page("study")
    at.file_uploader(key="own-csv").upload("lending.csv", frame.to_csv(index=False).encode()).run()
    at.selectbox(key="own-target").select("approved").run()
    at.selectbox(key="own-favourable").select("yes").run()
    told = " ".join(c.value for c in at.caption)
    assert "since: dates" in told and 'become "other"' in told and "is it a sampling weight" in told
    assert (
        at.text_input(key="own-reference").value
        == frame.since.dropna().pipe(lambda s: pd.to_datetime(s, format="%d.%m.%Y")).max().date().isoformat()
    )
    at.text_input(key="own-reference").set_value("2024-12-31").run()
    at.selectbox(key="own-weights").select("sample_weight").run()
    at.button(key="own-keep").click().run()
    assert not at.exception and not at.error
    path = Path(at.selectbox(key="form-dataset").value)
    card, table = card_of(path), read_card(path)
    assert card.reference == "2024-12-31" and card.weights == "sample_weight"
    since, job = table.schema["since"], table.schema["job"]
    assert (since.format, since.immutable, since.missing) == ("%d.%m.%Y", True, "indicator")
    assert since.reference == "2024-12-31" and job.other_below == 30 and set(job.levels) == {"clerk", "cook", "other"}
    assert table.row_weight is not None and table.row_weight.tolist() == frame.sample_weight.tolist()


def test_a_table_of_plain_columns_is_drafted_without_new_keys() -> None:
    columns = upload.read_upload("example.csv", GOOD)
    rows = [r for r in upload.draft(columns) if r["name"] != "approved"]
    card = upload.card_text("mine", "approved", "yes", rows)
    assert not any(key in card for key in ("format", "other_below", "reference", "weights"))
    assert not upload.questions(columns) and upload.latest_day(columns) == ""
