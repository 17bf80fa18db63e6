"""The pages of docs/ are run as they stand: Python in one namespace a page, commands in the same folder."""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
import subprocess
import sys
import textwrap
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from cfq_core.cli import cli

DOCS = Path(__file__).parents[2] / "docs"
PAGES = {str(p.relative_to(DOCS / "pages")): p for p in sorted((DOCS / "pages").rglob("*.md"))}
EXAMPLE = DOCS.parent / "data" / "cards" / "example.toml"
BLOCK = re.compile(r"^( *)```(\w+)([^\n]*)\n(.*?)^\1```", re.MULTILINE | re.DOTALL)


def blocks(page: Path) -> Iterator[tuple[str, str, str]]:
    """Kind, title and text of every block of code."""
    for _, kind, rest, text in BLOCK.findall(page.read_text(encoding="utf-8")):
        title = re.search(r'title="([^"]+)"', rest)
        yield kind, title[1] if title else "", textwrap.dedent(text)


WITH_CODE = [name for name, page in PAGES.items() if list(blocks(page))]


@pytest.mark.short("how-to/own-model.md", "how-to/own-table.md", "contribute.md", "index.md")
@pytest.mark.parametrize("name", WITH_CODE)
def test_every_block_of_a_page_runs_as_it_stands(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for file in (EXAMPLE, EXAMPLE.with_suffix(".csv")):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CFQ_STORE", raising=False)
    namespace: dict[str, Any] = {}
    for kind, title, text in blocks(PAGES[name]):
        if kind == "python":
            exec(compile(text, name, "exec"), namespace)
        elif kind == "sh":
            for line in text.strip().splitlines():
                _runs(line)
        elif kind == "toml":
            assert tomllib.loads(text)
            if title:
                (tmp_path / title).write_text(text, encoding="utf-8")
        elif kind == "console":  # serves until it is stopped, or needs files that are not here
            for line in text.strip().splitlines():
                _is_known(line)
        else:
            assert kind == "text", f"a block of {kind} is not run by anything"
    if name == "how-to/own-model.md":
        names = ("student", "teacher", "ptq", "cf_ptq", "pipeline")
        assert all((tmp_path / f"{n}.onnx").is_file() for n in names) and (tmp_path / "people.csv").is_file()
        assert "would be refused again" in (tmp_path / "audit.html").read_text(encoding="utf-8")


def _runs(line: str) -> None:
    words = shlex.split(line.replace("RUN", _run()) if " RUN " in line else line)
    said = CliRunner().invoke(cli, words[1:], catch_exceptions=False)
    assert words[0] == "cfq" and said.exit_code == 0, (line, said.output)


def _run() -> str:
    found = CliRunner().invoke(cli, ["show", "--json"], catch_exceptions=False)
    return str(json.loads(found.output)["runs"][0]["id"])


def _is_known(line: str) -> None:
    """A command of ours that exists, with options that it has."""
    words = shlex.split(line)
    if words[0] != "cfq":
        return
    command: click.Command = cli
    while isinstance(command, click.Group):
        command, words = command.commands[words[1]], words[1:]
    known = {o for p in command.params for o in p.opts}
    assert {w for w in words if w.startswith("-")} <= known, line


def _hooks() -> Any:
    spec = importlib.util.spec_from_file_location("docs_hooks", DOCS / "hooks.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_what_a_program_writes_is_whole() -> None:
    hooks = _hooks()
    marks = {name for page in PAGES.values() for name in hooks.MARK.findall(page.read_text(encoding="utf-8"))}
    assert marks == set(hooks.WRITERS), "every writer has its place, every place its writer"
    told = hooks.commands()
    for name, command in cli.commands.items():
        assert f"## cfq {name}" in told
        for option in (p for p in command.params if isinstance(p, click.Option)):
            assert option.opts[0] in told
    keys = hooks.card_keys()
    assert "`favourable`" in keys and "`protected`" in keys and "`log`" in keys
    assert tomllib.loads(re.findall(r"```toml\n(.*?)```", hooks.template(), re.DOTALL)[0])["feature"]
    assert "datasets = " in hooks.plan_keys()


def test_every_page_is_in_the_menu_and_every_picture_there() -> None:
    menu = (DOCS / "mkdocs.yml").read_text(encoding="utf-8")
    for name, page in PAGES.items():
        assert name in menu, name
        for target in re.findall(r"\]\(([^)#]+?\.(?:md|svg|png))", page.read_text(encoding="utf-8")):
            assert (page.parent / target).is_file(), (name, target)
    pictures = [p for p in (DOCS / "pages" / "pictures").iterdir() if p.suffix == ".svg"]
    assert pictures and sum(p.stat().st_size for p in pictures) < 1_500_000


@pytest.mark.gate
def test_the_site_is_made_without_a_warning_and_asks_no_other_machine(tmp_path: Path) -> None:
    for needed in ("material", "mkdocstrings"):
        pytest.importorskip(needed)
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "-f", str(DOCS / "mkdocs.yml"), "-d", str(tmp_path)]
    made = subprocess.run(command, capture_output=True, text=True, cwd=DOCS.parent)
    assert made.returncode == 0, made.stderr[-2000:]
    pages = list(tmp_path.rglob("*.html"))
    assert len(pages) > len(PAGES)
    for page in pages:
        text = page.read_text(encoding="utf-8")
        loaded = re.findall(r'<(?:script|img|iframe|link)[^>]+(?:src|href)="(https?:[^"]+)"[^>]*>', text)
        assert not [x for x in loaded if "canonical" not in x], (page.name, loaded)
