"""What other people's programs import, and the example that shows it."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import cfq_core

README = Path(__file__).parents[2] / "README.md"


def test_public_names_are_few_sorted_and_there() -> None:
    assert list(cfq_core.__all__) == sorted(cfq_core.__all__)
    assert len(cfq_core.__all__) <= 12
    for name in cfq_core.__all__:
        assert getattr(cfq_core, name).__doc__, name


def test_a_name_that_is_not_public_is_refused() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Stack'"):
        _ = cfq_core.Stack  # type: ignore[attr-defined]


def test_importing_the_package_loads_no_torch() -> None:
    """`cfq ls` and `cfq --help` answer at once."""
    code = "import sys, cfq_core, cfq_core.cli; print('torch' in sys.modules)"
    got = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert got.stdout.strip() == "False"


def test_the_readmes_example_runs(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # what is made there is nobody's own
    monkeypatch.delenv("CFQ_STORE", raising=False)
    shutil.copytree(README.parent / "data" / "cards", tmp_path / "data" / "cards")
    examples = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert examples, "README.md shows how to use the package from Python"
    for example in examples:
        assert len(example.strip().splitlines()) <= 15
        exec(compile(example, "README.md", "exec"), {})
    assert capsys.readouterr().out


def test_commands_in_the_readme_exist() -> None:
    from cfq_core.cli import cli

    for line in re.findall(r"^cfq (.*)$", README.read_text(encoding="utf-8"), re.MULTILINE):
        for command in re.split(r";\s*cfq ", line):
            assert command.split()[0] in cli.commands, command
