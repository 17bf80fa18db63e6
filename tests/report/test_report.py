"""The HTML report: nothing in it runs or is fetched, every foreign word is escaped, and its numbers are the store's."""

from __future__ import annotations

import io
import json
import re
import tomllib
import zipfile
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

from cfq_core import cli
from cfq_core.base.errors import BadInput
from cfq_core.report import facts, figures, files, html, person
from cfq_core.report.frames import Stored
from cfq_core.study import summary
from cfq_core.study.plan import read_plan
from cfq_core.study.runner import run_plan
from cfq_core.study.store import Store

from .conftest import EVIL

VOID = {"meta", "br", "img", "link", "input", "hr", "wbr"}
LOADS = {"src", "srcset", "data", "action", "background", "poster"}


class Page(HTMLParser):
    """What a browser would see: elements, attributes, words; and whether every element is closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        assert not self.open, self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        while self.open[-1] != tag and self.open[-1] in ("p", "li"):
            self.open.pop()
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


@pytest.mark.parametrize("which", ["evil", "german"])
def test_report_runs_nothing_and_loads_nothing(which: str, request: pytest.FixtureRequest) -> None:
    text = html.page(request.getfixturevalue(which))
    page = Page(text)
    tags = {tag for tag, _ in page.elements}
    assert "svg" in tags and not tags & {"script", "iframe", "object", "embed", "link", "img", "form", "base", "use"}
    for tag, attributes in page.elements:
        assert not LOADS & set(attributes), (tag, attributes)
        assert not [a for a in attributes if a.startswith("on")], (tag, attributes)
        for name in ("href", "xlink:href"):
            assert (attributes.get(name) or "#").startswith("#"), (tag, attributes)
        assert "javascript:" not in str(attributes)
    addresses = re.findall(r"url\(|@import", text)
    assert set(addresses) <= {"url("} and all(u.startswith("#") for u in re.findall(r"url\(([^)]*)\)", text))
    policy = next(a["content"] for t, a in page.elements if t == "meta" and "http-equiv" in a)
    assert policy is not None and policy.startswith("default-src 'none'") and "script" not in policy


def test_every_foreign_word_is_escaped(evil: Stored) -> None:
    text = html.page(evil)
    page = Page(text)
    assert EVIL not in text and "<b onclick" not in text
    said = " ".join(page.words)
    assert said.count(EVIL) >= 3, "the study's name, the card's title and a feature's label are told as they are"
    assert "<b onclick=x>woman</b>" in said, "so is a group"


def test_report_shows_people_and_what_is_proved_of_each_recommendation(evil: Stored) -> None:
    of = figures.chosen(evil, evil.runs.dataset.iloc[0])
    shown = person.examples(evil, of)
    assert not isinstance(shown, str) and len(shown) == person.MOST
    said = " ".join(Page(html.page(evil)).words)
    for x in shown:
        assert x.sure in said and x.own.sure in said and f"logit {x.logit:+.2f}" in said
        assert all(line in said for line in x.promised.lines)
        assert x.holds == (x.logit > 0)
    assert {x.own.sure for x in shown} == {"Proved cheapest: no allowed change costs less."}


def test_report_says_what_the_store_says(german: Stored) -> None:
    said = " ".join(Page(html.page(german)).words)
    with german.store() as store:
        for line in summary.lines(store, german.id):
            assert summary.verdict(line, german.setting) in said
    for told in (
        german.id,
        *german.row["versions"].values(),
        *facts.tables(german).values(),
        "One teacher is one draw",
    ):
        assert told in said
    ids = [a["id"] for _, a in Page(html.page(german)).elements if "id" in a]
    assert len(ids) == len(set(ids)), "pictures do not share their ids"


def test_plan_in_the_report_makes_the_same_study(german: Stored, evil: Stored) -> None:
    for study in (german, evil):
        plan = read_plan(tomllib.loads(facts.plan_text(study)), "report")
        stored = study.row["plan"]
        assert (list(plan.datasets), list(plan.methods), list(plan.seeds)) == (
            stored["datasets"], stored["methods"], stored["seeds"]
        )  # fmt: skip
        assert (plan.name, plan.setting.kappa) == (stored["name"], stored["setting"]["kappa"])
        assert stored["setting"]["solver"]["kind"].lower() == plan.setting.solver.KEY  # once a class's name


def test_a_slice_without_group_columns_has_its_pictures_its_plan_and_its_files(tmp_path: Path) -> None:
    """Its only group is who was trained on; and its name holds signs that no file's may."""
    name = "toy:group!=circle"
    given = {
        "name": "one slice",
        "datasets": [name],
        "methods": ["ptq"],
        "bits": [3],
        "seeds": 2,
    }
    store = Store(tmp_path / "store")
    plan = read_plan({**given, "hidden": [8], "people": 60, "activation": "silu", "activation_bits": 6}, "test")
    study = Stored(str(store.folder), run_plan(plan, store, workers=0), 2)
    store.close()
    schema = facts.schema_of(study, name)
    assert schema is not None and schema.title.endswith("trained on all but group circle")
    assert read_plan(tomllib.loads(facts.plan_text(study)), "report") == plan
    tables = facts.every_table(study)
    assert any(t.startswith("picture-toy_group_circle-") for t in tables)
    assert all(re.fullmatch(r"[\w.-]+", t) for t in tables)


def test_zip_holds_every_table_twice_and_the_same(german: Stored) -> None:
    tables = facts.every_table(german)
    content = files.zipped(tables)
    assert content == files.zipped(tables), "the same tables give the same file"
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        names = archive.namelist()
        assert len(names) == 2 * len(tables) and {"csv/people.csv", "parquet/picture-german-verdicts.parquet"} <= set(
            names
        )
        lines = pd.read_parquet(io.BytesIO(archive.read("parquet/lines.parquet")))
        people = pd.read_csv(io.BytesIO(archive.read("csv/people.csv")))
    pd.testing.assert_frame_equal(lines, german.lines, check_dtype=False)
    one = people.seed == people.seed.min()
    broken = people[(people.method == "ptq") & (people.budget == 2) & one & people.has_recourse]
    vd = german.measures.query(f"method == 'ptq' and budget == 2 and seed == {people.seed.min()} and measure == 'vd'")
    assert 1 - broken.holds.mean() == pytest.approx(vd.value.iloc[0], abs=1e-5)


def test_names_in_a_zip_stay_inside_it_and_apart() -> None:
    one = pd.DataFrame({"a": ["=1+1", "fine"], "b": [-1.0, 2.0]})
    with zipfile.ZipFile(io.BytesIO(files.zipped({"../../etc/x": one, "..-..-etc-x": one, "": one}))) as archive:
        names = archive.namelist()
        assert len(set(names)) == 6 and all(".." not in n and n.count("/") == 1 for n in names)
        assert archive.read(names[0]).decode().splitlines()[1] == "'=1+1,-1.0"


def test_command_writes_whole_or_not_at_all(
    evil: Stored, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "report.html"
    target.write_text("old")
    cli.cli(["report", evil.id[:6], "--html", str(target), "--store", evil.folder, "--json"], standalone_mode=False)
    assert json.loads(capsys.readouterr().out)["bytes"] == target.stat().st_size
    assert target.read_text(encoding="utf-8") == html.page(evil)
    for bad in (tmp_path, tmp_path / "missing" / "report.html"):
        with pytest.raises(BadInput):
            files.write_whole(bad, b"x")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(BadInput, match="No space left"):
        files.write_whole(target, b"half")
    assert target.read_text(encoding="utf-8") == html.page(evil)
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"], "no part is left behind"
