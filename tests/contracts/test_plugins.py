"""The file name is the name, the file ends in ``PLUGIN = ...``, and nothing is registered anywhere else."""

from __future__ import annotations

import ast
import inspect
from collections import Counter

import pytest
from click.testing import CliRunner

from cfq_core.base import plugins
from cfq_core.base.errors import UnknownName
from cfq_core.cli import cli

PARTS = [(folder, name) for folder in plugins.FOLDERS for name in plugins.names(folder)]
each_part = pytest.mark.parametrize(("folder", "name"), PARTS, ids=[f"{f}-{n}" for f, n in PARTS])


@pytest.mark.parametrize("folder", plugins.FOLDERS)
def test_a_plugin_folder_holds_parts(folder: str) -> None:
    assert plugins.names(folder), f"{folder} is empty"
    assert not [n for n, times in Counter(plugins.names(folder)).items() if times > 1]


@each_part
def test_a_part_says_what_it_is_in_one_sentence(folder: str, name: str) -> None:
    if folder not in plugins.TABLES:
        where, ending = plugins.place(folder)
        source = (plugins.ROOT / where / f"{name}.py").read_text(encoding="utf-8")
        last = ast.parse(source).body[-1]
        assert isinstance(last, ast.Assign), f"{folder}/{name}.py ends in something else than PLUGIN = ..."
        assert [t.id for t in last.targets if isinstance(t, ast.Name)] == [ending]
    first = plugins.summary(folder, name)
    assert first[:1].isupper() or first[:1].isdigit(), f"{folder}/{name}: {first!r} does not begin as a sentence"
    assert first.endswith("."), f"{folder}/{name}: {first!r} does not end as a sentence"
    assert len(first.split()) >= 3


@each_part
def test_a_part_is_named_by_a_plain_word_and_is_not_a_class(folder: str, name: str) -> None:
    assert name.isidentifier() and name == name.lower(), name
    assert not inspect.isclass(plugins.load(folder, name)), "PLUGIN is a configured object, not its class"


@pytest.mark.parametrize("folder", ["methods", "metrics", "certificates"])
def test_titles_tell_parts_apart(folder: str) -> None:
    titles = Counter(part.title for part in plugins.load_all(folder).values())
    assert not [title for title, times in titles.items() if times > 1]


def test_parts_lists_every_part_with_its_sentence() -> None:
    shown = CliRunner().invoke(cli, ["parts"]).output
    for folder, name in PARTS:
        assert folder in shown
        assert any(line.split()[:1] == [name] and plugins.summary(folder, name) in line for line in shown.splitlines())


@pytest.mark.parametrize("folder", plugins.FOLDERS)
def test_an_unknown_name_is_refused_with_the_names_there_are(folder: str) -> None:
    name = plugins.names(folder)[0]
    with pytest.raises(UnknownName) as refused:
        plugins.load(folder, name + "x")
    assert plugins.FOLDERS[folder] in refused.value.line()
    assert f'did you mean "{name}"?' in refused.value.line()


def test_modules_without_a_plugin_are_no_parts() -> None:
    assert "sensitivity" not in plugins.names("allocators")
    assert "fetch" not in plugins.names("datasets")
