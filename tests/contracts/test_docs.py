"""What docs/own-model.md tells a reader to do works as it stands: its Python, then its commands, in one folder."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from cfq_core.cli import cli

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "own-model.md"


def test_the_page_on_own_models_runs_as_it_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("example.toml", "example.csv"):
        shutil.copy(ROOT / "data" / "cards" / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    ran = 0
    for kind, block in re.findall(r"```(\w*)\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL):
        if kind == "python":
            exec(compile(block, str(PAGE), "exec"), {})
            continue
        for line in block.strip().splitlines():
            assert line.startswith("cfq ")
            said = CliRunner().invoke(cli, line.split()[1:])
            assert said.exit_code == 0, (line, said.output, said.exception)
            ran += 1
    assert ran == 3 and (tmp_path / "results").is_dir()
