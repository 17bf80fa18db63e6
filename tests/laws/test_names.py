"""Every name that is used is defined. Ruff is asked alone: in pyproject its rule is off, because it takes the axes of
jaxtyping's shapes (``Float[Tensor, "n d"]``) for names; those strings, and nothing else, are left out here."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def undefined(*places: Path) -> list[str]:
    """``path:line: message`` of each undefined name, as ruff finds it, that is no axis of a shape."""
    command = [sys.executable, "-m", "ruff", "check", "--isolated", "--no-cache", "--select", "F821", "--output-format",
               "json", "--exit-zero", *map(str, places)]  # fmt: skip
    answer = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found, shapes = [], {}
    for problem in json.loads(answer):
        path, at = problem["filename"], problem["location"]
        shapes.setdefault(path, _shapes(Path(path).read_text(encoding="utf-8")))
        if not any(start <= (at["row"], at["column"]) < end for start, end in shapes[path]):
            found.append(f"{path}:{at['row']}: {problem['message']}")
    return found


def _shapes(source: str) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """From where to where the shapes of a source stand: the second item of what is imported from jaxtyping."""
    tree, lines, spans = ast.parse(source), source.splitlines(), []
    imports = [n for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and n.module == "jaxtyping"]
    kinds = {a.asname or a.name for n in imports for a in n.names}

    def place(row: int, offset: int) -> tuple[int, int]:  # as ruff counts: characters, from 1
        return row, len(lines[row - 1].encode()[:offset].decode()) + 1

    for node in ast.walk(tree):
        if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name) and node.value.id in kinds:
            for part in node.slice.elts[1:] if isinstance(node.slice, ast.Tuple) else []:
                if isinstance(part, ast.Constant) and part.end_lineno and part.end_col_offset:
                    end = place(part.end_lineno, part.end_col_offset)
                    spans.append((place(part.lineno, part.col_offset), end))
    return spans


def test_every_name_is_defined() -> None:
    assert undefined(*(ROOT / folder for folder in ("cfq_core", "dashboard", "tests", "benchmarks"))) == []


@pytest.mark.parametrize(
    "planted",
    [
        "undefined_name()",
        "def f(x: Float[Tensor, 'n']) -> Int[Tensor, 'n']: return undefined_name",
        "def f(x: Float[undefined_name, 'n d']) -> None: ...",
        "def f(x: 'undefined_name') -> None: ...",
        "ß, é = 'µ', lambda x: (Float[Tensor, 'n'], undefined_name)",
    ],
)
def test_an_undefined_name_is_found_and_an_axis_is_none(planted: str, tmp_path: Path) -> None:
    file = tmp_path / "planted.py"
    file.write_text(f"from jaxtyping import Float, Int\nfrom torch import Tensor\n\n{planted}\n", encoding="utf-8")
    (line,) = undefined(file)
    assert line == f"{file}:4: Undefined name `undefined_name`"
