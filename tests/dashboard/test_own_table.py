"""Uploads: a good table becomes a study's data set; a bad one is told in one line and leaves nothing behind."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from cfq_core.base.errors import BadCard
from cfq_core.base.shipped import shipped
from cfq_core.datasets import draft, fetch, upload
from cfq_core.datasets.card import card_of, read_card
from dashboard.lib import own_table

EXAMPLE = shipped("cards") / "example.csv"
GOOD = EXAMPLE.read_bytes()
HEADER = GOOD.split(b"\n")[0]


BAD = {
    "binary": ("a.csv", b"\x89PNG\r\n\x1a\n\0\0" * 50, "NUL"),
    "NUL": ("a.csv", GOOD + b"\0", "NUL"),
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


def drafted(content: bytes = GOOD) -> str:
    return draft.draft(content, "example.csv", "approved", ["yes"]).card


def test_formula_cells_are_refused(tmp_path: Path) -> None:
    content = GOOD.replace(b",rent,", b",=HYPERLINK(http://x),")
    found = draft.draft(content, "example.csv", "approved", ["yes"])
    assert "housing" in found.left_out and any("spreadsheet formula" in q for q in found.questions)
    with pytest.raises(BadCard, match="formula"):
        upload.keep(tmp_path, found.card + '\n[[feature]]\nname = "housing"\nkind = "category"\n', content, "a.csv")
    assert not list(tmp_path.rglob("*"))


def test_a_kept_table_reads_as_it_was_and_is_kept_once(tmp_path: Path) -> None:
    path = upload.keep(tmp_path, drafted(), GOOD, "example.csv")
    assert upload.keep(tmp_path, drafted(), GOOD, "example.csv") == path
    table, (kept,) = read_card(path), upload.kept(tmp_path)
    assert (kept.path, kept.name, kept.rows) == (path, "example", len(table)) and kept.share == table.outcome.mean()


def test_a_corrected_table_stands_beside_the_old_one_the_newest_first(tmp_path: Path) -> None:
    """Of several tables of one name the last in alphabet of their hashes used to win."""
    lines, paths = GOOD.strip().split(b"\n"), []
    for rows in (400, 390, 380, 370):
        content = b"\n".join(lines[: rows + 1]) + b"\n"
        paths.append(upload.keep(tmp_path, drafted(content), content, "example.csv"))
        os.utime(paths[-1], (1e9 - rows, 1e9 - rows))
    assert [t.path for t in upload.kept(tmp_path)] == paths[::-1]
    assert [t.rows for t in upload.kept(tmp_path)] == [370, 380, 390, 400]
    upload.keep(tmp_path, drafted(), GOOD, "example.csv")
    assert upload.kept(tmp_path)[0].path == paths[0], "kept again, it is the newest"
    (paths[1].parent / upload.ABOUT).write_text("{")
    assert sorted(str(t.rows) for t in upload.kept(tmp_path)) == ["370", "380", "400", "None"]


def test_uploaded_card_is_kept_with_its_table(tmp_path: Path) -> None:
    text = (EXAMPLE.parent / "example.toml").read_text()
    path = upload.keep(tmp_path, text, GOOD, "whatever.csv")
    assert [t.name for t in upload.kept(tmp_path)] == [read_card(path).schema.name]


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
    assert at.selectbox(key="own-target").value is None and not keep_buttons(at), "nothing is guessed"
    at.selectbox(key="own-target").select("approved").run()
    assert at.multiselect(key="own-favourable-approved").value == [] and not keep_buttons(at)
    assert [o[-1] for o in at.multiselect(key="own-favourable-approved").options] == ["%", "%"], "each with its share"
    at.multiselect(key="own-favourable-approved").select("yes").run()
    at.button(key="own-keep").click().run()
    assert not at.exception and not at.error
    chosen = at.selectbox(key="form-dataset")
    assert chosen.value.endswith("card.toml"), "it is really chosen"
    assert not any("/" in o or "card.toml" in o for o in chosen.options), "no path is shown"
    shown = next(o for o in chosen.options if "uploaded" in o)
    assert shown.startswith("lending: 400 rows, uploaded "), shown
    said = " ".join(c.value for c in at.caption)
    assert "minutes on a free core" in said and not re.search(r"\d\d minutes on", said), "a table of 400 rows"
    assert "is the good outcome: " in said and "Somebody is refused: " in said and "They would be told: " in said


def test_a_limit_of_nought_is_a_limit() -> None:
    row = own_table._row({"name": "debt", "kind": "integer", "step": 5}, True)
    assert "low" not in own_table._feature(row, {"kind": "integer"})
    assert own_table._feature(row | {"low": 0.0, "high": 9.0}, {"kind": "integer", "step": 5}) == {
        "name": "debt", "kind": "integer", "low": 0.0, "high": 9.0, "step": 5
    }  # fmt: skip


def keep_buttons(at: AppTest) -> list[str]:
    return [b.label for b in at.button if b.key == "own-keep"]


def test_what_was_said_of_one_file_does_not_stay_for_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, open_page: Callable[..., AppTest]
) -> None:
    monkeypatch.setenv("CFQ_STORE", str(tmp_path / "store"))
    at = open_page("study")
    for name, content in (("first.csv", GOOD), ("second.csv", b"\n".join(GOOD.split(b"\n")[:300]) + b"\n")):
        at.file_uploader(key="own-csv").set_value((name, content, "text/csv")).run()
        assert at.selectbox(key="own-target").value is None
        at.selectbox(key="own-target").select("approved").run()
        at.multiselect(key="own-favourable-approved").select("yes").run()
        assert at.text_input(key="own-name").value == name.removesuffix(".csv")
        at.text_input(key="own-name").set_value("mine").run()


def test_a_table_from_a_spreadsheet_is_read_as_it_is_and_told_all_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, open_page: Callable[..., AppTest]
) -> None:
    """Semicolons, decimal commas, a word for missing, three spellings of a level: drafted, told, kept as said."""
    frame = pd.read_csv(EXAMPLE)
    debt = frame.debt_share.map("{:.2f}".format).str.replace(".", ",")
    words = frame.assign(debt_share=debt, sex=frame.gender, income=frame.income.astype(str))
    words.loc[::25, "income"] = "n/a"
    words.loc[::10, "housing"] = words.loc[::10, "housing"].str.upper()
    words.loc[5::10, "savings"] = words.loc[5::10, "savings"].str.capitalize()
    monkeypatch.setenv("CFQ_STORE", str(tmp_path / "store"))
    at = open_page("study")
    at.file_uploader(key="own-csv").upload("loans.csv", words.to_csv(index=False, sep=";").encode("cp1252")).run()
    at.selectbox(key="own-target").select("approved").run()
    at.multiselect(key="own-favourable-approved").select("yes").run()
    assert at.selectbox(key="own-delimiter").value == ";" and at.selectbox(key="own-decimal").value == ","
    assert at.text_input(key="own-missing").value == "n/a"
    (told,) = [e.value for e in at.error]
    assert "housing" in told and "savings" in told, "all problems at once"
    questions = next(m.value for m in at.markdown if "taken as protected" in m.value)
    assert "gender" in questions and "sex" in questions
    mended = words.assign(housing=frame.housing, savings=frame.savings)
    at.file_uploader(key="own-csv").set_value(
        ("loans.csv", mended.to_csv(index=False, sep=";").encode("cp1252"), "text/csv")
    ).run()
    at.selectbox(key="own-target").select("approved").run()
    at.multiselect(key="own-favourable-approved").select("yes").run()
    assert not at.error
    at.button(key="own-keep").click().run()
    assert not at.exception and not at.error
    table = read_card(Path(at.selectbox(key="form-dataset").value))
    assert (table.dialect.delimiter, table.dialect.decimal, len(table)) == (";", ",", 400)
    assert table.schema["income"].missing == "indicator" and table.schema["sex"].protected
    np.testing.assert_allclose(table.frame().debt_share, frame.debt_share, atol=0.005)


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
    at.multiselect(key="own-favourable-approved").select("yes").run()
    told = " ".join(m.value for m in at.markdown)
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
