"""`cfq card`: what a card says, and its Croissant description, held to the published format."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from cfq_core.cli import cli

CARD = Path(__file__).parents[2] / "data" / "cards" / "example.toml"
#: Required of each kind of object by Croissant 1.0, and the responsible-AI fields that a card can fill.
REQUIRED = {
    "sc:Dataset": {"@context", "@type", "name", "description", "conformsTo", "license", "url",
                   "distribution", "recordSet"},
    "cr:FileObject": {"@id", "name", "contentUrl", "encodingFormat", "sha256"},
    "cr:RecordSet": {"@id", "name", "field"},
    "cr:Field": {"@id", "name", "dataType", "source"},
}  # fmt: skip
RAI = {"rai:dataUseCases", "rai:dataLimitations", "rai:dataBiases", "rai:personalSensitiveInformation"}


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("card")
    for suffix in (".toml", ".csv"):
        (folder / f"example{suffix}").write_bytes(CARD.with_suffix(suffix).read_bytes())
    out = folder / "croissant.json"
    said = CliRunner().invoke(cli, ["card", str(folder / "example.toml"), "--croissant", "-o", str(out)])
    assert said.exit_code == 0, said.output
    return out, json.loads(out.read_text(encoding="utf-8"))


def test_every_object_has_what_the_format_requires(described: tuple[Path, dict[str, Any]]) -> None:
    seen = set()

    def look(value: Any) -> None:
        if isinstance(value, dict):
            if (kind := value.get("@type")) in REQUIRED:
                seen.add(kind)
                assert REQUIRED[kind] <= set(value), (kind, REQUIRED[kind] - set(value))
            for inner in value.values():
                look(inner)
        elif isinstance(value, list):
            for inner in value:
                look(inner)

    look(described[1])
    assert seen == set(REQUIRED) and set(described[1]) >= RAI


def test_it_describes_this_very_file_and_none_of_its_rows(described: tuple[Path, dict[str, Any]]) -> None:
    out, about = described
    csv = out.with_name("example.csv").read_bytes()
    (file,) = about["distribution"]
    assert file["sha256"] == hashlib.sha256(csv).hexdigest() and file["contentUrl"] == "example.csv"
    columns = [f["source"]["extract"]["column"] for f in about["recordSet"][0]["field"]]
    assert set(columns) <= set(csv.decode().splitlines()[0].split(",")) and "applicant" not in columns
    assert "A0001" not in out.read_text(encoding="utf-8")
    assert about["rai:personalSensitiveInformation"] == ["age", "gender"]


def test_the_formats_own_reader_takes_it(
    described: tuple[Path, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    croissant = pytest.importorskip("mlcroissant")
    found = croissant.Dataset(str(described[0]))
    assert not found.metadata.issues.errors and len(list(found.records("people"))) == 400


def test_a_card_is_shown_as_it_is_read() -> None:
    said = CliRunner().invoke(cli, ["card", str(CARD)], catch_exceptions=False)
    assert "400 people, 232 loan approved" in said.output and "protected" in said.output
    told = json.loads(CliRunner().invoke(cli, ["card", str(CARD), "--json"], catch_exceptions=False).output)
    assert told["rows"] == 400 and len(told["features"]) == 8
