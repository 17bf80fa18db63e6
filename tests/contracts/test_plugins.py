"""The file name is the name, the file ends in ``PLUGIN = ...``, and nothing is registered anywhere else."""

from __future__ import annotations

import ast
import inspect
import re
from collections import Counter
from typing import Any

import pytest
from click.testing import CliRunner

from cfq_core import pipeline
from cfq_core.allocators.learned import Learned
from cfq_core.allocators.uniform import Uniform
from cfq_core.base import plugins
from cfq_core.base.errors import UnknownName
from cfq_core.cli import cli
from cfq_core.nets.optim import Adam
from cfq_core.study import estimate

PARTS = [(folder, name) for folder in plugins.FOLDERS for name in plugins.names(folder)]
each_method = pytest.mark.parametrize("name", plugins.names("methods"))
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


def test_nothing_is_known_of_a_name_this_version_does_not_have() -> None:
    """A stored study may hold methods of another version."""
    assert plugins.trait("methods", "qat_of_tomorrow", "trained") is None


class Stepped(Exception):
    """An optimizer made a step."""


@each_method
def test_a_method_is_trained_if_an_optimizer_steps(name: str, cell: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever its name begins with: estimates and pages go by the trait."""

    def step(*_: object) -> None:
        raise Stepped

    monkeypatch.setattr(Adam, "step", step)
    method = plugins.load("methods", name)
    try:
        method.students(pipeline.training_data_of(cell.promises[:1]), (3.5,))
        stepped = False
    except Stepped:
        stepped = True
    assert method.trained is stepped


@each_method
def test_traits_read_without_importing_are_those_of_the_record(name: str) -> None:
    method = plugins.load("methods", name)
    allocator = getattr(method, "allocator", None)
    assert plugins.trait("methods", name, "trained") is method.trained
    assert bool(plugins.trait("methods", name, "learns_bits")) is isinstance(allocator, Learned)
    assert bool(plugins.trait("methods", name, "uniform_bits")) is isinstance(allocator, Uniform)
    assert plugins.trait("methods", name, "about") == method.about


@each_method
def test_an_estimate_counts_what_is_trained_as_trained(name: str) -> None:
    pace = estimate.Pace(rows=100, teacher=1000.0, audit=100.0, trained=10.0)
    trained = plugins.load("methods", name).trained
    assert estimate.seconds(pace, [name], budgets=3, seeds=2) == 2 * (
        1000 + 3 * 100 + trained * estimate.stacked(10, 3)
    )


def test_an_estimate_of_all_methods_is_of_every_method() -> None:
    pace = estimate.pace_of("german")
    every = estimate.seconds(pace, plugins.names("methods"), 3, 2)
    assert estimate.seconds(pace, ["all"], 3, 2) == every > 5 * estimate.seconds(pace, ["ptq"], 3, 2)


def test_no_code_tells_a_method_by_how_its_name_begins() -> None:
    """What a method is, its record says: `cfq_anchored` learns no bits, `qat_lenient` and `cf_ptq` are trained."""
    wrong = []
    for path in (p for f in ("cfq_core", "dashboard", "benchmarks") for p in (plugins.ROOT.parent / f).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") in ("startswith", "removeprefix", "match"):
                given = [n.value for n in ast.walk(node) if isinstance(n, ast.Constant) and isinstance(n.value, str)]
                wrong += [f"{path}:{node.lineno}" for g in given if g.strip("_^") in ("ptq", "qat", "cfq", "cf_ptq")]
    assert not wrong


def test_what_the_code_cites_is_in_the_repository() -> None:
    """A file somebody named in a docstring: a reader can open it."""
    root, missing = plugins.ROOT.parent, []
    sources = [p for f in ("cfq_core", "dashboard", "benchmarks", "tests") for p in (root / f).rglob("*.py")]
    for path in [*sources, *root.glob("*.md"), *(root / "benchmarks").glob("*.md"), *(root / "data").glob("*.md")]:
        for name in re.findall(r"[\w/.-]*[A-Z]{3,}[\w-]*\.md\b", path.read_text(encoding="utf-8")):
            places = (root, path.parent, root / "benchmarks", root / "data")
            missing += [f"{path}: {name}"] if not any((p / name).is_file() for p in places) else []
    assert not missing
