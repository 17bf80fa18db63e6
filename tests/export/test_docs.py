"""The pages of docs/ are run as they stand: Python in one namespace, commands in the same folder."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from cfq_core.cli import cli

from .conftest import CARD

PAGE = Path(__file__).parents[2] / "docs" / "own-model.md"


def test_the_page_on_own_models_runs_as_it_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("example.toml", "example.csv"):
        (tmp_path / name).write_bytes((CARD.parent / name).read_bytes())
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CFQ_STORE", raising=False)
    namespace: dict[str, Any] = {}
    for kind, block in re.findall(r"```(python|sh)\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL):
        if kind == "python":
            exec(compile(block, PAGE.name, "exec"), namespace)
            continue
        for line in block.strip().splitlines():
            words = shlex.split(line.replace("RUN", _run()) if " RUN " in line else line)
            said = CliRunner().invoke(cli, words[1:], catch_exceptions=False)
            assert words[0] == "cfq" and said.exit_code == 0, (line, said.output)
    names = ("student", "teacher", "ptq", "cf_ptq", "pipeline")
    assert all((tmp_path / f"{n}.onnx").is_file() for n in names) and (tmp_path / "people.csv").is_file()
    assert "would be refused again" in (tmp_path / "audit.html").read_text(encoding="utf-8")


def _run() -> str:
    found = CliRunner().invoke(cli, ["show", "--json"], catch_exceptions=False)
    return str(json.loads(found.output)["runs"][0]["id"])
